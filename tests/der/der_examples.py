"""What the DER tests share: a site, a recording EMS on a unix socket, and waiting on conditions instead of time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
from prometheus_client import CollectorRegistry

from dgm import config as site_config
from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.ems.v1 import ems_pb2, ems_pb2_grpc
from dgm.api.ems.v1.ems_pb2 import Limit, Target
from dgm.api.site.v1 import site_pb2, site_pb2_grpc
from dgm.api.site.v1.site_pb2 import CircuitState, PhaseValues, Quality, Sample, WatchSiteResponse
from dgm.journal import Journal
from dgm.role import RoleContext
from dgm.sim.live.pki import TestPki

PATIENCE_S = 20.0

SITE = """
site: {{id: der-test, name: Test, state_dir: state, run_dir: run}}
circuits:
  - {{id: grid, import_limit_w: 500000, current_limit_ma: 800000, export_limit_w: 100000, meter: meter,
      max_uncontrolled_w: 20000, min_uncontrolled_w: 0}}
assets:
  - {{id: meter, type: METER, circuit: grid, modbus: {{host: 127.0.0.1, port: 5020, unit_id: 1}}}}
  - {{id: pv-1, type: PV, circuit: grid, power_max_w: 100000, revert_w: 0,
      modbus: {{host: 127.0.0.1, port: 5021, unit_id: 1}}}}
  - {{id: battery, type: BATTERY, circuit: grid, power_max_w: 50000, energy_wh: 100000, revert_w: 0,
      modbus: {{host: 127.0.0.1, port: 5022, unit_id: 1}}}}
der:
  url: {url}
  certificate: {pki}/device.pem
  private_key: {pki}/device.key
  ca: {pki}/root.pem
  pin: "{pin}"
  poll_s: 1
  site_rating_w: 150000
  battery_charge_rating_w: 50000
  pen: 37244
  nmi: "NMI0000001"
"""

OBSERVED = WatchSiteResponse(
    snapshot=True,
    samples=[
        Sample(
            asset_id="meter",
            quality=Quality.QUALITY_GOOD,
            power_w=120_000,
            reactive_var=3_000,
            voltage_mv=PhaseValues(l1=230_100, l2=230_200, l3=230_300),
        ),
        Sample(asset_id="pv-1", quality=Quality.QUALITY_GOOD, power_w=-40_000, reactive_var=0),
        Sample(asset_id="battery", quality=Quality.QUALITY_GOOD, power_w=10_000, reactive_var=0, soc_permille=634),
    ],
    circuits=[CircuitState(circuit_id="grid", net_power_w=120_000)],
)


def site(url: str = "https://127.0.0.1:1/dcap", pki: Path | str = "pki", pin: str = "111115") -> DgmConfig:
    """A site with a meter, a PV inverter and a battery behind one utility."""
    return site_config.parse(SITE.format(url=url, pki=pki, pin=pin))


class Watch:
    """Lets a test wait until something that it can see has come true."""

    def __init__(self) -> None:
        self._bell = asyncio.Event()

    def ring(self, *_: object) -> None:
        self._bell.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._bell.clear()
                await self._bell.wait()


@dataclass
class RecordingEms(ems_pb2_grpc.EmsServiceServicer, site_pb2_grpc.SiteServiceServicer):
    """An EMS that only remembers: the limits it holds and every put and delete in order."""

    watch: Watch
    held: dict[str, Limit] = field(default_factory=dict)
    puts: list[Limit] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    targets: dict[str, Target] = field(default_factory=dict)

    async def PutLimit(self, request: ems_pb2.PutLimitRequest, context: Any) -> ems_pb2.PutLimitResponse:
        self.held[request.limit.id] = request.limit
        self.puts.append(request.limit)
        self.watch.ring()
        return ems_pb2.PutLimitResponse(limit=request.limit)

    async def PutTarget(self, request: ems_pb2.PutTargetRequest, context: Any) -> ems_pb2.PutTargetResponse:
        self.targets[request.target.asset_id] = request.target
        self.watch.ring()
        return ems_pb2.PutTargetResponse(target=request.target)

    async def DeleteTarget(self, request: ems_pb2.DeleteTargetRequest, context: Any) -> ems_pb2.DeleteTargetResponse:
        existed = self.targets.pop(request.id.removeprefix("utility:"), None) is not None
        self.watch.ring()
        return ems_pb2.DeleteTargetResponse(existed=existed)

    async def DeleteLimit(self, request: ems_pb2.DeleteLimitRequest, context: Any) -> ems_pb2.DeleteLimitResponse:
        existed = self.held.pop(request.id, None) is not None
        self.deleted.append(request.id)
        self.watch.ring()
        return ems_pb2.DeleteLimitResponse(existed=existed)

    async def WatchSite(self, request: site_pb2.WatchSiteRequest, context: Any) -> AsyncIterator[WatchSiteResponse]:
        yield OBSERVED
        await asyncio.Event().wait()

    def powers(self, limit_id: str) -> list[int]:
        """Bounds that were put under one id, repetitions left out."""
        values = [limit.power_w for limit in self.puts if limit.id == limit_id]
        return [value for index, value in enumerate(values) if index == 0 or value != values[index - 1]]


class EmsServer:
    """A RecordingEms on a unix socket; it can go away and come back."""

    def __init__(self, path: Path, watch: Watch) -> None:
        self.ems = RecordingEms(watch)
        self.target = f"unix:{path}"
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        self._server = grpc.aio.server()
        ems_pb2_grpc.add_EmsServiceServicer_to_server(self.ems, self._server)
        site_pb2_grpc.add_SiteServiceServicer_to_server(self.ems, self._server)
        self._server.add_insecure_port(self.target)
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)


def context(directory: Path, config: DgmConfig, ems_target: str, *, journal: Journal) -> RoleContext:
    """The world of a DerRole under test."""
    channel = grpc.aio.insecure_channel(
        ems_target, options=[("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 200)]
    )
    return RoleContext(
        config=config,
        base_dir=directory,
        state_dir=directory,
        epoch=1,
        journal=journal,
        channel=lambda name: channel,
        registry=CollectorRegistry(),
    )


def utility_config(pki: TestPki, **changes: Any) -> dict[str, Any]:
    """A utility that knows the device, polls every second and has a default import limit."""
    return {
        "out_dir": ".",
        "max_seconds": 60,
        "certificate": str(pki.server_certificate),
        "private_key": str(pki.server_key),
        "ca": str(pki.root_certificate),
        "devices": [{"lfdi": pki.device_lfdi, "pin": 111115}],
        "poll_s": 1,
        "post_s": 1,
        "default": {"opModImpLimW": 300_000},
        **changes,
    }
