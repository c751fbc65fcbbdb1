"""The policies that a site may list. A new one is a file in this folder with a POLICY, and its line in MODULES.

ems.policies of site.yaml ──chosen──> [Chosen(label, policy, params)] in rank order, or what is wrong and where
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import import_module

from dgm.api.config.v1.config_pb2 import PolicyConfig
from dgm.ems.policies import parameters
from dgm.ems.stack import Chosen, Policy

MODULES = (
    "override",
    "lpc",
    "export_limit",
    "demand_response",
    "flow_reservation",
    "random_delay",
    "peak",
    "promise",
    "two_pass_site",
    "equal_share",
    "planner",
    "tariff",
    "self_consumption",
)


@cache
def policies() -> dict[str, Policy]:
    """Every policy by name, in the order of MODULES."""
    found = [import_module(f"dgm.ems.policies.{module}").POLICY for module in MODULES]
    return {policy.name: policy for policy in found}


def chosen(configs: Iterable[PolicyConfig]) -> tuple[list[Chosen], list[tuple[str, str, str]]]:
    """The policies of a site in rank order; and what is wrong: (path below `ems`, found, expected)."""
    stack: list[Chosen] = []
    findings: list[tuple[str, str, str]] = []
    for index, config in enumerate(configs):
        path = f"policies[{index}]"
        policy = policies().get(config.name)
        if policy is None:
            findings.append((f"{path}.name", repr(config.name), "one of " + ", ".join(policies())))
            continue
        given = {key: list(values.values) for key, values in config.parameters.items()}
        params, wrong = parameters.read(policy.params, given)
        findings += [(f"{path}.parameters.{key}", found, expected) for key, found, expected in wrong]
        times = 1 + sum(one.policy is policy for one in stack)
        label = policy.name if times == 1 else f"{policy.name}-{times}"
        stack.append(Chosen(label=label, policy=policy, params=params))
    return stack, findings
