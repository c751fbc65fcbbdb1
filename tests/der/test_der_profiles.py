"""Utility profiles: those that ship, what is refused, and what they change in the event engine."""

from __future__ import annotations

import pytest
from der_events import EXP, GEN, IMP, Driver, control, no_draw, program
from der_examples import site

from dgm import config
from dgm.api.der.v1.profile_pb2 import OptOutRule, UtilityProfile
from dgm.der.client import dialect_of
from dgm.der.codec import Dialect, Edition
from dgm.der.core import DerCore
from dgm.der.profile import STANDARD, protected
from dgm.der.profiles import loader
from dgm.der.scheduler import OptIn, OptOut
from dgm.der.xml import AUS_13_NS
from dgm.errors import ConfigError

TARGET, FIXED, CONNECT, LIMIT = "opModTargetW", "opModFixedW", "opModConnect", "opModMaxLimW"
MODES = (IMP, EXP, GEN, TARGET, FIXED, CONNECT, LIMIT)


def driver(name: str) -> Driver:
    return Driver(profile=loader.load(name), acts_on=MODES)


def text_of(**changes: str) -> str:
    keys = {
        "name": "x",
        "title": "X",
        "edition": "S18",
        "response_codes": "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]",
        "resumes": "false",
        "lists_modes": "false",
        "not_applicable_code": "252",
        "opt_out": "UNPROTECTED",
        "bridge_s": "5",
        "poll_s": "300",
        "post_s": "300",
        "ciphers": "[A]",
        "pin": "IF_SHOWN",
        "aggregated_lfdi": "PEN",
        **changes,
    }
    return "\n".join(f"{key}: {value}" for key, value in keys.items() if value)


def test_every_profile_that_ships_can_be_read_under_its_own_name() -> None:
    assert set(loader.names()) == {"2018", "2023", "rule21", "csip-aus-1.2", "csip-aus-1.3", "sapn"}
    assert [loader.load(name).name for name in loader.names()] == list(loader.names())


def test_the_rules_that_the_engine_falls_back_to_are_those_of_the_2018_file() -> None:
    file = loader.load("2018")
    for field, _ in STANDARD.ListFields():
        assert getattr(STANDARD, field.name) == getattr(file, field.name), field.name


def test_the_utility_that_excludes_all_other_responses_gets_no_other() -> None:
    assert set(loader.load("sapn").response_codes) == {1, 2, 3, 6, 7}
    device = driver("sapn")
    device.give(0, program(control("A", -50, 20), control("B", 10, 20, {"opModVoltVar": 1}), control("C", 10, 20)))
    device.run(100)
    assert [item for item in device.sent if item[0] != "C"] == []


@pytest.mark.parametrize(
    ("changes", "place", "expected"),
    [
        ({"resumes": "true"}, "resumes", "15"),
        ({"response_codes": "[1, 2, 3, 6]"}, "response_codes", "1, 2, 3, 6 and 7"),
        ({"response_codes": "[1, 2, 3, 6, 7, 99]"}, "response_codes", "table 27"),
        ({"response_codes": "[1, 2, 3, 6, 7]"}, "opt_out", "NEVER"),
        ({"bridge_s": "31"}, "bridge_s", "0..30"),
        ({"bridge_s": ""}, "bridge_s", "no rule is guessed"),
        ({"edition": ""}, "edition", "S18 or S23"),
        ({"edition": "S19"}, "edition", "S18, S23"),
        ({"poll_s": "5"}, "poll_s", "10..86400"),
        ({"not_applicable_code": "254"}, "not_applicable_code", "252"),
        ({"ciphers": "[]"}, "ciphers", "OpenSSL"),
        ({"colour": "red"}, "colour", "one of"),
    ],
)
def test_a_wrong_profile_says_what_is_wrong_where(changes: dict[str, str], place: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loader.parse(text_of(**changes))
    problems = [problem for problem in caught.value.problems if problem.path == place]
    assert len(problems) == 1
    assert expected in problems[0].expected


def test_a_profile_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ConfigError, match=r"csip-aus-1\.2"):
        loader.load("../secrets")
    _, problems = config.examine("der: {url: 'https://a/dcap', profile: nobody}")
    assert any(item.path == "der.profile" and "sapn" in item.expected for item in problems)


def test_the_profile_states_the_rate_where_site_yaml_does_not() -> None:
    found, _ = config.examine("der: {url: 'https://a/dcap', profile: '2018'}")
    assert found.der.poll_s == 900
    found, _ = config.examine("der: {url: 'https://a/dcap'}")
    assert (found.der.profile, found.der.poll_s) == ("csip-aus-1.2", 300)


def test_the_profile_of_site_yaml_reaches_the_schedule() -> None:
    gateway = DerCore(site(), "3E" * 20, no_draw, profile=loader.load("sapn"))
    assert gateway.scheduler.engine.rules.codes == {1, 2, 3, 6, 7}


# -- what an edition changes ----------------------------------------------------------------------------------------


def test_2018_does_not_resume_and_2023_does() -> None:
    events = (control("A", 0, 100), control("B", 20, 30, {IMP: 5}, creation_s=2**31))
    codes, ruling = {}, {}
    for name in ("2018", "2023"):
        device = driver(name)
        device.give(0, program(*events))
        device.run(60)
        ruling[name] = device.power(IMP)
        device.run(200)
        codes[name] = [code for mrid, code, _ in device.sent if mrid == "A"]
    assert ruling == {"2018": None, "2023": 1000}
    assert codes == {"2018": [1, 2, 7], "2023": [1, 2, 7, 15, 3]}


def test_2023_tells_mode_by_mode_what_was_lost_and_what_came_back() -> None:
    device = driver("2023")
    device.give(
        0,
        program(
            control("A", 0, 100, {IMP: 1, EXP: 2}),
            control("B", 20, 30, {IMP: 5}, creation_s=2**31),
        ),
    )
    device.run(200)
    told = [(item.status, item.lanes) for item in device.scheduler.owed() if item.mrid == "A"]
    assert told == [(1, ()), (2, (EXP, IMP)), (7, (IMP,)), (15, (IMP,)), (3, (EXP, IMP))]


def test_2018_tells_of_supersession_only_when_nothing_is_left() -> None:
    device = driver("2018")
    device.give(0, program(control("A", 0, 100, {IMP: 1, EXP: 2}), control("B", 20, 30, {IMP: 5}, creation_s=2**31)))
    device.run(200)
    assert [code for mrid, code, _ in device.sent if mrid == "A"] == [1, 2, 3]


@pytest.mark.parametrize(("name", "code"), [("2018", 252), ("2023", 251), ("rule21", 252)])
def test_an_event_with_nothing_for_this_device_is_rejected_in_the_words_of_the_edition(name: str, code: int) -> None:
    device = driver(name)
    device.give(0, program(control("A", 10, 20, {"opModVoltVar": 1})))
    assert device.sent == [("A", code, 0)]


def test_what_never_began_before_it_was_superseded_starts_when_it_comes_back() -> None:
    device = driver("2023")
    device.give(0, program(control("A", 30, 60), control("B", 10, 30, {IMP: 5}, creation_s=2**31)))
    device.run(200)
    assert [item for item in device.sent if item[0] == "A"] == [("A", 1, 0), ("A", 7, 10), ("A", 2, 40), ("A", 3, 90)]


# -- opting out -----------------------------------------------------------------------------------------------------


def test_what_protects_people_and_the_grid_cannot_be_opted_out_of() -> None:
    assert protected((*MODES, "opModMaxLimVarInject", "opModIslandPermit")) == {
        IMP, EXP, GEN, CONNECT, LIMIT, "opModMaxLimVarInject", "opModIslandPermit",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["2018", "csip-aus-1.3", "rule21"])
@pytest.mark.parametrize("mode", [IMP, LIMIT, CONNECT])
def test_an_opt_out_of_a_limit_is_refused_and_changes_nothing(name: str, mode: str) -> None:
    device = driver(name)
    device.give(0, program(control("A", 0, 100, {mode: 1, FIXED: 5})))
    refusal = device.scheduler.opt_out_refusal(OptOut(mrid="A"))
    assert refusal is not None
    assert mode in refusal
    device.take(10, OptOut(mrid="A"))
    assert set(device.scheduler.ruling()) == {mode, FIXED}
    assert [code for _, code, _ in device.sent] == [1, 2]


def test_part_of_an_event_can_be_opted_out_of_and_that_is_told_at_its_end() -> None:
    device = driver("2018")
    device.give(0, program(control("A", 0, 100, {IMP: 1, FIXED: 5}, response_required=7)))
    part = OptOut(mrid="A", lanes=frozenset({FIXED}))
    assert device.scheduler.opt_out_refusal(part) is None
    device.take(10, part)
    assert set(device.scheduler.ruling()) == {IMP}
    device.run(200)
    assert [code for _, code, _ in device.sent] == [1, 2, 8]


def test_an_opt_out_makes_room_for_a_lower_rank_that_has_not_lost_yet() -> None:
    device = driver("2018")
    device.give(
        0,
        program(control("A", 10, 100, {TARGET: 1}, response_required=7)),
        program(control("B", 20, 50, {TARGET: 2}), mrid="D1", primacy=2),
    )
    device.take(5, OptOut(mrid="A"))
    device.run(30)
    assert device.power(TARGET) == 2
    device.take(40, OptIn(mrid="A"))
    assert device.power(TARGET) == 1
    assert [item for item in device.sent if item[0] == "B"] == [("B", 1, 0), ("B", 2, 20), ("B", 7, 40)]


def test_a_profile_may_permit_any_opt_out() -> None:
    profile = UtilityProfile()
    profile.CopyFrom(STANDARD)
    profile.opt_out = OptOutRule.OPT_OUT_RULE_ANY
    device = Driver(profile=profile)
    device.give(0, program(control("A", 0, 100, response_required=7)))
    device.take(10, OptOut(mrid="A"))
    assert device.power(IMP) is None
    assert [code for _, code, _ in device.sent] == [1, 2, 4]


def test_an_opt_out_survives_a_restart() -> None:
    device = driver("2018")
    device.give(0, program(control("A", 0, 100, {TARGET: 1}, response_required=7)))
    device.take(10, OptOut(mrid="A"))
    device.restart(20)
    assert device.scheduler.ruling() == {}
    device.run(200)
    assert [code for _, code, _ in device.sent] == [1, 2, 4, 8]


def test_a_profile_decides_the_edition_and_the_namespace_of_what_is_sent() -> None:
    assert dialect_of(loader.load("csip-aus-1.3")) == Dialect(edition=Edition.S18, aus_namespace=AUS_13_NS)
    assert dialect_of(loader.load("2023")) == Dialect(edition=Edition.S23, aus_namespace=None)
    assert dialect_of(loader.load("rule21")) == Dialect(edition=Edition.S18, aus_namespace=None)
