"""What stands in DGM's own models of the DER facade now.

    Picture, EmsSaid ──gateway_values──> GATEWAY_MODEL       Picture, Sequences ──limit_values──> LIMIT_MODEL

Pure. A value that nobody knows is left out, and reads as SunSpec's "not known": absence is never 0, and a limit that
is not there is never "unlimited" unless the utility's schedule is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dgm.api.config.v1.config_pb2 import CircuitConfig
from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.der.discovery import Link
from dgm.der.effect import STORAGE_TARGET, Target
from dgm.der.envelope import QUANTITIES, Bound
from dgm.der.facade_writes import EmsSaid
from dgm.der.schedule import ControlSegment
from dgm.der.steps import Origin, Step
from dgm.machine import Now
from dgm.maps.table import Value

LINK_NUMBERS = {Link.CONNECTING: 0, Link.REGISTERED: 1, Link.READY: 2, Link.LOST: 3}
NOT_TOLD, NOT_LIMITED, LIMITED = range(3)
KIND_QUANTITIES = (
    Quantity.QUANTITY_NET_IMPORT,
    Quantity.QUANTITY_NET_EXPORT,
    Quantity.QUANTITY_GROSS_GENERATION,
    Quantity.QUANTITY_GROSS_LOAD,
    Quantity.QUANTITY_DER_OUTPUT,
)
"""In the order of models.KINDS."""
TARGET_NUMBERS = {"opModFixedW": 1, "opModTargetW": 2}
SEQUENCES = 0xFFFF
"""Sequence numbers go from 0 to one less: the last value means "not known"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownLimit:
    """One limit: what is in force and the step behind it, the utility's stored default, the connection agreement."""

    steps: Sequence[Step]
    default_w: int | None
    agreement_w: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What the facade shows. at_ms: the server's clock. link_age_ms None: no success yet. max_w: setMaxW.

    is_told: the schedule is one that the server gave. limits: in the order of models.KINDS. bounds: with the ramps of
    what is in force. charge_w None: no storage.
    """

    link: Link
    updates: int
    link_age_ms: int | None
    at_ms: int
    is_told: bool
    max_w: int
    charge_w: int | None
    gradient_permyriad_s: int | None
    limits: Sequence[ShownLimit]
    bounds: Mapping[str, Bound]
    ruling: Mapping[str, ControlSegment]
    targets: Mapping[str, Target]


class Sequences:
    """Numbers each limit as it changes. start: where to begin, so that a number from before a restart is another's."""

    def __init__(self, count: int, *, start: int) -> None:
        self._numbers = [start % SEQUENCES] * count
        self._seen: list[tuple[object, ...] | None] = [None] * count

    def of(self, index: int, step: Step) -> int:
        """The number of this limit as it stands."""
        seen = (step.power_w, step.origin, step.mode, step.mrid, step.end_ms)
        if self._seen[index] != seen:
            self._seen[index] = seen
            self._numbers[index] = (self._numbers[index] + 1) % SEQUENCES
        return self._numbers[index]


def gateway_values(picture: Picture, said: EmsSaid, now: Now) -> dict[str, Value]:
    """The gateway's registers."""
    availability_state, availability_left_ms = said.availability_state(now)
    found: dict[str, Value] = {
        "updates": picture.updates % SEQUENCES,
        "link": LINK_NUMBERS[picture.link],
        "schedule": int(picture.is_told),
        "link_age_ms": picture.link_age_ms,
        "clock_s": picture.at_ms // 1000,
        "control": said.control(now),
        "heartbeat_left_ms": said.heartbeat_left_ms(now),
        "availability_state": availability_state,
        "availability_left_ms": availability_left_ms,
        "contended": said.contended,
        "energize": permits(picture, "opModEnergize"),
        "connect": permits(picture, "opModConnect"),
        "rating_w": picture.max_w,
        "charge_rating_w": picture.charge_w,
        "gradient_permyriad_s": picture.gradient_permyriad_s,
    }
    return found | _target_values(picture)


def permits(picture: Picture, switch: str) -> int | None:
    """1: the switch is not off; 0: a control turns it off; None: the utility has not told."""
    ruling = picture.ruling.get(switch)
    if ruling is not None and ruling.value.on is False:
        return 0
    return 1 if picture.is_told else None


def _target_values(picture: Picture) -> dict[str, Value]:
    mode = next((mode for mode in TARGET_NUMBERS if mode in picture.targets), None)
    found: dict[str, Value] = {"target": 0 if picture.is_told else None}
    if mode is not None:
        found["target"] = TARGET_NUMBERS[mode]
        found |= _ends("target", picture.targets[mode], picture.at_ms)
    if STORAGE_TARGET in picture.targets:
        found |= _ends("storage_target", picture.targets[STORAGE_TARGET], picture.at_ms)
    return found


def _ends(name: str, target: Target, at_ms: int) -> dict[str, Value]:
    end_ms = target.event_end_ms
    return {f"{name}_w": target.power_w, f"{name}_end_s": _seconds(end_ms), f"{name}_left_s": left_s(end_ms, at_ms)}


def limit_values(picture: Picture, index: int, sequence: int, acknowledged: int) -> dict[str, Value]:
    """The registers of one limit, by its place in models.KINDS."""
    shown = picture.limits[index]
    now, *later = shown.steps
    found: dict[str, Value] = {
        "kind": index,
        "sequence": sequence,
        "state": state_of(picture, now),
        "limit_w": now.power_w,
        "origin": now.origin,
        "mode": now.mode or None,
        "mrid": now.mrid or None,
        "began_s": _seconds(now.began_ms) if now.began_ms else None,
        "end_s": _seconds(now.end_ms),
        "left_s": left_s(now.end_ms, picture.at_ms),
        "ramp_left_ms": None if now.power_w is None else _ramp_left_ms(picture.bounds.get(now.mode), picture.at_ms),
        "default_w": shown.default_w,
        "agreement_w": shown.agreement_w,
        "acknowledged": acknowledged,
    }
    return found | (_next_values(later[0], picture.at_ms) if later else {"next_origin": Origin.NONE})


def state_of(picture: Picture, step: Step) -> int:
    """NOT_TOLD also where the agreement limits: the utility may have stated something tighter."""
    if not picture.is_told:
        return NOT_TOLD
    return NOT_LIMITED if step.power_w is None else LIMITED


def _next_values(step: Step, at_ms: int) -> dict[str, Value]:
    return {
        "next_origin": step.origin,
        "next_w": step.power_w,
        "next_s": _seconds(step.start_ms),
        "next_in_s": left_s(step.start_ms, at_ms),
        "next_end_s": _seconds(step.end_ms),
        "next_mrid": step.mrid or None,
    }


def _ramp_left_ms(bound: Bound | None, at_ms: int) -> int:
    if bound is None:
        return 0
    return max((bound.ramp_ms or 0) - max(at_ms - bound.began_utc_ms, 0), 0)


def modes_of(quantity: int) -> tuple[str, ...]:
    """Control modes that bound one quantity."""
    return tuple(mode for mode, bounded in QUANTITIES.items() if bounded == quantity)


def agreement_w(root: CircuitConfig | None, quantity: int) -> int | None:
    """The connection agreement, which holds whatever the utility says: the limits of the root circuit in site.yaml."""
    names: dict[int, str] = {
        Quantity.QUANTITY_NET_IMPORT: "import_limit_w",
        Quantity.QUANTITY_NET_EXPORT: "export_limit_w",
    }
    name = names.get(quantity, "")
    return int(getattr(root, name)) if root is not None and name and root.HasField(name) else None


def _seconds(time_ms: int | None) -> int | None:
    return None if time_ms is None else time_ms // 1000


def left_s(end_ms: int | None, at_ms: int) -> int | None:
    """Whole seconds until then, rounded up: 0 only once it is there."""
    return None if end_ms is None else -(-max(end_ms - at_ms, 0) // 1000)
