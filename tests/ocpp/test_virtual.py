"""What a CSMS may install, replace and clear, by version, and that the store survives its bytes."""

from __future__ import annotations

from typing import Any

import pytest
from composite_oracle import draw_site
from hypothesis import given
from hypothesis import strategies as st
from ocpp_driver import QUICK

from dgm.ocpp.profile import Purpose, RateUnit, Transaction
from dgm.ocpp.profile_codec import Flaw, parse_profile
from dgm.ocpp.version import Version
from dgm.ocpp.virtual import Installed, ProfileStore, Rules, from_bytes, to_bytes

T0 = 1_793_000_000_000
RULES = {version: Rules(version=version, evse_ids=(1, 2)) for version in Version}
MAX = {
    Version.V16: "ChargePointMaxProfile",
    Version.V201: "ChargingStationMaxProfile",
    Version.V21: "ChargingStationMaxProfile",
}
V16, V201, V21 = Version.V16, Version.V201, Version.V21


def body(
    version: Version, number: int = 1, purpose: str = "TxDefaultProfile", level: int = 0, **changes: Any
) -> dict[str, Any]:
    """`schedule`, `period` in changes go there; None removes a field."""
    period = {"startPeriod": 0, "limit": 16.0, **changes.pop("period", {})}
    schedule = {
        "id": 1 if version.is_2x else None,
        "startSchedule": "2026-01-01T00:00:00Z",
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [clean(period)],
        **changes.pop("schedule", {}),
    }
    found = {
        "id" if version.is_2x else "chargingProfileId": number,
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute",
        "chargingSchedule": [clean(schedule)] if version.is_2x else clean(schedule),
        **changes,
    }
    return clean(found)


def clean(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


RUNNING = {1: Transaction(id="tx", start_utc_ms=T0)}
RUNNING_16 = {1: Transaction(id=7, start_utc_ms=T0)}


def install(store: ProfileStore, found: Any, version: Version, evse: Any = 1, **changes: Any) -> ProfileStore | Flaw:
    running = changes.get("transactions", RUNNING if version.is_2x else RUNNING_16)
    return store.install(found, evse, changes.get("rules", RULES[version]), running, T0)


def filled(version: Version, *bodies: tuple[int, dict[str, Any]]) -> ProfileStore:
    store = ProfileStore()
    for evse, found in bodies:
        result = install(store, found, version, evse)
        assert isinstance(result, ProfileStore), result
        store = result
    return store


def ids(store: ProfileStore | Flaw) -> list[int]:
    assert isinstance(store, ProfileStore), store
    return [profile.id for profile in store.profiles]


def test_in_16_the_same_place_replaces_and_so_does_the_same_id() -> None:
    store = filled(V16, (1, body(V16, 1)), (1, body(V16, 2, level=1)))
    assert ids(install(store, body(V16, 9), V16)) == [2, 9]
    assert ids(install(store, body(V16, 2, level=7), V16)) == [1, 2]
    assert ids(install(store, body(V16, 9), V16, evse=2)) == [1, 2, 9]
    assert ids(install(store, body(V16, 9), V16, evse=0)) == [1, 2, 9]


@pytest.mark.parametrize("version", [V201, V21])
def test_in_2x_the_same_id_replaces_and_the_same_place_is_a_duplicate(version: Version) -> None:
    store = filled(version, (1, body(version, 1)))
    assert ids(install(store, body(version, 1, level=4), version)) == [1]
    assert code(install(store, body(version, 2), version)) == "DuplicateProfile"
    assert code(install(store, body(version, 2), version, evse=0)) == "DuplicateProfile"
    assert ids(install(store, body(version, 2), version, evse=2)) == [1, 2]
    assert ids(install(store, body(version, 2, level=3), version)) == [1, 2]


def test_in_2x_profiles_that_are_never_valid_together_are_no_duplicates() -> None:
    store = filled(V201, (1, body(V201, 1, validTo="2026-06-01T00:00:00Z")))
    assert ids(install(store, body(V201, 2, validFrom="2026-06-01T00:00:00Z"), V201)) == [1, 2]
    assert code(install(store, body(V201, 2, validFrom="2026-05-31T00:00:00Z"), V201)) == "DuplicateProfile"
    # The station's default against an EVSE's is refused whatever their dates (K01.FR.52).
    assert code(install(store, body(V201, 2, validFrom="2026-06-01T00:00:00Z"), V201, evse=0)) == "DuplicateProfile"


def code(result: ProfileStore | Flaw) -> str:
    assert isinstance(result, Flaw), result
    return ("!" if result.is_error else "") + result.code


NO_TX: dict[str, Any] = {"transactions": {}}


@pytest.mark.parametrize(
    ("version", "evse", "changes", "expected"),
    [
        (V16, 3, {}, "!PropertyConstraintViolation"),
        (V201, 3, {}, "UnknownEvse"),
        (V16, "1", {}, "!TypeConstraintViolation"),
        (V16, 1, {"purpose": MAX[V16]}, "InvalidProfile"),
        (V201, 1, {"purpose": MAX[V201]}, "InvalidProfile"),
        (
            V201,
            0,
            {"purpose": MAX[V201], "chargingProfileKind": "Relative", "schedule": {"startSchedule": None}},
            "InvalidProfile",
        ),
        (V16, 0, {"purpose": "TxProfile"}, "InvalidProfile"),
        (V201, 0, {"purpose": "TxProfile", "transactionId": "tx"}, "InvalidProfile"),
        (V201, 1, {"purpose": "TxProfile"}, "InvalidProfile"),
        (V201, 1, {"purpose": "TxProfile", "transactionId": "other"}, "TxNotFound"),
        (V16, 1, {"purpose": "TxProfile", "transactionId": 8}, "TxNotFound"),
        (V16, 2, {"purpose": "TxProfile"}, "TxNotFound"),
        (V201, 1, {"purpose": "ChargingStationExternalConstraints"}, "InvalidProfile"),
        (V21, 1, {"purpose": "LocalGeneration"}, "UnsupportedPurpose"),
        (V201, 1, {"purpose": "LocalGeneration"}, "!PropertyConstraintViolation"),
        (V16, 1, {"purpose": "ChargingStationMaxProfile"}, "!PropertyConstraintViolation"),
        (V16, 1, {"chargingProfileKind": "Dynamic"}, "!PropertyConstraintViolation"),
        (V16, 1, {"schedule": {"chargingRateUnit": "VA"}}, "!PropertyConstraintViolation"),
        (V16, 1, {"schedule": {"chargingRateUnit": "W"}, "rules": "A"}, "UnsupportedRateUnit"),
        (V16, 1, {"level": 101}, "InvalidStackLevel"),
        (V16, 1, {"level": -1}, "!PropertyConstraintViolation"),
        (V16, 1, {"level": "1"}, "!TypeConstraintViolation"),
        (V16, 1, {"level": None}, "!OccurenceConstraintViolation"),
        (V201, 1, {"level": None}, "!OccurrenceConstraintViolation"),
        (V16, 1, {"schedule": {"chargingSchedulePeriod": []}}, "!OccurenceConstraintViolation"),
        (V16, 1, {"period": {"startPeriod": 1}}, "InvalidSchedule"),
        (V16, 1, {"period": {"limit": -1}}, "InvalidSchedule"),
        (V16, 1, {"period": {"limit": "16"}}, "!TypeConstraintViolation"),
        (V16, 1, {"period": {"limit": None}}, "!OccurenceConstraintViolation"),
        (V16, 1, {"period": {"numberPhases": 4}}, "InvalidSchedule"),
        (V201, 1, {"period": {"numberPhases": 3, "phaseToUse": 1}}, "InvalidSchedule"),
        (V201, 1, {"period": {"numberPhases": 1, "phaseToUse": 1}}, "InvalidSchedule"),
        (V16, 1, {"chargingProfileKind": "Recurring"}, "InvalidProfile"),
        (V201, 1, {"schedule": {"startSchedule": None}}, "InvalidSchedule"),
        (V201, 1, {"chargingProfileKind": "Relative"}, "InvalidSchedule"),
        (V16, 1, {"schedule": {"startSchedule": "tomorrow"}}, "!TypeConstraintViolation"),
        (V21, 1, {"dynUpdateInterval": 60}, "InvalidProfile"),
        (V21, 0, {"purpose": MAX[V21], "schedule": {"randomizedDelay": 60}}, "InvalidSchedule"),
        (V21, 1, {"schedule": {"randomizedDelay": -1}}, "!PropertyConstraintViolation"),
        (V21, 1, {"schedule": {"useLocalTime": True}}, "InvalidSchedule"),
        (V21, 1, {"schedule": {"limitAtSoC": {"soc": 80}}}, "!OccurrenceConstraintViolation"),
        (V21, 1, {"schedule": {"limitAtSoC": {"soc": 101, "limit": 5}}}, "!PropertyConstraintViolation"),
        (V21, 1, {"period": {"limit_L2": 5}}, "PhaseConflict"),
        (V21, 1, {"purpose": "PriorityCharging", "schedule": {"duration": 60}}, "InvalidSchedule"),
    ],
)
def test_what_is_refused_is_refused_with_its_reason(
    version: Version, evse: Any, changes: dict[str, Any], expected: str
) -> None:
    rules = {}
    if changes.get("rules") == "A":
        rules = {"rules": Rules(version=version, evse_ids=(1, 2), units=frozenset({RateUnit.A}))}
    found = body(version, **{"number": 1, **{k: v for k, v in changes.items() if k not in ("rules", "level")}})
    if "level" in changes:
        found = clean({**found, "stackLevel": changes["level"]})
    assert code(install(ProfileStore(), found, version, evse, **rules)) == expected


def test_1_6_takes_a_schedule_without_start_and_a_tx_profile_without_transaction_id() -> None:
    assert ids(install(ProfileStore(), body(V16, schedule={"startSchedule": None}), V16)) == [1]
    assert ids(install(ProfileStore(), body(V16, purpose="TxProfile"), V16)) == [1]


def test_a_full_store_takes_replacements_only() -> None:
    rules = Rules(version=V16, evse_ids=(1,), max_profiles=1, max_periods=1)
    store = filled(V16, (1, body(V16, 1)))
    assert code(install(store, body(V16, 2, level=1), V16, rules=rules)) == "TooManyElements"
    assert ids(install(store, body(V16, 1, level=1), V16, rules=rules)) == [1]
    two = [{"startPeriod": 0, "limit": 1.0}, {"startPeriod": 9, "limit": 2.0}]
    crowded = body(V16, 1, schedule={"chargingSchedulePeriod": two})
    assert code(install(store, crowded, V16, rules=rules)) == "TooManyElements"


def test_phases_that_contradict_are_refused_where_phases_can_be_switched() -> None:
    rules = Rules(version=V21, evse_ids=(1,), switches_phases=True)
    one = body(V21, 1, MAX[V21], period={"numberPhases": 1, "phaseToUse": 1})
    store = install(ProfileStore(), one, V21, 0, rules=rules)
    assert isinstance(store, ProfileStore)
    other = body(V21, 2, period={"numberPhases": 1, "phaseToUse": 3})
    assert code(install(store, other, V21, rules=rules)) == "PhaseConflict"
    same = body(V21, 2, period={"numberPhases": 1, "phaseToUse": 1})
    assert ids(install(store, same, V21, rules=rules)) == [1, 2]


def test_clearing_goes_by_id_alone_or_by_all_filters_given() -> None:
    store = filled(
        V16, (0, body(V16, 1, MAX[V16])), (1, body(V16, 2, level=3)), (1, body(V16, 3, "TxProfile", level=3))
    )
    assert ids(store.clear()) == []
    assert ids(store.clear(profile_id=2, evse_id=0)) == [1, 3]
    assert ids(store.clear(stack_level=3)) == [1]
    assert ids(store.clear(evse_id=1, purpose=Purpose.TX)) == [1, 2]
    assert store.clear(profile_id=77) is store
    assert store.clear(evse_id=2) is store


def test_a_transaction_takes_its_profiles_with_it() -> None:
    store = filled(V16, (1, body(V16, 2)), (1, body(V16, 3, "TxProfile", level=3)))
    assert ids(store.end_transaction(2)) == [2, 3]
    assert ids(store.end_transaction(1)) == [2]


def test_a_dynamic_profile_takes_new_limits_and_remembers_when() -> None:
    dynamic = body(V21, 5, chargingProfileKind="Dynamic", schedule={"startSchedule": None, "duration": 60})
    store = filled(V21, (1, dynamic), (1, body(V21, 6, level=1)))
    changed = store.update(5, {"limit": 7.25}, T0 + 9_000)
    assert isinstance(changed, ProfileStore)
    item = next(item for item in changed.installed if item.profile.id == 5)
    assert (item.profile.periods[0].limit_milli, item.profile.set_utc_ms) == (7_250, T0 + 9_000)
    assert item.body["chargingSchedule"][0]["chargingSchedulePeriod"][0]["limit"] == 7.25
    assert code(store.update(6, {"limit": 7.0}, T0)) == "InvalidProfile"
    assert code(store.update(77, {"limit": 7.0}, T0)) == "InvalidProfile"
    assert code(store.update(5, {"setpoint": -7.0}, T0)) == "InvalidSchedule"


def test_a_profile_may_be_lost_by_being_offline_for_too_long() -> None:
    lost = body(V21, 5, maxOfflineDuration=60, invalidAfterOfflineDuration=True)
    store = filled(V21, (1, lost), (1, body(V21, 6, level=1, maxOfflineDuration=60)))
    assert ids(store.reconnected(59_999)) == [5, 6]
    assert ids(store.reconnected(60_000)) == [6]


@QUICK
@given(st.integers(0, 2**40))
def test_a_store_survives_its_bytes(seed: int) -> None:
    name, held = draw_site(seed)
    version = Version(name)
    items = []
    for evse, found, at in held:
        profile = parse_profile(found, evse_id=evse, version=version, utc_ms=int(at.timestamp()) * 1000)
        assert not isinstance(profile, Flaw)
        items.append(Installed(profile=profile, body=found))
    store = ProfileStore(installed=tuple(items))
    assert from_bytes(to_bytes(store, version)) == (store, version)


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[", b'{"version":"ocpp1.6","profiles":[{}]}', b'{"version":"x","profiles":[]}']
)
def test_bytes_that_are_no_store_are_told_apart(raw: bytes) -> None:
    assert from_bytes(raw) is None


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(body(V21))), inner, max_size=4),
    max_leaves=8,
)


@QUICK
@given(st.sampled_from(list(Version)), st.sampled_from(sorted(body(V21))), JUNK)
def test_no_body_makes_the_reader_raise(version: Version, field: str, junk: Any) -> None:
    found = {**body(version), field: junk}
    assert isinstance(install(ProfileStore(), found, version), ProfileStore | Flaw)
    assert isinstance(install(ProfileStore(), junk, version, evse=junk), Flaw)
