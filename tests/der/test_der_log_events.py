"""Alarms of the site as LogEvents: codes, delays, pairs, bounds and the journal."""

from __future__ import annotations

import pytest
from der_examples import OBSERVED, site

from dgm.api.site.v1.site_pb2 import (
    CircuitState,
    DerAlarm,
    EvseDer,
    GridFault,
    PhaseValues,
    Quality,
    Sample,
    WatchSiteResponse,
)
from dgm.der import plant
from dgm.der import resource as r
from dgm.der.alarms import CLEAR_MS, RAISE_MS, Alarm, Alarms, Condition, Trouble, of_current, of_stations, of_supply
from dgm.der.log_events import NOT_KEPT_CODE, STATE_KEY, WAITING_MAX, LogBook

PEN = 37244


def supply(volts: tuple[int, ...] = (230, 230, 230), mhz: int | None = None) -> set[Alarm]:
    names = dict(zip(("l1", "l2", "l3"), (value * 1000 for value in volts), strict=False))
    return of_supply(Sample(voltage_mv=PhaseValues(**names), frequency_mhz=mhz), 230_000)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (supply(), set()),
        (supply((253, 230, 230)), {Alarm.VOLTAGE_IMBALANCE}),
        (supply((254, 254, 254)), {Alarm.OVER_VOLTAGE}),
        (supply((206, 206, 206)), {Alarm.UNDER_VOLTAGE}),
        (supply((260, 200, 230)), {Alarm.OVER_VOLTAGE, Alarm.UNDER_VOLTAGE, Alarm.VOLTAGE_IMBALANCE}),
        (supply((), 50_000), set()),
        (supply((), 50_501), {Alarm.OVER_FREQUENCY}),
        (supply((), 49_499), {Alarm.UNDER_FREQUENCY}),
        (supply((), 60_400), set()),
        (supply((), 59_400), {Alarm.UNDER_FREQUENCY}),
        (supply(()), set()),
    ],
)
def test_voltage_and_frequency_are_judged_against_the_supply(found: set[Alarm], expected: set[Alarm]) -> None:
    assert found == expected


@pytest.mark.parametrize(
    ("amps", "limit_a", "expected"),
    [
        ((100, 100, 100), 100, set()),
        ((101, 90, 90), 100, {Alarm.OVER_CURRENT}),
        ((90, 30, 30), 100, {Alarm.CURRENT_IMBALANCE}),
        ((30, 3, 3), 100, set()),
        ((900, 1, 1), None, set()),
    ],
)
def test_currents_are_judged_against_the_limit(
    amps: tuple[int, int, int], limit_a: int | None, expected: set[Alarm]
) -> None:
    l1, l2, l3 = (value * 1000 for value in amps)
    limit_ma = None if limit_a is None else limit_a * 1000
    assert of_current(PhaseValues(l1=l1, l2=l2, l3=l3), limit_ma) == expected


def test_every_fault_that_a_station_can_name_has_its_alarm() -> None:
    faults = [fault for fault in GridFault.values() if fault]
    found = of_stations([EvseDer(asset_id="e", alarms=[DerAlarm(fault=fault) for fault in faults])])
    assert found == set(Alarm)
    assert of_stations([EvseDer(asset_id="e", alarms=[DerAlarm()])]) == set(), "no reason, no code"


def test_what_the_site_shows_becomes_conditions() -> None:
    view = plant.SiteView(site())
    assert view.conditions() is None
    view.take(OBSERVED)
    assert view.conditions() == set()
    view.take(
        WatchSiteResponse(
            samples=[Sample(asset_id="pv-1", quality=Quality.QUALITY_STALE)],
            circuits=[CircuitState(circuit_id="grid", meter_lost=True, shortfall_w=5)],
        )
    )
    assert view.conditions() == {Trouble.METER_LOST, Trouble.LIMIT_NOT_MET, Trouble.DEVICE_LOST}


def test_a_condition_is_raised_and_cleared_once_it_has_lasted() -> None:
    alarms = Alarms()
    told: list[tuple[int, list[Condition], list[Condition]]] = []
    for at_ms in range(0, 40_000, 500):
        is_on = 5_000 <= at_ms < 6_000 or 10_000 <= at_ms < 15_000 or at_ms == 18_000
        raised, cleared = alarms.observe({Alarm.OVER_VOLTAGE} if is_on else set(), at_ms)
        told += [(at_ms, raised, cleared)] if raised or cleared else []
    alarm: list[Condition] = [Alarm.OVER_VOLTAGE]
    assert told == [(10_000 + RAISE_MS, alarm, []), (18_500 + CLEAR_MS, [], alarm)]
    assert alarms.bitmap == 0


def test_an_alarm_and_a_trouble_of_the_same_number_are_two() -> None:
    alarms = Alarms()
    alarms.observe({Alarm.OVER_CURRENT, Trouble.METER_LOST}, 0)
    raised, _ = alarms.observe({Alarm.OVER_CURRENT, Trouble.METER_LOST}, RAISE_MS)
    assert raised == [Alarm.OVER_CURRENT, Trouble.METER_LOST]
    assert alarms.bitmap == 0b1


def events(book: LogBook) -> list[tuple[int, int, int]]:
    return [(item.event.pen, item.event.profile, item.event.code) for item in book.waiting(WAITING_MAX)]


def test_codes_are_those_of_the_standard_and_of_our_own_number() -> None:
    book = LogBook(PEN)
    for condition in (Alarm.OVER_VOLTAGE, Alarm.PHASE_ROTATION, Trouble.LIMIT_NOT_MET):
        book.tell(condition, is_raised=True, time_s=1)
        book.tell(condition, is_raised=False, time_s=2)
    book.not_kept("AB" * 16, worst_w=700, time_s=3)
    standard, own = (40732, 2), (PEN, 1)
    assert events(book) == [
        (*standard, 2),
        (*standard, 3),
        (*standard, 20),
        (*standard, 21),
        (*own, 2),
        (*own, 3),
        (*own, NOT_KEPT_CODE),
    ]
    last = book.waiting(WAITING_MAX)[-1].event
    assert (last.details, last.extended, last.function_set) == ("AB" * 16, 700, 11)


def test_a_utility_that_takes_no_codes_of_ours_gets_those_of_the_standard_alone() -> None:
    book = LogBook(None)
    book.tell(Trouble.METER_LOST, is_raised=True, time_s=1)
    book.not_kept("AB", worst_w=1, time_s=1)
    book.tell(Alarm.OVER_CURRENT, is_raised=True, time_s=1)
    assert events(book) == [(40732, 2, 0)]


def test_a_return_is_told_only_of_what_was_raised_and_nothing_twice() -> None:
    book = LogBook(PEN)
    book.tell(Alarm.OVER_CURRENT, is_raised=False, time_s=1)
    book.tell(Alarm.OVER_CURRENT, is_raised=True, time_s=2)
    book.tell(Alarm.OVER_CURRENT, is_raised=True, time_s=3)
    assert [item.event.created_s for item in book.waiting(9)] == [2]


def test_without_room_an_alarm_that_came_and_went_is_dropped_with_its_return_and_counted() -> None:
    book = LogBook(PEN)
    book.tell(Alarm.UNDER_VOLTAGE, is_raised=True, time_s=0)
    for second in range(WAITING_MAX):
        book.tell(Alarm.OVER_VOLTAGE, is_raised=second % 2 == 0, time_s=second)
    assert (book.size, book.dropped) == (WAITING_MAX - 1, 2)
    assert book.waiting(1)[0].event.code == 2 * Alarm.UNDER_VOLTAGE.value, "what is raised still is kept"


def test_what_the_server_refuses_is_counted() -> None:
    book = LogBook(PEN)
    book.tell(Alarm.OVER_CURRENT, is_raised=True, time_s=1)
    book.done(1, is_taken=False)
    assert (book.size, book.refused, book.dropped) == (0, 1, 0)


def test_the_book_goes_on_after_a_restart_and_uses_no_number_twice() -> None:
    book, stored = LogBook(PEN), dict[str, bytes]()
    book.tell(Alarm.OVER_VOLTAGE, is_raised=True, time_s=1)
    book.tell(Trouble.METER_LOST, is_raised=True, time_s=1)
    book.done(1)
    for key, value in book.changed().items():
        if value is not None:
            stored[key] = value
    again = LogBook(PEN)
    assert again.restore(stored) == ()
    assert again.raised() == {Alarm.OVER_VOLTAGE, Trouble.METER_LOST}
    again.tell(Alarm.OVER_VOLTAGE, is_raised=False, time_s=9)
    assert [item.serial for item in again.waiting(9)] == [2, 3]
    assert again.changed().keys() == {STATE_KEY, "log/event/000000000003"}


def test_a_damaged_entry_is_named_and_costs_nothing_else() -> None:
    book, stored = LogBook(PEN), dict[str, bytes]()
    book.tell(Alarm.OVER_VOLTAGE, is_raised=True, time_s=1)
    stored = {key: value for key, value in book.changed().items() if value is not None}
    stored[STATE_KEY] = b'{"alarms":[99]}'
    stored["log/event/x"] = b"{}"
    again = LogBook(PEN)
    assert {item.key for item in again.restore(stored)} == {STATE_KEY, "log/event/x"}
    again.tell(Alarm.OVER_CURRENT, is_raised=True, time_s=2)
    assert [item.serial for item in again.waiting(9)] == [1, 2]
    assert isinstance(again.waiting(1)[0].event, r.LogEvent)
