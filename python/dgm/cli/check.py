"""`dgm check`: everything that can be proved about a site.yaml before anything starts.

Exit codes: 0 all holds, 1 there are warnings, 2 the site must not run so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import grpc
import typer
from rich.console import Console
from rich.table import Table

from dgm import rpc
from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.ocpp.v1 import ocpp_pb2, ocpp_pb2_grpc
from dgm.app import examine, run_dir
from dgm.der.client import certificate_warnings
from dgm.errors import ConfigError, Problem
from dgm.log import logger
from dgm.site.electrical import electrical_rows
from dgm.site.finding import RULES, RuleRow, State
from dgm.site.installed import installed_rows
from dgm.site.lines import LineProof, line_proofs
from dgm.site.proof import RowProof, fallback_proof, fallback_rows
from dgm.site.share import shared
from dgm.site.timing import timing_rows

WARNED = 1
BAD_INPUT = 2
GATEWAY_TIMEOUT_S = 2.0
TABLE_WIDTH = 170
"""Of the table where the output is no terminal."""


def run_check(site: Path, *, json_out: bool, today: date | None = None) -> int:
    """Print the findings; 0 when every rule and Modbus line holds, 1 with warnings, 2 when the site must not run so."""
    rules: list[RuleRow] = []
    rows: list[RowProof] = []
    lines: list[LineProof] = []
    unverified: list[str] = []
    certificates: list[str] = []
    problems: tuple[Problem, ...] = ()
    try:
        examined = examine(site)
        problems = examined.problems
        unverified = unverified_devices(examined.config)
        certificates = certificate_warnings(examined.config, site.resolve().parent)
        if not examined.in_file and not examined.config.der.end_devices:
            found = installed_floors(examined.config, site)
            rules = rule_rows(examined.config, today or datetime.now(UTC).date(), found)
            rows = fallback_proof(examined.config)
            lines = line_proofs(shared(examined.config))
    except ConfigError as error:
        problems = error.problems
    broken = any(row.state is State.BROKEN for row in rules)
    passed = not problems and not broken and all(line.holds for line in lines)
    warned = bool(unverified or certificates) or any(row.state is State.WARNING for row in rules)
    if json_out:
        document = _as_json(problems, rows, lines, unverified, passed=passed)
        document |= {"rules": [_rule_json(row) for row in rules], "certificate_warnings": certificates}
        typer.echo(json.dumps(document, indent=2))
    else:
        for warning in certificates:
            typer.echo(f"certificate: {warning}")
        _print(site, problems, rules, lines, unverified)
    return (WARNED if warned else 0) if passed else BAD_INPUT


def installed_floors(config: DgmConfig, site: Path) -> dict[str, int | None] | None:
    """mA that the running gateway has proved installed, by EVSE; None: no gateway of this site answers."""
    address = rpc.socket_path(run_dir(config, site.resolve().parent), "ocpp")
    if not config.stations or not address.exists():
        return None
    with grpc.insecure_channel(f"unix:{address}") as channel:
        try:
            answer = ocpp_pb2_grpc.OcppServiceStub(channel).ListStations(
                ocpp_pb2.ListStationsRequest(), timeout=GATEWAY_TIMEOUT_S
            )
        except grpc.RpcError:
            return None
    evses = [evse for station in answer.stations for evse in station.evses]
    return {evse.asset_id: evse.fallback_ma if evse.HasField("fallback_ma") else None for evse in evses}


def rule_rows(config: DgmConfig, today: date, installed: Mapping[str, int | None] | None = None) -> list[RuleRow]:
    """Rules C01 to C15 of an accepted configuration, in their order. installed: what its gateway has proved, if any."""
    drilled_on = config.site.drilled_on
    days = (today - date.fromisoformat(drilled_on)).days if drilled_on else None
    timing = timing_rows(config, drilled_days_ago=days)
    return [*electrical_rows(config), *fallback_rows(config), *timing, *installed_rows(config, installed)]


def unverified_devices(config: DgmConfig) -> list[str]:
    """Assets whose device table rests on facts that nobody has checked."""
    doubtful = {table.map.name for table in config.devices if table.unverified}
    return [f"{asset.id}: {asset.modbus.device}" for asset in config.assets if asset.modbus.device in doubtful]


def warn_of_unproved_fallbacks(config: DgmConfig) -> None:
    """`dgm run` starts a site that is still being commissioned, but says loudly what `dgm check` would refuse."""
    for row in fallback_rows(config):
        if row.state is State.BROKEN:
            where = f"{row.where} {row.side}".strip()
            logger("check").error("with nobody alive this is not kept", rule=row.rule, where=where, found=row.found)


def warn_of_overloaded_lines(config: DgmConfig) -> None:
    """`dgm run` starts all the same: readings get older and setpoints wait longer than the file says; that is told."""
    for line in line_proofs(shared(config)):
        if not line.holds:
            logger("check").error("a Modbus line does not keep every deadline", line=str(line))


def _as_json(
    problems: tuple[Problem, ...], rows: list[RowProof], lines: list[LineProof], unverified: list[str], *, passed: bool
) -> dict[str, object]:
    return {
        "passed": passed,
        "unverified_devices": unverified,
        "problems": [
            {"path": item.path, "line": item.line, "found": item.found, "expected": item.expected} for item in problems
        ],
        "fallback_proof": [
            {
                "circuit": row.circuit_id,
                "side": row.side,
                "unit": row.unit,
                "total": row.total,
                "bound": row.bound,
                "holds": row.holds,
            }
            for row in rows
        ],
        "modbus_lines": [
            {
                "line": line.name,
                "devices": line.devices,
                "reads_per_s_milli": line.reads_per_s_milli,
                "load_permille": line.load_permille,
                "write_wait_us": line.write_wait_us,
                "look_first_us": line.look_first_us,
                "silence_us": line.silence_us,
                "silence_late_us": line.silence_late_us,
                "holds": line.holds,
                "findings": list(line.findings),
            }
            for line in lines
        ],
    }


def _rule_json(row: RuleRow) -> dict[str, object]:
    return {
        "rule": row.rule,
        "state": row.state.name.lower(),
        "title": RULES[row.rule],
        "where": row.where,
        "side": row.side,
        "found": row.found,
        "expected": row.expected,
        "action": row.action,
    }


def _print(
    site: Path, problems: tuple[Problem, ...], rules: list[RuleRow], lines: list[LineProof], unverified: list[str]
) -> None:
    if problems:
        typer.echo(str(ConfigError(problems, source=str(site))), err=True)
    if rules:
        _print_rules(rules)
    for line in lines:
        typer.echo(f"Modbus line {'holds' if line.holds else 'FAILS'}: {line}")
    for device in unverified:
        typer.echo(f"device table not verified, compare it with the maker's document: {device}")
    broken = [row for row in rules if row.state is State.BROKEN]
    if broken:
        named = ", ".join(sorted({f"{row.rule} ({RULES[row.rule]})" for row in broken}))
        typer.echo(f"{site}: {len(broken)} row(s) of {named} broken", err=True)
    overloaded = [line for line in lines if not line.holds]
    if overloaded:
        typer.echo(f"{site}: {len(overloaded)} Modbus line(s) do not keep every deadline", err=True)
    if not problems and not broken and not overloaded:
        typer.echo(f"{site}: {_summary(rules)}")


def _print_rules(rules: Sequence[RuleRow]) -> None:
    table = Table("rule", "", "where", "side", "found", "expected", "what to do", title="what is proved of this site")
    for row in tightest(rules):
        table.add_row(row.rule, row.state.value, row.where, row.side, row.found, row.expected, row.action)
    console = Console()
    # A log or a pipe has no width of its own; figures must not be cut there.
    (console if console.is_terminal else Console(width=TABLE_WIDTH)).print(table)


def tightest(rules: Iterable[RuleRow]) -> list[RuleRow]:
    """Of the phases of one circuit and direction that hold, only the tightest; all that does not hold."""
    found: dict[tuple[object, ...], RuleRow] = {}
    for number, row in enumerate(rules):
        direction, _, phase = row.side.partition(" L")
        key = (row.rule, row.where, direction) if phase and row.state is State.HOLDS else (number,)
        if key not in found or row.excess > found[key].excess:
            found[key] = row
    return list(found.values())


def _summary(rules: Sequence[RuleRow]) -> str:
    warnings = sum(1 for row in rules if row.state is State.WARNING)
    unstated = sorted({row.rule for row in rules if row.state is State.UNSTATED})
    words = f"{warnings} warning(s)" if warnings else "fine"
    return words + (f"; not stated, so not proved: {', '.join(unstated)}" if unstated else "")
