"""The outbox: responses beyond its window stay owed and come in order, errands are done once, mirrors by any way."""

from __future__ import annotations

from dataclasses import replace

import pytest
from der_documents import DIALECTS, faults
from der_events import at, control, known, program
from der_examples import site

from dgm.der import resource as r
from dgm.der.codec import Dialect, encode
from dgm.der.core import DerCore
from dgm.der.discovery import Answer, Request
from dgm.der.flow_requests import FlowRequest, document
from dgm.der.letter import Errand, Place
from dgm.der.mirror_queue import BATCH_MAX, READINGS_MAX, MirrorQueue
from dgm.der.outbox import RESPONSES_MAX, TRIES_MAX, Outbox, Report, errand_done
from dgm.der.status import NO_METER
from dgm.machine import Now, Tick

OWN = r.EndDevice(sfdi=1, changed_s=0, log_event_list_link="/log")
EVENT = r.LogEvent(created_s=1, function_set=11, code=2, id=1, pen=40732, profile=2)
MIRROR = r.MirrorUsagePoint(
    mrid="AB" * 16,
    role_flags=3,
    service_category=0,
    status=1,
    device_lfdi="0" * 40,
    readings=(r.MirrorMeterReading(mrid="CD" * 16),),
)


def response(number: int) -> r.DERControlResponse:
    return r.DERControlResponse(created_s=7, lfdi="0" * 40, status=1, subject=f"{number:032}")


def test_a_response_is_queued_once_and_what_finds_no_room_is_asked_for_again() -> None:
    outbox, many = Outbox(()), [response(number) for number in range(RESPONSES_MAX + 500)]
    for item in [*many, *many]:
        outbox.add_response("/rsp", item)
    sent: list[str] = []
    while (letter := outbox.next_response(0)) is not None:
        assert isinstance(letter.body, r.DERControlResponse)
        sent.append(letter.body.subject)
        outbox.taken(letter, None, 0)
        if outbox.take_overfull():
            for item in many[len(sent) :]:
                outbox.add_response("/rsp", item)
    assert sent == [item.subject for item in many]


def test_a_flood_of_controls_costs_no_response() -> None:
    """More controls at once than the window holds: each is answered, in the order in which it was decided."""
    core = DerCore(site(), "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5", lambda most: 0)
    count = RESPONSES_MAX + 100
    controls = [control(f"{number:032}", 900_000 + number, 60) for number in range(count)]
    core.scheduler.handle(known(program(*controls)), at(0))
    owed = [item.mrid for item in core.scheduler.owed()]
    assert len(owed) == count
    stored = core.scheduler.dump()
    core = DerCore(site(), "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5", lambda most: 0)
    queue = [item for item in core.restore(stored, at(0)) if isinstance(item, Request)]
    answered: list[str] = []
    while queue:
        request = queue.pop(0)
        if isinstance(request.body, r.DERControlResponse):
            answered.append(request.body.subject)
        status = 201 if request.body is not None else 404
        effects = core.handle(Answer(tag=request.tag, status=status), at(1))
        queue += [item for item in effects if isinstance(item, Request)]
    assert answered == owed


def test_an_errand_goes_to_where_its_list_is_and_is_done_once() -> None:
    outbox = Outbox(())
    outbox.set_report(Report(errands=(Errand(key="log:1", method="POST", to=Place.LOG_EVENTS, body=EVENT),)))
    assert outbox.next_other(own=r.EndDevice(sfdi=1, changed_s=0), der=None, mirrors_href=None, at_ms=0) is None
    letter = outbox.next_other(own=OWN, der=None, mirrors_href=None, at_ms=0)
    assert letter is not None
    assert (letter.href, letter.method, letter.body) == ("/log", "POST", EVENT)
    outbox.taken(letter, "/log/1", 0)
    assert outbox.next_other(own=OWN, der=None, mirrors_href=None, at_ms=0) is None, "before its owner has heard"
    done = errand_done(letter, is_taken=True, status=201, location="/log/1")
    assert done is not None
    assert (done.key, done.location) == ("log:1", "/log/1")


def test_an_errand_is_tried_again_but_not_for_ever() -> None:
    outbox = Outbox(())
    outbox.set_report(Report(errands=(Errand(key="log:1", method="POST", to=Place.LOG_EVENTS, body=EVENT),)))
    for attempt in range(TRIES_MAX + 1):
        letter = outbox.next_other(own=OWN, der=None, mirrors_href=None, at_ms=attempt)
        assert letter is not None
        assert outbox.refused(letter, 500, attempt + 1) is (attempt == TRIES_MAX)
    assert outbox.next_other(own=OWN, der=None, mirrors_href=None, at_ms=99) is None


def reading(number: int) -> r.MirrorMeterReading:
    return r.MirrorMeterReading(mrid="CD" * 16, reading=r.Reading(value=number))


def sent_values(queue: MirrorQueue) -> list[int | None]:
    letter = next(iter(queue.letters("/mup")))
    items = letter.body.items if isinstance(letter.body, r.MirrorMeterReadingList) else (letter.body,)
    queue.taken(letter, None)
    return [item.reading.value for item in items if isinstance(item, r.MirrorMeterReading) and item.reading]


def placed() -> MirrorQueue:
    queue = MirrorQueue([MIRROR], 60)
    queue.taken(next(iter(queue.letters("/mup"))), "/mup/1")
    return queue


def test_what_waits_goes_in_lists_and_the_oldest_drop() -> None:
    queue = placed()
    for number in range(READINGS_MAX + 2):
        queue.add(MIRROR.mrid, reading(number))
    assert sent_values(queue) == list(range(2, 2 + BATCH_MAX))
    assert sent_values(queue)[0] == 2 + BATCH_MAX
    assert queue.dropped == 2


def test_a_server_that_takes_no_lists_gets_one_reading_at_a_time() -> None:
    queue = placed()
    for number in range(3):
        queue.add(MIRROR.mrid, reading(number))
    letter = next(iter(queue.letters("/mup")))
    assert queue.refused(letter, 400)
    assert [sent_values(queue) for _ in range(3)] == [[0], [1], [2]]


def test_a_reading_that_comes_while_others_are_on_their_way_is_not_lost_with_them() -> None:
    queue = placed()
    queue.add(MIRROR.mrid, reading(0))
    letter = next(iter(queue.letters("/mup")))
    queue.add(MIRROR.mrid, reading(0))
    queue.taken(letter, None)
    assert sent_values(queue) == [0]


def test_a_mirror_that_is_gone_is_made_again() -> None:
    queue = placed()
    queue.add(MIRROR.mrid, reading(0))
    assert queue.refused(next(iter(queue.letters("/mup"))), 404)
    assert next(iter(queue.letters("/mup"))).body == MIRROR


def test_a_mirror_without_a_place_waits_for_the_list_and_is_then_updated_by_its_mrid() -> None:
    queue = MirrorQueue([MIRROR], 60)
    queue.add(MIRROR.mrid, reading(5))
    queue.taken(next(iter(queue.letters("/mup"))), None)
    assert queue.is_complete()
    assert list(queue.letters("/mup")) == [], "the list may say where it is"
    queue.learn(())
    letter = next(iter(queue.letters("/mup")))
    assert isinstance(letter.body, r.MirrorUsagePoint)
    assert (letter.href, letter.body.mrid, letter.body.readings) == ("/mup", MIRROR.mrid, (reading(5),))
    queue.taken(letter, "/mup/7")
    queue.add(MIRROR.mrid, reading(6))
    assert next(iter(queue.letters("/mup"))).href == "/mup/7", "this time it said so"


def test_a_tick_with_nothing_to_tell_sends_nothing() -> None:
    core = DerCore(site(), "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5", lambda most: 0)
    first = [item for item in core.handle(Tick(), Now(mono_ms=0, utc_ms=0)) if isinstance(item, Request)]
    assert [item.method for item in first] == ["GET"]


BODIES = (
    EVENT,
    r.LogEvent(created_s=1, details="AB" * 16, extended=2**32 - 1, function_set=11, code=6, id=0, pen=1, profile=1),
    r.DERAvailability(
        availability_s=2**32 - 1,
        max_charge_s=0,
        reading_s=7,
        reserve_charge_permyriad=10_000,
        reserve_permyriad=0,
        absorb_available_w=10**6,
        available_w=10**6 + 1,
    ),
    r.DERStatus(
        alarms=0x7FF,
        gen_connect=r.StampedValue(time_s=1, value=0b10111),
        inverter=r.StampedValue(time_s=1, value=8),
        local_control_mode=r.StampedValue(time_s=1, value=1),
        manufacturer=r.StampedText(time_s=1, value=NO_METER),
        operational_mode=r.StampedValue(time_s=1, value=2),
        reading_s=7,
        state_of_charge=r.StampedValue(time_s=1, value=6300),
        storage_mode=r.StampedValue(time_s=1, value=2),
        stor_connect=r.StampedValue(time_s=1, value=0),
    ),
    r.MirrorMeterReadingList(all=2, results=2, items=(reading(1), reading(-2))),
    replace(MIRROR, readings=(reading(3),)),
    document(
        FlowRequest(
            mrid="AB" * 16, serial=1, energy_wh=10**9, power_w=-(10**9), start_ms=1, end_ms=10**12, created_ms=1
        )
    ),
)


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_every_body_is_valid_in_every_dialect(body: r.Resource, dialect: Dialect) -> None:
    assert faults(encode(body, dialect), dialect) == []
