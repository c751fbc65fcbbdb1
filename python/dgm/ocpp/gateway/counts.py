"""Prometheus series of the OCPP gateway. Labels come from closed lists; no series per EVSE.

What happens once per relayed frame is counted in plain integers (`Passage`) and shown when it is asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from dgm import clock
from dgm.ocpp.events import Reason
from dgm.ocpp.gateway.certificates import WARN_BEFORE, StationCertificates

FORWARD_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1)


class Passage(Collector):
    """Frames passed on, how long each took from its arrival to its write, and what reading copies of them cost."""

    def __init__(self) -> None:
        self.seen, self.north, self.south = 0, 0, 0
        self.copies, self.copies_cpu_s, self.copies_waiting = 0, 0.0, 0
        self._forward_s = 0.0
        self._buckets = [0] * (len(FORWARD_BUCKETS_S) + 1)

    def took(self, seconds: float, frames: int = 1) -> None:
        """A frame's way through us, and for how many it stands."""
        self._forward_s += seconds * frames
        self._buckets[bisect_left(FORWARD_BUCKETS_S, seconds)] += frames

    def collect(self) -> Iterator[Metric]:
        """The families of this moment."""
        frames = CounterMetricFamily("dgm_ocpp_frames", "Frames passed on unchanged", labels=["direction"])
        frames.add_metric(["north"], self.north)
        frames.add_metric(["south"], self.south)
        yield frames
        total, buckets = 0, []
        for bound, count in zip((*map(str, FORWARD_BUCKETS_S), "+Inf"), self._buckets, strict=True):
            total += count
            buckets.append((bound, float(total)))
        text = "From a frame's arrival to its write on the other leg (sampled)"
        yield HistogramMetricFamily("dgm_ocpp_forward_seconds", text, buckets=buckets, sum_value=self._forward_s)
        yield CounterMetricFamily("dgm_ocpp_copies", "Copies of passed frames decoded in their turn", value=self.copies)
        text = "CPU time of decoding copies and of what follows from them (sampled)"
        yield CounterMetricFamily("dgm_ocpp_copies_cpu_seconds", text, value=self.copies_cpu_s)
        text = "Copies not decoded yet; the bound is MAX_COPIES"
        yield GaugeMetricFamily("dgm_ocpp_copies_waiting", text, value=self.copies_waiting)


class Certificates(Collector):
    """How long the certificates of stations with profile 3 last, and their revocation lists."""

    def __init__(self, certificates: StationCertificates) -> None:
        self._certificates = certificates

    def collect(self) -> Iterator[Metric]:
        """The families of this moment."""
        utc_ms = clock.now().utc_ms
        left = self._certificates.days_left(utc_ms)
        if left:
            text = "Days that the station certificate which ends first still lasts"
            yield GaugeMetricFamily("dgm_ocpp_station_certificate_days_min", text, value=min(left))
            text = "Station certificates that end within 30 days"
            soon = sum(1 for days in left if days < WARN_BEFORE.days)
            yield GaugeMetricFamily("dgm_ocpp_station_certificates_ending", text, value=soon)
        list_days = self._certificates.crl_days_left(utc_ms)
        if list_days is not None:
            text = "Days to nextUpdate of the revocation list that is due first; negative: late"
            yield GaugeMetricFamily("dgm_ocpp_revocation_list_days", text, value=list_days)
        text = "Changed revocation lists that could not be used"
        yield CounterMetricFamily("dgm_ocpp_revocation_list_faults", text, value=self._certificates.crl_faults)


class GatewayMetrics:
    """All series, created once on the role's registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        self.connections = Gauge("dgm_ocpp_connections", "Stations connected", registry=registry)
        self.passage = Passage()
        registry.register(self.passage)
        self.outage_messages = counter(
            "dgm_ocpp_outage_messages_total", "Messages of stations to a CSMS that was away", "cpo", "what"
        )
        self.outage_seconds = counter(
            "dgm_ocpp_outage_seconds_total", "Time that stations were connected without their CSMS, of each", "cpo"
        )
        waiting = "Messages on disk that their CSMS has not answered"
        self.books_waiting = Gauge("dgm_ocpp_books_waiting", waiting, ["cpo"], registry=registry)
        self.alone = Gauge("dgm_ocpp_alone", "Stations connected without their CSMS", ["cpo"], registry=registry)
        self.books_good = Gauge("dgm_ocpp_books_good", "1: messages can be put on disk, where asked", registry=registry)
        excepted = counter("dgm_ocpp_excepted_total", "Frames of the closed list", "reason")
        self.excepted = {reason: excepted.labels(reason.value) for reason in Reason}
        self.audit_lost = counter("dgm_ocpp_audit_lost_total", "Lines that the audit file could not take")
        self.bad_frames = counter("dgm_ocpp_bad_frames_total", "What is not OCPP-J on a station's sockets", "reason")
        self.wrong_payloads = counter("dgm_ocpp_wrong_payloads_total", "Payloads we could not read", "action")
        self.schema_breaches = counter(
            "dgm_ocpp_schema_breaches_total", "Payloads that break their schema and were read all the same", "action"
        )
        self.old_readings = counter("dgm_ocpp_old_readings_total", "Readings of the past, not used")
        self.pending_full = counter("dgm_ocpp_pending_full_total", "CALLs forgotten before their answer")
        self.certificate_messages = counter(
            "dgm_ocpp_certificate_messages_total", "Messages about certificates that were passed on", "action"
        )
        self.refused = counter("dgm_ocpp_refused_total", "Connections refused", "reason")
        self.slow_peers = counter("dgm_ocpp_slow_peers_total", "Legs closed because their peer did not read", "leg")
        self.faults = counter("dgm_ocpp_faults_total", "Errors of ours that ended one station's connection")
