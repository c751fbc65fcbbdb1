"""Commands that talk to a running site over its gRPC API: stations, watch, limit, explain."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf import json_format
from rich.console import Console
from rich.live import Live
from rich.table import Table

from dgm.api.ems.v1 import ems_pb2, ems_pb2_grpc
from dgm.api.ocpp.v1 import ocpp_pb2, ocpp_pb2_grpc
from dgm.api.site.v1 import site_pb2, site_pb2_grpc
from dgm.cli.calls import call as _call
from dgm.cli.calls import channel as _channel

CALL_TIMEOUT_S = 5.0

SiteOption = Annotated[Path, typer.Option("--site", help="site.yaml of the running site")]
JsonOption = Annotated[bool, typer.Option("--json", help="machine-readable")]
DEFAULT_SITE = Path("site.yaml")

limits = typer.Typer(no_args_is_help=True, help="List, put and delete limits.")


def stations(site: SiteOption = DEFAULT_SITE, json_out: JsonOption = False) -> None:
    """List the stations: links, plug state, limit, what is proved."""
    _call(_stations(site, json_out))


async def _stations(site: Path, json_out: bool) -> None:
    async with _channel(site, "ocpp") as channel:
        stub = ocpp_pb2_grpc.OcppServiceStub(channel)
        answer = await stub.ListStations(ocpp_pb2.ListStationsRequest(), timeout=CALL_TIMEOUT_S)
    if json_out:
        typer.echo(json_format.MessageToJson(answer))
        return
    table = Table("station", "cpo", "south", "north", "mode", "evse", "state", "limit A", "proved A", "kW")
    table.columns[0].no_wrap = True
    for station in answer.stations:
        for evse in station.evses:
            table.add_row(
                station.id,
                station.cpo_id,
                _short(ocpp_pb2.LinkState.Name(station.south)),
                _short(ocpp_pb2.LinkState.Name(station.north)),
                _short(ocpp_pb2.EnforcementMode.Name(station.mode)),
                evse.asset_id,
                site_pb2.PlugState.Name(evse.plug_state).removeprefix("PLUG_STATE_"),
                _amps(evse.limit_ma if evse.HasField("limit_ma") else None),
                _amps(evse.proved_ma if evse.HasField("proved_ma") else None),
                f"{evse.power_w / 1000:.1f}" if evse.HasField("power_w") else "-",
            )
    Console().print(table)
    for (mode, reason), names in sorted(_by_reason(answer.stations).items()):
        shown = ", ".join(names[:NAMES_SHOWN]) + (
            f" and {len(names) - NAMES_SHOWN} more" if names[NAMES_SHOWN:] else ""
        )
        typer.echo(f"{mode}: {reason} ({shown})")


NAMES_SHOWN = 4


def _by_reason(stations: Iterable[ocpp_pb2.Station]) -> dict[tuple[str, str], list[str]]:
    """Stations by their mode and why they are in it."""
    found: dict[tuple[str, str], list[str]] = {}
    for station in stations:
        mode = _short(ocpp_pb2.EnforcementMode.Name(station.mode))
        found.setdefault((mode, station.mode_reason), []).append(station.id)
    return found


def _short(name: str) -> str:
    return name.rsplit("_", 1)[-1].lower()


def _amps(milliamps: int | None) -> str:
    return "-" if milliamps is None else f"{milliamps / 1000:.1f}"


def watch(site: SiteOption = DEFAULT_SITE, json_out: JsonOption = False) -> None:
    """Watch the site: circuits against their limits, PV, battery, cars."""
    _call(_watch(site, json_out))


async def _watch(site: Path, json_out: bool) -> None:
    state: dict[str, Any] = {"samples": {}, "circuits": []}
    async with _channel(site, "ems") as channel:
        stub = site_pb2_grpc.SiteServiceStub(channel)
        stream = stub.WatchSite(site_pb2.WatchSiteRequest(interval_ms=1000))
        if json_out:
            async for update in stream:
                typer.echo(json_format.MessageToJson(update, indent=None))
            return
        with Live(console=Console(), auto_refresh=False) as live:
            async for update in stream:
                state["samples"].update({sample.asset_id: sample for sample in update.samples})
                state["circuits"] = list(update.circuits) or state["circuits"]
                live.update(_site_table(state), refresh=True)


def _site_table(state: dict[str, Any]) -> Table:
    table = Table("what", "power kW", "limit kW", "note", title="site")
    for circuit in state["circuits"]:
        note = "METER LOST" if circuit.meter_lost else circuit.import_limit_id
        limit = f"{circuit.import_limit_w / 1000:.1f}" if circuit.HasField("import_limit_w") else "-"
        power = f"{circuit.net_power_w / 1000:.1f}" if circuit.HasField("net_power_w") else "-"
        table.add_row(circuit.circuit_id, power, limit, note)
    for sample in state["samples"].values():
        if sample.plug_state:
            continue
        power = f"{sample.power_w / 1000:.1f}" if sample.HasField("power_w") else "-"
        soc = f"SoC {sample.soc_permille / 10:.1f} %" if sample.HasField("soc_permille") else ""
        table.add_row(sample.asset_id, power, "", f"{soc} {site_pb2.Quality.Name(sample.quality)[8:].lower()}".strip())
    cars = [sample for sample in state["samples"].values() if sample.plug_state]
    charging = [sample for sample in cars if sample.power_w > 0]
    table.add_row("EVSEs", f"{sum(sample.power_w for sample in cars) / 1000:.1f}", "", f"{len(charging)} charging")
    return table


@limits.command("list")
def list_limits(site: SiteOption = DEFAULT_SITE, json_out: JsonOption = False) -> None:
    """List the limits in force and to come."""
    _call(_list_limits(site, json_out))


async def _list_limits(site: Path, json_out: bool) -> None:
    async with _channel(site, "ems") as channel:
        stub = ems_pb2_grpc.EmsServiceStub(channel)
        answer = await stub.ListLimits(ems_pb2.ListLimitsRequest(), timeout=CALL_TIMEOUT_S)
    if json_out:
        typer.echo(json_format.MessageToJson(answer))
        return
    table = Table("id", "source", "where", "quantity", "bound", "state", "remaining")
    for status in answer.limits:
        limit = status.limit
        bound = f"{limit.power_w} W" if limit.HasField("power_w") else f"{limit.current_ma} mA"
        remaining = "no end" if status.remaining_ms < 0 else f"{status.remaining_ms / 1000:.0f} s"
        quantity = ems_pb2.Quantity.Name(limit.quantity).removeprefix("QUANTITY_")
        state = ems_pb2.LimitState.Name(status.state).removeprefix("LIMIT_STATE_")
        table.add_row(limit.id, limit.source, limit.circuit_id or limit.asset_id, quantity, bound, state, remaining)
    Console().print(table)


@limits.command("put")
def put_limit(
    limit_id: Annotated[str, typer.Argument(metavar="ID", help="name of the limit; the same id replaces")],
    circuit: Annotated[str, typer.Option(help="circuit id")] = "",
    evse: Annotated[str, typer.Option(help="EVSE asset id (with --current-a)")] = "",
    import_kw: Annotated[float | None, typer.Option(help="net import of the circuit, kW")] = None,
    current_a: Annotated[float | None, typer.Option(help="A per phase of the circuit or EVSE")] = None,
    seconds: Annotated[int, typer.Option(min=1, help="how long it holds")] = 600,
    reason: Annotated[str, typer.Option(help="for people")] = "",
    site: SiteOption = DEFAULT_SITE,
) -> None:
    """Put a limit with an expiry."""
    limit = ems_pb2.Limit(
        id=limit_id, source="api:cli", circuit_id=circuit, asset_id=evse, ttl_ms=seconds * 1000, reason=reason
    )
    if (import_kw is None) == (current_a is None):
        raise typer.BadParameter("expected exactly one of --import-kw and --current-a")
    if import_kw is not None:
        limit.quantity = ems_pb2.QUANTITY_NET_IMPORT
        limit.power_w = round(import_kw * 1000)
    elif current_a is not None:
        limit.quantity = ems_pb2.QUANTITY_CURRENT
        limit.current_ma = round(current_a * 1000)
    _call(_put_limit(site, limit))


async def _put_limit(site: Path, limit: ems_pb2.Limit) -> None:
    async with _channel(site, "ems") as channel:
        stub = ems_pb2_grpc.EmsServiceStub(channel)
        answer = await stub.PutLimit(ems_pb2.PutLimitRequest(limit=limit), timeout=CALL_TIMEOUT_S)
    typer.echo(f"accepted {answer.limit.id}: {'; '.join(answer.clamp_reasons) or 'as asked'}")


@limits.command("delete")
def delete_limit(limit_id: Annotated[str, typer.Argument(metavar="ID")], site: SiteOption = DEFAULT_SITE) -> None:
    """Delete a limit that this command put."""
    _call(_delete_limit(site, limit_id))


async def _delete_limit(site: Path, limit_id: str) -> None:
    async with _channel(site, "ems") as channel:
        stub = ems_pb2_grpc.EmsServiceStub(channel)
        request = ems_pb2.DeleteLimitRequest(id=limit_id, source="api:cli")
        answer = await stub.DeleteLimit(request, timeout=CALL_TIMEOUT_S)
    typer.echo("deleted" if answer.existed else "there was no such limit of this source")


def explain(
    asset: Annotated[str, typer.Argument(help="asset id, an EVSE or the battery")],
    site: SiteOption = DEFAULT_SITE,
    json_out: JsonOption = False,
) -> None:
    """Say why an asset has its setpoint."""
    _call(_explain(site, asset, json_out))


async def _explain(site: Path, asset: str, json_out: bool) -> None:
    async with _channel(site, "ems") as channel:
        stub = ems_pb2_grpc.EmsServiceStub(channel)
        request = ems_pb2.ExplainDecisionRequest(asset_id=asset)
        answer = await stub.ExplainDecision(request, timeout=CALL_TIMEOUT_S)
    if json_out:
        typer.echo(json_format.MessageToJson(answer))
        return
    typer.echo(answer.summary)
    for cause in answer.chain:
        kind = ems_pb2.CauseKind.Name(cause.kind).removeprefix("CAUSE_KIND_").lower()
        link = f"[{cause.id}] " if cause.id else "MISSING: "
        age = f" ({cause.age_ms / 1000:.1f} s ago)" if cause.HasField("age_ms") else ""
        typer.echo(f"  {kind:8} {link}{cause.text}{age}")
    if answer.counted_reason:
        typer.echo(f"counted at {_amps(answer.counted_ma)} A: {answer.counted_reason}")
    table = Table("circuit", "quantity", "phase", "bound", "limit", "uncontrolled", "help", "EVSEs", "room")
    for row in answer.rows:
        quantity = ems_pb2.Quantity.Name(row.quantity).removeprefix("QUANTITY_")
        values = [
            str(value) for value in (row.bound, row.limit_id, row.uncontrolled, row.help, row.evse_counted, row.room)
        ]
        table.add_row(row.circuit_id, quantity, row.phase, *values)
    Console().print(table)
    for outcome in answer.outcomes:
        state = ems_pb2.OutcomeState.Name(outcome.state).removeprefix("OUTCOME_STATE_")
        typer.echo(
            f"{state} #{outcome.sequence} {_amps(outcome.current_ma)} A, {outcome.age_ms} ms ago {outcome.evidence}"
        )
