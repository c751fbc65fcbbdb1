"""Prometheus series of the ems role. Labels are bounded by the configuration: bus (circuit) and phase, never an EVSE.

Gauges without a measurement are NaN, never 0. The core's own counters are collected at scrape time as dgm_core_*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from dgm.api.site.v1.site_pb2 import CircuitState, PlugState
from dgm.machine import Now
from dgm.metrics import CountersCollector
from dgm.site.state import SiteState

PHASES = ("l1", "l2", "l3")

EXCESS_GAP_MS_MAX = 2000
"""A longer time between two looks is not counted as excess: nobody saw what happened in it."""

DURATION_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class EmsMetrics:
    """What an operator watches of the site's balance and of the role's own rhythm."""

    def __init__(self, registry: CollectorRegistry, counters: Callable[[], Mapping[str, int]]) -> None:
        self.import_w = Gauge("dgm_site_import_watts", "Connection point, positive import", registry=registry)
        self.import_limit_w = Gauge("dgm_site_import_limit_watts", "Tightest import limit in force", registry=registry)
        self.margin_w = Gauge("dgm_limit_margin_watts", "Import limit less import", ["bus"], registry=registry)
        self.current_a = Gauge("dgm_bus_current_amps", "At the bus meter", ["bus", "phase"], registry=registry)
        self.limit_a = Gauge("dgm_bus_limit_amps", "Tightest current limit in force", ["bus"], registry=registry)
        self.shortfall_w = Gauge(
            "dgm_limit_shortfall_watts", "By how much the limits cannot be met", ["bus"], registry=registry
        )
        self.excess_s = Counter(
            "dgm_limit_excess_seconds", "Time the bus meter was above a limit", ["bus"], registry=registry
        )
        self.charging = Gauge("dgm_evse_charging", "EVSEs that say they charge", registry=registry)
        self.limits = Gauge("dgm_limit_held", "Limits put by sources, pending ones included", registry=registry)
        self.cycle_s = Histogram(
            "dgm_control_cycle_duration_seconds", "Policy cycle", buckets=DURATION_BUCKETS, registry=registry
        )
        self.fsync_s = Histogram(
            "dgm_journal_fsync_duration_seconds", "Durable write", buckets=DURATION_BUCKETS, registry=registry
        )
        self.overruns = Counter("dgm_control_cycle_overruns", "Cycles left out, being late", registry=registry)
        self.conflated = Counter("dgm_stream_conflated", "Updates a slow WatchSite reader missed", registry=registry)
        self.refused = Counter("dgm_request_refused", "Requests refused", ["reason"], registry=registry)
        self._looked_ms: int | None = None
        registry.register(CountersCollector("dgm_core", "Field core", counters))

    def observe(self, state: SiteState, now: Now) -> None:
        """Set the gauges from the newest circuit states."""
        elapsed_ms = 0 if self._looked_ms is None else now.mono_ms - self._looked_ms
        self._looked_ms = now.mono_ms
        root = state.topology.root.index
        for circuit in state.topology.circuits:
            seen = state.circuit(circuit.index)
            if seen is None:
                continue
            self._observe_circuit(circuit.id, seen)
            if circuit.index == root:
                self.import_w.set(_or_nan(seen, "net_power_w"))
                self.import_limit_w.set(_or_nan(seen, "import_limit_w"))
            # The series stands from the first look on, so that its first increase is seen too.
            is_excess = is_over(seen) and elapsed_ms <= EXCESS_GAP_MS_MAX
            self.excess_s.labels(bus=circuit.id).inc(elapsed_ms / 1000 if is_excess else 0)

    def observe_evses(self, state: SiteState) -> None:
        """Count what the EVSEs say of themselves."""
        plugs = [state.reading(asset.index).plug_state for asset in state.topology.evses()]
        self.charging.set(sum(plug == PlugState.PLUG_STATE_CHARGING for plug in plugs))

    def _observe_circuit(self, bus: str, seen: CircuitState) -> None:
        self.margin_w.labels(bus=bus).set(_or_nan(seen, "import_limit_w") - _or_nan(seen, "net_power_w"))
        self.limit_a.labels(bus=bus).set(_or_nan(seen, "current_limit_ma") / 1000)
        self.shortfall_w.labels(bus=bus).set(seen.shortfall_w)
        for phase in PHASES:
            measured = seen.current_ma.HasField(phase)
            amps = getattr(seen.current_ma, phase) / 1000 if measured else math.nan
            self.current_a.labels(bus=bus, phase=phase).set(amps)


def is_over(seen: CircuitState) -> bool:
    """Whether the circuit's meter shows more than a limit in force."""
    net_w = seen.net_power_w if seen.HasField("net_power_w") else None
    if net_w is not None and seen.HasField("import_limit_w") and net_w > seen.import_limit_w:
        return True
    if net_w is not None and seen.HasField("export_limit_w") and -net_w > seen.export_limit_w:
        return True
    currents = [getattr(seen.current_ma, phase) for phase in PHASES if seen.current_ma.HasField(phase)]
    return seen.HasField("current_limit_ma") and max(currents, default=0) > seen.current_limit_ma


def _or_nan(seen: CircuitState, name: str) -> float:
    return float(getattr(seen, name)) if seen.HasField(name) else math.nan
