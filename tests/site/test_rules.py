"""Each rule of `dgm check` holds where it should, and is broken by the one change that breaks it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from site_documents import SITE, THREE, Change, Document, evse, site

from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.cli.check import rule_rows, run_check, tightest
from dgm.site.finding import RULES, RuleRow, State

TODAY = date(2026, 7, 1)


def of(rule: str, config: DgmConfig) -> list[RuleRow]:
    return [row for row in rule_rows(config, TODAY) if row.rule == rule]


def states(rows: Iterable[RuleRow]) -> set[State]:
    return {row.state for row in rows}


def put(place: str, index: int, **fields: Any) -> Change:
    return lambda document: document[place][index].update(fields)


def drop(place: str, index: int, name: str) -> Change:
    return lambda document: document[place][index].pop(name)


def of_site(**fields: Any) -> Change:
    return lambda document: document["site"].update(fields)


def single_phase(count: int, *, phase: str = "L1") -> Change:
    more = [evse(100 + at, phases=[phase], current_max_ma=16_000, fallback_ma=0) for at in range(count)]
    return lambda document: document["stations"].extend(more)


def same_rotation(document: Document) -> None:
    for station in document["stations"]:
        station["evses"][0]["phases"] = THREE


def only_read(document: Document) -> None:
    document["assets"][2]["modbus"]["device"] = "victron_gx_battery"


def test_the_reference_site_holds_every_rule() -> None:
    installed = {evse.id: evse.fallback_ma for station in site().stations for evse in station.evses}
    found = rule_rows(site(), TODAY, installed)
    assert {row.rule for row in found} == set(RULES)
    assert states(found) == {State.HOLDS}
    assert all(not row.action for row in found)


BROKEN: dict[str, tuple[str, State, tuple[Change, ...], str, str]] = {
    "breaker above the parent's": ("C01", State.BROKEN, (put("circuits", 1, breaker_ma=800_000),), "feeder", "800 A"),
    "EVs beyond 80 %": (
        "C02",
        State.BROKEN,
        (put("circuits", 1, current_limit_ma=201_000), single_phase(1)),
        "feeder",
        "201 A",
    ),
    "building beyond the breaker": (
        "C03",
        State.BROKEN,
        (put("circuits", 0, max_uncontrolled_w=480_000),),
        "grid",
        "732.266 A",
    ),
    "a battery beyond the feeder that nobody commands": (
        "C03",
        State.BROKEN,
        (put("assets", 2, circuit="feeder"), only_read),
        "feeder",
        "362.319 A",
    ),
    "single-phase EVSEs on one phase": ("C04", State.WARNING, (single_phase(2),), "feeder", "L1 32 A"),
    "one rotation for all": ("C04", State.WARNING, (same_rotation,), "feeder", "L1 192 A"),
    "import beyond the service": ("C05", State.BROKEN, (put("circuits", 0, import_limit_w=476_000),), "grid", "476 kW"),
    "export beyond the approval": (
        "C06",
        State.BROKEN,
        (put("circuits", 0, export_limit_w=151_000),),
        "grid",
        "export limit 151 kW",
    ),
    "no export limit": (
        "C06",
        State.BROKEN,
        (drop("circuits", 0, "export_limit_w"),),
        "grid",
        "no export limit; 390 kW could be",
    ),
    "nothing to curtail": ("C07", State.BROKEN, (only_read,), "grid", "190 kW"),
    "promise beyond the energy": (
        "C08",
        State.WARNING,
        (of_site(dr_promise={"power_w": 150_000, "duration_s": 9_000}),),
        "s",
        "350 kWh usable",
    ),
    "promise beyond the power": (
        "C08",
        State.WARNING,
        (of_site(dr_promise={"power_w": 251_000, "duration_s": 60}),),
        "s",
        "250 kW",
    ),
    "no car fits": ("C09", State.WARNING, (put("circuits", 1, max_uncontrolled_w=136_000),), "feeder", "0 at a time"),
    "an unknown fallback": (
        "C10",
        State.BROKEN,
        (lambda document: document["stations"][0]["evses"][0].pop("fallback_ma"),),
        "e0",
        "no fallback_ma",
    ),
    "the fallback budget": ("C11", State.BROKEN, (put("circuits", 1, current_limit_ma=71_000),), "feeder", "= 72 A"),
    "a slow lease": ("C12", State.BROKEN, (of_site(upstream_failsafe_s=120),), "EVSEs", "125 s"),
    "a slow revert": ("C12", State.BROKEN, (put("assets", 1, revert_s=301),), "pv", "301 s"),
    "a slow renewal": (
        "C13",
        State.WARNING,
        (lambda document: document.update(ems={"setpoint_ttl_ms": 60_000}),),
        "EVSEs",
        "within 60 s",
    ),
    "an old drill": ("C14", State.WARNING, (of_site(drilled_on="2026-04-01"),), "s", "91 days ago"),
    "a drill to come": ("C14", State.WARNING, (of_site(drilled_on="2026-07-02"),), "s", "a day to come"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_rule_is_broken_by_what_breaks_it_and_says_where_and_by_how_much(name: str) -> None:
    rule, state, changes, where, figure = BROKEN[name]
    failing = [row for row in of(rule, site(*changes)) if row.state is not State.HOLDS]
    assert states(failing) == {state}
    assert where in {row.where for row in failing}
    [first, *_] = [row for row in failing if row.where == where]
    assert figure in first.found
    assert first.action
    assert first.expected


UNSTATED: dict[str, tuple[Change, ...]] = {
    "C02": (drop("circuits", 1, "breaker_ma"),),
    "C05": (lambda document: document["site"].pop("power_factor_floor_permille"),),
    "C06": (drop("circuits", 0, "approved_export_w"),),
    "C08": (lambda document: document["site"].pop("dr_promise"),),
    "C12": (lambda document: document["site"].pop("upstream_failsafe_s"),),
    "C14": (lambda document: document["site"].pop("drilled_on"),),
}


@pytest.mark.parametrize("rule", UNSTATED)
def test_what_site_yaml_does_not_say_is_not_proved_and_not_blamed(rule: str) -> None:
    found = [row for row in of(rule, site(*UNSTATED[rule])) if row.state is not State.HOLDS]
    assert states(found) == {State.UNSTATED}
    assert all(row.expected in row.action for row in found)


def test_an_import_limit_beyond_the_service_is_broken_though_no_power_factor_is_stated() -> None:
    config = site(*UNSTATED["C05"], put("circuits", 0, import_limit_w=501_000))
    assert states(of("C05", config)) == {State.BROKEN}


def test_a_breaker_is_held_against_the_next_one_above_that_is_known() -> None:
    def between(document: Document) -> None:
        document["circuits"][1]["parent"] = "panel"
        document["circuits"].append({"id": "panel", "parent": "grid"})

    [row] = of("C01", site(between))
    assert (row.where, row.state) == ("feeder", State.HOLDS)
    assert "grid" in row.expected


def test_more_cars_than_a_feeder_carries_are_no_fault_and_their_turns_are_counted() -> None:
    config = site(evses=60)
    [row] = [row for row in of("C09", config) if (row.where, row.side) == ("feeder", "import L1")]
    assert row.state is State.HOLDS
    assert "33 at a time, each waits 15 min at most" in row.found
    connected = next(row for row in of("C03", config) if (row.where, row.side) == ("feeder", "import L2"))
    assert (connected.state, "connected 960 A" in connected.found) == (State.HOLDS, True)


def test_every_circuit_phase_and_direction_has_its_row() -> None:
    sides = {(row.where, row.side) for row in of("C11", site())}
    assert sides == {
        *((where, f"import L{phase}") for where in ("grid", "feeder") for phase in (1, 2, 3)),
        *(("grid", f"export L{phase}") for phase in (1, 2, 3)),
        ("grid", "import"),
        ("grid", "export"),
    }


def test_of_phases_that_hold_the_tightest_is_shown_and_every_broken_one() -> None:
    uneven = site(single_phase(1, phase="L2"))
    shown = [row for row in tightest(of("C11", uneven)) if row.where == "feeder"]
    assert [(row.side, row.state) for row in shown] == [("import L1", State.HOLDS)]
    broken = [
        row
        for row in tightest(of("C11", site(put("circuits", 1, current_limit_ma=71_000))))
        if row.state is State.BROKEN
    ]
    assert [row.side for row in broken] == ["import L1", "import L2", "import L3"]


def written(folder: Path, *changes: Change) -> Path:
    document = json.loads(json.dumps(SITE))
    document["stations"] = [evse(number) for number in range(3)]
    document["site"]["run_dir"] = str(folder / "run")
    document["site"].pop("drilled_on")
    for change in changes:
        change(document)
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_exit_code_tells_held_warned_and_broken_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_check(written(tmp_path), json_out=False, today=TODAY) == 0
    assert "so not proved: C14" in capsys.readouterr().out
    assert run_check(written(tmp_path, same_rotation), json_out=False, today=TODAY) == 1
    assert "1 warning(s)" not in capsys.readouterr().err
    unknown = written(tmp_path, lambda document: document["stations"][0]["evses"][0].pop("fallback_ma"))
    assert run_check(unknown, json_out=False, today=TODAY) == 2
    said = capsys.readouterr()
    assert "1 row(s) of C10 (every fallback is known) broken" in said.err
    assert "state fallback_ma" in said.out


def test_programs_get_every_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_check(written(tmp_path), json_out=True, today=TODAY) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["passed"] is True
    assert {row["rule"] for row in document["rules"]} == set(RULES)
    assert {row["state"] for row in document["rules"]} == {"holds", "unstated"}
    assert len([row for row in document["rules"] if row["rule"] == "C11"]) == 11
