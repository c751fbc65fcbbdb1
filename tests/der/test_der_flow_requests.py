"""Flow reservation: what is asked for and when anew, what a grant becomes, signs, cancellation, the journal."""

from __future__ import annotations

from typing import Any

import pytest
from der_joined import LFDI, ZERO_MS, Joined, joined

from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.der import resource as r
from dgm.der.codec import Dialect, decode, encode
from dgm.der.core_events import CancelFlow, NeedsSeen, RequestFlow
from dgm.der.envelope import FLOW_MODE, limit_of
from dgm.der.flow_requests import (
    REPLACE_MS,
    REQUESTS_MAX,
    SLOT_MS,
    ChargingNeed,
    FlowRequests,
    Refused,
    State,
    document,
)
from dgm.der.letter import ErrandDone, Place
from dgm.der.resource import FlowReservationRequest
from dgm.machine import Now
from dgm.sim.utility import intake, judge

POWERS = {"a": 22_000, "b": 11_000, "c": 50_000}
T0_MS = 1_900_000_000_000 - 1_900_000_000_000 % SLOT_MS


def now(second: float = 0) -> Now:
    return Now(mono_ms=round(second * 1000), utc_ms=T0_MS + round(second * 1000))


def need(evse_id: str, energy_wh: int, departs_in_s: int = 3600) -> ChargingNeed:
    return ChargingNeed(evse_id=evse_id, energy_wh=energy_wh, departure_ms=T0_MS + departs_in_s * 1000)


def flows() -> FlowRequests:
    return FlowRequests(LFDI, 37244, POWERS)


def standing(made: FlowRequests) -> list[tuple[int, int, int]]:
    return [(item.energy_wh, item.power_w, (item.end_ms - T0_MS) // 1000) for item in made.requests() if item.is_live]


def test_departures_of_one_quarter_of_an_hour_are_asked_for_together_for_its_start() -> None:
    made = flows()
    made.needs([need("a", 5_000, 3700), need("b", 4_000, 4400), need("c", 9_000, 7200)], now())
    assert standing(made) == [(9_000, 33_000, 3600), (9_000, 50_000, 7200)]
    assert [item.evse_ids for item in made.requests()] == [("a", "b"), ("c",)]


def test_no_more_is_asked_for_than_the_chargers_can_do_by_then() -> None:
    made = flows()
    made.needs([need("a", 80_000), need("unknown", 5_000), need("b", 0), need("c", 5_000, 60)], now())
    assert standing(made) == [(22_000, 22_000, 3600)]
    assert made.requests()[0].duration_s == 3600


def test_a_need_that_shrinks_is_being_met_and_one_that_grows_is_asked_for_anew() -> None:
    made = flows()
    made.needs([need("a", 10_000)], now())
    for second, energy_wh in ((60, 8_000), (120, 500), (400, 10_900)):
        made.needs([need("a", energy_wh)], now(second))
    assert standing(made) == [(10_000, 22_000, 3600)]
    made.needs([need("a", 12_000)], now(REPLACE_MS / 1000 - 1))
    assert standing(made) == [(10_000, 22_000, 3600)], "not that soon"
    made.needs([need("a", 12_000)], now(REPLACE_MS / 1000))
    assert standing(made) == [(12_000, 22_000, 3600)]
    made.needs([], now(500))
    assert standing(made) == []


def told(
    made: FlowRequests, key: str, *, is_taken: bool = True, status: int = 201, location: str | None = "/frq/1"
) -> None:
    made.done(ErrandDone(key=key, is_taken=is_taken, status=status, location=location))


def errands(made: FlowRequests) -> list[tuple[str, str | Place, int]]:
    found = made.errands(now(1))
    assert all(isinstance(item.body, FlowReservationRequest) for item in found)
    return [(item.method, item.to, int(item.body.status.state)) for item in found]  # type: ignore[union-attr]


def test_a_request_is_posted_and_taken_back_where_it_is() -> None:
    made = flows()
    made.needs([need("a", 10_000)], now())
    (mrid,) = made.told()
    assert errands(made) == [("POST", Place.FLOW_REQUESTS, 0)]
    told(made, f"flow:{mrid}:post")
    assert errands(made) == []
    assert made.cancel(mrid, now(1))
    assert errands(made) == [("PUT", "/frq/1", 1)]
    told(made, f"flow:{mrid}:cancel", status=204)
    assert errands(made) == []
    assert not made.cancel(mrid, now(2)), "once"


def test_a_server_that_takes_no_put_is_told_of_the_cancellation_by_post() -> None:
    made = flows()
    made.needs([need("a", 10_000)], now())
    (mrid,) = made.told()
    told(made, f"flow:{mrid}:post")
    made.cancel(mrid, now(1))
    told(made, f"flow:{mrid}:cancel", is_taken=False, status=405)
    assert errands(made) == [("POST", Place.FLOW_REQUESTS, 1)]
    told(made, f"flow:{mrid}:cancel", is_taken=False, status=405)
    assert errands(made) == [], "and then no more"


def test_what_the_server_never_heard_of_is_not_cancelled_there() -> None:
    made = flows()
    made.needs([need("a", 10_000)], now())
    made.cancel(made.told()[0], now(1))
    assert errands(made) == []


def test_a_request_that_is_refused_says_so() -> None:
    made = flows()
    made.needs([need("a", 10_000)], now())
    told(made, f"flow:{made.told()[0]}:post", is_taken=False, status=400)
    (request,) = made.requests()
    assert (made.state_of(request, (), now(1)), request.why) == (State.REFUSED, "the server refused it: HTTP 400")
    assert made.told() == ()


@pytest.mark.parametrize(
    ("energy_wh", "power_w", "window_s", "expected"),
    [
        (1_000, 2_000, (0, 1800), None),
        (-1_000, -2_000, (0, 1800), None),
        (1_000, -2_000, (0, 1800), Refused.DIRECTIONS),
        (0, 2_000, (0, 1800), Refused.DIRECTIONS),
        (1_000, 2_000, (1800, 1800), Refused.WINDOW),
        (1_000, 2_000, (-600, -60), Refused.WINDOW),
        (1_000, 2_000, (0, 1799), Refused.TOO_SHORT),
    ],
)
def test_what_an_operator_asks_for_has_to_be_possible(
    energy_wh: int, power_w: int, window_s: tuple[int, int], expected: Refused | None
) -> None:
    start_ms, end_ms = (T0_MS + second * 1000 for second in window_s)
    wanted: dict[str, Any] = {"energy_wh": energy_wh, "power_w": power_w, "start_ms": start_ms, "end_ms": end_ms}
    assert flows().refusal(**wanted, now=now()) is expected


def test_there_is_a_bound_to_what_is_asked_for() -> None:
    made = flows()
    wanted: dict[str, Any] = {"energy_wh": 1, "power_w": 1_000, "start_ms": T0_MS, "end_ms": T0_MS + 60_000}
    for _ in range(REQUESTS_MAX):
        made.request(**wanted, now=now())
    assert made.refusal(**wanted, now=now()) is Refused.TOO_MANY
    assert made.refusal(**{**wanted, "end_ms": T0_MS + 120_000}, now=now(61)) is None, "those are over"


def test_positive_charges_on_the_wire_too_the_opposite_of_der() -> None:
    """S18 FlowReservationRequest against DERControlBase: charging at 7 kW is +7000 here and -7000 there."""
    made = flows()
    window: dict[str, Any] = {"start_ms": T0_MS, "end_ms": T0_MS + 3_600_000, "now": now()}
    made.request(energy_wh=7_000, power_w=7_000, **window)
    made.request(energy_wh=-7_000, power_w=-7_000, **window)
    for request, sign in zip(made.requests(), (1, -1), strict=True):
        body = encode(document(request), Dialect())
        (written,) = intake.reservation(body).items
        assert (written["power_w"], written["energy_wh"]) == (sign * 7_000, sign * 7_000)
        assert decode(body) == document(request)
    mode = r.ControlMode(name="opModTargetW", power_w=7_000)
    control = encode(r.DefaultDERControl(mrid="AB" * 16, base=r.ControlBase(modes=(mode,))), Dialect()).decode()
    assert "<value>-7" in control


def test_a_request_outlives_a_restart_and_no_number_is_used_twice() -> None:
    made = flows()
    made.needs([need("a", 10_000)], now())
    told(made, f"flow:{made.told()[0]}:post")
    stored = {key: value for key, value in made.changed().items() if value is not None}
    again = flows()
    (damaged,) = again.restore({**stored, "flow/request/x": b"{}"})
    assert damaged.key == "flow/request/x"
    assert again.requests() == made.requests()
    again.needs([need("a", 10_000), need("c", 1_000, 7200)], now(1))
    assert len({item.mrid for item in again.requests()}) == 2


# -- end to end -------------------------------------------------------------------------------------------------------

START: list[dict[str, Any]] = [{"program": {"name": "1", "primacy": 1}}, {"set": {"reserves": True}}]


def grant(name: str = "g", **changes: Any) -> dict[str, Any]:
    values = {"request": 1, "power_w": 20_000, "energy_wh": 5_000, "start_in_s": 60, "duration_s": 300}
    return {"grant": {"name": name, **values, **changes}}


def asked(world: Joined, *, energy_wh: int = 5_000, power_w: int = 30_000) -> str:
    start_ms = ZERO_MS + world.now_ms
    event = RequestFlow(energy_wh=energy_wh, power_w=power_w, start_ms=start_ms, end_ms=start_ms + 3_600_000)
    assert world.core.flow_refusal(event, world.now) is None
    world._give(event)
    return world.core.flows.requests()[-1].mrid


def flow_limit(world: Joined) -> int | None:
    return world.bounds().get(FLOW_MODE)


def state(world: Joined) -> State:
    request = world.core.flows.requests()[-1]
    return world.core.flows.state_of(request, world.core.flow_plans(world.now), world.now)


def test_a_grant_becomes_a_plan_and_a_limit_on_charging_for_its_window() -> None:
    world = joined([{"do": START}, {"when": {"post": "frq"}, "do": [grant()]}]).run(30)
    mrid = asked(world)
    assert state(world) is State.REQUESTED, "posted at once"
    world.run(100)
    assert state(world) is State.GRANTED
    (plan,) = world.core.flow_plans(world.now)
    assert (plan.request_mrid, plan.power_w, plan.energy_wh, plan.end_ms - plan.start_ms) == (
        mrid,
        20_000,
        5_000,
        300_000,
    )
    world.run(150)
    bound = world.core.bounds(world.now)[FLOW_MODE]
    limit = limit_of(bound, "grid", ZERO_MS + world.now_ms)
    assert (limit.quantity, limit.power_w) == (Quantity.QUANTITY_GROSS_LOAD, 20_000)
    assert limit.reason.startswith("FlowReservationResponse")
    world.restart()
    world.run(160)
    assert flow_limit(world) == 20_000, "after a restart too"
    world.run(500)
    assert flow_limit(world) is None
    assert world.xml_faults + judge.valid(world.server.records) == []
    assert world.server.records.requested[0]["power_w"] == 30_000
    assert not world.server.records.responses, "the standard gives a grant no response"


def test_a_grant_that_is_superseded_gives_way_to_the_newer_one() -> None:
    steps = [
        {"do": START},
        {"when": {"post": "frq"}, "do": [grant("old", start_in_s=0, duration_s=900)]},
        {
            "when": {"after_s": 120},
            "do": [{"supersede": {"control": "old"}}, grant("new", power_w=8_000, start_in_s=0)],
        },
    ]
    world = joined(steps).run(30)
    asked(world)
    world.run(120)
    assert flow_limit(world) == 20_000
    world.run(300)
    assert flow_limit(world) == 8_000
    assert [plan.power_w for plan in world.core.flow_plans(world.now)] == [8_000]


def test_a_grant_that_is_cancelled_limits_nothing() -> None:
    steps = [
        {"do": START},
        {"when": {"post": "frq"}, "do": [grant(start_in_s=0, duration_s=900)]},
        {"when": {"after_s": 120}, "do": [{"cancel": {"control": "g"}}]},
    ]
    world = joined(steps).run(30)
    asked(world)
    assert flow_limit(world.run(120)) == 20_000
    assert flow_limit(world.run(300)) is None
    assert state(world) is State.REQUESTED, "it may be answered anew"


def test_a_request_that_is_taken_back_is_cancelled_at_the_server_and_its_grant_not_followed() -> None:
    world = joined([{"do": START}, {"when": {"post": "frq"}, "do": [grant(start_in_s=0, duration_s=900)]}]).run(30)
    mrid = asked(world)
    assert flow_limit(world.run(120)) == 20_000
    world._give(CancelFlow(mrid=mrid))
    assert flow_limit(world) is None
    world.run(200)
    last = world.server.records.requested[-1]
    assert (last["mrid"], last["status"]) == (mrid, 1)
    assert [item.method for item in world.server.records.exchanges if item.name == "frq 1"] == ["PUT"]
    assert world.xml_faults + judge.valid(world.server.records) == []


def test_a_grant_of_the_other_direction_is_not_followed() -> None:
    other = grant("back", power_w=-9_000, energy_wh=-900, start_in_s=0)
    world = joined([{"do": START}, {"when": {"post": "frq"}, "do": [other]}]).run(30)
    asked(world)
    world.run(200)
    assert (flow_limit(world), world.core.flow_plans(world.now)) == (None, ())


def test_power_given_back_is_a_plan_and_no_limit_on_charging() -> None:
    back = grant(power_w=-9_000, energy_wh=-900, start_in_s=0)
    world = joined([{"do": START}, {"when": {"post": "frq"}, "do": [back]}]).run(30)
    asked(world, energy_wh=-2_000, power_w=-9_000)
    world.run(200)
    assert [plan.power_w for plan in world.core.flow_plans(world.now)] == [-9_000]
    assert flow_limit(world) is None


def test_needs_wait_for_a_server_that_is_away_and_go_when_it_is_back() -> None:
    world = joined([{"do": START}]).run(30)
    world.core.flows._powers_w = POWERS  # type: ignore[misc]  # the example site has no chargers
    world.cut = True
    wanted = ChargingNeed(evse_id="a", energy_wh=9_000, departure_ms=ZERO_MS + 7_200_000)
    world._give(NeedsSeen(needs=(wanted,)))
    assert state(world.run(300)) is State.WAITING
    world.cut = False
    assert state(world.run(600)) is State.REQUESTED
    (request,) = world.server.records.requested
    assert (request["energy_wh"], request["power_w"], request["status"]) == (9_000, 22_000, 0)
    assert (request["start_s"] + request["duration_s"]) % 900 == 0
