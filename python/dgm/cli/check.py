"""`dgm check`: everything that can be proved about a site.yaml before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.app import examine
from dgm.der.client import certificate_warnings
from dgm.errors import ConfigError, Problem
from dgm.log import logger
from dgm.site.lines import LineProof, line_proofs
from dgm.site.proof import RowProof, fallback_proof
from dgm.site.share import shared

BAD_INPUT = 2


def run_check(site: Path, *, json_out: bool) -> int:
    """Print the findings; 0 when the site may start and every fallback row and Modbus line holds, 2 otherwise."""
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
            rows = fallback_proof(examined.config)
            lines = line_proofs(shared(examined.config))
    except ConfigError as error:
        problems = error.problems
    passed = not problems and all(row.holds for row in rows) and all(line.holds for line in lines)
    if json_out:
        document = _as_json(problems, rows, lines, unverified, passed=passed)
        typer.echo(json.dumps({**document, "certificate_warnings": certificates}, indent=2))
    else:
        for warning in certificates:
            typer.echo(f"certificate: {warning}")
        _print(site, problems, rows, lines, unverified)
    return 0 if passed else BAD_INPUT


def unverified_devices(config: DgmConfig) -> list[str]:
    """Assets whose device table rests on facts that nobody has checked."""
    doubtful = {table.map.name for table in config.devices if table.unverified}
    return [f"{asset.id}: {asset.modbus.device}" for asset in config.assets if asset.modbus.device in doubtful]


def warn_of_unproved_fallbacks(config: DgmConfig) -> None:
    """`dgm run` starts a site that is still being commissioned, but says loudly what `dgm check` would refuse."""
    for row in fallback_proof(config):
        if not row.holds:
            logger("check").error("the fallbacks do not keep this row when nobody is alive", row=str(row))


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


def _print(
    site: Path, problems: tuple[Problem, ...], rows: list[RowProof], lines: list[LineProof], unverified: list[str]
) -> None:
    if problems:
        typer.echo(str(ConfigError(problems, source=str(site))), err=True)
    for row in rows:
        typer.echo(f"fallback proof {'holds' if row.holds else 'FAILS'}: {row}")
    for line in lines:
        typer.echo(f"Modbus line {'holds' if line.holds else 'FAILS'}: {line}")
    for device in unverified:
        typer.echo(f"device table not verified, compare it with the maker's document: {device}")
    failing = [row for row in rows if not row.holds]
    if failing:
        typer.echo(
            f"{site}: {len(failing)} row(s) not kept with nobody alive; lower fallback_ma or revert_w below them",
            err=True,
        )
    overloaded = [line for line in lines if not line.holds]
    if overloaded:
        typer.echo(f"{site}: {len(overloaded)} Modbus line(s) do not keep every deadline", err=True)
    if not problems and not failing and not overloaded:
        typer.echo(f"{site}: fine")
