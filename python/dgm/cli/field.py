"""Commands about the devices of a running site: what they were told and did, and what stands in their registers."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Annotated

import typer
from google.protobuf import json_format
from rich.console import Console
from rich.table import Table

from dgm.api.ems.v1 import field_pb2, field_pb2_grpc, grid_pb2, grid_pb2_grpc
from dgm.cli.calls import call, channel
from dgm.cli.client import CALL_TIMEOUT_S, DEFAULT_SITE, JsonOption, SiteOption
from dgm.ems.audit import registers, verdict_name

device = typer.Typer(no_args_is_help=True, help="Look into a device.")

ABSENT = "-"


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
    table = Table("time", "asset", "#", "what", "times", "power kW", "measured kW", "limit or setting", "written")
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
        "" if entry.model else f"{entry.power_w / 1000:.3f}",
        measured,
        f"model {entry.model}: {entry.setting}" if entry.model else entry.binding_limit_id,
        ", ".join(registers(block) for block in entry.written),
    ]


def _counted(counts: field_pb2.SetpointCounts) -> str:
    named = [(field.name, value) for field, value in counts.ListFields() if field.name != "asset_id"]
    return ", ".join(f"{value} {name}" for name, value in named)


@device.command("grid")
def grid(site: SiteOption = DEFAULT_SITE, json_out: JsonOption = False) -> None:
    """What a utility asks of inverters beside power, what they can do, and which own settings are put aside."""
    call(_grid(site, json_out))


async def _grid(site: SiteOption, json_out: bool) -> None:
    async with channel(site, "ems") as opened:
        stub = grid_pb2_grpc.GridServiceStub(opened)
        answer = await stub.ListModes(grid_pb2.ListModesRequest(), timeout=CALL_TIMEOUT_S)
    if json_out:
        typer.echo(json_format.MessageToJson(answer))
        return
    for line in grid_lines(answer):
        typer.echo(line)


def grid_lines(answer: grid_pb2.ListModesResponse) -> Iterator[str]:
    """A line for each mode, inverter and model."""
    for mode in answer.modes:
        yield f"{mode.id}: {_plain(grid_pb2.GridFunction.Name(mode.function))}, {mode.reason}, {mode.ttl_ms} ms left"
    for inverter in answer.inverters:
        able = ", ".join(_plain(grid_pb2.GridFunction.Name(function)) for function in inverter.able)
        yield f"{inverter.asset_id}: {able or 'nothing'}{'' if inverter.is_surveyed else ' (not looked at yet)'}"
        for setting in inverter.settings:
            why = f" ({setting.why})" if setting.why else ""
            yield f"  model {setting.model}: {_plain(grid_pb2.GridState.Name(setting.state))}{why}"


def _plain(name: str) -> str:
    """ "volt_var" for GRID_FUNCTION_VOLT_VAR."""
    return name.removeprefix("GRID_FUNCTION_").removeprefix("GRID_STATE_").lower()


@device.command("read")
def read_model(
    asset: Annotated[str, typer.Argument(help="asset id of a SunSpec device")],
    model: Annotated[int, typer.Argument(help="number of the model; left out: list its models", min=0)] = 0,
    occurrence: Annotated[int, typer.Option(help="which of several of that number, from 0 on", min=0)] = 0,
    seconds: Annotated[int, typer.Option(help="how long to wait: polls and setpoints go first", min=1, max=60)] = 10,
    site: SiteOption = DEFAULT_SITE,
    json_out: JsonOption = False,
) -> None:
    """Read a whole SunSpec model of a device and print its points with units; what is not implemented as "-"."""
    request = field_pb2.ReadModelRequest(asset_id=asset, model=model, occurrence=occurrence, timeout_ms=seconds * 1000)
    call(_read_model(site, request, json_out))


async def _read_model(site: SiteOption, request: field_pb2.ReadModelRequest, json_out: bool) -> None:
    async with channel(site, "ems") as opened:
        stub = field_pb2_grpc.FieldServiceStub(opened)
        answer = await stub.ReadModel(request, timeout=request.timeout_ms / 1000 + CALL_TIMEOUT_S)
    if json_out:
        typer.echo(json_format.MessageToJson(answer))
        return
    if not answer.HasField("content"):
        table = Table("model", "address", "registers")
        for model in answer.models:
            table.add_row(str(model.id), str(model.address), str(model.length))
        Console().print(table)
        return
    typer.echo(f"{request.asset_id}: model {request.model}, {answer.content.name}")
    for line in lines(answer.content):
        typer.echo(line)


def lines(group: field_pb2.ModelGroup, indent: str = "  ") -> Iterator[str]:
    """The points of a group, one a line, then the groups in it; those of one name are numbered from 1 on."""
    for point in group.points:
        yield f"{indent}{point.name} = {shown(point)}"
    counts: Counter[str] = Counter()
    for child in group.groups:
        counts[child.name] += 1
        yield f"{indent}{child.name}[{counts[child.name]}]"
        yield from lines(child, indent + "  ")


def shown(point: field_pb2.ModelPoint) -> str:
    """The value with its unit, exactly as scaled; "-" where the device implements none."""
    if point.HasField("text"):
        return f"{point.text} {point.unit}".rstrip()
    if not point.HasField("raw"):
        return ABSENT
    if point.scale_absent:
        return f"{ABSENT} (raw {point.raw}, its scale factor is not implemented)"
    return f"{Decimal(point.raw).scaleb(point.exponent):f} {point.unit}".rstrip()
