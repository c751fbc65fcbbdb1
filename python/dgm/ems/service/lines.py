"""How the Modbus lines stand: series by line, and one line of the log when one is asked for more than it has.

    _core.Field.lines() ──> LinesCollector ──> dgm_line_*{line="192.0.2.10:502"}
                       └──> LineWatch ──> log, once when it begins and once when it ends

What is over while it runs is reckoned by the rule of `dgm check`, with what the line really costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from structlog.typing import FilteringBoundLogger

Lines = Mapping[str, Mapping[str, int]]
"""Figures of _core.Field.lines() by endpoint."""

HELP = {
    "used_permille": "Share of the line's time that was used in the last ten seconds, timeouts included",
    "wanted_permille": "Share of the line's time that all that is asked for needs, at the measured cost",
    "over_permille": "By how much more is asked for than the line has; 0: it fits",
    "over_us": "By how much deadlines cannot be kept though it fits on the whole; 0: all are",
    "unproved": "1: so close to full that nothing is proved",
    "write_wait_bound_us": "Longest wait of a setpoint for the line, as reckoned",
    "write_wait_us_max": "Longest wait of a setpoint for the line that was seen",
    "blocking_us": "How long one transaction may keep a setpoint waiting",
    "late_total": "Readings, looks and proofs done after their deadline",
    "late_us_max": "Longest time by which one was late",
    "silent": "Devices that do not answer",
}


class LinesCollector(Collector):
    """One series per line and figure; shares and seconds in Prometheus' own units."""

    def __init__(self, lines: Callable[[], Lines]) -> None:
        self._lines = lines

    def collect(self) -> Iterator[Metric]:
        """One family per figure."""
        lines = self._lines()
        for figure, text in HELP.items():
            family = _family(figure, text)
            for line, figures in sorted(lines.items()):
                family.add_metric([line], _value(figure, figures[figure]))
            yield family


def _family(figure: str, text: str) -> CounterMetricFamily | GaugeMetricFamily:
    if figure.endswith("_total"):
        return CounterMetricFamily(f"dgm_line_{figure.removesuffix('_total')}", text, labels=["line"])
    name = figure.replace("_permille", "_ratio").replace("_us", "_seconds")
    return GaugeMetricFamily(f"dgm_line_{name}", text, labels=["line"])


def _value(figure: str, value: int) -> float:
    if figure.endswith("_permille"):
        return value / 1000
    return value / 1_000_000 if "_us" in figure else value


class LineWatch:
    """Tells once that a line is over, once that it is no more."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._over: set[str] = set()

    def look(self, lines: Lines) -> None:
        """Compare with the look before."""
        for line, figures in lines.items():
            by = _over_by(figures)
            if by is not None and line not in self._over:
                self._over.add(line)
                self._log.warning("a Modbus line is asked for more than it can do in time", line=line, over=by)
            elif by is None and line in self._over:
                self._over.discard(line)
                self._log.info("a Modbus line keeps its deadlines again", line=line)


def _over_by(figures: Mapping[str, int]) -> str | None:
    if figures["over_permille"]:
        return f"{figures['over_permille'] / 10:.1f} % of the line"
    if figures["over_us"]:
        return f"{figures['over_us'] / 1000:.1f} ms in the tightest window"
    return "unknown, so close to full that nothing is proved" if figures["unproved"] else None
