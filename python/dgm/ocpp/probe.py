"""What a station accepts: its configuration keys, then its behaviour, decide the manner in which it is limited.

    keys_call ──GetConfiguration / GetVariables──> Abilities ─┐
    quirk data, number of EVSEs ──────────────────────────────┼─> candidates (best first) ──> Manner
    a real limit refused, unanswered or without effect ───────┘        └─ next one; none left: mode none

Only real limits are tried, and only in ways that can do no harm: each is one that the site wants. What worked is kept
for that firmware. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from dgm.api.ocpp.v1.ocpp_pb2 import EnforcementMode
from dgm.ocpp.frame import Payload
from dgm.ocpp.manner import Manner, Mode
from dgm.ocpp.profile import ProfileKind, RateUnit
from dgm.ocpp.quirks import Quirks
from dgm.ocpp.relay import OwnCall, Step
from dgm.ocpp.version import Version

KEYS_16 = (
    "SupportedFeatureProfiles",
    "ChargeProfileMaxStackLevel",
    "ChargingScheduleAllowedChargingRateUnit",
    "ChargingScheduleMaxPeriods",
    "MaxChargingProfilesInstalled",
)
VARIABLES_2X = {
    "Enabled": "enabled",
    "ProfileStackLevel": "ChargeProfileMaxStackLevel",
    "RateUnit": "ChargingScheduleAllowedChargingRateUnit",
    "PeriodsPerSchedule": "ChargingScheduleMaxPeriods",
    "SupportsDynamicProfiles": "dynamic",
}
"""Of SmartChargingCtrlr (2.x part 2 appendices), and the keys of 1.6 that they replace. How many profiles there is room
for is a limit of Entries, which GetVariables does not tell."""

SILENCES = 2
"""Unanswered limits after which another manner is tried; a refusal needs but one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a station says it can do; None or empty: it does not say."""

    has_smart_charging: bool | None = None
    max_stack_level: int | None = None
    units: tuple[RateUnit, ...] = ()
    max_profiles: int | None = None
    is_dynamic: bool = False


def keys_call(version: Version) -> OwnCall:
    """The CALL that asks for all of them at once."""
    if not version.is_2x:
        return OwnCall(step=Step.PROBE, action="GetConfiguration", payload={"key": list(KEYS_16)})
    names = [name for name in VARIABLES_2X if name != "SupportsDynamicProfiles" or version is Version.V21]
    component = {"name": "SmartChargingCtrlr"}
    asked = [{"component": component, "variable": {"name": name}} for name in names]
    return OwnCall(step=Step.PROBE, action="GetVariables", payload={"getVariableData": asked})


def abilities_of(payload: Payload | None, version: Version) -> Abilities:
    """The answer to `keys_call`; None: CALLERROR, silence, or unreadable."""
    values = dict(_values_2x(payload) if version.is_2x else _values_16(payload)) if payload is not None else {}
    features = values.get("SupportedFeatureProfiles")
    has_smart_charging = None if features is None else "smartcharging" in features.lower().replace(" ", "")
    if "enabled" in values:
        has_smart_charging = values["enabled"].lower() == "true"
    return Abilities(
        has_smart_charging=has_smart_charging,
        max_stack_level=_number(values.get("ChargeProfileMaxStackLevel")),
        units=_units(values.get("ChargingScheduleAllowedChargingRateUnit", "")),
        max_profiles=_number(values.get("MaxChargingProfilesInstalled")),
        is_dynamic=values.get("dynamic", "").lower() == "true",
    )


def _values_16(payload: Payload) -> Iterator[tuple[str, str]]:
    found = payload.get("configurationKey")
    for item in found if isinstance(found, list) else []:
        if isinstance(item, dict) and isinstance(item.get("key"), str) and item.get("value") is not None:
            yield item["key"], str(item["value"]).strip(" \"'")


def _values_2x(payload: Payload) -> Iterator[tuple[str, str]]:
    found = payload.get("getVariableResult")
    for item in found if isinstance(found, list) else []:
        variable = item.get("variable") if isinstance(item, dict) else None
        name = VARIABLES_2X.get(str(variable.get("name"))) if isinstance(variable, dict) else None
        if name is not None and item.get("attributeStatus") == "Accepted" and item.get("attributeValue") is not None:
            yield name, str(item["attributeValue"])


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() and len(text) < 9 else None


def _units(text: str) -> tuple[RateUnit, ...]:
    """Current and Power of 1.6 (9.4.2), A and W of 2.x, and of stations that mix them up."""
    words = {word.strip(" \"'").lower() for word in text.replace(";", ",").split(",")}
    found = []
    if words & {"current", "a", "amps", "ampere"}:
        found.append(RateUnit.A)
    if words & {"power", "w", "watt", "watts"}:
        found.append(RateUnit.W)
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """All that the choice of a manner rests on. is_merge_needed: the CPO has used our place in this station."""

    version: Version
    evse_count: int
    max_stack_level: int
    abilities: Abilities
    quirks: Quirks
    wanted: Mode | None = None
    is_merge_needed: bool = False
    is_v2x: bool = False
    """An EVSE of it may give back: only a transaction's profile can say how much (2.1, table 95), and in W."""


def candidates(asked: Question) -> list[Manner]:
    """Manners worth trying, best first; empty: none. Each says why it is there."""
    abilities, quirks = asked.abilities, asked.quirks
    units = (RateUnit.W,) if asked.is_v2x else quirks.units or abilities.units or (RateUnit.A, RateUnit.W)
    level = _level(asked)
    room = 1 if quirks.single_profile else abilities.max_profiles
    found: list[Manner] = []
    for mode in _modes(asked):
        if mode is Mode.NATIVE:
            found += _native(asked, level)
            continue
        for unit in units:
            for kind in quirks.kinds:
                why = f"{mode.value}, {unit.value}, {kind.value}"
                found.append(
                    Manner(
                        mode=mode,
                        reason=f"{why}: {_why(asked)}",
                        unit=unit,
                        kind=kind,
                        live_level=level,
                        has_floor=level > 0 and (room is None or room >= 2),
                        has_tx_pair=room is None or room >= 4,
                        small_ids=quirks.small_profile_ids,
                        phases_for_watts=quirks.phases_for_watts,
                        reads_back=not quirks.no_read_back,
                        is_merge_needed=_needs_merge(asked),
                    )
                )
    return found + _last_resorts(asked, found)


def _last_resorts(asked: Question, found: list[Manner]) -> list[Manner]:
    """With ids of a few digits, on the lowest level (which leaves no floor), with both."""
    resorts: list[Manner] = []
    for manner in found:
        # Small ids may be the CPO's too: only where none of its profiles is in the station.
        ids = [True] if manner.mode is Mode.MERGE and not manner.small_ids else []
        low = [0] if manner.live_level != 0 and asked.quirks.max_stack_level is None else []
        why = f"{manner.reason.split(':')[0]}"
        resorts += [replace(manner, small_ids=small, reason=f"{why}, small ids") for small in ids]
        resorts += [
            replace(manner, live_level=level, has_floor=False, reason=f"{why}, level 0, no floor") for level in low
        ]
        resorts += [
            replace(manner, small_ids=small, live_level=level, has_floor=False, reason=f"{why}, level 0, small ids")
            for small in ids
            for level in low
        ]
    return [manner for manner in resorts if manner.mode is not Mode.NATIVE]


def _needs_merge(asked: Question) -> bool:
    return asked.evse_count > 1 or asked.is_merge_needed or asked.is_v2x


def _level(asked: Question) -> int:
    limits = (asked.max_stack_level, asked.abilities.max_stack_level, asked.quirks.max_stack_level)
    return min(limit for limit in limits if limit is not None)


def _modes(asked: Question) -> list[Mode]:
    if asked.abilities.has_smart_charging is False and not asked.quirks.modes:
        # It says that it takes no profiles at all: it is taken at its word, a key may still do.
        return [Mode.NATIVE]
    named = {
        EnforcementMode.ENFORCEMENT_MODE_MAX: Mode.MAX,
        EnforcementMode.ENFORCEMENT_MODE_MERGE: Mode.MERGE,
        EnforcementMode.ENFORCEMENT_MODE_NATIVE: Mode.NATIVE,
    }
    modes = [named[mode] for mode in asked.quirks.modes if mode in named] or [Mode.MAX, Mode.MERGE, Mode.NATIVE]
    if asked.wanted is not None:
        modes = [asked.wanted]
    elif asked.abilities.is_dynamic and asked.version is Version.V21 and not asked.quirks.modes:
        # Updates of a Dynamic limit need not be stored, and their lease is the standard's own.
        modes = [Mode.NATIVE, Mode.MAX, Mode.MERGE]
    if _needs_merge(asked):
        modes = [mode for mode in modes if mode is Mode.MERGE] or [Mode.MERGE]
    return modes


def _native(asked: Question, level: int) -> list[Manner]:
    """2.1 Dynamic under a maximum, or a vendor's key: both limit the station as a whole."""
    found = []
    if asked.version is Version.V21 and asked.abilities.is_dynamic:
        why = f"native, Dynamic: {_why(asked)}"
        found.append(Manner(mode=Mode.NATIVE, reason=why, kind=ProfileKind.DYNAMIC, live_level=level))
    if asked.quirks.limit_key and not asked.version.is_2x:
        why = f"native, key {asked.quirks.limit_key}: {_why(asked)}"
        found.append(Manner(mode=Mode.NATIVE, reason=why, key=asked.quirks.limit_key, has_floor=False))
    return found


def _why(asked: Question) -> str:
    if asked.wanted is not None:
        return "the configuration asks for it"
    if asked.evse_count > 1:
        return "several EVSEs: a station-wide maximum cannot limit each of them"
    if asked.is_v2x:
        return "V2X: only a transaction's profile can say what may be given back"
    if asked.is_merge_needed:
        return "the CPO used the place of our profiles"
    return f"known of {asked.quirks.name}" if asked.quirks.name else "first that the station accepts"
