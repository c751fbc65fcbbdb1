"""What a person looks at: an index of all runs, and a page per scenario with its marks and plots.

Judged... ──> DIR/index.html, DIR/<scenario>.html, each with everything in it: no network, no script
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from dgm.sim.scenario.judge import Judged
from dgm.sim.scenario.mark import Figure
from dgm.sim.scenario.svg import drawn

STYLE = """
body{font:14px/1.45 system-ui,sans-serif;color:#1f2328;background:#fff;max-width:1000px;margin:24px auto;padding:0 16px}
h1{font-size:22px;margin:0 0 4px}h2{font-size:16px;margin:28px 0 6px}p{margin:4px 0 12px}a{color:#1f6feb}
table{border-collapse:collapse;width:100%;margin:8px 0 16px}td,th{text-align:left;padding:5px 8px;vertical-align:top}
th{font-weight:600;border-bottom:1px solid #d0d7de}td{border-bottom:1px solid #eaeef2}
.passed{color:#1a7f37}.failed{color:#cf222e;font-weight:600}.live,.not{color:#6e7781}small{color:#6e7781}
svg{width:100%;height:auto;margin:6px 0;background:#fff}
svg .t{font-size:13px;font-weight:600;fill:#1f2328}svg .n{font-size:11px;fill:#6e7781}svg .l{font-size:12px}
svg .g{stroke:#eaeef2}svg .z{stroke:#8c959f}svg .b{fill:#ddf4ff}
"""


def write(folder: Path, found: Sequence[Judged]) -> Path:
    """All pages; the index is returned. The folder is made; pages of the same names are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in dict.fromkeys(one.verdict.scenario for one in found):
        runs = [one for one in found if one.verdict.scenario == name]
        (folder / f"{name}.html").write_text(scenario_page(runs), encoding="utf-8")
    index = folder / "index.html"
    index.write_text(index_page(found), encoding="utf-8")
    return index


def index_page(found: Sequence[Judged]) -> str:
    """One line per run."""
    rows = "".join(
        f"<tr><td>{one.scenario.number or ''}</td>"
        f'<td><a href="{escape(one.verdict.scenario)}.html">{escape(one.scenario.title)}</a></td>'
        f"<td>{escape(one.verdict.run)}</td>{_state(one)}</tr>"
        for one in found
    )
    head = "<tr><th>no.</th><th>scenario</th><th>run</th><th>verdict</th></tr>"
    return _page("Scenarios", f"<h1>Scenarios</h1><table>{head}{rows}</table>")


def scenario_page(runs: Sequence[Judged]) -> str:
    """Marks and plots of every run of one scenario."""
    first = runs[0].scenario
    number = f"{first.number}. " if first.number else ""
    head = (
        f'<p><a href="index.html">all scenarios</a></p><h1>{number}{escape(first.title)}</h1><p>{escape(first.why)}</p>'
    )
    return _page(first.title, head + "".join(_run(one) for one in runs))


def _run(one: Judged) -> str:
    verdict = one.verdict
    title = f"<h2>{escape(verdict.run or 'run')}: <span {_class(verdict.state.value)}>{verdict.state.value}</span></h2>"
    why = f"<p>{escape(verdict.why)}</p>" if verdict.why else ""
    notes = "".join(f"<p><small>{escape(note)}</small></p>" for note in one.outcome.notes)
    rows = "".join(_mark(figure) for figure in verdict.figures)
    head = "<tr><th>mark</th><th>measured</th><th>to be</th><th></th></tr>"
    table = f"<table>{head}{rows}</table>" if rows else ""
    return title + why + table + notes + "".join(drawn(panel) for panel in one.outcome.panels)


def _mark(figure: Figure) -> str:
    mark, detail = figure.mark, f" <small>{escape(figure.detail)}</small>" if figure.detail else ""
    expected = f"<br><small>{escape(mark.expected)}</small>" if mark.expected else ""
    state = f"<td {_class(figure.state.value)}>{figure.state.value}</td>"
    return (
        f"<tr><td>{escape(mark.name)}{expected}</td><td>{escape(figure.measured)}{detail}</td>"
        f"<td>{escape(mark.bound)}</td>{state}</tr>"
    )


def _state(one: Judged) -> str:
    state = one.verdict.state.value
    why = f" <small>{escape(one.verdict.why)}</small>" if one.verdict.why else ""
    return f"<td {_class(state)}>{state}{why}</td>"


def _class(state: str) -> str:
    return f'class="{state.split()[0]}"'


def _page(title: str, body: str) -> str:
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'
