"""Named measures: pure functions of series of the trace, one value a second.

    mark {measure, of, per, bound, window_s, from_s, to_s} + Trace ──measured──> Measured (s, or the unit of the series)

What each needs stands in MEASURES; a mark that names another, or forgets what one needs, is refused when it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dgm.api.config.v1.scenario_pb2 import ScenarioMark
from dgm.sim.scenario.mark import Measured
from dgm.sim.scenario.trace import Series, Trace

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a measure is asked of. start_s: second of the run at which the window begins; bound 0 where not given."""

    series: Series
    per: Series
    start_s: int
    bound: float
    window_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A measure, what it needs beside its series (bound, window_s, per), and what it says."""

    function: Callable[[Ask], Measured]
    needs: tuple[str, ...]
    says: str


def _runs(flags: Iterator[bool]) -> Iterator[tuple[int, int]]:
    """Begin and length of each unbroken run of true."""
    begin, length = 0, 0
    for at, flag in enumerate(flags):
        if flag:
            begin, length = (at, 1) if length == 0 else (begin, length + 1)
        elif length:
            yield begin, length
            length = 0
    if length:
        yield begin, length


def _longest(ask: Ask, flags: Iterator[bool]) -> Measured:
    begin, length = max(_runs(flags), key=lambda run: run[1], default=(0, 0))
    return Measured(value=float(length), detail=f"from {ask.start_s + begin} s" if length else "")


def _longest_above(ask: Ask) -> Measured:
    return _longest(ask, (value > ask.bound for value in ask.series))


def _longest_below(ask: Ask) -> Measured:
    return _longest(ask, (value < ask.bound for value in ask.series))


def _extreme(ask: Ask, choose: Callable[[Series], float]) -> Measured:
    if not ask.series:
        return Measured(value=None, detail="an empty window")
    value = choose(ask.series)
    return Measured(value=value, detail=f"at {ask.start_s + list(ask.series).index(value)} s")


def _maximum(ask: Ask) -> Measured:
    return _extreme(ask, max)


def _minimum(ask: Ask) -> Measured:
    return _extreme(ask, min)


def mean_of(series: Series) -> float:
    """Mean; 0 of nothing."""
    return sum(series) / len(series) if series else 0.0


def _mean(ask: Ask) -> Measured:
    return Measured(value=mean_of(ask.series) if ask.series else None)


def _final(ask: Ask) -> Measured:
    return Measured(value=ask.series[-1] if ask.series else None)


def _change(ask: Ask) -> Measured:
    return Measured(value=ask.series[-1] - ask.series[0] if ask.series else None)


def _rise(ask: Ask) -> Measured:
    return Measured(value=max(ask.series) - ask.series[0] if ask.series else None)


def _fall(ask: Ask) -> Measured:
    return Measured(value=ask.series[0] - min(ask.series) if ask.series else None)


def _first(ask: Ask, flags: Iterator[bool]) -> Measured:
    at = next((index for index, flag in enumerate(flags) if flag), None)
    return Measured(value=None if at is None else float(at))


def _time_to_below(ask: Ask) -> Measured:
    return _first(ask, (value <= ask.bound for value in ask.series))


def _time_to_above(ask: Ask) -> Measured:
    return _first(ask, (value >= ask.bound for value in ask.series))


def _settles_below(ask: Ask) -> Measured:
    """After the last second that is above the bound; never, where the window ends above."""
    last = max((at for at, value in enumerate(ask.series) if value > ask.bound), default=-1)
    is_settled = last + 1 < len(ask.series)
    return Measured(value=float(last + 1) if is_settled else None, detail="" if is_settled else "ends above")


def _settles_above(ask: Ask) -> Measured:
    last = max((at for at, value in enumerate(ask.series) if value < ask.bound), default=-1)
    is_settled = last + 1 < len(ask.series)
    return Measured(value=float(last + 1) if is_settled else None, detail="" if is_settled else "ends below")


def _seconds_above(ask: Ask) -> Measured:
    return Measured(value=float(sum(value > ask.bound for value in ask.series)))


def _overshoots(ask: Ask) -> Measured:
    """Separate runs above the bound."""
    return Measured(value=float(len(list(_runs(value > ask.bound for value in ask.series)))))


def _sign_changes(ask: Ask) -> Measured:
    """Reversals of direction by more than `bound`, so that ripple below it does not count."""
    if not ask.series:
        return Measured(value=0.0)
    low = high = ask.series[0]
    direction, changes = 0, 0
    for value in ask.series:
        low, high = min(low, value), max(high, value)
        new = 1 if value - low > ask.bound else -1 if high - value > ask.bound else 0
        if new:
            changes += int(direction not in (0, new))
            direction, low, high = new, value, value
    return Measured(value=float(changes))


def _energy(ask: Ask) -> Measured:
    return Measured(value=sum(ask.series) / SECONDS_PER_HOUR)


def _shed(ask: Ask) -> Measured:
    """Energy below the bound, e.g. below a baseline."""
    return Measured(value=sum(ask.bound - value for value in ask.series) / SECONDS_PER_HOUR)


def _energy_above(ask: Ask) -> Measured:
    return Measured(value=sum(max(0.0, value - ask.bound) for value in ask.series) / SECONDS_PER_HOUR)


def _mean_maximum(ask: Ask) -> Measured:
    means = list(window_means(ask.series, ask.window_s))
    if not means:
        return Measured(value=None, detail="the window is longer than the run")
    value = max(means)
    return Measured(value=value, detail=f"in the window from {ask.start_s + means.index(value) * ask.window_s} s")


def _sliding_maximum(ask: Ask) -> Measured:
    if len(ask.series) < ask.window_s:
        return Measured(value=None, detail="the window is longer than the run")
    running = sum(ask.series[: ask.window_s])
    best, at = running, 0
    for end in range(ask.window_s, len(ask.series)):
        running += ask.series[end] - ask.series[end - ask.window_s]
        best, at = max((best, at), (running, end - ask.window_s + 1), key=lambda found: found[0])
    return Measured(value=best / ask.window_s, detail=f"in the window from {ask.start_s + at} s")


def window_means(series: Series, window_s: int) -> Iterator[float]:
    """Means of windows that follow each other; what is left over at the end is no window."""
    for begin in range(0, len(series) - window_s + 1, window_s):
        yield mean_of(series[begin : begin + window_s])


def _slope(ask: Ask) -> Measured:
    """Least squares over the window, per second."""
    count = len(ask.series)
    if count < 2:
        return Measured(value=None, detail="fewer than two seconds")
    middle, mean = (count - 1) / 2, mean_of(ask.series)
    over = sum((at - middle) * (value - mean) for at, value in enumerate(ask.series))
    return Measured(value=over / sum((at - middle) ** 2 for at in range(count)))


def _share(ask: Ask) -> Measured:
    """Mean of the series as % of the mean of `per`."""
    whole = mean_of(ask.per)
    return Measured(value=None if whole == 0 else 100 * mean_of(ask.series) / whole)


MEASURES: dict[str, Measure] = {
    "longest_above": Measure(function=_longest_above, needs=("bound",), says="s, longest run above the bound"),
    "longest_below": Measure(function=_longest_below, needs=("bound",), says="s, longest run below the bound"),
    "seconds_above": Measure(function=_seconds_above, needs=("bound",), says="s above the bound, all together"),
    "maximum": Measure(function=_maximum, needs=(), says="largest second"),
    "minimum": Measure(function=_minimum, needs=(), says="smallest second"),
    "mean": Measure(function=_mean, needs=(), says="mean of the window"),
    "final": Measure(function=_final, needs=(), says="last second of the window"),
    "change": Measure(function=_change, needs=(), says="last second less the first"),
    "rise": Measure(function=_rise, needs=(), says="largest second less the first"),
    "fall": Measure(function=_fall, needs=(), says="first second less the smallest"),
    "time_to_below": Measure(function=_time_to_below, needs=("bound",), says="s to the first second at or below"),
    "time_to_above": Measure(function=_time_to_above, needs=("bound",), says="s to the first second at or above"),
    "settles_below": Measure(function=_settles_below, needs=("bound",), says="s until it stays at or below"),
    "settles_above": Measure(function=_settles_above, needs=("bound",), says="s until it stays at or above"),
    "overshoots": Measure(function=_overshoots, needs=("bound",), says="separate runs above the bound"),
    "sign_changes": Measure(function=_sign_changes, needs=("bound",), says="reversals by more than the bound"),
    "energy": Measure(function=_energy, needs=(), says="integral over hours (kWh of a series in kW)"),
    "energy_above": Measure(function=_energy_above, needs=("bound",), says="integral of what is above the bound"),
    "shed": Measure(function=_shed, needs=("bound",), says="integral of the bound less the series"),
    "mean_maximum": Measure(function=_mean_maximum, needs=("window_s",), says="largest mean of adjoining windows"),
    "sliding_maximum": Measure(function=_sliding_maximum, needs=("window_s",), says="largest mean of any window"),
    "slope": Measure(function=_slope, needs=(), says="per second, least squares"),
    "share": Measure(function=_share, needs=("per",), says="% of the mean of another series"),
}


RESPONSE_MEASURES = {
    "response_s": "s after the start of the run at which a response says that it was made; of: control, bound: status",
    "response_taken_s": "s after the start of the run at which the server took it",
    "response_count": "how many of this status the server took for this control",
    "responses_twice": "responses that the server took more than once, of all controls",
}
"""Of what the utility was told; the player of a timeline measures them."""


def measured(mark: ScenarioMark, trace: Trace) -> Measured:
    """One mark of the trace. A series that the run does not have is a figure that nobody measured."""
    if mark.of not in trace.names or (mark.per and mark.per not in trace.names):
        missing = mark.of if mark.of not in trace.names else mark.per
        return Measured(value=None, detail=f"no series {missing!r}; there are {', '.join(sorted(trace.names))}")
    begin = mark.from_s if mark.HasField("from_s") else 0
    end = mark.to_s if mark.HasField("to_s") else trace.seconds
    ask = Ask(
        series=trace.series(mark.of)[begin:end],
        per=trace.series(mark.per)[begin:end] if mark.per else (),
        start_s=begin,
        bound=float(mark.bound or 0),
        window_s=mark.window_s,
    )
    return MEASURES[mark.measure].function(ask)
