"""A plot as inline SVG: lines over time, bounds dashed, events as bands. Small, and without anything from elsewhere.

Panel ──scaled, thinned to the least and the most of each pixel column──> <svg>
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape

from dgm.sim.scenario.plot import Curve, Panel
from dgm.sim.scenario.trace import Series

WIDTH, HEIGHT = 960, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 26, 26
COLUMNS_MAX = 440
TICKS = 5
COLOURS = ("#1f6feb", "#d4820f", "#2c974b", "#8250df", "#0b7285", "#6e7781")
BOUND_COLOUR = "#cf222e"
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
LABELS_MAX = 10


def drawn(panel: Panel) -> str:
    """The <svg> of a panel; "" where nothing is to be drawn."""
    curves = [curve for curve in panel.curves if len(curve.series)]
    if not curves:
        return ""
    seconds = max(len(curve.series) for curve in curves) * panel.step_s
    low, high = _range(curves)
    frame = _Frame(seconds=max(seconds, 1.0), low=low, high=high)
    body = [*_bands(panel, frame), *_grid(panel, frame)]
    plain = [curve for curve in curves if not curve.is_bound]
    for curve in curves:
        colour = BOUND_COLOUR if curve.is_bound else COLOURS[plain.index(curve) % len(COLOURS)]
        body.append(_line(curve, colour, panel.step_s, frame))
    body += _legend(curves, plain)
    title = f"{escape(panel.title)}, {escape(panel.unit)}"
    label = f'<text class="t" x="{LEFT}" y="15">{title}</text>'
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">{label}{"".join(body)}</svg>'


class _Frame:
    """Seconds and values as places in the picture."""

    def __init__(self, *, seconds: float, low: float, high: float) -> None:
        self.seconds, self.low, self.high = seconds, low, high

    def x(self, at_s: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(1.0, max(0.0, at_s / self.seconds))

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - self.low) / (self.high - self.low)


def _range(curves: list[Curve]) -> tuple[float, float]:
    values = [value for curve in curves for value in curve.series if math.isfinite(value)] or [0.0]
    low, high = min(0.0, *values), max(0.0, *values)
    step = nice((high - low) / TICKS or 1.0)
    return math.floor(low / step) * step, math.ceil(high / step) * step or step


def nice(step: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= step * 0.999)


def _grid(panel: Panel, frame: _Frame) -> Iterator[str]:
    step = nice((frame.high - frame.low) / TICKS)
    for index in range(round((frame.high - frame.low) / step) + 1):
        value = frame.low + index * step
        y = frame.y(value)
        kind = "z" if abs(value) < step / 1000 else "g"
        yield f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="n" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
    every_s = next((one for one in STEPS_S if frame.seconds / one <= LABELS_MAX), STEPS_S[-1])
    for index in range(int(frame.seconds // every_s) + 1):
        x = frame.x(index * every_s)
        yield f'<text class="n" x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{clock_of(index * every_s)}</text>'


def clock_of(seconds: float) -> str:
    """Time since the start, for people."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600}:{whole % 3600 // 60:02d} h"
    return f"{whole // 60}:{whole % 60:02d}" if whole >= 60 else f"{whole} s"


def _bands(panel: Panel, frame: _Frame) -> Iterator[str]:
    for band in panel.bands:
        x, end = frame.x(band.from_s), frame.x(band.to_s)
        box = f'x="{x:.1f}" y="{TOP}" width="{max(1.0, end - x):.1f}" height="{HEIGHT - TOP - BOTTOM}"'
        yield f'<rect class="b" {box}/><text class="n" x="{x + 4:.1f}" y="{TOP + 12}">{escape(band.label)}</text>'


def _line(curve: Curve, colour: str, step_s: float, frame: _Frame) -> str:
    dash = ' stroke-dasharray="6 4"' if curve.is_bound else ""
    parts: list[str] = []
    is_open = False
    for at, value in _thinned(curve.series):
        if not math.isfinite(value):
            is_open = False
            continue
        parts.append(f"{'L' if is_open else 'M'}{frame.x(at * step_s):.1f} {frame.y(value):.1f}")
        is_open = True
    return f'<path d="{"".join(parts)}" fill="none" stroke="{colour}" stroke-width="1.4"{dash}/>'


def _thinned(series: Series) -> Iterator[tuple[int, float]]:
    """Every value of a short series; of a long one the first, the least and the most of each stretch."""
    stretch = -(-len(series) // COLUMNS_MAX)
    if stretch <= 3:
        yield from enumerate(series)
        return
    for begin in range(0, len(series), stretch):
        part = series[begin : begin + stretch]
        chosen = {0, min(range(len(part)), key=part.__getitem__), max(range(len(part)), key=part.__getitem__)}
        yield from ((begin + at, part[at]) for at in sorted(chosen))


def _legend(curves: list[Curve], plain: list[Curve]) -> Iterator[str]:
    x = float(WIDTH - RIGHT)
    for curve in reversed(curves):
        colour = BOUND_COLOUR if curve.is_bound else COLOURS[plain.index(curve) % len(COLOURS)]
        yield f'<text class="l" x="{x:.0f}" y="15" text-anchor="end" fill="{colour}">{escape(curve.label)}</text>'
        x -= 7.0 * len(curve.label) + 16
