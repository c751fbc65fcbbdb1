"""The setpoints of the EVSEs as the `ocpp` role gets them: leased, latest value wins, renewed only by a living core.

    Decision ──> SetpointBook (newest per EVSE, with versions) ──> per subscriber: snapshot, changes, renewals

A renewal is a snapshot: at 1,000 EVSEs it is 50 kB every few seconds, and a subscriber that missed something is whole
again. When no decision has come for DECISION_AGE_CYCLES cycles nothing is sent: the leases run out at the receiver.
"""

from __future__ import annotations

from dgm.api.core.v1.core_pb2 import Decision
from dgm.api.ems.v1.ems_pb2 import Setpoint, WatchSetpointsResponse
from dgm.machine import Now
from dgm.site.topology import Topology

DECISION_AGE_CYCLES = 3
"""A decision older than this many cycles proves no living core."""

RENEWALS_PER_TTL = 3
"""A lease is renewed this often within its time: two messages may be lost."""


class SetpointBook:
    """Newest setpoint per EVSE."""

    def __init__(self, topology: Topology, *, epoch: int, ttl_ms: int, cycle_ms: int) -> None:
        self._topology = topology
        self._epoch = epoch
        self._ttl_ms = ttl_ms
        self._decision_age_ms_max = DECISION_AGE_CYCLES * cycle_ms
        self._setpoints: dict[int, Setpoint] = {}
        self._versions: dict[int, int] = {}
        self._decided_ms: int | None = None
        self.version = 0

    @property
    def renewal_ms(self) -> int:
        """Longest time between two messages that carry the same setpoint."""
        return self._ttl_ms // RENEWALS_PER_TTL

    def get(self, asset_index: int) -> Setpoint | None:
        """Newest setpoint of an EVSE, None before the first decision."""
        return self._setpoints.get(asset_index)

    def put_decision(self, decision: Decision, now: Now) -> bool:
        """Take the grants of a decision; True: there is something new to be sent at once."""
        self._decided_ms = now.mono_ms
        changed = False
        for grant in decision.grants:
            if not 0 <= grant.asset_index < len(self._topology.assets) or not grant.HasField("current_ma"):
                continue
            known = self._setpoints.get(grant.asset_index)
            if grant.sequence == 0 or (known is not None and known.sequence == grant.sequence):
                continue  # never published, or nothing new: the sequence grows with what is to be sent
            self.version += 1
            changed = True
            self._versions[grant.asset_index] = self.version
            self._setpoints[grant.asset_index] = Setpoint(
                asset_id=self._topology.assets[grant.asset_index].id,
                epoch=self._epoch,
                sequence=grant.sequence,
                current_ma=grant.current_ma,
                binding_limit_id=grant.binding_limit_id,
                ttl_ms=self._ttl_ms,
                safety=grant.safety,
            )
        return changed

    def is_live(self, now: Now) -> bool:
        """Whether the newest decision is young enough to renew leases on it."""
        return self._decided_ms is not None and now.mono_ms - self._decided_ms <= self._decision_age_ms_max

    def message(self, *, since: int | None) -> WatchSetpointsResponse:
        """Setpoints that changed after version `since`; None: all of them."""
        after = -1 if since is None else since
        return WatchSetpointsResponse(
            epoch=self._epoch,
            snapshot=since is None,
            setpoints=[self._setpoints[index] for index, version in self._versions.items() if version > after],
        )


class SetpointSubscriber:
    """One reader of WatchSetpoints: what it has, and when its leases were last renewed."""

    def __init__(self) -> None:
        self._seen: int | None = None
        self._renewed_ms = 0

    def next_message(self, book: SetpointBook, now: Now) -> WatchSetpointsResponse | None:
        """What is to be sent now, None: nothing. The first message and every renewal hold all setpoints."""
        if not book.is_live(now):
            return None
        renew = self._seen is None or now.mono_ms - self._renewed_ms >= book.renewal_ms
        if not renew and book.version == self._seen:
            return None
        message = book.message(since=None if renew else self._seen)
        self._seen = book.version
        self._renewed_ms = now.mono_ms if renew else self._renewed_ms
        return message
