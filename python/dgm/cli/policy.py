"""Commands about policies: which there are, how those of a running site stand, and what drivers need of it."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import json_format
from rich.console import Console
from rich.table import Table

from dgm.api.ems.v1 import policy_pb2, policy_pb2_grpc
from dgm.cli.calls import call, channel
from dgm.ems.policies import parameters, registry

CALL_TIMEOUT_S = 5.0
SOURCE = "api:cli"

SiteOption = Annotated[Path, typer.Option("--site", help="site.yaml of the running site")]
JsonOption = Annotated[bool, typer.Option("--json", help="machine-readable")]
DEFAULT_SITE = Path("site.yaml")

needs = typer.Typer(no_args_is_help=True, help="State, list and clear what drivers need: energy by a departure.")


def policies(
    site: Annotated[Path | None, typer.Option("--site", help="show how those of this running site stand")] = None,
    json_out: JsonOption = False,
) -> None:
    """List the policies that site.yaml may name, with their parameters."""
    if site is not None:
        call(_running(site, json_out))
        return
    if json_out:
        typer.echo(json_format.MessageToJson(_shipped()))
        return
    for policy in registry.policies().values():
        typer.echo(f"{policy.name}: {policy.title}")
        for name, expected, default, doc in parameters.described(policy.params):
            given = f"default {default}" if default else "must be given"
            typer.echo(f"    {name}: {expected}; {given}. {doc}")


def _shipped() -> policy_pb2.ListPoliciesResponse:
    found = [
        policy_pb2.PolicyStatus(
            name=policy.name,
            title=policy.title,
            parameters=[f"{name}={default}" for name, _, default, _ in parameters.described(policy.params)],
        )
        for policy in registry.policies().values()
    ]
    return policy_pb2.ListPoliciesResponse(policies=found)


async def _running(site: Path, json_out: bool) -> None:
    async with channel(site, "ems") as connection:
        stub = policy_pb2_grpc.PolicyServiceStub(connection)
        answer = await stub.ListPolicies(policy_pb2.ListPoliciesRequest(), timeout=CALL_TIMEOUT_S)
    if json_out:
        typer.echo(json_format.MessageToJson(answer))
        return
    if not answer.policies:
        typer.echo("this site lists no policies: every car may take its maximum")
    for rank, status in enumerate(answer.policies, 1):
        state = f"SET ASIDE ({status.reason})" if status.set_aside else "in use"
        typer.echo(f"{rank}. {status.name}: {state}; {', '.join(status.parameters)}")
        for sentence in status.says:
            typer.echo(f"    {sentence}")


@needs.command("list")
def list_needs(site: SiteOption = DEFAULT_SITE, json_out: JsonOption = False) -> None:
    """List the needs with what is promised of each."""
    call(_list_needs(site, json_out))


async def _list_needs(site: Path, json_out: bool) -> None:
    async with channel(site, "ems") as connection:
        stub = policy_pb2_grpc.PolicyServiceStub(connection)
        answer = await stub.ListChargingNeeds(policy_pb2.ListChargingNeedsRequest(), timeout=CALL_TIMEOUT_S)
    if json_out:
        typer.echo(json_format.MessageToJson(answer))
        return
    table = Table("evse", "source", "kWh", "delivered", "leaves in", "promise", "short kWh", "why")
    for promise in answer.promises:
        left_min = (promise.need.departure_utc_ms - int(time.time() * 1000)) // 60_000
        table.add_row(
            promise.need.asset_id,
            promise.need.source,
            f"{promise.need.energy_wh / 1000:.1f}",
            f"{promise.delivered_wh / 1000:.1f}",
            f"{left_min // 60} h {left_min % 60} min" if left_min >= 0 else "has left",
            _state(promise),
            f"{promise.short_wh / 1000:.1f}",
            promise.reason,
        )
    Console().print(table)


@needs.command("set")
def set_need(
    evse: Annotated[str, typer.Argument(help="EVSE asset id")],
    kwh: Annotated[float, typer.Option(min=0.001, help="energy into the EVSE from now on")],
    within: Annotated[str, typer.Option(help="time until the departure, as 8h, 90min or 7h30min")],
    site: SiteOption = DEFAULT_SITE,
) -> None:
    """State what the car at an EVSE needs, and hear what can be promised."""
    departure_utc_ms = int(time.time() * 1000) + duration_ms(within)
    need = policy_pb2.ChargingNeed(
        asset_id=evse, source=SOURCE, energy_wh=round(kwh * 1000), departure_utc_ms=departure_utc_ms
    )
    call(_set_need(site, need))


async def _set_need(site: Path, need: policy_pb2.ChargingNeed) -> None:
    async with channel(site, "ems") as connection:
        stub = policy_pb2_grpc.PolicyServiceStub(connection)
        request = policy_pb2.SetChargingNeedRequest(need=need)
        answer = await stub.SetChargingNeed(request, timeout=CALL_TIMEOUT_S)
    short = f" by {answer.promise.short_wh / 1000:.1f} kWh" if answer.promise.short_wh else ""
    typer.echo(f"{_state(answer.promise)}{short}: {answer.promise.reason}")


@needs.command("clear")
def clear_need(evse: Annotated[str, typer.Argument(help="EVSE asset id")], site: SiteOption = DEFAULT_SITE) -> None:
    """Forget a need that this command stated."""
    call(_clear_need(site, evse))


async def _clear_need(site: Path, evse: str) -> None:
    async with channel(site, "ems") as connection:
        stub = policy_pb2_grpc.PolicyServiceStub(connection)
        request = policy_pb2.ClearChargingNeedRequest(asset_id=evse, source=SOURCE)
        answer = await stub.ClearChargingNeed(request, timeout=CALL_TIMEOUT_S)
    typer.echo("cleared" if answer.existed else "there was no such need of this source")


def duration_ms(text: str) -> int:
    """A time like 7h30min, in ms."""
    match = re.fullmatch(r"(?:(\d{1,3})h)?(?:(\d{1,4})min)?", text)
    if match is None or not any(match.groups()):
        raise typer.BadParameter(f"{text!r}: expected a time like 8h, 90min or 7h30min")
    return (int(match[1] or 0) * 60 + int(match[2] or 0)) * 60_000


def _state(promise: policy_pb2.ChargingPromise) -> str:
    return policy_pb2.PromiseState.Name(promise.state).removeprefix("PROMISE_STATE_").replace("_", " ").lower()
