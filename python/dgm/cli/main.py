"""The `dgm` command. Exit codes: 0 fine, 1 a judgement failed, 2 bad input (nothing was started), 3 cannot tell."""

from __future__ import annotations

import asyncio
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dgm import __version__
from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.cli import cert, client, der, field, planning, policy, scenario, utility
from dgm.errors import ConfigError, DgmError

BAD_INPUT = 2
CANNOT_TELL = 3

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(client.limits, name="limit")
app.add_typer(cert.certificates, name="cert")
app.command("stations")(client.stations)
app.command("watch")(client.watch)
app.command("explain")(client.explain)
app.command("plan")(planning.plan)
app.command("flex")(planning.flex)
app.command("audit")(field.audit)
app.add_typer(field.device, name="device")
app.add_typer(der.der, name="der")
app.command("policies")(policy.policies)
app.command("packs")(policy.list_packs)
app.add_typer(policy.needs, name="need")
simulator = typer.Typer(invoke_without_command=True)
simulator.command("utility")(utility.utility)
app.add_typer(simulator, name="sim")
app.add_typer(scenario.scenarios, name="scenario")

SiteFile = Annotated[Path, typer.Argument(help="site.yaml", show_default=False)]


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"dgm {__version__}")


@app.command()
def check(site: SiteFile, json_out: Annotated[bool, typer.Option("--json", help="machine-readable")] = False) -> None:
    """Check a site.yaml without starting anything: every problem at once, then the proofs."""
    from dgm.cli.check import run_check

    raise typer.Exit(run_check(site, json_out=json_out))


@app.command()
def run(site: SiteFile) -> None:
    """Run the whole site: start and supervise every role."""
    from dgm.cli.check import warn_of_overloaded_lines, warn_of_unproved_fallbacks
    from dgm.supervisor import Supervisor

    log_setup("run")
    config = _loaded(site)
    if not config.der.end_devices:  # an aggregator has neither
        warn_of_unproved_fallbacks(config)
        warn_of_overloaded_lines(config)
    from dgm.app import roles_of

    asyncio.run(Supervisor(site.resolve(), roles_of(config)).run())


@app.command()
def serve(
    role: Annotated[str, typer.Argument(help="ems, der or ocpp")],
    site: SiteFile,
) -> None:
    """Run one role alone, a pod each for example."""
    from dgm.app import ROLES, roles_of
    from dgm.app import serve as serve_role

    log_setup(role)
    if role not in ROLES:
        raise typer.BadParameter(f"{role!r}: expected one of {', '.join(ROLES)}")
    config = _loaded(site, only=role)
    if role not in roles_of(config):
        why = f"site.yaml has no section {role!r}"
        if role == "ems":
            why = "another EMS controls the site (ems.third_party)"
        raise typer.BadParameter(f"{why}, so this role has nothing to do")
    asyncio.run(serve_role(role, config, site.resolve().parent))


@app.command()
def demo(
    evse: Annotated[int, typer.Option(min=4, max=1000, help="number of EVSEs")] = 100,
    seconds: Annotated[int, typer.Option(min=90, max=3600, help="length; event times and poll rates scale")] = 150,
    seed: Annotated[int, typer.Option(help="seed of arrivals, building, clouds")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the figures to this file")] = None,
    record: Annotated[Path | None, typer.Option(help="keep traces, frame logs and journals in this directory")] = None,
    keep_serving: Annotated[bool, typer.Option("--serve", help="keep running after the judgement")] = False,
) -> None:
    """Run a whole simulated site on loopback, each part over its real protocol, and judge it."""
    from dgm.cli.demo import DemoOptions, run_demo

    options = DemoOptions(
        evse=evse, seconds=seconds, seed=seed, json_file=json_file, record=record, keep_serving=keep_serving
    )
    raise typer.Exit(asyncio.run(run_demo(options)))


@simulator.callback()
def sim(
    context: typer.Context,
    seed: Annotated[int, typer.Option(help="seed of everything")] = 1,
    hours: Annotated[float, typer.Option(min=0.01, max=10_000, help="virtual hours")] = 1.0,
    evse: Annotated[int, typer.Option(min=1, max=1000, help="number of EVSEs")] = 20,
) -> None:
    """Run the real cores under virtual time with faults and check the invariants every simulated second."""
    from dgm.cli.sim import run_sim

    if context.invoked_subcommand is not None:
        return
    raise typer.Exit(run_sim(seed=seed, hours=hours, evse=evse))


class MapForm(StrEnum):
    """Of a register map."""

    JSON = "json"
    CSV = "csv"
    MD = "md"


class MapName(StrEnum):
    """Of a facade."""

    EVSE = "evse"
    DER = "der"


@app.command("map")
def register_map(
    facade: Annotated[MapName, typer.Argument(help="whose map")],
    form: Annotated[MapForm, typer.Option("--format", help="SunSpec-style JSON, CSV or Markdown")] = MapForm.MD,
) -> None:
    """Print the register map of a facade, from the table that it is served by."""
    from dgm.der.map_documents import DER_MAP
    from dgm.ocpp.map_documents import EVSE_MAP

    published = {MapName.EVSE: EVSE_MAP, MapName.DER: DER_MAP}[facade]
    typer.echo(published.printed(form.value), nl=False)


def log_setup(role: str) -> None:
    """Log lines of this process carry the role."""
    from dgm import log

    log.setup(role)


def _loaded(site: Path, *, only: str | None = None) -> DgmConfig:
    from dgm.app import examine

    examined = examine(site, only=only)
    if examined.problems:
        raise ConfigError(examined.problems, source=str(site))
    return examined.config


def main() -> None:
    """Entry point: errors become one clear message and an exit code."""
    try:
        app()
    except ConfigError as error:
        typer.echo(str(error), err=True)
        sys.exit(BAD_INPUT)
    except DgmError as error:
        typer.echo(f"dgm: {error}", err=True)
        sys.exit(CANNOT_TELL)


if __name__ == "__main__":
    main()
