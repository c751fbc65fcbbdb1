"""The alerts rest on series that the product serves, and each is tested both ways. promtool is not needed here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from dgm import _core, config
from dgm.api.ems.v1.grid_pb2 import ListModesResponse
from dgm.app import listeners, roles_of
from dgm.der.service.metrics import DerMetrics
from dgm.ems.service.grid import GridCollector
from dgm.ems.service.metrics import EmsMetrics
from dgm.metrics import new_registry
from dgm.ocpp.gateway import GatewayMetrics

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
SITE = config.parse((DEPLOY / "site.example.yaml").read_text(encoding="utf-8"))
SERIES = re.compile(r"\bdgm_[a-z0-9_]+")


def load(name: str) -> Any:
    return yaml.safe_load((DEPLOY / "prometheus" / name).read_text(encoding="utf-8"))


RULES = {rule["alert"]: rule for group in load("rules.yaml")["groups"] for rule in group["rules"]}
TESTS = [case for test in load("rules_test.yaml")["tests"] for case in test["alert_rule_test"]]


def series_of(registry: CollectorRegistry) -> set[str]:
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
    return {family.name + ending for family in registry.collect() for ending in endings.get(family.type, ("",))}


@pytest.fixture(scope="module")
def served() -> set[str]:
    """Every series of all three roles."""
    field = _core.Field(SITE.SerializeToString(), 1)
    ems, der, ocpp = (new_registry(role) for role in ("ems", "der", "ocpp"))
    EmsMetrics(ems, field.counters)
    ems.register(GridCollector(ListModesResponse))
    DerMetrics(der, certificate_ends_s={"2030.5 device": 0.0})
    GatewayMetrics(ocpp)
    return series_of(ems) | series_of(der) | series_of(ocpp)


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_names_only_series_that_are_served(alert: str, served: set[str]) -> None:
    named = set(SERIES.findall(RULES[alert]["expr"]))
    assert named <= served
    assert named or 'up{job="dgm"}' in RULES[alert]["expr"]


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_is_tested_firing_and_not_firing(alert: str) -> None:
    expected = [case["exp_alerts"] for case in TESTS if case["alertname"] == alert]
    assert any(expected)
    assert [] in expected


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_says_how_urgent_it_is_and_what_to_do(alert: str) -> None:
    assert RULES[alert]["labels"]["severity"] in ("critical", "warning")
    assert {"summary", "remedy"} <= RULES[alert]["annotations"].keys()


def test_the_scraped_targets_are_the_metrics_listeners_of_the_example() -> None:
    job = load("prometheus.yaml")["scrape_configs"][0]
    found = [entry for role in roles_of(SITE) for entry in listeners(SITE, role)]
    expected = {f"{host}:{port}" for name, host, port in found if name.startswith("api.metrics_port_")}
    assert job["job_name"] == "dgm"
    assert set(job["static_configs"][0]["targets"]) == expected
