"""A simulated utility server on sockets: IEEE 2030.5 over mutual TLS 1.2 with ECDHE-ECDSA-AES128-CCM8 and nothing else.

    CONFIG.json ──> State + script ──sim/utility Server──HTTPS──> the DER gateway ──┐
                    utility.jsonl  every request, response, reading and report      │ notifications, HTTPS
                    utility.json   the sum of it, at the end        Server ─────────┘ to the client's listener

CONFIG: out_dir, max_seconds, certificate, private_key, ca, devices [{lfdi, pin}], poll_s, post_s, and optionally
script (steps, see `sim/utility/script`), subscribable, controls [{mrid, program, start_utc_s | start_offset_s,
duration_s, modes {opModImpLimW: W}, creation_utc_s | creation_offset_s, cancel_offset_s, randomize_start_s,
randomize_duration_s, ramp_tms, response_required}], default {mode: W}, default_grad, in_band, and faults [{from_s,
to_s, status, retry_after_s | garbage}] with offsets in s from READY, and end_devices [{lfdi, pin}], for which `devices`
are the aggregators that may talk. With a script its programs are all there are;
else program 0 has primacy 1, program 1 primacy 2, and the default is that of program 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from dgm.sim.live.process import LineFile, announce, run, utc_ms, wait_for_stop
from dgm.sim.utility.actions import FOREVER_S
from dgm.sim.utility.aggregated import AggregatedServer
from dgm.sim.utility.records import Push, Received, Records
from dgm.sim.utility.script import Director, steps_of
from dgm.sim.utility.server import MEDIA_TYPE, Server
from dgm.sim.utility.state import Assignment, Control, Fault, Program, Rates, State, mrid_of

HOST = "127.0.0.1"
CIPHERS = "ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0"
PRIMACIES = (1, 2)
STEP_S = 0.1
"""How often the script and the notifications are looked at."""
PUSH_TIMEOUT = aiohttp.ClientTimeout(total=5)


class Utility:
    """The server's state from its configuration, and what the client did. `start_s` is the moment of READY, s UTC."""

    def __init__(
        self, config: Mapping[str, Any], *, log: Callable[[Mapping[str, Any]], None] = lambda line: None
    ) -> None:
        now_ms = utc_ms()
        self.config = config
        self.start_s = now_ms / 1000
        director, state = Director(steps_of(config.get("script", ()))), _state(config, self.start_s)
        children = {str(device["lfdi"]).upper(): int(device["pin"]) for device in config.get("end_devices", ())}
        self.server = (
            AggregatedServer(state, now_ms, children=children, director=director, log=log)
            if children
            else Server(state, now_ms, director=director, log=log)
        )

    @property
    def records(self) -> Records:
        """What the client did."""
        return self.server.records

    @property
    def controls(self) -> list[Control]:
        """Every control, in the order of the configuration."""
        return list(self.server.state.controls().values())

    @property
    def fault_status(self) -> int | None:
        """What every request is answered with instead; None: nothing."""
        return next((item.status for item in self.server.state.faults if item.to_ms >= FOREVER_S * 1000**2), None)

    @fault_status.setter
    def fault_status(self, status: int | None) -> None:
        self.server.state.faults.clear()
        if status is not None:
            self.server.state.faults.append(Fault(from_ms=0, to_ms=FOREVER_S * 1000**2, status=status))

    async def handle(self, request: web.Request) -> web.Response:
        """Every request: who asks, and what for."""
        received = Received(
            method=request.method,
            path=request.path,
            query=dict(request.query),
            body=await request.read(),
            lfdi=_peer_lfdi(request),
            accept=request.headers.get("Accept", ""),
            media_type=request.headers.get("Content-Type", ""),
        )
        reply = self.server.handle(received, utc_ms())
        response = web.Response(status=reply.status, body=reply.body or None, headers=reply.headers)
        if "Content-Type" not in reply.headers:
            response.headers["Content-Type"] = MEDIA_TYPE
        return response

    def summary(self) -> dict[str, Any]:
        """utility.json."""
        records = self.records
        return {
            "responses": records.responses,
            "readings": len(records.readings),
            "last_readings": {item["description"]: item for item in records.readings},
            "puts": records.puts,
            "mirrors": sorted(records.mirrors),
            "log_events": len(records.log_events),
            "reservations": len(records.reservations),
            "notifications": records.notified,
            "requests": dict(sorted(records.requests.items())),
            "faults": records.faults,
            "script_steps_done": self.server.director.done,
            "start_utc_s": self.start_s,
        }


def _state(config: Mapping[str, Any], start_s: float) -> State:
    poll_s, post_s = int(config["poll_s"]), int(config["post_s"])
    state = State(
        start_s=int(start_s),
        devices={str(device["lfdi"]).upper(): int(device["pin"]) for device in config["devices"]},
        in_band=bool(config.get("in_band")),
        in_band_pin=int(config.get("in_band_pin", 111115)),
        subscribable=bool(config.get("subscribable")),
        rates=Rates(
            dcap=poll_s, edev=poll_s, fsa=poll_s, derp=poll_s, der=poll_s, mup=poll_s, post=post_s, mup_post=post_s
        ),
        faults=[_fault(item, start_s) for item in config.get("faults", [])],
    )
    if "script" not in config:
        _add_programs(state, config, start_s)
    return state


def _add_programs(state: State, config: Mapping[str, Any], start_s: float) -> None:
    names = [str(index) for index in range(len(PRIMACIES))]
    state.assignments["1"] = Assignment(name="1", mrid=mrid_of("fsa", "1"), programs=names)
    for name, primacy in zip(names, PRIMACIES, strict=True):
        state.programs[name] = Program(name=name, primacy=primacy, mrid=mrid_of("program", name))
    state.programs["0"].default = dict(config.get("default", {}))
    state.programs["0"].default_grad = config.get("default_grad")
    for item in config.get("controls", []):
        control = _control(item, start_s)
        state.programs[str(item.get("program", 0))].controls[control.mrid] = control


def _control(item: Mapping[str, Any], origin_s: float) -> Control:
    def at(name: str) -> int | None:
        if f"{name}_utc_s" in item:
            return int(item[f"{name}_utc_s"])
        return int(origin_s + item[f"{name}_offset_s"]) if f"{name}_offset_s" in item else None

    start_s, creation_s = at("start"), at("creation")
    if start_s is None:
        raise ValueError(f"control {item['mrid']}: neither start_utc_s nor start_offset_s")
    return Control(
        mrid=str(item["mrid"]).upper(),
        creation_s=int(origin_s) if creation_s is None else creation_s,
        start_s=start_s,
        duration_s=int(item["duration_s"]),
        modes=item["modes"],
        cancel_s=at("cancel"),
        randomize_start_s=item.get("randomize_start_s"),
        randomize_duration_s=item.get("randomize_duration_s"),
        ramp_tms=item.get("ramp_tms"),
        response_required=item.get("response_required", "03"),
    )


def _fault(item: Mapping[str, Any], origin_s: float) -> Fault:
    return Fault(
        from_ms=round((origin_s + item["from_s"]) * 1000),
        to_ms=round((origin_s + item["to_s"]) * 1000),
        status=0 if item.get("garbage") else int(item["status"]),
        retry_after_s=item.get("retry_after_s"),
    )


def _peer_lfdi(request: web.Request) -> str:
    tls = request.transport.get_extra_info("ssl_object") if request.transport else None
    certificate = tls.getpeercert(binary_form=True) if tls else None
    return hashlib.sha256(certificate).hexdigest()[:40].upper() if certificate else ""


def tls_context(config: Mapping[str, Any], protocol: int = ssl.PROTOCOL_TLS_SERVER) -> ssl.SSLContext:
    """TLS 1.2 with the one mandatory suite; a peer without a certificate of the root is refused."""
    context = ssl.SSLContext(protocol)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.load_cert_chain(config["certificate"], config["private_key"])
    context.load_verify_locations(config["ca"])
    # The certificate of a device names no host: as a listener it is known by its root alone.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    return context


class UtilityServer:
    """The listener around a Utility, and the client that sends its notifications."""

    def __init__(self, utility: Utility) -> None:
        self._utility = utility
        application = web.Application(client_max_size=200_000)
        application.router.add_route("*", "/{path:.*}", utility.handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        self._stepping: asyncio.Task[None] | None = None
        self.port = 0

    async def start(self, port: int = 0) -> str:
        """Listen on loopback; returns the URL of the DeviceCapability."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, port, ssl_context=tls_context(self._utility.config))
        await site.start()
        self.port = int(self._runner.addresses[0][1])
        self._stepping = asyncio.create_task(self._step())
        return f"https://{HOST}:{self.port}/dcap"

    async def stop(self) -> None:
        """Close the listener and every connection."""
        if self._stepping is not None:
            self._stepping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._stepping
        await self._runner.cleanup()

    async def _step(self) -> None:
        connector = aiohttp.TCPConnector(ssl=tls_context(self._utility.config, ssl.PROTOCOL_TLS_CLIENT))
        async with aiohttp.ClientSession(connector=connector, timeout=PUSH_TIMEOUT) as session:
            while True:
                self._utility.server.advance(utc_ms())
                for push in self._utility.server.pushes():
                    await self._push(session, push)
                await asyncio.sleep(STEP_S)

    async def _push(self, session: aiohttp.ClientSession, push: Push) -> None:
        try:
            async with session.post(push.uri, data=push.body, headers={"Content-Type": MEDIA_TYPE}) as answer:
                code = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self._utility.server.log(kind="notified", uri=push.uri, error=f"{type(error).__name__}: {error}"[:300])
            return
        self._utility.server.log(kind="notified", uri=push.uri, code=code)


async def main(config: Mapping[str, Any]) -> None:
    """The process: serve until told to stop, then write utility.json."""
    out_dir = Path(config["out_dir"])
    lines = LineFile(out_dir / "utility.jsonl")

    def write(line: Mapping[str, Any]) -> None:
        lines.write(json.dumps(line))
        lines.flush()

    utility = Utility(config, log=write)
    server = UtilityServer(utility)
    announce({"url": await server.start(int(config.get("port", 0))), "port": server.port})
    try:
        await wait_for_stop(float(config["max_seconds"]))
    finally:
        await server.stop()
        (out_dir / "utility.json").write_text(json.dumps(utility.summary(), indent=1), encoding="utf-8")
        lines.close()


if __name__ == "__main__":
    run(main)
