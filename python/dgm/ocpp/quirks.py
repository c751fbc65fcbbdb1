"""What a model of charging station does differently: looked up by what it says of itself at boot.

    BootNotification (vendor, model, firmware) ──find──> Quirks        data: devices/evse/*.yaml (ocpp.v1.EvseModel)

Pure. Absent: the standard holds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dgm.api.ocpp.v1.evse_model_pb2 import EvseModel, ScheduleKind, ScheduleUnit
from dgm.api.ocpp.v1.ocpp_pb2 import EnforcementMode
from dgm.ocpp.profile import ProfileKind, RateUnit

_UNITS = {ScheduleUnit.SCHEDULE_UNIT_A: RateUnit.A, ScheduleUnit.SCHEDULE_UNIT_W: RateUnit.W}
_KINDS = {
    ScheduleKind.SCHEDULE_KIND_ABSOLUTE: ProfileKind.ABSOLUTE,
    ScheduleKind.SCHEDULE_KIND_RELATIVE: ProfileKind.RELATIVE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a station says of itself at boot."""

    vendor: str = ""
    model: str = ""
    firmware: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """See api.ocpp.v1.EvseModel for each field. name "": none is known."""

    name: str = ""
    modes: tuple[EnforcementMode, ...] = ()
    units: tuple[RateUnit, ...] = ()
    kinds: tuple[ProfileKind, ...] = (ProfileKind.ABSOLUTE, ProfileKind.RELATIVE)
    max_stack_level: int | None = None
    single_profile: bool = False
    small_profile_ids: bool = False
    limit_key: str = ""
    phases_for_watts: int | None = None
    lease_ms: int | None = None
    writes_per_day: int | None = None
    no_read_back: bool = False
    forgets_profiles: bool = False
    rewrite_after_pause_ms: int | None = None
    waits_for_boot: bool = False
    no_triggers: bool = False
    no_key_probe: bool = False


def find(models: Sequence[EvseModel], identity: Identity) -> Quirks:
    """Of the model that fits with the most of its three patterns given."""
    fitting = [model for model in models if _fits(model, identity)]
    best = max(fitting, key=lambda model: (bool(model.firmware), bool(model.model)), default=None)
    return Quirks() if best is None else quirks_of(best)


def _fits(model: EvseModel, identity: Identity) -> bool:
    pairs = ((model.vendor, identity.vendor), (model.model, identity.model), (model.firmware, identity.firmware))
    return all(not pattern or re.fullmatch(pattern, text, re.IGNORECASE) is not None for pattern, text in pairs)


def quirks_of(model: EvseModel) -> Quirks:
    """A model as the sessions use it."""

    def given(name: str, scale: int = 1) -> int | None:
        return int(getattr(model, name)) * scale if model.HasField(name) else None

    return Quirks(
        name=model.name,
        modes=tuple(model.modes),
        units=tuple(_UNITS[unit] for unit in model.units),
        kinds=tuple(_KINDS[kind] for kind in model.kinds) or Quirks().kinds,
        max_stack_level=given("max_stack_level"),
        single_profile=model.single_profile,
        small_profile_ids=model.small_profile_ids,
        limit_key=model.limit_key,
        phases_for_watts=given("phases_for_watts"),
        lease_ms=given("lease_s", 1000),
        writes_per_day=given("writes_per_day"),
        no_read_back=model.no_read_back,
        forgets_profiles=model.forgets_profiles,
        rewrite_after_pause_ms=given("rewrite_after_pause_s", 1000),
        waits_for_boot=model.waits_for_boot,
        no_triggers=model.no_triggers,
        no_key_probe=model.no_key_probe,
    )
