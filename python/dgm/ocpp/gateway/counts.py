"""Prometheus series of the OCPP gateway. Labels come from closed lists; no series per EVSE."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from dgm.ocpp.events import Reason

FORWARD_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1)


class GatewayMetrics:
    """All series, created once on the role's registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        self.connections = Gauge("dgm_ocpp_connections", "Stations with both legs open", registry=registry)
        frames = counter("dgm_ocpp_frames_total", "Frames passed on unchanged", "direction")
        self.frames_north, self.frames_south = frames.labels("north"), frames.labels("south")
        excepted = counter("dgm_ocpp_excepted_total", "Frames of the closed list", "reason")
        self.excepted = {reason: excepted.labels(reason.value) for reason in Reason}
        self.forward_seconds = Histogram(
            "dgm_ocpp_forward_seconds",
            "From a frame's arrival to its write on the other leg",
            buckets=FORWARD_BUCKETS_S,
            registry=registry,
        )
        self.audit_lost = counter("dgm_ocpp_audit_lost_total", "Lines that the audit file could not take")
        self.bad_frames = counter("dgm_ocpp_bad_frames_total", "What is not OCPP 1.6 on a station's socket", "reason")
        self.wrong_payloads = counter("dgm_ocpp_wrong_payloads_total", "Payloads we could not read", "action")
        self.old_readings = counter("dgm_ocpp_old_readings_total", "Readings of the past, not used")
        self.pending_full = counter("dgm_ocpp_pending_full_total", "CALLs forgotten before their answer")
        self.refused = counter("dgm_ocpp_refused_total", "Connections refused", "reason")
        self.slow_peers = counter("dgm_ocpp_slow_peers_total", "Legs closed because their peer did not read", "leg")
        self.faults = counter("dgm_ocpp_faults_total", "Errors of ours that ended one station's connection")
