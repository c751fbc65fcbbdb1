"""`dgm scenario`: the acceptance scenarios and a user's own, run in virtual time and judged.

Exit codes: 0 every run passed, 1 a mark failed or a scenario is not built, 2 bad input.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from dgm.errors import ConfigError, Problem
from dgm.sim.scenario import document, judge
from dgm.sim.scenario.judge import Judged
from dgm.sim.scenario.mark import Figure, State

ALL = "all"

scenarios = typer.Typer(no_args_is_help=True, help="Run the acceptance scenarios, or your own, and judge them.")

JsonOption = Annotated[Path | None, typer.Option("--json", help="write the figures to this file")]


@scenarios.command("list")
def list_scenarios() -> None:
    """List the scenarios that come with DGM, and what of them is not built."""
    for name in document.names():
        found = document.load(name)
        typer.echo(f"{found.number:>3}  {name:<18} {found.title}")
        if found.not_built:
            typer.echo(f"     {'':<18} not built: {found.not_built}")


@scenarios.command("run")
def run(
    names: Annotated[list[str], typer.Argument(help="names, files that end in .yaml, or all", show_default=False)],
    live: Annotated[bool, typer.Option("--live", help="on real sockets: the marks that are measured there")] = False,
    full: Annotated[bool, typer.Option("--full", help="at full length where the default is a shorter form")] = False,
    html: Annotated[Path | None, typer.Option(help="write pages with plots into this directory")] = None,
    json_file: JsonOption = None,
) -> None:
    """Run scenarios and judge every mark by what the plant itself did."""
    chosen = [document.find(name) for name in (document.names() if names == [ALL] else names)]
    _check_places(html, json_file)
    found: list[Judged] = []
    for scenario, folder in chosen:
        typer.echo(f"{scenario.name}: {scenario.title}")
        for one in judge.run(scenario, folder, chance=random.Random, is_full=full, is_live=live):
            found.append(one)
            _say(one)
    if json_file is not None:
        json_file.write_text(json.dumps(_document(found), indent=2) + "\n", encoding="utf-8")
    if html is not None:
        from dgm.sim.scenario.page import write

        typer.echo(f"pages: {write(html, found)}")
    raise typer.Exit(_summed_up(found))


def _check_places(html: Path | None, json_file: Path | None) -> None:
    """Before an hour of running, not after it."""
    problems = []
    if html is not None and html.exists() and not html.is_dir():
        problems.append(Problem(path="--html", found=f"{html} is a file", expected="a directory"))
    if json_file is not None and not json_file.absolute().parent.is_dir():
        problems.append(Problem(path="--json", found=f"no directory {json_file.parent}", expected="one that exists"))
    if problems:
        raise ConfigError(problems, source="dgm scenario run")


def _say(one: Judged) -> None:
    verdict = one.verdict
    head = f"  {verdict.run or 'run'}: {verdict.state.value}"
    typer.echo(f"{head}: {verdict.why}" if verdict.why else head)
    for figure in verdict.figures:
        typer.echo(f"    {_line(figure)}")
    for note in one.outcome.notes:
        typer.echo(f"    {note}")


def _line(figure: Figure) -> str:
    tail = f"  ({figure.detail})" if figure.detail else ""
    return f"{figure.state.value:<6} {figure.mark.name}: {figure.measured}, to be {figure.mark.bound}{tail}"


def _summed_up(found: Sequence[Judged]) -> int:
    states = [one.verdict.state for one in found]
    live = sum(figure.state is State.LIVE for one in found for figure in one.verdict.figures)
    counts = ", ".join(f"{states.count(state)} {state.value}" for state in State if state in states)
    tail = f"; {live} live marks not measured here" if live else ""
    typer.echo(f"{len(states)} runs: {counts}{tail}")
    return 0 if all(one.verdict.is_passed for one in found) else 1


def _document(found: Sequence[Judged]) -> list[dict[str, Any]]:
    return [
        {
            "scenario": one.verdict.scenario,
            "number": one.scenario.number,
            "title": one.scenario.title,
            "run": one.verdict.run,
            "state": one.verdict.state.value,
            "why": one.verdict.why,
            "notes": list(one.outcome.notes),
            "figures": [_figure(figure) for figure in one.verdict.figures],
        }
        for one in found
    ]


def _figure(figure: Figure) -> dict[str, Any]:
    mark = figure.mark
    return {
        "mark": mark.name,
        "expected": mark.expected,
        "tag": mark.tag.value,
        "state": figure.state.value,
        "value": figure.value,
        "unit": mark.unit,
        "at_least": mark.at_least,
        "at_most": mark.at_most,
        "detail": figure.detail,
    }
