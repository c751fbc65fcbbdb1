"""The facade's map: one table, and everything made of it. No overlap, sentinels, round trip, documents that agree."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import pytest
import sunspec2.device
import sunspec2.mdef
from hypothesis import given
from hypothesis import strategies as st
from ocpp_driver import QUICK, Driver, ModelStation
from typer.testing import CliRunner

from dgm.api.ocpp.v1.ocpp_pb2 import LINK_STATE_DOWN, LINK_STATE_UP
from dgm.api.site.v1.site_pb2 import CircuitState, PhaseValues, PlugState, Quality, Sample
from dgm.cli.main import app
from dgm.machine import Now
from dgm.maps.documents import as_json
from dgm.maps.table import END, MODEL_AT, Common, Kind, Model, Point, decode, encode
from dgm.ocpp import register_values
from dgm.ocpp.map_documents import EVSE_MAP
from dgm.ocpp.models import EVSE_MODEL, SITE_MODEL
from dgm.ocpp.register_values import (
    CAP_EXPIRED,
    CAP_IN_FORCE,
    Charge,
    Overview,
    WrittenCap,
    WrittenSite,
    evse_values,
    limit_source,
    site_values,
)
from dgm.ocpp.registers import MAX_EVSES, evse_place, units_for
from dgm.ocpp.sampled import Reading

MAP = Path(__file__).resolve().parents[2] / "deploy" / "map"
MODELS = (SITE_MODEL, EVSE_MODEL)
NOW = Now(mono_ms=100_000, utc_ms=1_793_000_000_000)
both = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)


def any_value(point: Point) -> st.SearchStrategy[object]:
    if point.fixed is not None:
        return st.just(point.fixed)
    if point.kind is Kind.TEXT:
        return st.none() | st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=2 * point.size)
    return st.none() | st.integers(*point.kind.bounds)


@both
def test_what_is_read_stands_before_what_is_written_and_fits_one_request(model: Model) -> None:
    is_written = [point.write is not None for point in model.points]
    assert is_written == sorted(is_written)
    assert model.size <= 125
    assert len({point.name for point in model.points}) == len({point.label for point in model.points})


@both
def test_the_points_of_a_group_follow_one_another_and_end_with_its_lease(model: Model) -> None:
    names = [point.name for point in model.points]
    for group in model.groups:
        start = names.index(group.points[0])
        assert tuple(names[start : start + len(group.points)]) == group.points
        assert group.points[-1] == group.lease


@QUICK
@given(st.data())
def test_a_model_reads_back_as_it_was_published(data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(MODELS))
    values = {point.name: data.draw(any_value(point), label=point.name) for point in model.read}
    assert decode(model, encode(model, values)) == values


@QUICK
@given(st.integers(-(10**12), 10**12))
def test_a_value_out_of_range_is_clamped_and_never_reads_as_unknown(value: int) -> None:
    found = decode(EVSE_MODEL, encode(EVSE_MODEL, {"power_w": value, "limit_ma": value}))
    assert found["power_w"] == max(-(2**31) + 1, min(2**31 - 1, value))
    assert found["limit_ma"] == max(0, min(2**32 - 2, value))


@both
def test_what_is_not_known_is_a_sentinel_and_never_zero(model: Model) -> None:
    found = decode(model, encode(model, {}))
    fixed = {point.name: point.fixed for point in model.read if point.fixed is not None}
    assert {name: value for name, value in found.items() if value is not None} == fixed


@QUICK
@given(st.integers(0, MAX_EVSES - 1), st.integers(0, MAX_EVSES - 1))
def test_every_evse_has_registers_of_its_own_within_a_served_unit(one: int, other: int) -> None:
    first, second = evse_place(one, EVSE_MODEL), evse_place(other, EVSE_MODEL)
    assert first.address + EVSE_MODEL.size + len(END) // 2 <= 65_536
    assert 2 <= first.unit <= units_for(one + 1) <= 247
    apart = abs(first.address - second.address) >= EVSE_MODEL.size
    assert one == other or first.unit != second.unit or apart


def test_each_of_the_first_246_evses_is_alone_in_its_unit() -> None:
    places = [evse_place(index, EVSE_MODEL) for index in range(246)]
    assert [place.unit for place in places] == list(range(2, 248))
    assert {place.address for place in places} == {MODEL_AT}
    assert evse_place(246, EVSE_MODEL).unit == 2
    assert evse_place(246, EVSE_MODEL).address == MODEL_AT + EVSE_MODEL.size


def test_the_documents_kept_are_those_that_the_table_gives() -> None:
    kept = {path.name: path.read_text(encoding="utf-8") for path in MAP.iterdir()}
    published = EVSE_MAP.documents()
    assert {name: kept.get(name) for name in published} == published, "run dgm map evse --format json, csv, md; keep it"


@pytest.mark.parametrize(("form", "name"), [("csv", "evse.csv"), ("md", "evse.md")])
def test_the_command_line_prints_the_map(form: str, name: str) -> None:
    printed = CliRunner().invoke(app, ["map", "evse", "--format", form])
    assert (printed.exit_code, printed.stdout) == (0, (MAP / name).read_text(encoding="utf-8"))


def test_the_command_line_prints_both_models_as_json() -> None:
    printed = json.loads(CliRunner().invoke(app, ["map", "evse", "--format", "json"]).stdout)
    assert printed == [json.loads(as_json(model)) for model in MODELS]


@both
def test_the_json_keeps_to_the_schema_of_sunspec_models(model: Model) -> None:
    schema = Path(sunspec2.device.__file__).parent / "models" / "json" / "schema.json"
    jsonschema_rs.validator_for(json.loads(schema.read_text(encoding="utf-8"))).validate(json.loads(as_json(model)))
    assert sunspec2.mdef.validate_model_def(json.loads(as_json(model))) == ""


@QUICK
@given(st.data())
def test_an_independent_sunspec_library_reads_the_same_values(data: st.DataObject) -> None:
    """pysunspec2, which knows of the map only its JSON."""
    model = data.draw(st.sampled_from(MODELS))
    values = {point.name: data.draw(any_value(point), label=point.name) for point in model.read}
    definition = json.loads(as_json(model))
    sunspec2.device.add_mappings(definition["group"])
    words = encode(model, values).ljust(2 * model.size, b"\xff")
    theirs = sunspec2.device.Model(model.id, data=words, model_def=definition)
    for point in model.read:
        expected = values[point.name]
        found = (
            theirs.points[point.label].value or None if point.kind is Kind.TEXT else theirs.points[point.label].value
        )
        assert found == expected, point.name


def test_the_common_model_names_the_unit() -> None:
    words = Common(model="EVSE", options="map 2", version="0.1.0", serial="evse-17").words(18)
    theirs = sunspec2.device.Model(1, data=words[4:])
    found = {name: theirs.points[name].value for name in ("Mn", "Md", "Opt", "Vr", "SN", "DA")}
    assert words[:4] == b"SunS"
    assert found == {"Mn": "DGM", "Md": "EVSE", "Opt": "map 2", "Vr": "0.1.0", "SN": "evse-17", "DA": 18}


def values_of(driver: Driver, **changes: object) -> dict[str, object]:
    asked: dict[str, object] = {"cap": WrittenCap(), "limit_id": "", "charge": Charge(), **changes}
    session = driver.session
    return evse_values(session.evses[0], session.describe(driver.now), 4, driver.now, **asked)  # type: ignore[arg-type, return-value]


def test_a_session_fills_every_register_that_it_knows() -> None:
    driver = Driver(station=ModelStation()).connect()
    driver.status("Charging")
    driver.setpoint(16_000, 1)
    driver.meter(15.5)
    driver.mono_ms += 700
    cap = WrittenCap(state=CAP_IN_FORCE, sequence=7, ends_ms=driver.mono_ms + 9_000)
    values = values_of(driver, cap=cap, limit_id="utility:opModImpLimW")
    assert {*values, "ID", "L"} == {point.name for point in EVSE_MODEL.read}
    found = decode(EVSE_MODEL, encode(EVSE_MODEL, values))  # type: ignore[arg-type]
    assert (found["number"], found["plug_state"], found["links"], found["phases"]) == (5, 2, 0b111, 0b111)
    assert (found["current_l1_ma"], found["limit_ma"], found["proved_ma"]) == (15_500, 16_000, 16_000)
    assert (found["limit_w"], found["limit_source"], found["limit_id"]) == (11_040, 2, "utility:opModImpLimW")
    assert (found["proved_by"], found["obedience"], found["fallback_ma"]) == (2, register_values.OBEYS, 6_000)
    assert (found["cap_state"], found["cap_left_ms"], found["in_force"]) == (CAP_IN_FORCE, 9_000, 7)
    assert (found["power_w"], found["power_l1_w"], found["session_wh"]) == (None, None, None)


def test_power_by_phase_stands_on_the_sites_conductors() -> None:
    rotated = Driver(station=ModelStation(), phases=(1, 2, 0)).connect()
    rotated.session.evses[0].memory.reading = Reading(power_w=300, phase_power_w=(100, 200, None))
    rotated.session.evses[0].memory.reading_at_ms = rotated.mono_ms
    found = values_of(rotated)
    assert [found[f"power_l{phase}_w"] for phase in (1, 2, 3)] == [None, 100, 200]
    single = Driver(station=ModelStation(), phases=(2,)).connect()
    single.session.evses[0].memory.reading = Reading(power_w=300)
    single.session.evses[0].memory.reading_at_ms = single.mono_ms
    found = values_of(single)
    assert [found[f"power_l{phase}_w"] for phase in (1, 2, 3)] == [None, None, 300]


def test_an_evse_without_connection_or_setpoint_says_so() -> None:
    driver = Driver(station=ModelStation()).connect()
    driver.status("Charging")
    driver.disconnect()
    cap = WrittenCap(state=CAP_IN_FORCE, sequence=7, ends_ms=driver.mono_ms)
    values = values_of(driver, cap=cap, limit_id="cpo:a:evse-1")
    assert (values["plug_state"], values["links"], values["cap_state"], values["in_force"]) == (9, 4, CAP_EXPIRED, None)
    assert (values["limit_ma"], values["limit_source"], values["limit_id"]) == (
        6_000,
        register_values.SOURCE_FALLBACK,
        None,
    )


def test_a_car_that_draws_more_than_it_may_is_seen() -> None:
    driver = Driver(station=ModelStation()).connect()
    driver.status("Charging")
    driver.setpoint(10_000, 1)
    driver.meter(15.5)
    assert values_of(driver)["obedience"] == register_values.ABOVE


@pytest.mark.parametrize("state", PlugState.values())
def test_every_plug_state_but_unknown_has_a_code(state: PlugState) -> None:
    driver = Driver(station=ModelStation()).connect()
    driver.session.evses[0].memory.plug_state = state
    assert values_of(driver)["plug_state"] == (None if state == PlugState.PLUG_STATE_UNSPECIFIED else state - 1)


def test_the_energy_of_a_transaction_begins_with_its_first_reading() -> None:
    charge = Charge()
    assert charge.energy_wh(None, 5_000) is None
    assert [charge.energy_wh(7, energy) for energy in (None, 5_000, 5_600)] == [None, 0, 600]
    assert [charge.energy_wh(8, energy) for energy in (5_600, 5_700)] == [0, 100]
    assert charge.energy_wh(None, 5_700) is None


@pytest.mark.parametrize(
    ("limit_id", "code"),
    [("", 0), ("site:grid:import", 1), ("utility:x", 2), ("cpo:a:b", 3), ("ems-facade:x:y", 4), ("demo-1", 5)],
)
def test_whose_limit_it_is_follows_from_its_id(limit_id: str, code: int) -> None:
    assert limit_source(limit_id) == code


def overview(*, quality: Quality = Quality.QUALITY_GOOD) -> Overview:
    circuit = CircuitState(circuit_id="grid", import_limit_w=90_000, import_limit_id="site:grid", uncontrolled_w=-5)
    meter = Sample(asset_id="m", quality=quality, age_ms=40, power_w=-700, current_ma=PhaseValues(l1=3, l3=4))
    return Overview(circuit=circuit, meter=meter, told_ms=NOW.mono_ms - 60)


def test_the_site_tells_its_connection_point_and_leaves_out_what_is_not_measured() -> None:
    evses = {0: {"links": 3, "plug_state": 2, "power_w": 900}, 1: {"links": 0, "plug_state": 9, "power_w": None}}
    written = WrittenSite(heartbeat_ends_ms=NOW.mono_ms + 2_000, contended=3)
    found = site_values(evses, overview(), written, NOW, updates=9, fallback_w=4_140)
    read = decode(SITE_MODEL, encode(SITE_MODEL, found))
    assert (read["evses"], read["connected"], read["charging"], read["plugged"]) == (2, 1, 1, 1)
    assert (read["net_power_w"], read["current_l1_ma"], read["current_l2_ma"], read["meter_age_ms"]) == (
        -700,
        3,
        None,
        100,
    )
    assert (read["import_limit_w"], read["import_limit_source"], read["export_limit_w"]) == (90_000, 1, None)
    assert (read["control"], read["heartbeat_left_ms"], read["contended"]) == (1, 2_000, 3)
    assert (read["evse_power_w"], read["uncontrolled_w"], read["fallback_w"]) == (900, -5, 4_140)


def test_a_meter_that_is_not_seen_and_a_charging_evse_without_a_reading_are_not_known() -> None:
    evses = {0: {"links": 3, "plug_state": 2, "power_w": None}}
    found = site_values(evses, overview(quality=Quality.QUALITY_STALE), WrittenSite(), NOW, updates=1, fallback_w=0)
    assert "net_power_w" not in found
    assert found["evse_power_w"] is None
    gone = site_values(evses, Overview(), WrittenSite(), NOW, updates=1, fallback_w=0)
    assert "import_limit_w" not in gone


@pytest.mark.parametrize(
    ("written", "control"),
    [
        (WrittenSite(), 0),
        (WrittenSite(heartbeat_ends_ms=NOW.mono_ms + 1), 1),
        (WrittenSite(heartbeat_ends_ms=NOW.mono_ms), 2),
        (WrittenSite(is_lost=True), 2),
    ],
)
def test_who_is_in_control(written: WrittenSite, control: int) -> None:
    assert written.control(NOW) == control


def test_links_tell_the_station_and_its_cpo_apart() -> None:
    driver = Driver(station=ModelStation()).connect()
    session = driver.session
    station = session.describe(driver.now)
    assert station.south == LINK_STATE_UP
    station.north = LINK_STATE_DOWN
    values = evse_values(session.evses[0], station, 0, driver.now, cap=WrittenCap(), limit_id="", charge=Charge())
    assert values["links"] == 0b101
