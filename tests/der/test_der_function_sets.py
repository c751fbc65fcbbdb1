"""Load control, pricing, messaging and flow reservation: the same engine, and what each does differently."""

from __future__ import annotations

from typing import Any

import pytest
from der_events import T0_S, at, no_draw

from dgm.der import function_sets as f
from dgm.der.engine import EventEngine
from dgm.der.orders import Acknowledge, Listed, OptIn, OptOut, Override, Source
from dgm.der.profile import STANDARD
from dgm.der.profiles import loader
from dgm.der.resource import EventState, EventStatus, Interval
from dgm.machine import Tick

EVSE, HVAC, STORAGE = 1 << 17, 1 << 0, 1 << 25
ACTIONS = frozenset({"duty_percent", "reduction", "load_offset_permyriad"})


def timing(mrid: str, start: int, duration: int, **more: Any) -> dict[str, Any]:
    state = more.pop("status", EventState.SCHEDULED)
    return {
        "mrid": mrid,
        "creation_s": more.pop("created", 0),
        "status": EventStatus(current=state, changed_s=T0_S),
        "interval": Interval(start_s=T0_S + start, duration_s=duration),
        "reply_to": "/rsp",
        "response_required": 7,
        **more,
    }


def load(mrid: str, start: int, duration: int, **more: Any) -> f.EndDeviceControl:
    content = {"device_category": EVSE | STORAGE, "is_mandatory": False, "action": f.LoadAction(duty_percent=50)}
    return f.EndDeviceControl(**{**content, **timing(mrid, start, duration, **more)})


def price(mrid: str, start: int, duration: int, cents: int, **more: Any) -> f.TimeTariffInterval:
    blocks = (f.PriceBlock(start=0, price_micro=cents * 10_000),)
    return f.TimeTariffInterval(**{"priced": "import Wh", "blocks": blocks, **timing(mrid, start, duration, **more)})


def message(mrid: str, start: int, duration: int, priority: int = 1, **more: Any) -> f.TextMessage:
    return f.TextMessage(**{"priority": priority, "text": f"text {mrid}", **timing(mrid, start, duration, **more)})


def grant(mrid: str, start: int, duration: int, subject: str, power_w: int, **more: Any) -> f.FlowReservationResponse:
    content = timing(mrid, start, duration, **more)
    return f.FlowReservationResponse(subject=subject, power_w=power_w, energy_wh=power_w, **content)


class Driven:
    """Any engine, driven in seconds; every dump is restored into a twin and must be the same again."""

    def __init__(self, make: Any) -> None:
        self.make = make
        self.engine: EventEngine[Any, Any] = make()
        self.sent: list[tuple[str, int, int]] = []

    def do(self, second: int, event: Any) -> None:
        while (wake := self.engine.wake_time()) is not None and wake <= at(second).mono_ms:
            self._note(Tick(), (wake - at(0).mono_ms) // 1000)
        self._note(event, second)
        twin = self.make()
        assert twin.restore(self.engine.dump()) == ()
        assert twin.dump() == self.engine.dump()
        self.engine = twin
        self._note(Tick(), second)

    def give(self, second: int, *items: Any, primacy: int = 1, mrid: str = "P1") -> None:
        self.do(second, Listed(sources=(Source(mrid=mrid, primacy=primacy, items=items),)))

    def values(self, second: int) -> dict[str, Any]:
        self.do(second, Tick())
        return {lane: event.value(lane) for lane, event in self.engine.holders().items()}

    def _note(self, event: Any, second: int) -> None:
        responds = self.engine.handle(event, at(second))
        self.sent += [(item.mrid, item.status, item.created_s - T0_S) for item in responds]


def load_control() -> Driven:
    return Driven(lambda: f.load_control(STANDARD, no_draw, categories=EVSE | STORAGE, actions=ACTIONS))


def test_load_control_is_contended_for_by_category_of_device() -> None:
    site = load_control()
    wide = load("A", 10, 100, action=f.LoadAction(duty_percent=80))
    narrow = load(
        "B", 20, 30, created=5, device_category=EVSE | HVAC, action=f.LoadAction(reduction=7, reduction_unit=1)
    )
    site.give(0, wide, narrow)
    found = site.values(25)
    assert {lane: value.duty_percent or value.reduction for lane, value in found.items()} == {
        "category 17": 7,
        "category 25": 80,
    }
    assert set(site.values(60)) == {"category 25"}, "what was superseded does not come back"
    site.values(120)
    assert [item for item in site.sent if item[1] > 1] == [("A", 2, 10), ("B", 2, 20), ("B", 3, 50), ("A", 3, 110)]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"action": f.LoadAction(cooling_offset_dc=20)}, 252),
        ({"action": f.LoadAction(duty_percent=101)}, 253),
        ({"start": -100}, 254),
    ],
)
def test_load_control_that_cannot_be_followed_is_rejected(changes: dict[str, Any], code: int) -> None:
    site = load_control()
    site.give(0, load("A", changes.pop("start", 10), 50, **changes))
    assert site.sent == [("A", code, 0)]


def test_load_control_for_other_devices_is_not_answered() -> None:
    site = load_control()
    site.give(0, load("A", 10, 50, device_category=HVAC))
    site.values(100)
    assert site.sent == []


def test_an_override_within_its_allowance_is_no_opt_out_and_ends_by_itself() -> None:
    site = load_control()
    site.give(0, load("A", 10, 100, override_s=30))
    site.do(20, Override(mrid="A", duration_ms=20_000))
    assert site.values(30) == {}
    assert site.values(41) != {}
    site.do(50, Override(mrid="A", duration_ms=60_000))
    assert site.values(59) == {}
    assert site.values(61) != {}, "ten seconds were left of thirty"
    site.do(62, Override(mrid="A", duration_ms=1000))
    assert site.values(62) != {}
    site.values(200)
    assert [code for _, code, _ in site.sent] == [1, 2, 3]


def test_an_override_taken_back_early_leaves_the_rest_for_later() -> None:
    site = load_control()
    site.give(0, load("A", 10, 100, override_s=30))
    site.do(20, Override(mrid="A", duration_ms=30_000))
    site.do(25, OptIn(mrid="A"))
    assert site.engine.override_left_ms("A") == 25_000


def test_an_opt_out_during_an_override_is_an_opt_out() -> None:
    site = load_control()
    site.give(0, load("A", 10, 100, override_s=30))
    site.do(20, Override(mrid="A", duration_ms=30_000))
    site.do(25, OptOut(mrid="A"))
    assert site.values(60) == {}
    site.values(200)
    assert [code for _, code, _ in site.sent] == [1, 2, 4, 8]


def test_a_mandatory_event_is_not_opted_out_of() -> None:
    site = load_control()
    site.give(0, load("A", 10, 100, is_mandatory=True))
    refusal = site.engine.opt_out_refusal(OptOut(mrid="A"))
    assert refusal is not None
    assert "mandatory" in refusal
    site.do(20, OptOut(mrid="A"))
    assert site.values(21) != {}


@pytest.mark.parametrize(
    ("steps", "codes"),
    [
        ([(5, OptOut(mrid="A"))], [1, 4, 10]),
        ([(20, OptOut(mrid="A"))], [1, 2, 4, 8]),
        ([(5, OptOut(mrid="A")), (20, OptIn(mrid="A"))], [1, 4, 5, 9]),
        ([(20, OptOut(mrid="A", until_ms=at(30).utc_ms))], [1, 2, 4, 5, 9]),
        ([(200, OptOut(mrid="A"))], [1, 2, 3]),
    ],
)
def test_what_people_did_is_told_at_once_and_at_the_end(steps: list[Any], codes: list[int]) -> None:
    site = load_control()
    site.give(0, load("A", 10, 100))
    for second, event in steps:
        site.do(second, event)
    site.values(300)
    assert [code for _, code, _ in site.sent] == codes


def pricing() -> Driven:
    return Driven(lambda: f.pricing(STANDARD, no_draw))


def test_the_price_of_the_tariff_of_lower_primacy_holds_and_the_other_lanes_go_on() -> None:
    site = pricing()
    cheap = Source(mrid="T1", primacy=2, items=(price("A", 0, 100, 10), price("X", 0, 100, 3, priced="export Wh")))
    dear = Source(mrid="T2", primacy=1, items=(price("B", 20, 30, 40),))
    site.do(0, Listed(sources=(cheap, dear)))
    found = {lane: value.blocks[0].price_micro for lane, value in site.values(25).items()}
    assert found == {"import Wh": 400_000, "export Wh": 30_000}
    assert set(site.values(60)) == {"export Wh"}


def test_a_cancelled_price_is_answered_with_one_and_six() -> None:
    site = pricing()
    site.give(0, price("A", 50, 100, 10))
    site.give(10, price("A", 50, 100, 10, status=EventState.CANCELLED))
    assert site.sent == [("A", 1, 0), ("A", 6, 10)]


def test_a_price_whose_blocks_do_not_rise_is_invalid() -> None:
    site = pricing()
    site.give(0, price("A", 10, 20, 1, blocks=(f.PriceBlock(start=0), f.PriceBlock(start=0))))
    assert site.sent == [("A", 253, 0)]


def messaging() -> Driven:
    return Driven(lambda: f.messaging(STANDARD, no_draw))


def test_messages_stand_side_by_side_the_most_important_first() -> None:
    site = messaging()
    site.give(0, message("A", 0, 100, 1), message("B", 0, 100, 3), message("C", 0, 50, 1, created=9))
    site.values(10)
    assert [text.text for text in f.messages(site.engine)] == ["text B", "text C", "text A"]
    site.values(200)
    assert not [item for item in site.sent if item[1] == 7]


@pytest.mark.parametrize(("is_shown", "code"), [(True, 11), (False, 12)])
def test_a_message_is_acknowledged_once_even_when_it_is_over(is_shown: bool, code: int) -> None:
    site = messaging()
    site.give(0, message("A", 0, 20))
    site.do(30, Acknowledge(mrid="A", is_shown=is_shown))
    site.do(31, Acknowledge(mrid="A", is_shown=is_shown))
    site.do(32, Acknowledge(mrid="unknown"))
    assert [item for item in site.sent if item[1] > 3] == [("A", code, 30)]


def test_no_acknowledgement_goes_to_a_server_that_did_not_ask() -> None:
    site = messaging()
    site.give(0, message("A", 0, 20, response_required=3))
    site.do(5, Acknowledge(mrid="A"))
    assert [code for _, code, _ in site.sent] == [1, 2]


def reservation() -> Driven:
    return Driven(lambda: f.reservation(STANDARD, no_draw))


def test_a_newer_grant_supersedes_the_older_of_the_same_request_and_nobody_is_told() -> None:
    site = reservation()
    site.give(0, grant("A", 10, 100, "REQ1", 7000), grant("B", 30, 50, "REQ1", -3000, created=5))
    site.values(12)
    assert site.values(20)["REQ1"].power_w == 7000, "positive charges: DGM's sign, and the opposite of DER's"
    assert site.values(40)["REQ1"].power_w == -3000
    assert site.values(90) == {}
    assert site.sent == []


def test_grants_of_two_requests_stand_side_by_side_and_a_cancelled_one_ends_at_once() -> None:
    site = reservation()
    site.give(0, grant("A", 10, 100, "REQ1", 7000), grant("B", 10, 100, "REQ2", 9000))
    assert set(site.values(20)) == {"REQ1", "REQ2"}
    site.give(30, grant("A", 10, 100, "REQ1", 7000, status=EventState.CANCELLED), grant("B", 10, 100, "REQ2", 9000))
    assert set(site.values(31)) == {"REQ2"}


def test_a_grant_of_power_one_way_and_energy_the_other_is_not_followed() -> None:
    site = reservation()
    bad = f.FlowReservationResponse(subject="REQ1", power_w=5, energy_wh=-5, **timing("A", 0, 50))
    site.give(0, bad)
    assert site.values(10) == {}


def test_a_utility_that_takes_no_opt_out_permits_none_of_load_control() -> None:
    engine = f.load_control(loader.load("sapn"), no_draw, categories=EVSE, actions=ACTIONS)
    engine.handle(Listed(sources=(Source(mrid="P", primacy=1, items=(load("A", 0, 50),)),)), at(1))
    assert engine.opt_out_refusal(OptOut(mrid="A")) is not None
