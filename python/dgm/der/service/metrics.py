"""What Prometheus sees of the der role."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from dgm.der.core import DerCore
from dgm.der.envelope import QUANTITIES, Bound
from dgm.der.register_values import LINK_NUMBERS
from dgm.der.schedule import Phase
from dgm.machine import Now

DAY_S = 86_400


class DerMetrics:
    """Created once per process on the role's registry."""

    def __init__(self, registry: CollectorRegistry, *, certificate_ends_s: Mapping[str, float]) -> None:
        self.requests = Counter(
            "dgm_2030_5_requests",
            "Requests to the utility server by HTTP status code; 'none': no answer.",
            ["code"],
            registry=registry,
        )
        self._poll_age = Gauge(
            "dgm_2030_5_poll_age_seconds", "Since the last good answer of the utility server.", registry=registry
        )
        self._link = Gauge(
            "dgm_2030_5_connection_state", "0 connecting, 1 registered, 2 ready, 3 lost.", registry=registry
        )
        self._offset = Gauge(
            "dgm_2030_5_clock_offset_seconds", "The utility server's clock less ours.", registry=registry
        )
        self._malformed = Gauge(
            "dgm_2030_5_malformed_answers", "Good answers whose body was not the resource asked for.", registry=registry
        )
        self._events = Gauge("dgm_event_state", "Utility events known, by state.", ["state"], registry=registry)
        self._limit = Gauge("dgm_2030_5_limit_watts", "Utility limit in force; NaN: none.", ["mode"], registry=registry)
        self._owed = Gauge(
            "dgm_2030_5_responses_owed", "Responses the utility server has not taken yet.", registry=registry
        )
        self._responses_lost = Gauge(
            "dgm_2030_5_responses_lost", "Responses to controls that found no room, since the start.", registry=registry
        )
        self._refused = Gauge(
            "dgm_event_refused", "Utility events that are not followed for want of room.", registry=registry
        )
        self._alarms = Gauge("dgm_2030_5_alarms", "Alarms of the site that are raised.", registry=registry)
        self._log = Gauge("dgm_2030_5_log_events", "LogEvents for the utility server.", ["state"], registry=registry)
        self._not_kept = Gauge(
            "dgm_2030_5_controls_not_kept", "Event reports that are kept, of controls that were not.", registry=registry
        )
        self._expiry = Gauge(
            "dgm_cert_expiry_timestamp_seconds", "When the certificate ends (UTC).", ["use"], registry=registry
        )
        self._days_left = Gauge(
            "dgm_cert_days_left", "Days until the certificate ends; negative once it has.", ["use"], registry=registry
        )
        self.show_certificates(certificate_ends_s)
        self._poll_age.set(float("nan"))

    def show_certificates(self, ends_s: Mapping[str, float]) -> None:
        """When the certificates in use end, UTC seconds."""
        self._ends_s = dict(ends_s)
        for use, end_s in self._ends_s.items():
            self._expiry.labels(use=use).set(end_s)

    def show(self, core: DerCore, bounds: dict[str, Bound], now: Now) -> None:
        """Take over the state as of now."""
        for use, end_s in self._ends_s.items():
            self._days_left.labels(use=use).set((end_s - now.utc_ms / 1000) // DAY_S)
        last_ms = core.discovery.last_success_ms
        self._poll_age.set(float("nan") if last_ms is None else (now.mono_ms - last_ms) / 1000)
        self._link.set(LINK_NUMBERS[core.discovery.link])
        self._offset.set(core.offset_ms / 1000)
        self._malformed.set(core.discovery.counters.malformed)
        self._owed.set(len(core.scheduler.owed()))
        self._responses_lost.set(core.scheduler.engine.responses_lost)
        self._refused.set(len(core.scheduler.refused))
        self._alarms.set(len(core.reporting.log.raised()))
        self._log.labels(state="waiting").set(core.reporting.log.size)
        self._log.labels(state="dropped").set(core.reporting.log.dropped)
        self._log.labels(state="refused").set(core.reporting.log.refused)
        self._not_kept.set(sum(not report.is_kept for report in core.reporting.reports.reports()))
        phases = [event.phase for event in core.scheduler.events()]
        for phase in Phase:
            self._events.labels(state=phase.value).set(phases.count(phase))
        for mode in QUANTITIES:
            self._limit.labels(mode=mode).set(bounds[mode].power_w if mode in bounds else float("nan"))
