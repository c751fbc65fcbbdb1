"""What README says of policies is true: its list is accepted, and its example is a policy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ems_examples import E1, SITE
from policy_examples import evse, picture

from dgm import config as site_config
from dgm.ems.policies import parameters
from dgm.ems.stack import Chosen, Policy, Stack

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def block(beginning: str) -> str:
    match = re.search(rf"```(?:python)?\n({re.escape(beginning)}.*?)```", README, re.DOTALL)
    assert match is not None, beginning
    return match[1]


def test_the_list_of_policies_is_a_site_yaml() -> None:
    config = site_config.parse(SITE + block("ems:\n  time_zone"))
    assert [one.name for one in config.ems.policies] == ["override", "peak", "promise", "tariff"]


@pytest.mark.parametrize(("hour", "high_ma"), [(23, 10_000), (5, 10_000), (12, None)])
def test_the_example_is_a_policy_that_does_what_it_says(hour: int, high_ma: int | None) -> None:
    module: dict[str, Any] = {"__name__": "quiet_nights"}
    exec(compile(block('"""Cars charge gently'), "README.md", "exec", dont_inherit=True), module)
    policy = module["POLICY"]
    assert isinstance(policy, Policy)
    params, wrong = parameters.read(policy.params, {})
    assert not wrong
    snapshot = picture(utc_ms=hour * 3_600_000, evses=[evse(E1)])
    stack = Stack([Chosen(label=policy.name, policy=policy, params=params)], snapshot.topology, int)
    assert stack.run(snapshot).of(E1).high == high_ma
    assert stack.seats[0].why is None
