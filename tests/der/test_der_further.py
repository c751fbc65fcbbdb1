"""Load control, prices, messages and grants in the conversation: answered, shown, and there again after a restart."""

from __future__ import annotations

from typing import Any

from der_events import T0_S, at, no_draw

from dgm.der import function_sets as f
from dgm.der import resource as r
from dgm.der.further import FurtherSets
from dgm.der.groups import FunctionSet
from dgm.der.orders import ResponseTaken, Source
from dgm.der.profiles import loader
from dgm.der.service.servicer import notices_of

LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"


def further() -> FurtherSets:
    return FurtherSets(loader.load("csip-aus-1.3"), no_draw, LFDI)


def timing(mrid: str, start: int, duration: int) -> dict[str, Any]:
    return {
        "mrid": mrid,
        "creation_s": 0,
        "status": r.EventStatus(current=r.EventState.SCHEDULED, changed_s=T0_S),
        "interval": r.Interval(start_s=T0_S + start, duration_s=duration),
        "reply_to": "/rsp",
        "response_required": 7,
    }


def source(*items: Any) -> tuple[Source[Any], ...]:
    return (Source(mrid="S", primacy=1, items=items),)


PRICE = f.TimeTariffInterval(
    **timing("P", 10, 20), priced="https://u.example/rt", tier=1, blocks=(f.PriceBlock(start=0, price_micro=250_000),)
)
TEXT = f.TextMessage(**timing("T", 10, 20), priority=2, text="storm", originator="the utility")
LOAD = f.EndDeviceControl(
    **timing("L", 10, 20), device_category=1 << 17, is_mandatory=False, action=f.LoadAction(duty_percent=50)
)
GRANT = f.FlowReservationResponse(**timing("G", 10, 20), subject="Q", power_w=7_000, energy_wh=70)


def told(replies: list[Any]) -> list[tuple[str, type, str, int]]:
    return [(place, type(body), body.subject, body.status) for place, body in replies]


def test_a_price_is_received_started_and_completed_by_price_responses() -> None:
    sets = further()
    received = sets.listed(FunctionSet.PRICING, source(PRICE), at(0))
    assert told(received) == [("/rsp", r.PriceResponse, "P", 1)]
    assert told(sets.advance(at(10))) == [("/rsp", r.PriceResponse, "P", 2)]
    [price] = notices_of(sets).prices
    assert (price.priced, price.blocks[0].price_micro) == ("https://u.example/rt", 250_000)
    assert told(sets.advance(at(30))) == [("/rsp", r.PriceResponse, "P", 3)]
    assert not notices_of(sets).prices


def test_a_message_is_shown_while_it_is_in_force() -> None:
    sets = further()
    assert told(sets.listed(FunctionSet.MESSAGING, source(TEXT), at(0))) == [("/rsp", r.TextResponse, "T", 1)]
    sets.advance(at(10))
    assert [(text.text, text.originator, text.priority) for text in notices_of(sets).messages] == [
        ("storm", "the utility", 2)
    ]
    sets.advance(at(30))
    assert not notices_of(sets).messages


def test_load_control_is_answered_as_not_applicable_and_never_started() -> None:
    sets = further()
    replies = [
        *sets.listed(FunctionSet.LOAD_CONTROL, source(LOAD), at(0)),
        *sets.advance(at(10)),
        *sets.advance(at(40)),
    ]
    assert {body.status for _, body in replies if isinstance(body, r.DrResponse)} <= {1, 252}
    assert 252 in {body.status for _, body in replies}


def test_a_grant_is_in_force_over_its_interval_and_has_no_response() -> None:
    sets = further()
    assert sets.listed(FunctionSet.RESERVATION, source(GRANT), at(0)) == []
    assert sets.advance(at(10)) == []
    assert sets.grants()["Q"].value("Q") == f.Grant(power_w=7_000, energy_wh=70)


def test_what_was_listed_and_is_owed_is_there_after_a_restart_and_is_not_answered_twice() -> None:
    sets = further()
    sets.listed(FunctionSet.PRICING, source(PRICE), at(0))
    stored = {key: value for key, value in sets.changed().items() if value is not None}
    again = further()
    assert again.restore(stored) == []
    assert told(again.owed()) == [("/rsp", r.PriceResponse, "P", 1)]
    assert again.listed(FunctionSet.PRICING, source(PRICE), at(5)) == []
    again.taken(ResponseTaken(mrid="P", status=1), at(6))
    assert again.owed() == []
    assert told(again.advance(at(10))) == [("/rsp", r.PriceResponse, "P", 2)]
    assert again.wake_time() is not None
