"""A whole simulated site on loopback for the product to run against: its processes and its site.yaml.

    plant (4 Modbus devices) · 3 CSMSs · utility ──> site.yaml, certificates ──> [the product] <── fleet of N stations

Every part is a process of its own and ends with this one (end of standard input) or after `max_seconds`. The product is
started by the caller: `dgm run`, or one `dgm serve` per role.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dgm.clock import now
from dgm.errors import TransportError
from dgm.sim.live import pki
from dgm.sim.site_document import HOST, PIN, Endpoints, UtilityEndpoint, site_document
from dgm.sim.timeline import CPO_IDS, Timeline

READY_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
EVENT_MRID = "0600ABCD000000000000000100037244"


@dataclass(slots=True, kw_only=True)
class Child:
    """One simulator process and what it said when it was ready."""

    name: str
    process: asyncio.subprocess.Process
    ready: dict[str, Any]


class LiveSite:
    """Owns the simulator processes. `directory` receives site.yaml, certificates, traces and logs."""

    def __init__(
        self,
        timeline: Timeline,
        directory: Path,
        run_dir: Path,
        *,
        lead_s: float,
        tail_s: float,
        ems: Mapping[str, Any] | None = None,
    ) -> None:
        """lead_s: from the start of the utility to the timeline's zero. tail_s: how long all may outlive its end.

        ems: what site.yaml says of the EMS besides.
        """
        self.timeline = timeline
        self.directory = directory
        self.site_file = directory / "site.yaml"
        self.start_utc_ms = 0
        self._run_dir = run_dir
        self._ems = dict(ems or {})
        self._lead_s = lead_s
        self._max_seconds = lead_s + timeline.seconds + tail_s
        self._children: dict[str, Child] = {}
        self._ports = free_ports(6)

    async def start_world(self) -> None:
        """Start plant, CSMSs and utility, and write site.yaml for what they announced."""
        self.directory.mkdir(parents=True, exist_ok=True)
        out = str(self.directory)
        keys = pki.write_pki(self.directory / "pki")
        self.start_utc_ms = now().utc_ms + round(self._lead_s * 1000)
        await self._start("plant", self.timeline.plant_config(out_dir=out, max_seconds=self._max_seconds))
        for cpo_id in CPO_IDS:
            config = self.timeline.csms_config(cpo_id, out_dir=out, max_seconds=self._max_seconds)
            await self._start(f"csms-{cpo_id}", config, module="csms")
        await self._start("utility", self._utility_config(keys))
        self.site_file.write_text(yaml.safe_dump(self._document(keys), sort_keys=False), encoding="utf-8")

    async def start_fleet(self) -> None:
        """Start the stations; they dial the product's gateway."""
        config = self.timeline.fleet_config(
            out_dir=str(self.directory),
            max_seconds=self._max_seconds,
            gateway_url=f"ws://{HOST}:{self._ports[0]}",
            plant_udp_port=self._children["plant"].ready["ev_udp_port"],
            start_utc_ms=self.start_utc_ms,
        )
        await self._start("fleet", config)

    async def stop(self, *names: str) -> None:
        """Stop these processes (all when none is named) and wait until their result files are written."""
        for name in names or ("fleet", "utility", *(f"csms-{cpo_id}" for cpo_id in CPO_IDS), "plant"):
            child = self._children.pop(name, None)
            if child is None:
                continue
            with contextlib.suppress(ProcessLookupError):
                child.process.terminate()
            try:
                await asyncio.wait_for(child.process.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                child.process.kill()
                await child.process.wait()

    def dead(self) -> list[str]:
        """Names of simulator processes that ended by themselves."""
        return [name for name, child in self._children.items() if child.process.returncode is not None]

    async def _start(self, name: str, config: dict[str, Any], *, module: str | None = None) -> None:
        path = self.directory / f"{name}.config.json"
        path.write_text(json.dumps(config, indent=1), encoding="utf-8")
        log = (self.directory / f"{name}.log").open("wb")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"dgm.sim.live.{module or name}",
            str(path),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        log.close()
        self._children[name] = Child(name=name, process=process, ready=await self._ready(name, process))

    async def _ready(self, name: str, process: asyncio.subprocess.Process) -> dict[str, Any]:
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), READY_TIMEOUT_S)
        except TimeoutError:
            line = b""
        if not line.startswith(b"READY "):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise TransportError(f"simulator {name}: no READY line; see {self.directory / (name + '.log')}")
        ready: dict[str, Any] = json.loads(line.removeprefix(b"READY "))
        return ready

    def _utility_config(self, keys: pki.TestPki) -> dict[str, Any]:
        event = self.timeline.event
        start_s = (self.start_utc_ms + event.start_ms) // 1000
        return {
            "out_dir": str(self.directory),
            "max_seconds": self._max_seconds,
            "certificate": str(keys.server_certificate),
            "private_key": str(keys.server_key),
            "ca": str(keys.root_certificate),
            "devices": [{"lfdi": keys.device_lfdi, "pin": int(PIN)}],
            "poll_s": self.timeline.poll_s,
            "post_s": 60,
            "controls": [
                {
                    "mrid": EVENT_MRID,
                    "program": 0,
                    "start_utc_s": start_s,
                    "duration_s": event.duration_s,
                    "creation_utc_s": (self.start_utc_ms + event.created_ms) // 1000,
                    "modes": {"opModImpLimW": event.import_w},
                }
            ],
            "default": {"opModImpLimW": self.timeline.site.import_w},
        }

    def _document(self, keys: pki.TestPki) -> dict[str, Any]:
        ocpp_port, ocpp_facade, der_facade, *metrics = self._ports
        utility = UtilityEndpoint(
            url=self._children["utility"].ready["url"],
            certificate=str(keys.device_certificate),
            private_key=str(keys.device_key),
            ca=str(keys.root_certificate),
            facade_port=der_facade,
        )
        endpoints = Endpoints(
            run_dir=str(self._run_dir),
            modbus=self._children["plant"].ready["devices"],
            csms_urls={cpo_id: self._children[f"csms-{cpo_id}"].ready["url"] for cpo_id in CPO_IDS},
            ocpp_port=ocpp_port,
            ocpp_facade_port=ocpp_facade,
            metrics_ports=(metrics[0], metrics[1], metrics[2]),
            utility=utility,
        )
        document = site_document(self.timeline, endpoints)
        document["ems"] |= self._ems
        return document


def free_ports(count: int) -> list[int]:
    """Distinct loopback ports that were free a moment ago, all >= 1024."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
