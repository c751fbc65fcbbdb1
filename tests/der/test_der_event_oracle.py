"""The engine against a brute-force model: every second, every mode and every response, on generated cases.

Cases have cancellations of every kind, opt-outs, modes that prove impossible, randomisation, clocks of FSAs and
restarts; some resume.
The model knows no heap, no contest and no projection: each second it looks at all events and applies the rules anew.
DGM_CASES sets how many cases are tried (`make soak` tries 10,000).
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from der_events import T0_S, at, control, default, program

from dgm.api.der.v1.profile_pb2 import OptOutRule, UtilityProfile
from dgm.der import resource as r
from dgm.der.orders import Unable
from dgm.der.profile import STANDARD
from dgm.der.scheduler import OptIn, OptOut, ProgramsKnown, Respond, Scheduler
from dgm.machine import Tick

CASES = int(os.environ.get("DGM_CASES", "2000"))
BATCHES = 8
SECONDS = 64
LAST_ACTION_S = 42
MODE_NAMES = """
opModConnect opModEnergize opModFixedPFAbsorbW opModFixedPFInjectW opModFixedVar opModFixedW opModFreqDroop
opModFreqWatt opModHFRTMayTrip opModHFRTMustTrip opModHVRTMayTrip opModHVRTMomentaryCessation opModHVRTMustTrip
opModLFRTMayTrip opModLFRTMustTrip opModLVRTMayTrip opModLVRTMomentaryCessation opModLVRTMustTrip opModMaxLimW
opModTargetVar opModTargetW opModVoltVar opModVoltWatt opModWattPF opModWattVar opModDeltaVar opModDeltaW
opModFixedV opModGridConnectPermit opModIslandPermit opModMaxLimPctVAAbsorb opModMaxLimPctVAInject
opModMaxLimPctVarAbsorb opModMaxLimPctVarInject opModMaxLimPctWAbsorb opModMaxLimVarAbsorb opModMaxLimVarInject
opModMaxLimWAbsorb opModMaxLimWInject opModTargetV opModImpLimW opModExpLimW opModGenLimW opModLoadLimW
opModStorageTargetW
"""
MODES = tuple(MODE_NAMES.split())


def drawn(most: int, restarts: int) -> int:
    """Not uniform, but the model can know it; another after each restart, so that a second draw would be seen."""
    return (most * 5 + 2 + restarts) % (most + 1)


@dataclass
class Modelled:
    """One event of the model. Times in s from T0 on the server's clock."""

    control: r.DERControl
    primacy: int
    offset: int
    modes: frozenset[str]
    nominal: tuple[int, int] = (0, 0)
    lost: set[str] = field(default_factory=set)
    out: frozenset[str] = frozenset()
    was_out: bool = False
    began: int | None = None
    ran: bool = False
    cut: int | None = None
    over: int | None = None
    how: str = ""

    @property
    def wanted(self) -> frozenset[str]:
        return self.modes - self.lost - self.out

    @property
    def rank(self) -> tuple[int, int, str]:
        return (self.primacy, -self.control.creation_s, self.control.mrid)


# -- the model ------------------------------------------------------------------------------------------------------


class Model:
    def __init__(self, events: list[Modelled], *, resumes: bool, bridge: int) -> None:
        self.events, self.resumes, self.bridge = events, resumes, bridge
        self.told: set[tuple[str, int, int]] = set()

    def start(self, event: Modelled) -> int:
        if event.began is not None:
            return event.began
        before = [
            self.end(other)
            for other in self.events
            if other.nominal[1] == event.nominal[0] and other.modes & event.modes
            if other.how not in ("cancelled", "rejected") and other.cut is None
        ]
        return max(before) if before else event.nominal[0] + randomised(event.control.randomize_start_s)

    def end(self, event: Modelled) -> int:
        length = event.control.interval.duration_s + randomised(event.control.randomize_duration_s)
        return event.cut if event.cut is not None else self.start(event) + max(length, 1)

    def settle(self, now: int) -> dict[str, Modelled]:
        for event in self.living():
            if self.end(event) <= now:
                self.finish(event, now, "cancelled" if event.cut is not None else "completed")
        before = {id(event): (event.lost >= event.modes, bool(event.wanted)) for event in self.events}
        holders = {}
        for event in self.living():
            if event.began is None and self.start(event) <= now:
                event.began = self.start(event)
        for mode in {mode for event in self.living() for mode in event.modes}:
            able = [e for e in self.living() if e.began is not None and mode in e.modes - e.out]
            able = able if self.resumes else [e for e in able if mode not in e.lost]
            if able:
                best = holders[mode] = min(able, key=lambda e: e.rank)
                best.lost.discard(mode)
                for other in self.living():
                    if (
                        mode in other.modes - other.out
                        and other.rank > best.rank
                        and self.start(other) < self.end(best)
                    ):
                        other.lost.add(mode)
        for event in self.living():
            was_all, had = before[id(event)]
            if event.lost >= event.modes and not was_all:
                self.tell(event, 7, now)
                if not self.resumes:
                    event.over, event.how = now, "superseded"
            elif event.began is not None and event.wanted and not (had and event.ran):
                self.tell(event, 15 if event.ran else 2, now)
                event.ran = True
        return holders

    def living(self) -> list[Modelled]:
        return [event for event in self.events if event.over is None]

    def finish(self, event: Modelled, now: int, how: str) -> None:
        event.over, event.how = now, how
        if how == "cancelled":
            self.tell(event, 6, now)
        elif event.began is None and not event.lost >= event.modes:
            self.tell(event, 254, now)  # what it followed was called off when its own time had passed
        elif not event.lost >= event.modes:
            self.tell(event, 3 if not event.was_out else 10 if not event.ran else 8 if event.out else 9, now)

    def tell(self, event: Modelled, code: int, now: int) -> None:
        self.told.add((event.control.mrid, code, now + event.offset))

    def cancel(self, event: Modelled, now: int, kind: str, restarts: int) -> None:
        if event.over is not None or event.cut is not None:
            return
        if kind == "vanished" and now >= event.nominal[1] - 10:
            return
        if kind == "randomised" and event.began is not None:
            bound = max(abs(event.control.randomize_start_s or 0), abs(event.control.randomize_duration_s or 0))
            event.cut = min(self.end(event), now + drawn(bound, restarts))
        else:
            self.finish(event, now, "cancelled")

    def opt(self, event: Modelled, now: int, out: frozenset[str]) -> None:
        """Out of some modes (of all that are in `out`), or in again when it is empty."""
        if event.over is not None or out == event.out:
            return
        if out and out >= event.modes:
            self.tell(event, 4, now)
        if not out and event.out >= event.modes:
            self.tell(event, 5, now)
        event.ran = event.ran or (not out and event.began is not None)
        event.out, event.was_out = out, True

    def unable(self, event: Modelled, now: int, gone: frozenset[str]) -> None:
        """Some modes turn out to be impossible here; without any the event is rejected."""
        if event.over is not None or not gone & event.modes:
            return
        was_lost = event.lost >= event.modes
        event.modes, event.lost, event.out = event.modes - gone, event.lost - gone, event.out - gone
        if not event.modes:
            event.over, event.how = now, "rejected"
            self.tell(event, 252, now)
        elif event.lost >= event.modes and not was_lost:
            self.tell(event, 7, now)
            if not self.resumes:
                event.over, event.how = now, "superseded"

    def bridged(self, mode: str, now: int) -> Modelled | None:
        """The event whose value is held over a gap of seconds."""
        left = [e for e in self.events if e.over is not None and e.ran and mode in e.wanted]
        last = max(left, key=lambda e: (e.over, e.began), default=None)
        coming = [e for e in self.living() if mode in (e.modes - e.out if self.resumes else e.wanted)]
        starts = min((self.start(e) for e in coming), default=None)
        if last is None or last.how != "completed" or starts is None:
            return None
        return last if self.end(last) < starts <= self.end(last) + self.bridge else None


def randomised(bound: int | None) -> int:
    return 0 if not bound else drawn(bound, 0) if bound > 0 else -drawn(-bound, 0)


# -- the cases ------------------------------------------------------------------------------------------------------


@dataclass
class Case:
    events: list[Modelled]
    defaults: dict[str, dict[str, int]]
    cancels: dict[int, list[tuple[str, str]]]
    opts: dict[int, tuple[str, frozenset[str]]]
    unables: dict[int, tuple[str, frozenset[str]]]
    restarts: set[int]
    ticks: set[int]
    resumes: bool


def make_case(dice: random.Random) -> Case:
    pool = dice.sample(MODES, dice.randint(1, 5))
    offsets = {name: dice.choice((0, 0, 0, -3, 2)) for name in ("D1", "D2", "D3")}
    events, edges = [], [dice.randint(1, 12)]
    for index in range(dice.randint(1, 7)):
        primacy = dice.randint(1, 3)
        length = dice.choice((1, 2, 3, 5, 8, 13, 30))
        start = dice.choice((dice.choice(edges), dice.randint(1, 20)))
        edges.append(start + length)
        carried = frozenset(dice.sample(pool, dice.randint(1, len(pool))))
        offset = offsets[f"D{primacy}"]
        item = control(
            f"{index:02X}",
            start + offset,
            length,
            {name: index for name in sorted(carried)},
            creation_s=T0_S - dice.randint(1, 3),
            randomize_start_s=dice.choice((None, None, 0, 1, 3, 6, -2)),
            randomize_duration_s=dice.choice((None, None, None, 2, -4)),
            response_required=7,
        )
        events.append(Modelled(item, primacy, offset, carried, nominal=(start, start + length)))
    cancels: dict[int, list[tuple[str, str]]] = {}
    for event in events:
        if dice.random() < 0.3:
            kind = dice.choice(("at once", "randomised", "vanished"))
            cancels.setdefault(dice.randint(1, 25), []).append((event.control.mrid, kind))
    opts: dict[int, tuple[str, frozenset[str]]] = {}
    for _ in range(dice.choice((0, 0, 1, 2))):
        event = dice.choice(events)
        out = frozenset(dice.sample(sorted(event.modes), dice.randint(1, len(event.modes))))
        second = dice.randint(1, 30)
        opts[second] = (event.control.mrid, out)
        opts[second + dice.randint(1, 12)] = (event.control.mrid, frozenset())
    unables: dict[int, tuple[str, frozenset[str]]] = {}
    for _ in range(dice.choice((0, 0, 0, 1, 2))):
        event = dice.choice(events)
        gone = frozenset(dice.sample(sorted(event.modes), dice.randint(1, len(event.modes))))
        unables[dice.randint(0, 30)] = (event.control.mrid, gone)
    step = dice.choice((1, 1, 2, 3))
    stated = {name: {mode: 900 for mode in pool if dice.random() < 0.3} for name in ("D1", "D3")}
    restarts = {dice.randint(1, 40) for _ in range(dice.choice((0, 0, 1, 3)))}
    ticks = {*range(0, SECONDS, step), *cancels, *opts, *unables, *restarts, SECONDS - 1}
    return Case(events, stated, cancels, opts, unables, restarts, ticks, dice.random() < 0.5)


def listing(case: Case, gone: dict[str, str]) -> ProgramsKnown:
    status = {"at once": r.EventState.CANCELLED, "randomised": r.EventState.CANCELLED_RANDOMISED}
    programs = []
    for primacy in (1, 2, 3):
        items = []
        for event in case.events:
            kind = gone.get(event.control.mrid)
            if event.primacy == primacy and kind != "vanished":
                state = r.EventStatus(current=status.get(kind or "", r.EventState.SCHEDULED), changed_s=T0_S)
                items.append(control_with(event.control, state))
        stated = case.defaults.get(f"D{primacy}")
        programs.append(
            program(*items, primacy=primacy, mrid=f"D{primacy}", stated=default(stated) if stated else None)
        )
    offsets = {f"D{event.primacy}": event.offset * 1000 for event in case.events}
    return ProgramsKnown(programs=tuple(programs), offsets_ms=offsets)


def control_with(item: r.DERControl, status: r.EventStatus) -> r.DERControl:
    return item if item.status == status else r.DERControl(**{**fields_of(item), "status": status})


def fields_of(item: r.DERControl) -> dict[str, Any]:
    return {name: getattr(item, name) for name in item.__dataclass_fields__}


def profile_of(case: Case) -> UtilityProfile:
    profile = UtilityProfile()
    profile.CopyFrom(STANDARD)
    profile.resumes = case.resumes
    profile.opt_out = OptOutRule.OPT_OUT_RULE_ANY
    profile.response_codes.append(15)
    return profile


def check(case: Case, seed: int) -> None:
    profile = profile_of(case)
    count = [0]

    def draw(most: int) -> int:
        return drawn(most, count[0])

    scheduler = Scheduler(draw, profile=profile, acts_on=MODES)
    model = Model(case.events, resumes=case.resumes, bridge=profile.bridge_s)
    gone: dict[str, str] = {}
    sent: list[tuple[str, int, int]] = []
    known = listing(case, gone)
    for second in range(SECONDS):
        holders = model.settle(second)
        if second in case.restarts:
            sent += stamped(scheduler.handle(Tick(), at(second)))
            stored = scheduler.dump()
            scheduler = Scheduler(draw, profile=profile, acts_on=MODES)
            assert scheduler.restore(stored) == ()
            count[0] += 1
        for mrid, kind in case.cancels.get(second, ()):
            gone[mrid] = kind
            for event in case.events:
                if event.control.mrid == mrid:
                    model.cancel(event, second, kind, count[0])
        holders = model.settle(second)
        if second not in case.ticks:
            continue
        if second in case.cancels or second == 0:
            known = listing(case, gone)
        is_news = second in case.cancels or second % 4 == 0
        sent += stamped(scheduler.handle(known if is_news else Tick(), at(second)))
        if second in case.opts:
            mrid, out = case.opts[second]
            event = next(event for event in case.events if event.control.mrid == mrid)
            model.opt(event, second, (event.out | out) & event.modes if out else out)
            holders = model.settle(second)
            order = OptOut(mrid=mrid, lanes=out) if out else OptIn(mrid=mrid)
            sent += stamped(scheduler.handle(order, at(second)))
        if second in case.unables:
            mrid, out = case.unables[second]
            event = next(event for event in case.events if event.control.mrid == mrid)
            model.unable(event, second, out)
            holders = model.settle(second)
            sent += stamped(scheduler.handle(Unable(mrid=mrid, lanes=out, code=252), at(second)))
        if not (case.cancels or case.opts or case.unables) and not any(event.offset for event in case.events):
            assert sent_order_is_legal(sent)
        rules = {name: (row.mrid, row.is_default) for name, row in scheduler.ruling().items()}
        assert rules == expected(model, case, holders, second), f"seed {seed}, second {second}"
        if not model.living() and second > LAST_ACTION_S:
            break
        for name, (mrid, _) in rules.items():
            first = scheduler.timeline(name, most=1)[0]
            assert (first.mrid, first.start_ms) == (mrid, at(second).utc_ms), "what rules is where its timeline begins"
    assert sorted(item for item in sent if item[1] != 1) == sorted(model.told), f"seed {seed}"


def stamped(responds: Sequence[Respond]) -> list[tuple[str, int, int]]:
    return [(item.mrid, item.status, item.created_s - T0_S) for item in responds]


def sent_order_is_legal(sent: Sequence[tuple[str, int, int]]) -> bool:
    """Nobody is told of a start before the superseded at the same instant are."""
    codes = [(second, code) for _, code, second in sent if code in (2, 7)]
    return all(not (a[0] == b[0] and a[1] == 2 and b[1] == 7) for a, b in pairwise(codes))


def expected(model: Model, case: Case, holders: dict[str, Modelled], second: int) -> dict[str, tuple[str, bool]]:
    """What rules each mode: the holder, the bridge to the next one, or the default."""
    found = {}
    for mode in sorted({mode for event in case.events for mode in event.modes}):
        event = holders.get(mode) or model.bridged(mode, second)
        if event is not None:
            found[mode] = (event.control.mrid, False)
    for stated in case.defaults.values():
        found.update({mode: ("DEFA", True) for mode in stated if mode not in found})
    return found


@pytest.mark.parametrize("batch", range(BATCHES))
def test_the_engine_agrees_with_the_model_in_every_second(batch: int) -> None:
    for seed in range(batch, CASES, BATCHES):
        check(make_case(random.Random(seed)), seed)
