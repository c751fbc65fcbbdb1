"""What the event engine keeps on disk: all of it comes back, damage is named and put aside, growth is bounded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from der_events import EXP, IMP, T0_S, Driver, at, control, default, known, no_draw, program
from der_examples import site
from hypothesis import given, settings
from hypothesis import strategies as st

from dgm.der import engine, record
from dgm.der import resource as r
from dgm.der.core import DerCore
from dgm.der.core_events import Keep
from dgm.der.engine import ENDED_MAX
from dgm.der.restart import OFFSET_KEY, TABLE
from dgm.der.schedule import Event, Notice, Phase
from dgm.der.scheduler import Scheduler
from dgm.journal import Journal
from dgm.machine import Tick

LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"


def stored() -> dict[str, bytes]:
    """A schedule with a live event, an ended one, a default and responses that are owed."""
    driver = Driver()
    driver.give(0, program(control("A", 10, 500), control("B", 5, 10, {EXP: 1}), stated=default({IMP: 5000})))
    driver.run(20)
    return driver.scheduler.dump()


def core() -> DerCore:
    return DerCore(site(), LFDI, no_draw)


def keep(journal: Journal, effects: list[Any]) -> None:
    for effect in effects:
        if isinstance(effect, Keep):
            journal.put_all(TABLE, effect.entries)


def test_after_a_restart_with_the_link_down_the_stored_default_holds_before_anything_else(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "der.sqlite")
    before = core()
    before.is_informed = True
    before.scheduler.handle(known(program(control("A", 10, 100, {EXP: 7}), stated=default({IMP: 5000}))), at(0))
    keep(journal, before.handle(Tick(), at(0)))
    journal.close()
    journal = Journal(tmp_path / "der.sqlite")
    after = core()
    after.restore(journal.items(TABLE), at(50))
    assert after.is_informed
    bounds = after.bounds(at(50))
    assert {name: bound.power_w for name, bound in bounds.items()} == {IMP: 5000, EXP: 7}
    after.handle(Tick(), at(500))
    assert {name: bound.power_w for name, bound in after.bounds(at(500)).items()} == {IMP: 5000}
    journal.close()


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    gateway = core()
    gateway.is_informed = True
    listing = known(program(*(control(f"{index:02X}", 10 * index + 10, 5) for index in range(50))))
    gateway.scheduler.handle(listing, at(0))
    first = [item for item in gateway.handle(Tick(), at(0)) if isinstance(item, Keep)]
    assert sum(len(item.entries) for item in first) == 100, "fifty events and fifty responses, in one write"
    again = [item for item in gateway.handle(Tick(), at(11)) if isinstance(item, Keep)]
    written = [key for item in again for key, _ in item.entries]
    assert written == ["der/event/00", "der/owed/000000000051", "report/00/opModImpLimW"]


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("der/event/A", b"", "not JSON"),
        ("der/event/A", b"\xff\xfe", "not JSON"),
        ("der/event/A", b"[" * 100_000, "not JSON"),
        ("der/event/A", b"[]", "expected an object"),
        ("der/event/A", b'{"colour":1}', "unknown key 'colour'"),
        ("der/event/A", b"{}", "every key without a default"),
        ("der/event/Z", None, "expected Z"),
        ("der/default/D9", None, "program D0"),
        ("der/owed/one", None, "invalid literal"),
        ("der/colour/A", b"{}", "expected event or owed"),
    ],
)
def test_a_damaged_entry_is_named_and_the_rest_is_kept(key: str, value: bytes | None, why: str) -> None:
    entries = stored()
    copies = {"der/event/Z": "der/event/A", "der/default/D9": "der/default/D0", "der/owed/one": "der/owed/000000000001"}
    entries[key] = entries[copies[key]] if value is None else value
    scheduler = Scheduler(no_draw)
    damaged = scheduler.restore(entries)
    assert [item.key for item in damaged] == [key]
    assert why in damaged[0].why
    whole = Scheduler(no_draw)
    whole.restore({name: value for name, value in entries.items() if name != key})
    assert scheduler.dump() == whole.dump()


def test_damage_is_put_aside_and_the_ems_keeps_its_limits_until_the_server_has_spoken() -> None:
    entries = {**stored(), "der/event/A": b"{", OFFSET_KEY: b"soon"}
    gateway = core()
    effects = gateway.restore(entries, at(30))
    assert [item.key for item in gateway.damaged] == ["der/event/A", OFFSET_KEY]
    assert not gateway.is_informed
    first = effects[0]
    assert isinstance(first, Keep)
    assert dict(first.entries) == {
        "der/event/A": None,
        OFFSET_KEY: None,
        "aside/der/event/A": b"{",
        f"aside/{OFFSET_KEY}": b"soon",
    }
    assert {name: bound.power_w for name, bound in gateway.bounds(at(30)).items()} == {IMP: 5000}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_to_one_entry_raises_or_touches_another(data: st.DataObject) -> None:
    entries = stored()
    key = data.draw(st.sampled_from(sorted(entries)))
    value = bytearray(entries[key])
    at_byte = data.draw(st.integers(0, len(value) - 1))
    value[at_byte] = data.draw(st.integers(0, 255))
    scheduler = Scheduler(no_draw)
    damaged = scheduler.restore({**entries, key: bytes(value)})
    assert {item.key for item in damaged} <= {key}
    kept = scheduler.dump()
    assert {name: kept.get(name) for name in entries if name != key} == {
        name: value for name, value in entries.items() if name != key
    }


def test_what_has_ended_is_forgotten_in_time_and_in_number() -> None:
    driver = Driver()
    for round_ in range(3):
        start = round_ * 20
        driver.give(start, program(*(control(f"{round_}-{index:04}", start + 1, 5) for index in range(400))))
    driver.give(100, program())
    assert len(driver.scheduler.events()) == ENDED_MAX
    driver.give(100 + 25 * 3600, program())
    assert driver.scheduler.events() == ()
    assert {key.split("/")[1] for key in driver.journal} == {"owed"}, "responses are owed until the server takes them"


def test_what_does_not_fit_is_refused_by_name_and_taken_up_when_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "LIVE_BYTES_MAX", 3 * (engine.EVENT_BYTES + engine.VALUE_BYTES) + 100)
    driver = Driver()
    listing = program(*(control(name, start, 10) for name, start in (("D", 40), ("A", 10), ("B", 20), ("C", 30))))
    others = program(*(control(f"X{index}", 10, 20, device_category=1) for index in range(9)), mrid="D1", primacy=0)
    driver.give(0, listing, others)
    assert driver.scheduler.refused == ("D",)
    assert {event.mrid for event in driver.scheduler.events()} == {"A", "B", "C"}
    driver.give(31, listing, others)
    assert driver.scheduler.refused == ()
    driver.run(100)
    assert [code for mrid, code, _ in driver.sent if mrid == "D"] == [1, 2, 3]


def test_several_entries_are_stored_together_or_not_at_all(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    journal.put_all("t", [("a", b"1"), ("b", b"2")])
    journal.put_all("t", [("a", None), ("c", b"3")])
    assert journal.items("t") == {"b": b"2", "c": b"3"}
    wrong: Any = object()
    with pytest.raises(Exception, match="type"):
        journal.put_all("t", [("d", b"4"), ("e", wrong)])
    assert journal.items("t") == {"b": b"2", "c": b"3"}
    journal.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Newer:
    """A record to which a later version has added a field."""

    a: int
    b: tuple[int, ...] = ()
    c: str | None = None


def test_a_record_of_an_older_version_takes_the_defaults_of_new_fields() -> None:
    assert record.load(Newer, b'{"a":1}') == Newer(a=1)


@pytest.mark.parametrize("text", [b'{"a":true}', b'{"a":"1"}', b'{"a":1.5}', b'{"a":1,"b":[null]}', b'{"a":1,"c":2}'])
def test_a_record_with_a_value_of_another_type_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="expected"):
        record.load(Newer, text)


def test_an_event_comes_back_as_it_was_with_everything_set() -> None:
    notice = Notice(
        mrid="A",
        creation_s=1,
        start_s=T0_S,
        duration_s=9,
        status=r.EventState.ACTIVE,
        values=(
            (IMP, r.ControlMode(name=IMP, power_w=0)),
            ("opModConnect", r.ControlMode(name="opModConnect", on=False)),
        ),
        ramp_ms=0,
        reply_to="/r",
        response_required=7,
        description="d",
        randomize_start_s=-3,
        randomize_duration_s=4,
        device_category=0,
        is_mandatory=True,
        override_s=60,
        fault="f",
    )
    event = Event(
        notice=notice,
        program_mrid="P",
        primacy=0,
        clock_offset_ms=-5,
        lanes=frozenset({IMP}),
        start_draw_s=-1,
        duration_draw_s=2,
        start_ms=3,
        end_ms=4,
        over_ms=0,
        phase=Phase.SUPERSEDED,
        lost=frozenset({IMP}),
        opted_out=frozenset({IMP}),
        opt_in_ms=0,
        overridden_since_ms=0,
        override_used_ms=1,
        has_run=True,
        was_out=True,
        winding_down=True,
        sent=(1, 2, 7),
    )
    assert record.load(Event[r.ControlMode], record.dump(event)) == event
    bare = replace(event, notice=replace(notice, reply_to=None, values=()), sent=(), over_ms=None)
    assert record.load(Event[r.ControlMode], record.dump(bare)) == bare
