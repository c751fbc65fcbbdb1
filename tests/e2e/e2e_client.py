"""What the tests ask of a running site: its gRPC services, its metrics, and recorders that outlive a restart."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from dgm.api.der.v1 import der_pb2, der_pb2_grpc
from dgm.api.ems.v1 import ems_pb2, ems_pb2_grpc
from dgm.api.ocpp.v1 import ocpp_pb2, ocpp_pb2_grpc
from dgm.api.site.v1 import site_pb2, site_pb2_grpc

MessageT = TypeVar("MessageT")

CALL_S = 5.0
CLIENT = "api:e2e"
RETRY_S = 0.02
OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
    # Without this all channels to one path share one connection, with the back-off of the others.
    ("grpc.use_local_subchannel_pool", 1),
]


class SiteClient:
    """The three roles' services on their unix sockets, and their metrics."""

    def __init__(self, run_dir: Path, metrics_ports: dict[str, int]) -> None:
        self._run_dir = run_dir
        self._metrics_ports = metrics_ports
        self._channels = {role: self.channel(role) for role in metrics_ports}
        self.site = site_pb2_grpc.SiteServiceStub(self._channels["ems"])
        self.ems = ems_pb2_grpc.EmsServiceStub(self._channels["ems"])
        self.der = der_pb2_grpc.DerServiceStub(self._channels["der"])
        self.ocpp = ocpp_pb2_grpc.OcppServiceStub(self._channels["ocpp"])

    def channel(self, role: str) -> grpc.Channel:
        """A channel of the caller's own."""
        return grpc.insecure_channel(f"unix:{self._run_dir / f'{role}.sock'}", options=OPTIONS)

    def close(self) -> None:
        """Close the channels."""
        for channel in self._channels.values():
            channel.close()

    def is_serving(self, role: str, service: str = "readiness") -> bool:
        """What the health service of a role says; False while it cannot be reached."""
        stub = health_pb2_grpc.HealthStub(self._channels[role])
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=CALL_S)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def services(self, role: str) -> set[str]:
        """Names of the services by reflection."""
        stub = reflection_pb2_grpc.ServerReflectionStub(self._channels[role])
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        answer = next(iter(stub.ServerReflectionInfo(iter([request]), timeout=CALL_S)))
        return {service.name for service in answer.list_services_response.service}

    def metrics(self, role: str) -> dict[str, float]:
        """Every sample of a role's /metrics, as `name` or `name{label=value}`."""
        url = f"http://127.0.0.1:{self._metrics_ports[role]}/metrics"
        with urllib.request.urlopen(url, timeout=CALL_S) as answer:
            text = answer.read().decode()
        found = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
                found[f"{sample.name}{{{labels}}}" if labels else sample.name] = float(sample.value)
        return found

    def metrics_port(self, role: str) -> int:
        """Where a role's metrics are."""
        return self._metrics_ports[role]

    def put_limit(self, limit_id: str, **fields: Any) -> ems_pb2.PutLimitResponse:
        """Put a limit of this client."""
        limit = ems_pb2.Limit(id=limit_id, source=CLIENT, **fields)
        answer: ems_pb2.PutLimitResponse = self.ems.PutLimit(ems_pb2.PutLimitRequest(limit=limit), timeout=CALL_S)
        return answer

    def delete_limit(self, limit_id: str, source: str = CLIENT) -> bool:
        """Delete a limit; False: there was none."""
        request = ems_pb2.DeleteLimitRequest(id=limit_id, source=source)
        return bool(self.ems.DeleteLimit(request, timeout=CALL_S).existed)

    def limits(self) -> dict[str, ems_pb2.LimitStatus]:
        """Every limit that is held or has just ended, by id."""
        answer = self.ems.ListLimits(ems_pb2.ListLimitsRequest(), timeout=CALL_S)
        return {status.limit.id: status for status in answer.limits}

    def stations(self) -> dict[str, ocpp_pb2.Station]:
        """Every station by id."""
        answer = self.ocpp.ListStations(ocpp_pb2.ListStationsRequest(), timeout=CALL_S)
        return {station.id: station for station in answer.stations}

    def controls(self) -> dict[str, der_pb2.Control]:
        """The utility's controls by mRID."""
        answer = self.der.ListControls(der_pb2.ListControlsRequest(), timeout=CALL_S)
        return {control.mrid: control for control in answer.controls}

    def explain(self, asset_id: str) -> ems_pb2.ExplainDecisionResponse:
        """Why an asset has its setpoint."""
        request = ems_pb2.ExplainDecisionRequest(asset_id=asset_id)
        answer: ems_pb2.ExplainDecisionResponse = self.ems.ExplainDecision(request, timeout=CALL_S)
        return answer

    def setpoints_ma(self) -> dict[str, int]:
        """The newest setpoint of every EVSE."""
        call = self.ems.WatchSetpoints(ems_pb2.WatchSetpointsRequest(subscriber="e2e"), timeout=CALL_S)
        first = next(iter(call))
        call.cancel()
        return {setpoint.asset_id: setpoint.current_ma for setpoint in first.setpoints}


class Recorder(Generic[MessageT]):
    """Follows a stream over restarts of its server and keeps each message with the number of its stream."""

    def __init__(self, open_channel: Callable[[], grpc.Channel], subscribe: Callable[[grpc.Channel], Any]) -> None:
        self.streams: list[list[MessageT]] = []
        self._open_channel = open_channel
        self._subscribe = subscribe
        self._stop = threading.Event()
        self._call: Any = None
        self._thread = threading.Thread(target=self._follow, name="recorder", daemon=True)

    @property
    def messages(self) -> list[MessageT]:
        """All messages of all streams in order."""
        return [message for stream in self.streams for message in stream]

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def pause(self) -> None:
        """Leave the thread a moment to receive."""
        self._stop.wait(RETRY_S)

    def stop(self) -> None:
        """End the stream and the thread."""
        self._stop.set()
        if self._call is not None:
            self._call.cancel()
        self._thread.join(CALL_S)

    def _follow(self) -> None:
        while not self._stop.is_set():
            with self._open_channel() as channel:
                try:
                    self._call = self._subscribe(channel)
                    self._take(self._call)
                except grpc.RpcError:
                    self._stop.wait(RETRY_S)

    def _take(self, call: Any) -> None:
        own: list[MessageT] | None = None
        for message in call:
            if own is None:
                own = []
                self.streams.append(own)
            own.append(message)


@contextmanager
def recording(client: SiteClient, role: str, subscribe: Callable[[grpc.Channel], Any]) -> Iterator[Recorder[Any]]:
    """Follow a stream of a role while the block runs; it has begun when the block does."""
    recorder: Recorder[Any] = Recorder(lambda: client.channel(role), subscribe)
    recorder.start()
    deadline_s = time.monotonic() + CALL_S
    try:
        while not recorder.messages and time.monotonic() < deadline_s:
            recorder.pause()
        assert recorder.messages, f"{role} sends nothing"
        yield recorder
    finally:
        recorder.stop()


def watch_setpoints(channel: grpc.Channel) -> Any:
    """Every setpoint; the name is none of the ocpp role's, so this reader does not count as its link."""
    return ems_pb2_grpc.EmsServiceStub(channel).WatchSetpoints(ems_pb2.WatchSetpointsRequest(subscriber="e2e"))


def watch_limits(channel: grpc.Channel) -> Any:
    """Every change of the limits."""
    return ems_pb2_grpc.EmsServiceStub(channel).WatchLimits(ems_pb2.WatchLimitsRequest())


def watch_site(channel: grpc.Channel) -> Any:
    """The site, as often as it is told."""
    return site_pb2_grpc.SiteServiceStub(channel).WatchSite(site_pb2.WatchSiteRequest(interval_ms=100))
