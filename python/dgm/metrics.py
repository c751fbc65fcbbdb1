"""The /metrics listener of a role process: Prometheus text over HTTP, nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dgm import __version__
from dgm.errors import TransportError
from dgm.log import logger


def new_registry(role: str) -> CollectorRegistry:
    """A registry of one role with its build information."""
    registry = CollectorRegistry()
    info = Gauge("dgm_build_info", "Version and role of the process", ["version", "role"], registry=registry)
    info.labels(version=__version__, role=role).set(1)
    return registry


class CountersCollector(Collector):
    """Counters and gauges of the Rust core, prefixed; `_total` makes a counter, `_us` becomes seconds."""

    def __init__(self, prefix: str, what: str, counters: Callable[[], Mapping[str, int]]) -> None:
        self._prefix = prefix
        self._what = what
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        """One family per counter or gauge."""
        for name, value in sorted(self._counters().items()):
            text = f"{self._what}: {name.replace('_', ' ')}"
            if name.endswith("_total"):
                yield CounterMetricFamily(f"{self._prefix}_{name.removesuffix('_total')}", text, value=value)
            elif "_us" in name:
                seconds_name = name.replace("_us", "_seconds")
                yield GaugeMetricFamily(f"{self._prefix}_{seconds_name}", text, value=value / 1_000_000)
            else:
                yield GaugeMetricFamily(f"{self._prefix}_{name}", text, value=value)


class _Refusals(logging.Handler):
    """Counts what the HTTP library would log of malformed requests: bad peers must not fill the log."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self._counter = counter

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            self._counter.inc()
        else:
            logger("metrics").error("the metrics listener failed", what=record.getMessage(), error=repr(error))


class MetricsServer:
    """Serves one registry; any other path is 404, a malformed request is refused by the HTTP parser and counted."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        refused = Counter("dgm_metrics_bad_requests", "Requests to /metrics that are not HTTP", registry=registry)
        application = web.Application()
        application.router.add_get("/metrics", self._metrics)
        quiet = logging.Logger("dgm.metrics.http")  # of its own: nothing above it hears of it
        quiet.addHandler(_Refusals(refused))
        self._runner = web.AppRunner(application, access_log=None, logger=quiet)

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def start(self, host: str, port: int) -> None:
        """Listen. TransportError when the address is in use."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            raise TransportError(f"metrics {host}:{port}: {error.strerror}; expected a free address") from error

    async def stop(self) -> None:
        """Close the listener."""
        await self._runner.cleanup()
