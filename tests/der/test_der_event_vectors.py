"""Situations of the public CSIP-AUS client procedures, as vectors of our own for the event engine.

Each is named after the procedure whose situation it plays (CACTUS ids): what the utility does and when, what has to be
answered, and what has to rule. The utility changes its mind between polls; the device sees it at the next one, or at
once where a procedure notifies. Powers are in percent of the site's rating.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from der_events import EXP, GEN, IMP, Driver, control, default, program

from dgm.der import resource as r
from dgm.der.scheduler import ProgramsKnown

LOAD = "opModLoadLimW"
MIRROR = {EXP: IMP, GEN: LOAD}
"""What a GEN procedure limits, and what the LOA procedure of the same number limits instead."""
POLL_S = 60


class Utility:
    """A server that the device polls each minute from T0 on. Programs are D0, D1... in the order of their making."""

    def __init__(self, *primacies: int, draw: Callable[[int], int] = lambda most: 0, **options: Any) -> None:
        self.device = Driver(draw, **options)
        self.primacies = {f"D{index}": primacy for index, primacy in enumerate(primacies or (0,))}
        self.controls: dict[str, dict[str, r.DERControl]] = {name: {} for name in self.primacies}
        self.defaults: dict[str, r.DefaultDERControl | None] = dict.fromkeys(self.primacies)
        self.is_up = True
        self._next_poll = 0

    def stated(self, name: str, modes: dict[str, int], **changes: Any) -> None:
        self.defaults[name] = replace(default(modes, **changes), mrid=f"DEFA{name}")

    def order(self, tag: str, start: int, duration: int, modes: dict[str, Any], *, of: str = "D0", **more: Any) -> None:
        made = control(tag, start, duration, {name: value for name, value in modes.items() if value is not False})
        off = tuple(r.ControlMode(name=name, on=False) for name, value in modes.items() if value is False)
        base = replace(made.base, modes=(*off, *made.base.modes))
        self.controls[of][tag] = replace(made, base=base, **more)

    def cancel(self, tag: str, kind: r.EventState = r.EventState.CANCELLED) -> None:
        for controls in self.controls.values():
            if tag in controls:
                controls[tag] = replace(controls[tag], status=r.EventStatus(current=kind, changed_s=0))

    def poll(self, second: float) -> None:
        if self.is_up:
            self.device.give(second, *(self._program(name) for name in self.primacies))

    def until(self, second: float) -> Utility:
        """Let time pass; every poll that is due is made."""
        while self._next_poll <= second:
            self.poll(self._next_poll)
            self._next_poll += POLL_S
        self.device.run(second)
        return self

    def rules(self, mode: str) -> int | None:
        row = self.device.scheduler.ruling().get(mode)
        return None if row is None else row.value.power_w

    def codes(self, tag: str) -> list[tuple[int, int]]:
        """(code, second) of one event."""
        return [(code, second) for mrid, code, second in self.device.sent if mrid == tag]

    def _program(self, name: str) -> r.AssignedProgram:
        listed = self.controls[name].values()
        return program(*listed, primacy=self.primacies[name], mrid=name, stated=self.defaults[name])


def test_all_18_every_way_an_event_can_go() -> None:
    site = Utility()
    site.stated("D0", {IMP: 0, EXP: 0})
    site.order("DERC1", 0, 120, {EXP: 200, IMP: 200})
    site.until(121)
    site.order("DERC2", 421, 600, {EXP: 200, IMP: 200})
    site.until(421).cancel("DERC2")
    site.until(481)
    site.order("DERC3", 1081, 120, {EXP: 0, IMP: 0})
    site.until(541).cancel("DERC3")
    site.until(601)
    site.order("DERC4", 1201, 600, {EXP: 200, IMP: 200})
    site.until(661)
    site.order("DERC5", 1201, 60, {EXP: 0, IMP: 0}, creation_s=2**31)
    site.until(1900)
    assert site.codes("DERC1") == [(1, 0), (2, 0), (3, 120)]
    assert site.codes("DERC2") == [(1, 180), (2, 421), (6, 480)]
    assert site.codes("DERC3") == [(1, 540), (6, 600)]
    assert site.codes("DERC4") == [(1, 660), (7, 1201)]
    assert site.codes("DERC5") == [(1, 720), (2, 1201), (3, 1261)]
    assert site.device.sent.index(("DERC4", 7, 1201)) < site.device.sent.index(("DERC5", 2, 1201))


def test_all_18_superseded_after_its_start() -> None:
    site = Utility()
    site.order("DERC4", 100, 600, {EXP: 200})
    site.order("DERC5", 160, 60, {EXP: 0}, creation_s=2**31)
    site.until(900)
    assert site.codes("DERC4") == [(1, 0), (2, 100), (7, 160)]
    assert site.rules(EXP) is None


def test_all_21_a_schedule_of_minutes_is_followed_minute_by_minute() -> None:
    shares = (30, 60, 40, 50, 20, 10, 70, 20, 30, 30, 50, 90, 10, 10, 50, 40, 10, 70, 90, 10, 40, 30, 70, 50)
    site = Utility()
    site.stated("D0", {IMP: 0, EXP: 0})
    for minute, share in enumerate(shares):
        site.order(f"{minute:02}", 60 * minute, 60, {EXP: share, IMP: share})
    for minute, share in enumerate(shares):
        for second in (60 * minute, 60 * minute + 59.999):
            assert (site.until(second).rules(EXP), site.rules(IMP)) == (share, share)
        assert site.codes(f"{minute:02}")[:2] == [(1, 0), (2, 60 * minute)]
    site.until(60 * len(shares))
    assert all(site.codes(f"{minute:02}")[-1] == (3, 60 * minute + 60) for minute in range(len(shares)))
    assert (site.rules(EXP), site.rules(IMP)) == (0, 0)


@pytest.mark.parametrize("draws", [(0,) * 5, (60,) * 5, (37, 2, 60, 0, 11)])
def test_all_22_randomised_starts_of_successive_events_leave_neither_gap_nor_overlap(draws: tuple[int, ...]) -> None:
    left = iter(draws)
    site = Utility(draw=lambda most: next(left))
    site.stated("D0", {EXP: 0})
    for index in range(5):
        site.order(f"DERC{index}", 120 * index, 120, {EXP: 200}, randomize_start_s=60)
    seen = {site.until(second).rules(EXP) for second in range(draws[0], 600 + draws[0])}
    assert seen == {200}
    starts = [second for index in range(5) for code, second in site.codes(f"DERC{index}") if code == 2]
    ends = [second for index in range(5) for code, second in site.codes(f"DERC{index}") if code == 3]
    assert all(0 <= start - 120 * index <= 60 for index, start in enumerate(starts))
    assert starts[1:] == ends[: len(starts) - 1]


def test_all_23_the_schedule_outlives_the_server_then_the_default_holds() -> None:
    site = Utility()
    site.stated("D0", {IMP: 0, EXP: 0})
    shares = (200, 20, 180, 70, 130)
    for minute, share in enumerate(shares):
        site.order(f"DERC{minute}", 60 * minute, 60, {EXP: share, IMP: share})
    site.until(1)
    site.is_up = False
    assert [site.until(60 * minute + 30).rules(EXP) for minute in range(5)] == list(shares)
    assert [site.codes(f"DERC{minute}")[-1][0] for minute in range(4)] == [3, 3, 3, 3]
    site.until(430).device.restart(430)
    assert (site.rules(EXP), site.rules(IMP)) == (0, 0)
    site.is_up = True
    site.order("DERC6", 430, 300, {EXP: 200, IMP: 200})
    assert site.until(480).rules(EXP) == 200


@pytest.mark.parametrize("limited", [EXP, IMP], ids=["GEN-03", "LOA-03"])
@pytest.mark.parametrize("is_gross", [False, True], ids=["03", "04"])
def test_gen_03_04_loa_03_04_a_default_changes_under_an_event_and_is_taken_away(limited: str, is_gross: bool) -> None:
    mode = {EXP: GEN, IMP: LOAD}[limited] if is_gross else limited
    site = Utility()
    site.stated("D0", {mode: 0}, set_grad_w_permyriad_s=167)
    site.order("DERC1", 0, 900, {mode: 200})
    site.until(1).stated("D0", {mode: 30}, set_grad_w_permyriad_s=167)
    assert site.until(61).rules(mode) == 200, "an event rules, whatever becomes of the default"
    site.cancel("DERC1")
    assert site.until(121).rules(mode) == 30
    site.order("DERC2", 180, 600, {mode: 200})
    assert site.until(779).rules(mode) == 200
    assert site.until(780).rules(mode) == 30
    site.order("DERC3", 900, 600, {mode: 0})
    site.defaults["D0"] = None
    assert site.until(960).rules(mode) == 0
    assert site.until(1500).rules(mode) is None
    assert site.codes("DERC1") == [(1, 0), (2, 0), (6, 120)]


@pytest.mark.parametrize("mode", [EXP, IMP], ids=["GEN-09", "LOA-09"])
@pytest.mark.parametrize("kind", [r.EventState.CANCELLED, r.EventState.CANCELLED_RANDOMISED, None])
def test_gen_09_loa_09_the_default_rules_after_a_cancelled_control(mode: str, kind: r.EventState | None) -> None:
    site = Utility()
    site.stated("D0", {mode: 30}, set_grad_w_permyriad_s=600)
    site.order("PRE", 0, 300, {EXP: 200, IMP: 200})
    assert site.until(119).rules(mode) == 200
    if kind is None:
        del site.controls["D0"]["PRE"]
    else:
        site.cancel("PRE", kind)
    assert site.until(120).rules(mode) == 30
    assert site.codes("PRE") == [(1, 0), (2, 0), (6, 120)]


@pytest.mark.parametrize("net", [EXP, IMP], ids=["GEN-10", "LOA-10"])
def test_gen_10_loa_10_primacy_over_two_assignments_and_fifteen_programs(net: str) -> None:
    gross = MIRROR[GEN] if net == IMP else GEN
    site = Utility(*(1,) * 5, *(2,) * 10, acts_on=(EXP, IMP, GEN, LOAD, "opModConnect"))
    first, second = "D0", "D5"
    for name in (first, second):
        site.stated(name, {IMP: 0, EXP: 0}, set_grad_w_permyriad_s=167)
    site.until(1).stated(first, {IMP: 0, EXP: 0, net: 30}, set_grad_w_permyriad_s=167)
    assert site.until(60).rules(net) == 30
    site.order("DERC1", 180, 600, {net: 200}, of=second)
    assert site.until(240).rules(net) == 200
    site.order("DERC2", 300, 840, {net: 0}, of=first)
    assert site.until(300).rules(net) == 0
    assert site.until(1139).rules(net) == 0, "what was superseded does not come back"
    assert site.until(1140).rules(net) == 30
    site.order("DERC3", 1140, 300, {net: 200}, of=second)
    assert site.until(1200).rules(net) == 200
    assert site.until(1441).rules(net) == 30
    site.order("DERC4", 1560, 300, {gross: 0, "opModConnect": False}, of=first)
    site.order("DERC5", 1560, 1200, {net: 200}, of=second)
    assert (site.until(1561).rules(gross), site.rules(net)) == (0, 200), "modes that differ run side by side"
    assert site.device.scheduler.ruling()["opModConnect"].value.on is False
    assert (site.until(1860).rules(gross), site.rules(net)) == (None, 200)
    assert site.until(2760).rules(net) == 30
    codes = [[code for code, _ in site.codes(f"DERC{index}")] for index in range(1, 6)]
    assert codes == [[1, 2, 7], [1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2, 3]]
    sent = site.device.sent
    assert sent.index(("DERC1", 7, 300)) < sent.index(("DERC2", 2, 300))


@pytest.mark.parametrize("mode", [EXP, GEN, IMP, LOAD], ids=["GEN-11", "GEN-12", "LOA-11", "LOA-12"])
def test_gen_11_12_loa_11_12_limits_back_to_back(mode: str) -> None:
    site = Utility()
    site.stated("D0", {mode: 0})
    site.until(59)
    shares = (200, 100, 40, 25, 0)
    for index, share in enumerate(shares):
        site.order(f"DERC{index}", 60 + 120 * index, 120, {mode: share})
    for index, share in enumerate(shares):
        for second in (60 + 120 * index, 179.999 + 120 * index):
            assert site.until(second).rules(mode) == share
    site.until(700)
    assert [[code for code, _ in site.codes(f"DERC{index}")] for index in range(5)] == [[1, 2, 3]] * 5


@pytest.mark.parametrize("mode", [IMP, LOAD], ids=["LOA-01", "LOA-02"])
@pytest.mark.parametrize("is_notified", [False, True], ids=["polled", "LOA-05, LOA-06"])
def test_loa_01_02_05_06_a_limit_is_in_force_when_it_is_heard_of(mode: str, is_notified: bool) -> None:
    site = Utility()
    site.until(10).order("DERC1", 10, 300, {mode: 50})
    if is_notified:
        site.poll(11)
    assert site.until(12).rules(mode) == (50 if is_notified else None)
    assert site.until(60).rules(mode) == 50
    assert site.codes("DERC1")[:2] == ([(1, 11), (2, 11)] if is_notified else [(1, 60), (2, 60)])


@pytest.mark.parametrize("mode", [IMP, LOAD], ids=["LOA-07", "LOA-08"])
def test_loa_07_08_a_notified_default_rules_at_once(mode: str) -> None:
    site = Utility()
    site.stated("D0", {mode: 0})
    assert site.until(10).rules(mode) == 0
    site.stated("D0", {mode: 30})
    site.poll(11)
    assert site.until(12).rules(mode) == 30


def test_all_13_the_gradient_of_the_default_follows_the_server() -> None:
    site = Utility(1, 2)
    site.stated("D1", {EXP: 0}, set_grad_w_permyriad_s=500)
    assert site.until(0).device.scheduler.default_gradient_permyriad_s() == 500
    for gradient in (100, 27):
        site.stated("D0", {EXP: 0}, set_grad_w_permyriad_s=gradient)
        site.until(site._next_poll)
        assert site.device.scheduler.default_gradient_permyriad_s() == gradient


def test_p_01_two_devices_that_share_mrids_each_answer_for_themselves() -> None:
    one, two = Utility(1, 2), Utility(1, 2, draw=lambda most: most)
    for site in (one, two):
        site.order("DERC1", 120, 120, {EXP: 0, IMP: 0}, randomize_start_s=9)
        site.until(400)
    assert one.codes("DERC1") == [(1, 0), (2, 120), (3, 240)]
    assert two.codes("DERC1") == [(1, 0), (2, 129), (3, 249)]


def test_p_02_a_program_that_is_not_assigned_any_more_is_not_followed() -> None:
    site = Utility(1, 2)
    site.order("DERC1", 0, 120, {EXP: 200, IMP: 200})
    site.until(121)
    del site.primacies["D1"]
    site.until(180).order("DERC2", 180, 120, {EXP: 200, IMP: 200}, of="D1")
    site.until(500)
    assert site.codes("DERC1") == [(1, 0), (2, 0), (3, 120)]
    assert site.codes("DERC2") == []
    assert site.rules(EXP) is None


def test_an_assignment_with_a_clock_of_its_own_runs_and_answers_by_it() -> None:
    site = Utility(1, 2)
    site.order("FAST", 100, 50, {EXP: 1}, of="D0")
    site.order("OURS", 100, 50, {IMP: 2}, of="D1")
    programs = tuple(site._program(name) for name in site.primacies)
    known = ProgramsKnown(programs=programs, offsets_ms={"D0": 30_000})
    site.device.take(0, known)
    assert (site.device.run(70), site.rules(EXP), site.rules(IMP)) == (None, 1, None)
    site.device.run(200)
    assert site.codes("FAST") == [(1, 30), (2, 100), (3, 150)]
    assert site.codes("OURS") == [(1, 0), (2, 100), (3, 150)]
