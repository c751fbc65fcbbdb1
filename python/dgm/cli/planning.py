"""Commands that ask a running site what it could do, and what it plans to do."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import json_format
from rich.console import Console
from rich.table import Table

from dgm.api.ems.v1 import ems_pb2_grpc, plan_pb2
from dgm.cli.calls import call, channel

CALL_TIMEOUT_S = 5.0

SiteOption = Annotated[Path, typer.Option("--site", help="the site.yaml of the running site")]
JsonOption = Annotated[bool, typer.Option("--json", help="machine-readable")]
DEFAULT_SITE = Path("site.yaml")


def flex(site: SiteOption = DEFAULT_SITE, json_out: JsonOption = False) -> None:
    """Say how much more or less the site could import, for how long, and what bounds it."""
    call(_flex(site, json_out))


async def _flex(site: Path, json_out: bool) -> None:
    async with channel(site, "ems") as open_channel:
        stub = ems_pb2_grpc.EmsServiceStub(open_channel)
        answer = await stub.GetFlexibility(plan_pb2.GetFlexibilityRequest(), timeout=CALL_TIMEOUT_S)
    if json_out:
        typer.echo(json_format.MessageToJson(answer))
        return
    imported = kw(answer.import_w) if answer.HasField("import_w") else "not seen"
    table = Table("for", "less kW", "bounded by", "more kW", "bounded by", title=f"import now: {imported} kW")
    for offer in answer.offers:
        minutes = f"{offer.duration_ms // 60_000} min"
        table.add_row(minutes, kw(offer.down_w), offer.down_reason, kw(offer.up_w), offer.up_reason)
    Console().print(table)
    parts = Table("asset", "less kW", "more kW", "why")
    for part in answer.parts:
        if part.down_w or part.up_w:
            parts.add_row(part.asset_id, kw(part.down_w), kw(part.up_w), part.reason)
    Console().print(parts)
    if answer.horizon_reason:
        typer.echo(f"hours to come: {answer.horizon_reason}")
        return
    coming = Table("from", "planned kW", "less kW", "more kW", title="hours to come")
    for step in answer.steps[:STEPS_SHOWN]:
        coming.add_row(clock_time(step.start_utc_ms), kw(step.import_w), kw(step.down_w), kw(step.up_w))
    Console().print(coming)


def plan(site: SiteOption = DEFAULT_SITE, json_out: JsonOption = False) -> None:
    """Show the newest plan: forecasts, batteries, cars and import per step, its age, and what does not fit."""
    call(_plan(site, json_out))


async def _plan(site: Path, json_out: bool) -> None:
    async with channel(site, "ems") as open_channel:
        stub = ems_pb2_grpc.EmsServiceStub(open_channel)
        answer = await stub.GetPlan(plan_pb2.GetPlanRequest(), timeout=CALL_TIMEOUT_S)
    if json_out:
        typer.echo(json_format.MessageToJson(answer))
        return
    if not answer.in_force:
        typer.echo(f"no plan is in force: {answer.reason}")
    if not answer.made_utc_ms:
        return
    lease = f"counts for {answer.lease_ms / 1000:.0f} s more" if answer.in_force else "not used"
    typer.echo(f"made {answer.age_ms / 1000:.0f} s ago in {answer.solve_us / 1000:.0f} ms, {lease}")
    for line in answer.inputs:
        typer.echo(f"  from {line}")
    table = Table("from", "load", "PV", "battery", "stored kWh", "cars", "import", "limit", "price", title="kW")
    for step in answer.steps:
        values = (step.load_w, step.solar_w - step.curtailed_w, step.battery_w, step.soc_wh, step.cars_w, step.import_w)
        cells = [kw(value) for value in (*values, step.import_max_w)]
        table.add_row(clock_time(step.start_utc_ms), *cells, str(step.price_per_mwh))
    Console().print(table)
    for car in answer.cars:
        why = f": bounded by {car.short_reason}" if car.short_reason else ""
        short = f", SHORT of {car.short_wh / 1000:.1f} kWh{why}" if car.short_wh else ""
        until = clock_time(car.departure_utc_ms)
        typer.echo(f"{car.asset_id}: {car.due_wh / 1000:.1f} kWh until {until}, {kw(car.now_w)} kW now{short}")


STEPS_SHOWN = 16
"""Four hours of a horizon."""


def clock_time(utc_ms: int) -> str:
    """An instant for people, UTC."""
    return datetime.fromtimestamp(utc_ms / 1000, UTC).strftime("%d. %H:%M")


def kw(power_w: int) -> str:
    """W as kW for people."""
    return f"{power_w / 1000:.1f}"
