"""Commands about the utility: what the meter saw of its controls, and what the site has asked it for."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import json_format
from rich.console import Console
from rich.table import Table

from dgm.api.der.v1 import der_pb2_grpc, report_pb2
from dgm.api.der.v1.report_pb2 import FlowState
from dgm.cli.calls import call, channel
from dgm.cli.client import CALL_TIMEOUT_S, DEFAULT_SITE, JsonOption, SiteOption

der = typer.Typer(no_args_is_help=True, help="What the utility asked for and what came of it.")

MRID_SHOWN = 12
COLUMNS = ("start", "control", "mode", "limit kW", "seen s", "settled s", "out s", "worst kW", "kWh", "over kWh", "")
UNITS = 1000


@der.command()
def events(site: SiteOption = DEFAULT_SITE, json_out: JsonOption = False) -> None:
    """List what the meter saw of each control against its limit, and the alarms that are raised."""
    call(_events(site, json_out))


async def _events(site: Path, json_out: bool) -> None:
    async with channel(site, "der") as opened:
        stub = der_pb2_grpc.DerServiceStub(opened)
        answer = await stub.ListEventReports(report_pb2.ListEventReportsRequest(), timeout=CALL_TIMEOUT_S)
    if json_out:
        typer.echo(json_format.MessageToJson(answer))
        return
    table = Table(
        "start", "control", "mode", "limit kW", "seen s", "settled s", "out s", "worst kW", "kWh", "over kWh", ""
    )
    for report in answer.reports:
        table.add_row(*event_cells(report))
    Console().print(table)
    typer.echo(
        f"alarms: {', '.join(answer.alarms) or 'none'}; {answer.log_events_waiting} LogEvents wait for the utility"
    )
    if answer.log_events_dropped:
        typer.echo(f"{answer.log_events_dropped} LogEvents were dropped for want of room")


def event_cells(report: report_pb2.EventReport) -> list[str]:
    """One line of the table. What was never seen says so: nothing is kept that nobody saw."""
    verdict = "kept" if report.kept else "NOT KEPT"
    if report.observed_ms == 0:
        verdict = "not seen"
    if not report.HasField("end_utc_ms"):
        verdict += ", rules still"
    return [
        _time(report.start_utc_ms),
        report.mrid[:MRID_SHOWN],
        report.mode.removeprefix("opMod"),
        _kilo(report.limit_w),
        str(report.observed_ms // UNITS),
        f"{report.settled_ms / UNITS:.1f}" if report.HasField("settled_ms") else "never",
        f"{report.out_of_limit_ms / UNITS:.1f}",
        _kilo(report.worst_excess_w),
        _kilo(report.energy_wh),
        _kilo(report.excess_wh),
        verdict,
    ]


@der.command()
def flows(site: SiteOption = DEFAULT_SITE, json_out: JsonOption = False) -> None:
    """List what energy was asked for and granted."""
    call(_flows(site, json_out))


async def _flows(site: Path, json_out: bool) -> None:
    async with channel(site, "der") as opened:
        stub = der_pb2_grpc.DerServiceStub(opened)
        answer = await stub.ListFlows(report_pb2.ListFlowsRequest(), timeout=CALL_TIMEOUT_S)
    if json_out:
        typer.echo(json_format.MessageToJson(answer))
        return
    table = Table("request", "state", "from", "to", "kWh", "kW", "for", "granted")
    for request in answer.requests:
        table.add_row(*flow_cells(request))
    Console().print(table)


def flow_cells(request: report_pb2.FlowRequest) -> list[str]:
    """One line of the table."""
    granted = [
        f"{_kilo(plan.power_w)} kW {_time(plan.start_utc_ms)}-{_time(plan.end_utc_ms)}" for plan in request.plans
    ]
    return [
        request.mrid,
        FlowState.Name(request.state).removeprefix("FLOW_STATE_").lower(),
        _time(request.start_utc_ms),
        _time(request.end_utc_ms),
        _kilo(request.energy_wh),
        _kilo(request.power_w),
        ", ".join(request.evse_ids) or "operator",
        "; ".join(granted) or request.why,
    ]


@der.command()
def request(
    kwh: Annotated[float, typer.Option(help="energy, positive to charge")],
    kw: Annotated[float, typer.Option(help="power, of the same sign")],
    hours: Annotated[float, typer.Option(min=0, help="how long the window is")],
    site: SiteOption = DEFAULT_SITE,
) -> None:
    """Ask the utility for energy from now on."""
    end_ms = round((datetime.datetime.now(datetime.UTC).timestamp() + hours * 3600) * 1000)
    wanted = report_pb2.RequestFlowRequest(energy_wh=round(kwh * UNITS), power_w=round(kw * UNITS), end_utc_ms=end_ms)
    call(_request(site, wanted))


async def _request(site: Path, wanted: report_pb2.RequestFlowRequest) -> None:
    async with channel(site, "der") as opened:
        answer = await der_pb2_grpc.DerServiceStub(opened).RequestFlow(wanted, timeout=CALL_TIMEOUT_S)
    typer.echo(answer.request.mrid)


@der.command()
def cancel(
    mrid: Annotated[str, typer.Argument(help="a request of `dgm der flows`", show_default=False)],
    site: SiteOption = DEFAULT_SITE,
) -> None:
    """Take a request back."""
    call(_cancel(site, mrid))


async def _cancel(site: Path, mrid: str) -> None:
    async with channel(site, "der") as opened:
        wanted = report_pb2.CancelFlowRequest(mrid=mrid)
        await der_pb2_grpc.DerServiceStub(opened).CancelFlow(wanted, timeout=CALL_TIMEOUT_S)
    typer.echo(f"cancelled {mrid}")


def _time(utc_ms: int) -> str:
    return f"{datetime.datetime.fromtimestamp(utc_ms / UNITS, datetime.UTC):%d %H:%M:%SZ}"


def _kilo(value: int) -> str:
    return f"{value / UNITS:.1f}"
