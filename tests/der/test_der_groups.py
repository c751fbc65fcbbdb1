"""Load control, prices, messages and grants: found by links, withheld until known, and in nobody's way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from der_world import HOST, LATENCY_MS, DictServer, World, documents, mrids, page

from dgm.der import resource as r
from dgm.der.discovery import (
    Answer,
)


def timing(mrid: str) -> dict[str, Any]:
    return {
        "mrid": mrid,
        "creation_s": 0,
        "status": r.EventStatus(current=r.EventState.SCHEDULED, changed_s=0),
        "interval": r.Interval(start_s=0, duration_s=60),
    }


def all_sets() -> dict[str, Any]:
    """A server whose group assigns every function set, and which has answered a reservation."""
    served = documents()
    group = replace(
        served["/fsa"].items[0],
        demand_response_program_list_link="/dr",
        messaging_program_list_link="/msg",
        tariff_profile_list_link="/tp",
    )
    served["/fsa"] = page((group,), r.FunctionSetAssignmentsList, poll_s=60)
    own = replace(served["/edev"].items[0], flow_reservation_response_list_link="/frp")
    served["/edev"] = page((own,), r.EndDeviceList, poll_s=300)
    load = r.EndDeviceControl(
        **timing("L"), device_category=1 << 17, is_mandatory=False, duty_cycle_percent=50, shifts_forward=False
    )
    program = r.DemandResponseProgram(mrid="DR", end_device_control_list_link="/edc", primacy=2)
    served["/dr"] = page((program,), r.DemandResponseProgramList, poll_s=120)
    served["/edc"] = page((load,), r.EndDeviceControlList)
    program = r.MessagingProgram(mrid="MS", locale="en", primacy=1, text_message_list_link="/txt")
    served["/msg"] = page((program,), r.MessagingProgramList, poll_s=120)
    served["/txt"] = page((r.TextMessage(**timing("T"), priority=2, text="storm"),), r.TextMessageList)
    tariff = r.TariffProfile(
        mrid="TP", price_power_of_ten=-4, primacy=3, rate_component_list_link="/rc", service_category=0
    )
    served["/tp"] = page((tariff,), r.TariffProfileList, poll_s=120)
    component = r.RateComponent(
        href="/rc/1", mrid="RC", reading_type_link="/rt", role_flags=0, interval_list_link="/tti"
    )
    served["/rc"] = page((component,), r.RateComponentList)
    served["/tti"] = page(
        (r.TimeTariffInterval(**timing("P"), prices_link="/cti", tou_tier=1),), r.TimeTariffIntervalList
    )
    steps = (
        r.ConsumptionTariffInterval(block=2, price=4000, start_value=500),
        r.ConsumptionTariffInterval(block=1, price=2500, start_value=0),
    )
    served["/cti"] = page(steps, r.ConsumptionTariffIntervalList)
    grant = r.FlowReservationResponse(**timing("G"), energy_wh=10_000, power_w=7_000, subject="Q")
    served["/frp"] = page((grant,), r.FlowReservationResponseList, poll_s=60)
    return served


def test_every_function_set_that_a_group_assigns_is_followed_to_its_events() -> None:
    world = World(DictServer(all_sets())).run(5)
    [load], [message], [price], [grant] = (
        world.sets[name] for name in ("load_control", "messaging", "pricing", "reservation")
    )
    assert (load.primacy, load.items[0].action.duty_percent) == (2, 50)
    assert message.items[0].text == "storm"
    assert [(block.start, block.price_micro) for block in price.items[0].blocks] == [(0, 250_000), (500, 400_000)]
    assert price.items[0].priced == HOST + "/rt"
    assert (grant.items[0].subject, grant.items[0].power_w) == ("Q", 7_000)
    assert mrids(world) == ["E0"]


def test_a_price_is_told_when_it_is_known_and_no_earlier() -> None:
    served = all_sets()
    prices = served.pop("/cti")
    world = World(DictServer(served)).run(60)
    assert world.sets["pricing"][0].items == ()
    served["/cti"] = prices
    world.run(300)
    assert [item.mrid for item in world.sets["pricing"][0].items] == ["P"]


def test_the_intervals_of_a_whole_tariff_are_sorted_to_the_components_that_they_name() -> None:
    served = all_sets()
    tariff = replace(served["/tp"].items[0], combined_interval_list_link="/all")
    served["/tp"] = page((tariff,), r.TariffProfileList, poll_s=120)
    other = replace(served["/rc"].items[0], href="/rc/2", mrid="RC2")
    served["/rc"] = page((served["/rc"].items[0], other), r.RateComponentList)
    summary = page((r.ConsumptionTariffInterval(block=1, price=1, start_value=0),), r.ConsumptionTariffIntervalList)
    served["/all"] = page(
        tuple(
            r.TimeTariffInterval(**timing(f"P{index}"), rate_component_link=f"/rc/{index}", tou_tier=0, summary=summary)
            for index in (1, 2)
        ),
        r.TimeTariffIntervalList,
    )
    world = World(DictServer(served)).run(5)
    assert {item.mrid: [event.mrid for event in item.items] for item in world.sets["pricing"]} == {
        "RC": ["P1"],
        "RC2": ["P2"],
    }
    assert world.server.times("/tti") == world.server.times("/cti") == []


def test_components_are_fetched_with_their_tariffs_and_prices_once() -> None:
    world = World(DictServer(all_sets())).run(2000)
    assert len(world.server.times("/tti")) == len(world.server.times("/rc")) == len(world.server.times("/tp")) == 17
    assert len(world.server.times("/cti")) == 1


def test_a_component_that_is_new_to_us_is_fetched_when_an_interval_names_it_and_not_again() -> None:
    served = all_sets()
    tariff = replace(served["/tp"].items[0], combined_interval_list_link="/all")
    served["/tp"] = page((tariff,), r.TariffProfileList, poll_s=3600)
    served["/all"] = page((), r.TimeTariffIntervalList, poll_s=60)
    world = World(DictServer(served)).run(100)
    second = replace(served["/rc"].items[0], href="/rc/2", mrid="RC2")
    served["/rc"] = page((served["/rc"].items[0], second), r.RateComponentList)
    interval = r.TimeTariffInterval(**timing("P2"), rate_component_link="/rc/2", tou_tier=0, prices_link="/cti")
    served["/all"] = page((interval,), r.TimeTariffIntervalList, poll_s=60)
    world.run(900)
    assert "P2" in [event.mrid for source in world.sets["pricing"] for event in source.items]
    assert len(world.server.times("/rc")) == 2
    assert len(world.server.times("/tp")) == 1
    assert len(world.server.times("/all")) == 15


def test_a_function_set_that_fails_holds_up_no_control_and_no_other_set() -> None:
    server = DictServer(all_sets())
    server.trouble = lambda method, path, at_ms: Answer(tag=0, status=500) if path == "/tp" else None
    world = World(server).run(200)
    assert mrids(world) == ["E0"]
    assert "pricing" not in world.sets
    assert world.sets["messaging"] != ()


def test_with_a_wrong_pin_nothing_of_any_function_set_is_taken() -> None:
    world = World(DictServer(all_sets()), pin=222220).run(600)
    assert set(world.sets.values()) == {()}
    assert world.server.times("/frp") == world.server.times("/tp") == []


def test_what_a_group_assigns_runs_on_its_clock_whatever_the_function_set() -> None:
    served = all_sets()
    group = replace(served["/fsa"].items[0], time_link="/tm-group")
    served["/fsa"] = page((group,), r.FunctionSetAssignmentsList, poll_s=60)
    served["/tm-group"] = replace(served["/tm"], current_s=served["/tm"].current_s - 60)
    world = World(DictServer(served)).run(5)
    assert abs(world.sets["messaging"][0].clock_offset_ms + 60_000) <= 1000 + LATENCY_MS
    assert world.sets["reservation"][0].clock_offset_ms == 0
