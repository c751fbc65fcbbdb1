"""Commands about the devices of a running site: what they were told and what they did with it."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Annotated

import typer
from google.protobuf import json_format
from rich.console import Console
from rich.table import Table

from dgm.api.ems.v1 import field_pb2, field_pb2_grpc
from dgm.cli.calls import call, channel
from dgm.cli.client import CALL_TIMEOUT_S, DEFAULT_SITE, JsonOption, SiteOption
from dgm.ems.audit import registers, verdict_name


def audit(
    asset: Annotated[str, typer.Argument(help="asset id; default: all PV and batteries", show_default=False)] = "",
    site: SiteOption = DEFAULT_SITE,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on with what happens")] = False,
    json_out: JsonOption = False,
) -> None:
    """List what PV and batteries were told and what they did with it."""
    call(_follow(site, asset, json_out) if follow else _audit(site, asset, json_out))


async def _audit(site: SiteOption, asset: str, json_out: bool) -> None:
    async with channel(site, "ems") as opened:
        stub = field_pb2_grpc.FieldServiceStub(opened)
        answer = await stub.ListAudit(field_pb2.ListAuditRequest(asset_id=asset), timeout=CALL_TIMEOUT_S)
    if json_out:
        typer.echo(json_format.MessageToJson(answer))
        return
    table = Table("time", "asset", "#", "what", "times", "power kW", "measured kW", "limit", "written")
    for entry in answer.entries:
        table.add_row(*_cells(entry))
    Console().print(table)
    for counts in answer.counts:
        typer.echo(f"{counts.asset_id}: {_counted(counts)}")
    if answer.forgotten:
        typer.echo(f"{answer.forgotten} older entries are no longer kept; see field-audit.jsonl in the state directory")


async def _follow(site: SiteOption, asset: str, json_out: bool) -> None:
    async with channel(site, "ems") as opened:
        stub = field_pb2_grpc.FieldServiceStub(opened)
        async for update in stub.WatchAudit(field_pb2.WatchAuditRequest(asset_id=asset)):
            if json_out:
                typer.echo(json_format.MessageToJson(update, indent=None))
                continue
            _print_lines(update.entries)
            if update.missed:
                typer.echo(f"{update.missed} entries were missed")


def _print_lines(entries: Iterable[field_pb2.FieldAuditEntry]) -> None:
    for entry in entries:
        typer.echo("  ".join(cell for cell in _cells(entry) if cell))


def _cells(entry: field_pb2.FieldAuditEntry) -> list[str]:
    time = datetime.datetime.fromtimestamp(entry.time_utc_ms / 1000, datetime.UTC)
    measured = f"{entry.measured_w / 1000:.3f}" if entry.HasField("measured_w") else ""
    return [
        f"{time:%H:%M:%S}.{time.microsecond // 1000:03d}Z",
        entry.asset_id,
        str(entry.number),
        verdict_name(entry.verdict),
        str(entry.times),
        f"{entry.power_w / 1000:.3f}",
        measured,
        entry.binding_limit_id,
        ", ".join(registers(block) for block in entry.written),
    ]


def _counted(counts: field_pb2.SetpointCounts) -> str:
    named = [(field.name, value) for field, value in counts.ListFields() if field.name != "asset_id"]
    return ", ".join(f"{value} {name}" for name, value in named)
