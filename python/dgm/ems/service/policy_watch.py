"""What an operator sees of the policies: a log line when one is set aside or used again, and series by policy.

Labels are bounded by the configuration: the policies that site.yaml lists, and the closed list of reasons.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from structlog.typing import FilteringBoundLogger

from dgm.api.ems.v1.policy_pb2 import PromiseState
from dgm.clock import now
from dgm.ems.guidance import Guidance


class PolicyWatch(Collector):
    """Reads the stack at scrape time; `look` logs its news."""

    def __init__(self, guidance: Guidance, log: FilteringBoundLogger, registry: CollectorRegistry) -> None:
        self._guidance = guidance
        self._log = log
        registry.register(self)

    def look(self) -> None:
        """Log who was set aside or is used again."""
        for news in self._guidance.stack.take_news():
            if news.why is None:
                self._log.info("policy is used again", policy=news.label)
            else:
                self._log.warning("policy is set aside", policy=news.label, why=news.why.value, detail=news.detail)

    def collect(self) -> Iterator[Metric]:
        """The series."""
        runs = CounterMetricFamily("dgm_policy_runs", "Runs of the policy", labels=["policy"])
        aside = CounterMetricFamily("dgm_policy_set_aside", "Runs not used", labels=["policy", "why"])
        duration = GaugeMetricFamily("dgm_policy_duration_seconds", "Length of the last run", labels=["policy"])
        active = GaugeMetricFamily("dgm_policy_active", "1: a result of it holds", labels=["policy"])
        caps = GaugeMetricFamily("dgm_policy_circuit_caps", "Caps on circuits that it states", labels=["policy"])
        needs = GaugeMetricFamily("dgm_policy_promises", "Needs of drivers by what is promised", labels=["state"])
        at = now()
        for seat in self._guidance.stack.seats:
            label = seat.chosen.label
            held = seat.held if at.mono_ms < seat.end_ms else None
            runs.add_metric([label], seat.runs)
            for why, count in seat.aside.items():
                aside.add_metric([label, why.value], count)
            duration.add_metric([label], seat.duration_us / 1e6)
            active.add_metric([label], held is not None)
            caps.add_metric([label], 0 if held is None else len(held.circuit_caps))
        states = [PromiseState.Name(promise.state) for promise in self._guidance.needs.promises(at)]
        for name in PromiseState.keys()[1:]:
            needs.add_metric([name.removeprefix("PROMISE_STATE_").lower()], states.count(name))
        yield from (runs, aside, duration, active, caps, needs)
