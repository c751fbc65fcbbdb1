"""What the utility is told of the plant: the gateway's core against the simulated utility, bodies judged by XSD."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from der_joined import Joined, joined

from dgm.api.site.v1.site_pb2 import PhaseValues, WatchSiteResponse
from dgm.der.metering import Quantity
from dgm.der.xml import AUS_13_NS
from dgm.sim.utility import judge
from dgm.sim.utility.plant import SITE_STEP_MS, SitePlant

PROGRAM = {"program": {"name": "1", "primacy": 1}}


@dataclass(slots=True, kw_only=True)
class TroubledPlant(SitePlant):
    """A plant that is seen with trouble between two times, in steps. stubborn: it follows no bound."""

    troubled: range = range(0)
    volts: int = 260
    is_lost: bool = False
    stubborn: bool = False
    charges_w: int = 0
    history: list[int] = field(default_factory=list)

    def seen(self, bounds: Mapping[str, int], step: int) -> WatchSiteResponse:
        update = SitePlant.seen(self, {} if self.stubborn else bounds, step)
        battery = next(sample for sample in update.samples if sample.asset_id == "battery")
        battery.power_w = self.charges_w
        if step in self.troubled and self.is_lost:
            update.circuits[0].meter_lost = True
        elif step in self.troubled:
            volts = PhaseValues(l1=self.volts * 1000, l2=self.volts * 1000, l3=self.volts * 1000)
            update.samples[0].voltage_mv.CopyFrom(volts)
        return update


def steps_between(from_s: int, to_s: int) -> range:
    return range(from_s * 1000 // SITE_STEP_MS, to_s * 1000 // SITE_STEP_MS)


def logged(world: Joined) -> list[tuple[int, int]]:
    return [(item["pen"], item["code"]) for item in world.server.records.logged]


def sound(world: Joined) -> list[str]:
    return [*world.xml_faults, *judge.valid(world.server.records)]


def test_an_over_voltage_is_logged_told_in_the_status_and_returns_to_normal() -> None:
    world = joined([{"do": [PROGRAM]}], plant=TroubledPlant(troubled=steps_between(30, 60))).run(55)
    assert logged(world) == [(40732, 2)]
    assert "<alarmStatus>00000002</alarmStatus>" in world.server.records.puts["DERStatus"]
    world.run(150)
    assert logged(world) == [(40732, 2), (40732, 3)]
    assert "<alarmStatus>00000000</alarmStatus>" in world.server.records.puts["DERStatus"]
    assert sound(world) == []


def test_log_events_wait_for_the_server_and_outlive_a_restart() -> None:
    world = joined([{"do": [PROGRAM]}], plant=TroubledPlant(troubled=steps_between(60, 500))).run(40)
    world.cut = True
    world.run(120)
    world.restart()
    world.run(600)
    assert logged(world) == []
    world.cut = False
    world.run(900)
    assert logged(world) == [(40732, 2), (40732, 3)], "raised before the restart, ended after it"
    assert sound(world) == []


def test_a_lost_meter_is_an_event_of_our_own_where_the_utility_takes_such() -> None:
    plant = TroubledPlant(troubled=steps_between(30, 60), is_lost=True)
    assert logged(joined([{"do": [PROGRAM]}], plant=plant).run(150)) == [(37244, 0), (37244, 1)]
    assert logged(joined([{"do": [PROGRAM]}], plant=plant, utility="sapn").run(150)) == []


def control(**changes: Any) -> dict[str, Any]:
    modes = {"opModGenLimW": 20_000}
    return {"control": {"name": "c", "program": "1", "start_in_s": 20, "duration_s": 60, "modes": modes, **changes}}


def test_the_report_of_a_control_that_is_kept_says_so() -> None:
    world = joined([{"do": [PROGRAM, control()]}], plant=TroubledPlant(generation_w=50_000)).run(200)
    (report,) = world.core.reporting.reports.reports()
    assert (report.mode, report.limit_w, report.out_ms, report.worst_w) == ("opModGenLimW", 20_000, 0, 0)
    assert report.end_ms == report.planned_end_ms == report.start_ms + 60_000
    assert report.observed_ms >= 55_000
    assert 300 <= report.energy_wh <= 20_000 * 60 // 3600
    assert logged(world) == []


def test_a_control_that_is_not_kept_is_reported_logged_and_kept_over_a_restart() -> None:
    plant = TroubledPlant(generation_w=50_000, stubborn=True)
    world = joined([{"do": [PROGRAM, control()]}], plant=plant).run(60)
    world.restart()
    world.run(200)
    (report,) = world.core.reporting.reports.reports()
    assert (report.worst_w, report.settled_ms) == (30_000, None)
    assert report.out_ms == report.observed_ms >= 40_000
    assert report.over_wh >= 30_000 * 40 // 3600
    assert logged(world) == [(37244, 6)]
    (event,) = world.server.records.logged
    assert (event["details"], event["extended"]) == (report.mrid, 30_000)
    assert sound(world) == []


def test_availability_is_told_at_the_post_rate_and_not_with_every_change() -> None:
    plant = TroubledPlant()
    world = joined([{"do": [PROGRAM]}], plant=plant)
    for second in range(10, 610, 10):
        plant.charges_w = second * 50
        world.run(second)
    puts = [item for item in world.server.records.exchanges if item.method == "PUT" and item.name == "dera"]
    assert 9 <= len(puts) <= 12
    body = world.server.records.puts["DERAvailability"]
    assert "<availabilityDuration>3124</availabilityDuration>" in body, "43.4 kWh above the reserve at 50 kW"
    assert sound(world) == []


def test_readings_that_waited_come_several_at_once() -> None:
    world = joined([{"do": [PROGRAM]}, {"when": {"after_s": 120}, "do": [{"fault": {"status": 500, "for_s": 300}}]}])
    world.run(700)
    watts = [item["start_s"] for item in world.server.records.readings if item["description"] == "site W"]
    assert len(watts) == len(set(watts)) >= 10, "none lost, none twice"
    posts = [item for item in world.server.records.exchanges if "MirrorMeterReadingList" in item.body]
    assert len({item.name for item in posts if item.status == 201}) >= 6, "one list for each mirror"
    assert sound(world) == []


def test_a_server_that_does_not_say_where_a_mirror_is_is_asked_for_its_list() -> None:
    world = joined([{"do": [PROGRAM, {"set": {"mirror_places": False}}]}]).run(200)
    posted = {item.name for item in world.server.records.exchanges if item.method == "POST" and item.name != "mup"}
    assert len({name for name in posted if name.startswith("mup ")}) == 6
    assert sound(world) == []


def test_a_mirror_that_is_not_listed_either_is_updated_by_its_mrid() -> None:
    world = joined([{"do": [PROGRAM, {"set": {"mirror_places": False, "mirror_list": False}}]}]).run(300)
    described = {item["description"] for item in world.server.records.readings}
    assert described == {item.value for item in Quantity} - {"DER Wh"}
    posts = [item for item in world.server.records.exchanges if item.method == "POST" and item.name == "mup"]
    assert len(posts) == 6 + len(world.server.records.readings)
    assert len(world.server.records.mirrors) == 6
    assert sound(world) == []


def test_csip_aus_1_3_is_told_what_the_batteries_hold_on_the_mark_with_no_duration() -> None:
    world = joined([{"do": [PROGRAM, {"set": {"aus": AUS_13_NS}}]}], utility="csip-aus-1.3").run(200)
    held = [item for item in world.server.records.readings if item["description"] == "DER Wh"]
    assert {(item["value"], item["duration_s"], item["start_s"] % 60) for item in held} == {(63_400, 0, 0)}
    assert len(held) >= 2
    settings = world.server.records.puts["DERSettings"]
    assert "setMinWh><multiplier>0</multiplier><value>20000<" in settings
    assert "vppModesEnabled>" in settings
    assert sound(world) == []
