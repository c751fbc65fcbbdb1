"""What stations say, in the forms in which they really say it, and in forms that make no sense."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocpp_driver import QUICK, settings

from dgm.api.site.v1.site_pb2 import PlugState
from dgm.machine import Now
from dgm.ocpp import stamp
from dgm.ocpp.events import PhaseTriple
from dgm.ocpp.observe import STATUS, Booted, Metered, Status, Stopped, Wrong, observe
from dgm.ocpp.sampled import Reading
from dgm.ocpp.store import EvseMemory, to_site

UTC = 1_793_000_000_000
STAMP = "2026-10-26T06:13:20Z"


def meter(*values: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"connectorId": 1, "meterValue": [{"timestamp": STAMP, "sampledValue": list(values)}], **changes}


def value(number: Any, measurand: str | None = None, **extra: Any) -> dict[str, Any]:
    return {"value": number, **({"measurand": measurand} if measurand else {}), **extra}


def reading(*values: dict[str, Any]) -> Reading:
    seen = observe("MeterValues", meter(*values))
    assert isinstance(seen, Metered)
    return seen.reading


POWER, CURRENT, ENERGY = "Power.Active.Import", "Current.Import", "Energy.Active.Import.Register"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([value("11000", POWER, unit="W")], Reading(power_w=11_000)),
        ([value("7.36", POWER, unit="kW")], Reading(power_w=7_360)),
        ([value(7.3601, POWER, unit="kW")], Reading(power_w=7_361)),
        (
            [value("100", POWER, phase="L1"), value("200", POWER, phase="L2")],
            Reading(power_w=300, phase_power_w=(100, 200, None)),
        ),
        (
            [value("100", POWER, phase="L1"), value("250", POWER)],
            Reading(power_w=250, phase_power_w=(100, None, None)),
        ),
        (
            [value("100.2", POWER, phase="L3-N"), value("300", "Power.Active.Export", phase="L3")],
            Reading(power_w=-199, phase_power_w=(None, None, -199)),
        ),
        ([value("16.04", CURRENT, phase="L1", unit="A")], Reading(current_ma=(16_040, None, None))),
        ([value("-6.0001", CURRENT, phase="L2-N")], Reading(current_ma=(None, 6_001, None))),
        ([value("16", CURRENT)], Reading(current_any_ma=16_000)),
        (
            [value("16", CURRENT), value("1", CURRENT, phase="L1"), value("2", CURRENT, phase="L3-N")],
            Reading(current_ma=(1_000, None, 2_000)),
        ),
        ([value("230.1", "Voltage", phase="L1-N", unit="V")], Reading(voltage_mv=(230_100, None, None))),
        ([value("400", "Voltage", phase="L1-L2")], Reading()),
        ([value("12345")], Reading(energy_wh=12_345)),
        ([value("12.345", ENERGY, unit="kWh")], Reading(energy_wh=12_345)),
        ([value("10", ENERGY, phase="L1"), value("20", ENERGY, phase="L2")], Reading(energy_wh=30)),
        ([value("55.5", "SoC", unit="Percent", location="EV")], Reading(soc_permille=555)),
        ([value("101", "SoC")], Reading()),
        ([value("5", CURRENT, location="EV")], Reading()),
        ([value("5", "Temperature", unit="Celcius")], Reading()),
        ([value("5", CURRENT, unit="mA")], Reading()),
        ([value("OCMF|{}", format="SignedData")], Reading()),
        ([value("1e999999999", POWER), value("-1e999999", CURRENT), value("9" * 41, ENERGY)], Reading()),
        ([value("1e-999999999", POWER)], Reading(power_w=0)),
        ([value("NaN", POWER), value("Infinity", CURRENT), value("", ENERGY), value(True, "SoC")], Reading()),
        ([value(" 6.5 ", CURRENT, phase="L1")], Reading(current_ma=(6_500, None, None))),
    ],
)
def test_every_known_form_of_a_reading(values: list[dict[str, Any]], expected: Reading) -> None:
    assert reading(*values) == expected


def test_the_newest_instant_counts_even_when_each_measurand_has_a_group_of_its_own() -> None:
    groups = [
        {"timestamp": "2026-10-26T06:13:10Z", "sampledValue": [value("1", POWER), value("9", "SoC")]},
        {"timestamp": STAMP, "sampledValue": [value("2", POWER)]},
        {"timestamp": STAMP, "sampledValue": [value("3", CURRENT, phase="L1")]},
    ]
    seen = observe("MeterValues", {"connectorId": 1, "transactionId": 9, "meterValue": groups})
    assert isinstance(seen, Metered)
    assert seen.reading == Reading(power_w=2, current_ma=(3_000, None, None))
    assert (seen.transaction_id, seen.taken_utc_ms) == (9, stamp.parse(STAMP))


@pytest.mark.parametrize(
    ("contexts", "triggered"),
    [(["Trigger"], True), (["Trigger", "Trigger"], True), (["Trigger", "Sample.Clock"], False), ([None], False)],
)
def test_a_reading_is_triggered_only_when_every_value_says_so(contexts: list[str | None], triggered: bool) -> None:
    seen = observe("MeterValues", meter(*(value("1", **({"context": c} if c else {})) for c in contexts)))
    assert isinstance(seen, Metered)
    assert seen.triggered is triggered


@pytest.mark.parametrize(("text", "state"), STATUS.items())
def test_every_status_is_a_plug_state(text: str, state: PlugState) -> None:
    seen = observe("StatusNotification", {"connectorId": 1, "status": text})
    assert seen == Status(evse_id=1, plug_state=state)


def test_transactions_and_boots_are_seen() -> None:
    assert observe("StopTransaction", {"transactionId": -1}) == Stopped(transaction_id=-1)
    assert observe("BootNotification", {"chargePointVendor": "V" * 90}) == Booted(vendor="V" * 50, model="")
    assert observe("Heartbeat", {}) is None
    assert observe("DataTransfer", None) is None


@pytest.mark.parametrize(
    ("action", "payload"),
    [
        ("MeterValues", None),
        ("MeterValues", {}),
        ("MeterValues", {"connectorId": 1, "meterValue": {}}),
        ("MeterValues", {"connectorId": 1, "meterValue": [3, None, {"sampledValue": 7}]}),
        ("MeterValues", {"connectorId": "1", "meterValue": [{"sampledValue": [{"value": "1"}]}]}),
        ("StatusNotification", {"connectorId": 1, "status": "Asleep"}),
        ("StatusNotification", {"connectorId": True, "status": "Charging"}),
        ("StatusNotification", {"connectorId": 1, "status": ["Charging"]}),
    ],
)
def test_nonsense_is_wrong_and_named_by_its_action(action: str, payload: Any) -> None:
    assert observe(action, payload) == Wrong(what=action)


KEYS = st.sampled_from(
    [
        "connectorId",
        "meterValue",
        "sampledValue",
        "value",
        "measurand",
        "unit",
        "phase",
        "context",
        "location",
        "format",
        "timestamp",
        "status",
    ]
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([POWER, CURRENT, "kW", "L1", "9"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)


@QUICK
@given(st.sampled_from(["MeterValues", "StatusNotification"]), st.dictionaries(KEYS, JUNK, max_size=6))
def test_no_payload_makes_the_observer_raise(action: str, payload: dict[str, Any]) -> None:
    assert observe(action, payload) is not None


# Memory.


def metered(taken_utc_ms: int | None, amps: int = 10) -> Metered:
    found = Reading(current_ma=(amps * 1000, None, None))
    return Metered(evse_id=1, reading=found, taken_utc_ms=taken_utc_ms, transaction_id=None, triggered=False)


NOW = Now(mono_ms=500_000, utc_ms=UTC)


def test_a_reading_of_the_past_is_history_and_not_used() -> None:
    memory = EvseMemory()
    assert not memory.put_reading(metered(UTC - 61_000), claimed=False, now=NOW)
    assert memory.put_reading(metered(UTC - 30_000), claimed=False, now=NOW)
    assert memory.reading_at_ms == NOW.mono_ms - 30_000


def test_the_reading_that_we_asked_for_shows_the_error_of_the_stations_clock() -> None:
    memory = EvseMemory()
    hour = 3_600_000
    assert not memory.put_reading(metered(UTC - hour), claimed=False, now=NOW)
    assert memory.put_reading(metered(UTC - hour), claimed=True, now=NOW)
    assert (memory.clock_error_ms, memory.is_clock_good, memory.reading_at_ms) == (-hour, False, NOW.mono_ms)
    later = Now(mono_ms=NOW.mono_ms + 5_000, utc_ms=UTC + 5_000)
    assert memory.put_reading(metered(UTC - hour + 4_000), claimed=False, now=later)
    assert memory.reading_at_ms == NOW.mono_ms + 4_000


def test_a_change_of_state_carries_no_older_reading() -> None:
    memory = EvseMemory()
    memory.put_plug_state(PlugState.PLUG_STATE_CHARGING, NOW)
    memory.put_reading(metered(UTC), claimed=False, now=NOW)
    assert memory.reading_sample(settings(), NOW).current_ma == (10_000, None, None)
    sample = memory.state_sample(settings(), Now(mono_ms=NOW.mono_ms + 300, utc_ms=UTC + 300))
    assert (sample.at_mono_ms, sample.current_ma) == (None, (None, None, None))


def test_a_reading_stamped_in_whole_seconds_is_not_older_than_the_state_told_before_it() -> None:
    memory = EvseMemory()
    memory.state_sample(settings(), NOW)
    later = Now(mono_ms=NOW.mono_ms + 400, utc_ms=UTC + 400)
    assert memory.put_reading(metered(UTC - 600), claimed=False, now=later)
    assert memory.reading_sample(settings(), later).at_mono_ms == NOW.mono_ms
    assert not memory.put_reading(metered(UTC - 10_000), claimed=False, now=later)


def test_an_energy_register_alone_does_not_hide_the_currents_of_the_same_second() -> None:
    memory = EvseMemory()
    memory.put_reading(metered(UTC), claimed=False, now=NOW)
    energy = Metered(evse_id=1, reading=Reading(energy_wh=5), taken_utc_ms=UTC, transaction_id=3, triggered=False)
    memory.put_reading(energy, claimed=False, now=NOW)
    assert memory.reading == Reading(current_ma=(10_000, None, None), energy_wh=5)
    assert memory.transaction_id == 3


def test_an_empty_socket_forgets_what_the_last_car_drew() -> None:
    memory = EvseMemory()
    memory.put_reading(metered(UTC), claimed=False, now=NOW)
    assert memory.put_plug_state(PlugState.PLUG_STATE_AVAILABLE, NOW)
    assert memory.view(settings(), NOW).current_ma == (None, None, None)


@QUICK
@given(st.permutations([0, 1, 2]), st.tuples(*[st.none() | st.integers(0, 99)] * 3))
def test_phases_are_put_where_they_are_wired(phases: list[int], values: PhaseTriple) -> None:
    found = to_site(values, None, tuple(phases))
    assert all(found[site] == values[own] for own, site in enumerate(phases))


def test_a_single_phase_evse_on_l3_loads_l3_only() -> None:
    assert to_site((10, 20, 30), None, (2,)) == (None, None, 10)
    assert to_site((None, None, None), 16, (2,)) == (None, None, 16)
    assert to_site((None, None, None), 16, (0, 1, 2)) == (16, 16, 16)
