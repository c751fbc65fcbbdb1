"""Regulation packs: their files are sound, what they ask of a site is asked, and their examples are ours."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ems_examples import SITE

from dgm import config as site_config
from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.der.effect import Ratings, gradient_ramp_ms
from dgm.errors import ConfigError
from dgm.packs import loader

PACK = """
name: x
title: X
sources: [a document]
rules: [{id: R, text: t, answer: a}]
"""


def site(ems: str, **more: Any) -> DgmConfig:
    document = yaml.safe_load(SITE)
    for path, value in more.items():
        document[path] = value
    return site_config.parse(yaml.safe_dump(document | {"ems": yaml.safe_load(ems)}))


def problems(ems: str, **more: Any) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        site(ems, **more)
    return {problem.path: problem.expected for problem in caught.value.problems}


@pytest.mark.parametrize("name", loader.names())
def test_every_pack_is_sound_and_says_where_its_rules_are_from(name: str) -> None:
    pack = loader.load(name)
    assert pack.name == name
    assert all(rule.id and rule.text and rule.answer for rule in pack.rules)
    words = " ".join([pack.title, *(rule.answer for rule in pack.rules)]).lower()
    assert "certified" not in words
    assert "compliant" not in words


def test_a_pack_that_does_not_exist_is_told_with_those_that_do() -> None:
    assert problems("{pack: 14b}")["ems.pack"].startswith("one of 14a, csip-aus")


def test_the_policies_of_a_pack_rank_before_those_of_the_site() -> None:
    config = site("{pack: uk-smart-charging, policies: [{name: promise}]}", stations=fallbacks(6000))
    assert [one.name for one in config.ems.policies] == ["override", "random_delay", "promise"]
    assert list(config.ems.policies[1].parameters["max_s"].values) == ["600"]


def test_a_policy_that_the_site_lists_too_keeps_its_place_and_its_own_parameters() -> None:
    config = site("{pack: 14a, policies: [{name: promise}, {name: lpc, parameters: {failsafe_w: 9000}}]}")
    assert [one.name for one in config.ems.policies] == ["promise", "lpc"]
    given = {key: list(value.values) for key, value in config.ems.policies[1].parameters.items()}
    assert given == {"failsafe_w": ["9000"], "guard": ["utility:guard"]}


def fallbacks(current_ma: int) -> Any:
    stations = yaml.safe_load(SITE)["stations"]
    for station in stations:
        for evse in station["evses"]:
            evse["fallback_ma"] = current_ma
    return stations


def test_what_a_pack_demands_of_the_site_is_a_problem_with_its_place_and_reason() -> None:
    found = problems("{pack: uk-smart-charging}", stations=fallbacks(0))
    assert set(found) == {"stations[0].evses[0].fallback_ma", "stations[1].evses[0].fallback_ma"}
    assert "pack uk-smart-charging" in found["stations[0].evses[0].fallback_ma"]


def test_a_pack_demands_fields_that_are_missing_and_choices_that_are_others() -> None:
    found = problems("{pack: csip-aus, cycle_ms: 10000}")
    assert set(found) == {"der.url", "der.profile", "ems.cycle_ms"}


def test_a_pack_that_is_met_is_silent() -> None:
    assert site("{pack: pcs}").ems.pack == "pcs"
    assert set(problems("{pack: pcs, setpoint_ttl_ms: 60000}")) == {"ems.setpoint_ttl_ms"}


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ("demands: [{path: ems.nothing, present: true, why: w}]", "demands[0].path"),
        ("demands: [{path: ems, present: true, why: w}]", "demands[0].path"),
        ("demands: [{path: ems.cycle_ms, at_most: 1, at_least: 2, why: w}]", "demands[0]"),
        ("demands: [{path: ems.cycle_ms, at_most: 1}]", "demands[0].why"),
        ("policies: [{name: peek}]", "policies[0].name"),
        ("policies: [{name: peak}]", "policies[0].parameters.ceiling_w"),
    ],
)
def test_a_pack_that_cannot_be_meant_is_refused(more: str, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loader.parse(PACK + more)
    assert [problem.path for problem in caught.value.problems] == [path]


def test_the_ramps_that_a_pack_shows_are_the_ramps_of_the_der_role() -> None:
    shown = [ramp for name in loader.names() for ramp in loader.load(name).ramps]
    assert shown
    for ramp in shown:
        ratings = Ratings(max_w=100_000, charge_w=0, gradient=ramp.set_grad_w)
        change_w = ratings.max_w * ramp.change_permille // 1000
        assert gradient_ramp_ms(change_w, ratings) == ramp.duration_ms
