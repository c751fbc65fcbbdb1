"""Commands that ask a running site what it could do, and what it plans to do."""

from __future__ import annotations

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


def kw(power_w: int) -> str:
    """W as kW for people."""
    return f"{power_w / 1000:.1f}"
