"""What a third-party EMS has written to the DER facade, and what of it counts now.

    GroupWritten, PointWritten, Ended ──EmsSaid.take──> heartbeat · availability · acknowledgements      released, lost

The server has ended what was not written again; the same ends are kept here, by our own clock. A heartbeat that is lost
takes the acknowledgements with it: nobody is there who holds anything. Nothing written here raises or ends a limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import assert_never

from dgm.der.models import AVAILABILITY, CONTROLLER_LEASE_S
from dgm.der.resources.plant import DERAvailability
from dgm.machine import Now
from dgm.maps.writes import Contended, Ended, Found, GroupWritten, PointWritten

NOBODY, ALIVE, LOST = range(3)
NONE, IN_FORCE, EXPIRED = range(3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """What an EMS says that the plant has in reserve; None: it does not say. All are magnitudes (S18 DERAvailability).

    available_: what could be put out (injected), absorb_: taken. reserve_permyriad: of setMaxW, reserve_charge_: of
    setMaxChargeRateW. availability_s: how long the reserve lasts, max_charge_s: how long charging could go on.
    """

    available_w: int | None = None
    absorb_available_w: int | None = None
    available_var: int | None = None
    absorb_available_var: int | None = None
    reserve_permyriad: int | None = None
    reserve_charge_permyriad: int | None = None
    availability_s: int | None = None
    max_charge_s: int | None = None


def as_resource(said: Availability, reading_s: int) -> DERAvailability:
    """What the utility is told of it. reading_s: when it was said, the server's clock."""
    return DERAvailability(
        availability_s=said.availability_s,
        max_charge_s=said.max_charge_s,
        reading_s=reading_s,
        reserve_charge_permyriad=said.reserve_charge_permyriad,
        reserve_permyriad=said.reserve_permyriad,
        absorb_available_var=said.absorb_available_var,
        available_var=said.available_var,
        absorb_available_w=said.absorb_available_w,
        available_w=said.available_w,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """What was said of the limit with this sequence."""

    sequence: int
    ack: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lease:
    """Until when something counts, monotonic ms, and whose it is."""

    ends_ms: int
    client: str


class EmsSaid:
    """The newest of everything that was written."""

    def __init__(self) -> None:
        self.contended = 0
        self._heartbeat: _Lease | None = None
        self._availability: tuple[_Lease, Availability] | None = None
        self._acks: dict[int, Acknowledged] = {}

    def take(self, found: Iterable[Found], now: Now) -> list[Contended]:
        """Take what was written; what is worth telling people of it."""
        told = []
        for item in found:
            match item:
                case GroupWritten():
                    self._group(item, now)
                case PointWritten():
                    self._point(item, now)
                case Ended():
                    self._ended(item, now)
                case Contended():
                    self.contended += 1
                    told.append(item)
                case _:
                    assert_never(item)
        return told

    def _group(self, item: GroupWritten, now: Now) -> None:
        if item.index is not None:
            sequence, ack = item.asked["ack_sequence"], item.asked["ack"]
            if sequence is not None and ack is not None:
                self._acks[item.index] = Acknowledged(sequence=sequence, ack=ack)
        elif item.ttl_ms is not None:
            lease = _Lease(ends_ms=now.mono_ms + item.ttl_ms, client=item.client)
            if item.group == "availability":
                self._availability = (lease, _availability(item.asked))
            else:
                self._beat(lease, now)

    def _point(self, item: PointWritten, now: Now) -> None:
        if item.name == "release":
            self._heartbeat, self._availability = None, None
            self._acks.clear()
        else:
            self._beat(_Lease(ends_ms=now.mono_ms + CONTROLLER_LEASE_S * 1000, client=item.client), now)

    def _beat(self, lease: _Lease, now: Now) -> None:
        if self.control(now) != ALIVE:
            self._acks.clear()  # who comes back has to say anew what it holds
        self._heartbeat = lease

    def _ended(self, item: Ended, now: Now) -> None:
        """A heartbeat ends by our own clock: there are two ways to give it, and one of them may go on."""
        if item.group == "availability" and self._availability is not None:
            self._availability = (_Lease(ends_ms=now.mono_ms, client=""), Availability())

    def control(self, now: Now) -> int:
        """Whether an EMS lives: NOBODY, ALIVE, LOST."""
        if self._heartbeat is None:
            return NOBODY
        return ALIVE if self._heartbeat.ends_ms > now.mono_ms else LOST

    def client(self) -> str:
        """Whose the heartbeat is, or was."""
        return "" if self._heartbeat is None else self._heartbeat.client

    def heartbeat_left_ms(self, now: Now) -> int | None:
        """Until it is lost; None: there is none that lives."""
        return None if self._heartbeat is None else _left_ms(self._heartbeat, now)

    def availability(self, now: Now) -> Availability | None:
        """What is said to be in reserve; None: nobody says, or what was said is over."""
        if self._availability is None or _left_ms(self._availability[0], now) is None:
            return None
        return self._availability[1]

    def availability_state(self, now: Now) -> tuple[int, int | None]:
        """State of the written availability, and ms until it ends."""
        if self._availability is None:
            return NONE, None
        left_ms = _left_ms(self._availability[0], now)
        return (EXPIRED, None) if left_ms is None else (IN_FORCE, left_ms)

    def acknowledged(self, index: int, sequence: int, now: Now) -> int:
        """What is said of limit `index` as it stands now; 0: nothing, or nobody is there any more."""
        found = self._acks.get(index)
        if found is None or found.sequence != sequence or self.control(now) != ALIVE:
            return 0
        return found.ack


def _availability(asked: Mapping[str, int | None]) -> Availability:
    return Availability(**{point.name: asked[point.name] for point in AVAILABILITY})


def _left_ms(lease: _Lease, now: Now) -> int | None:
    return lease.ends_ms - now.mono_ms if lease.ends_ms > now.mono_ms else None
