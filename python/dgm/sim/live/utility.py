"""A simulated utility server: IEEE 2030.5 over mutual TLS 1.2 with ECDHE-ECDSA-AES128-CCM8 and nothing else.

    CONFIG.json ──> tree of documents behind flat hrefs ──HTTPS──> the DER gateway
                    utility.jsonl  every request, response, reading and report, as it comes
                    utility.json   the sum of it, at the end

CONFIG: out_dir, max_seconds, certificate, private_key, ca, devices [{lfdi, pin}], poll_s, post_s, and optionally
controls [{mrid, program, start_utc_s | start_offset_s, duration_s, modes {opModImpLimW: W}, creation_utc_s |
creation_offset_s, cancel_offset_s, randomize_start_s, randomize_duration_s, ramp_tms, response_required}],
default {mode: W}, default_grad, in_band, and faults [{from_s, to_s, status, retry_after_s | garbage}] with offsets in s
from READY. Program 0 has primacy 1, program 1 primacy 2; the default is that of program 0.
"""

from __future__ import annotations

import hashlib
import json
import ssl
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from dgm.sim.live.process import LineFile, announce, run, utc_ms, wait_for_stop
from dgm.sim.live.utility_xml import check, control_base, document, element, link, nest, text_of

HOST = "127.0.0.1"
CIPHERS = "ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0"
MEDIA_TYPE = "application/sep+xml"
PRIMACIES = (1, 2)
LISTED_AFTER_END_S = 60
PAGE_DEFAULT = 1
PAGE_MAX = 20
GARBAGE = bytes(range(256)) * 16
DST_NONE = "".join(element(name, 0) for name in ("dstEndTime", "dstOffset", "dstStartTime"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One DERControl as configured, with absolute times in s UTC. cancel_s: since when it is cancelled."""

    mrid: str
    program: int
    creation_s: int
    start_s: int
    duration_s: int
    modes: Mapping[str, int]
    cancel_s: int | None = None
    randomize_start_s: int | None = None
    randomize_duration_s: int | None = None
    ramp_tms: int | None = None
    response_required: str = "03"


@dataclass(slots=True, kw_only=True)
class Records:
    """What the client did."""

    responses: list[dict[str, Any]] = field(default_factory=list)
    readings: list[dict[str, Any]] = field(default_factory=list)
    puts: dict[str, str] = field(default_factory=dict)
    mirrors: dict[str, str] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


class Utility:
    """The server's state and its documents. Times in s UTC; `start_s` is the moment of READY."""

    def __init__(
        self, config: Mapping[str, Any], *, log: Callable[[Mapping[str, Any]], None] = lambda line: None
    ) -> None:
        self.config = config
        self.start_s = utc_ms() / 1000
        self.records = Records()
        self.poll_s = int(config["poll_s"])
        self.post_s = int(config["post_s"])
        self.default: dict[str, int] = dict(config.get("default", {}))
        self.default_grad: int | None = config.get("default_grad")
        self.devices = {str(device["lfdi"]).upper(): int(device["pin"]) for device in config["devices"]}
        self.controls = [self._control(item) for item in config.get("controls", [])]
        self.fault_status: int | None = None
        self._log = log
        self._names: dict[str, str] = {}
        self.paths = {name: self._path(name) for name in _DOCUMENTS}

    def _control(self, item: Mapping[str, Any]) -> Control:
        def at(name: str) -> int | None:
            if f"{name}_utc_s" in item:
                return int(item[f"{name}_utc_s"])
            return int(self.start_s + item[f"{name}_offset_s"]) if f"{name}_offset_s" in item else None

        start_s, creation_s = at("start"), at("creation")
        if start_s is None:
            raise ValueError(f"control {item['mrid']}: neither start_utc_s nor start_offset_s")
        return Control(
            mrid=str(item["mrid"]).upper(),
            program=int(item.get("program", 0)),
            creation_s=int(self.start_s) if creation_s is None else creation_s,
            start_s=start_s,
            duration_s=int(item["duration_s"]),
            modes=item["modes"],
            cancel_s=at("cancel"),
            randomize_start_s=item.get("randomize_start_s"),
            randomize_duration_s=item.get("randomize_duration_s"),
            ramp_tms=item.get("ramp_tms"),
            response_required=item.get("response_required", "03"),
        )

    def _path(self, name: str) -> str:
        """Flat hrefs that cannot be guessed: the client has to follow links. Only /dcap is known beforehand."""
        path = "/dcap" if name == "dcap" else "/" + hashlib.sha256(f"{name} {self.start_s}".encode()).hexdigest()[:12]
        self._names[path] = name
        return path

    def name_of(self, path: str) -> str:
        """What a path is, for the log."""
        return self._names.get(path, "unknown")

    # -- requests ---------------------------------------------------------------------------------------------------

    async def handle(self, request: web.Request) -> web.Response:
        """Every request: who asks, what for, and the line in the log."""
        response = self._fault() or await self._route(request)
        response.headers.setdefault("Content-Type", MEDIA_TYPE)
        name = self.name_of(request.path)
        self.records.requests[f"{request.method} {name} {response.status}"] += 1
        self.log(kind="request", method=request.method, path=request.path, name=name, code=response.status)
        return response

    def log(self, **line: Any) -> None:
        """One line of utility.jsonl."""
        self._log({"utc_ms": utc_ms(), **line})

    def _fault(self) -> web.Response | None:
        if self.fault_status is not None:
            return web.Response(status=self.fault_status)
        now_s = utc_ms() / 1000 - self.start_s
        for window in self.config.get("faults", []):
            if window["from_s"] <= now_s < window["to_s"]:
                if window.get("garbage"):
                    return web.Response(status=200, body=GARBAGE)
                retry_after = window.get("retry_after_s")
                headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
                return web.Response(status=int(window["status"]), headers=headers)
        return None

    async def _route(self, request: web.Request) -> web.Response:
        lfdi = _peer_lfdi(request)
        name = self.name_of(request.path)
        if lfdi not in self.devices and not (self.config.get("in_band") and name in _OPEN):
            return web.Response(status=403)
        if request.method == "GET":
            return self._get(name, request, lfdi)
        body = await request.read()
        match request.method, name:
            case "PUT", "dercap" | "derg" | "ders" | "cp":
                return self._put(name, body)
            case "POST", "rsp":
                return self._post_response(body, lfdi)
            case "POST", "mup":
                return self._post_mirror(body, lfdi)
            case "POST", "edev":
                return self._post_device(body, lfdi)
            case "POST", _ if name.startswith("mup "):
                return self._post_reading(name.removeprefix("mup "), body)
            case _:
                return web.Response(status=405 if name != "unknown" else 404)

    def _refuse(self, faults: Sequence[str]) -> web.Response:
        self.records.faults += faults
        self.log(kind="fault", faults=list(faults))
        return web.Response(status=400, body=document("Error", element("reasonCode", 0)))

    def _put(self, name: str, body: bytes) -> web.Response:
        root, faults = check(body, _PUT_TYPES[name])
        if root is None or faults:
            return self._refuse(faults)
        self.records.puts[_PUT_TYPES[name]] = body.decode()
        self.log(kind="put", type=_PUT_TYPES[name], body=body.decode())
        return web.Response(status=204)

    def _post_response(self, body: bytes, lfdi: str) -> web.Response:
        root, faults = check(body, "DERControlResponse")
        if root is None or faults:
            return self._refuse(faults)
        mrid = (text_of(root, "subject") or "").upper()
        known = {control.mrid for control in self.controls}
        if text_of(root, "endDeviceLFDI") != lfdi or mrid not in known:
            return self._refuse(["response of another device or to an unknown event"])
        record = {
            "mrid": mrid,
            "status": int(text_of(root, "status") or -1),
            "created_s": int(text_of(root, "createdDateTime") or -1),
            "utc_ms": utc_ms(),
        }
        self.records.responses.append(record)
        self.log(kind="response", **{key: value for key, value in record.items() if key != "utc_ms"})
        return web.Response(status=201, headers={"Location": f"{self.paths['rsp']}x{len(self.records.responses)}"})

    def _post_mirror(self, body: bytes, lfdi: str) -> web.Response:
        root, faults = check(body, "MirrorUsagePoint")
        if root is None or faults:
            return self._refuse(faults)
        if text_of(root, "deviceLFDI") != lfdi:
            return self._refuse(["mirror of another device"])
        mrid = (text_of(root, "mRID") or "").upper()
        known = mrid in self.records.mirrors
        self.records.mirrors[mrid] = body.decode()
        path = next((path for path, name in self._names.items() if name == f"mup {mrid}"), None) or self._path(
            f"mup {mrid}"
        )
        return web.Response(status=204 if known else 201, headers={"Location": path})

    def _post_reading(self, mirror: str, body: bytes) -> web.Response:
        root, faults = check(body, "MirrorMeterReading")
        if root is None or faults:
            return self._refuse(faults)
        value = text_of(root, "Reading", "value")
        start, duration = (text_of(root, "Reading", "timePeriod", name) for name in ("start", "duration"))
        if value is None or start is None or duration is None or int(duration) == 0:
            return self._refuse(["reading without value, start or duration"])
        record = {
            "mirror": mirror,
            "mrid": text_of(root, "mRID"),
            "description": text_of(root, "description"),
            "value": int(value),
            "start_s": int(start),
            "duration_s": int(duration),
        }
        self.records.readings.append(record)
        self.log(kind="reading", **record)
        return web.Response(status=201, headers={"Location": f"{self.paths['mup']}r{len(self.records.readings)}"})

    def _post_device(self, body: bytes, lfdi: str) -> web.Response:
        root, faults = check(body, "EndDevice")
        if root is None or faults:
            return self._refuse(faults)
        if not self.config.get("in_band"):
            return web.Response(status=403)
        if text_of(root, "lFDI") != lfdi or lfdi in self.devices:
            return web.Response(status=409)
        self.devices[lfdi] = int(self.config.get("in_band_pin", 111115))
        return web.Response(status=201, headers={"Location": self.paths["edev"] + "1"})

    # -- documents --------------------------------------------------------------------------------------------------

    def _get(self, name: str, request: web.Request, lfdi: str) -> web.Response:
        build = _DOCUMENTS.get(name)
        if build is None:
            return web.Response(status=404 if name == "unknown" else 405)
        made = build(self, lfdi)
        if isinstance(made, bytes):
            return web.Response(body=made)
        return web.Response(body=_page(made, request.query))

    def _dcap(self, lfdi: str) -> bytes:
        links = (
            link("TimeLink", self.paths["tm"]),
            link("EndDeviceListLink", self.paths["edev"], all=1),
            link("MirrorUsagePointListLink", self.paths["mup"], all=len(self.records.mirrors)),
        )
        return document("DeviceCapability", "".join(links), href="/dcap", pollRate=self.poll_s)

    def _time(self, lfdi: str) -> bytes:
        now = element("currentTime", utc_ms() // 1000)
        return document("Time", now + DST_NONE + element("quality", 3) + element("tzOffset", 0), pollRate=self.poll_s)

    def _end_devices(self, lfdi: str) -> Listing:
        # Another device stands first, so that the client has to page to find its own.
        other = nest("EndDevice", element("lFDI", "0" * 40), element("sFDI", 0), element("changedTime", 0))
        own = nest(
            "EndDevice",
            link("DERListLink", self.paths["der"], all=1),
            element("lFDI", lfdi),
            element("sFDI", _sfdi(lfdi)),
            element("changedTime", int(self.start_s)),
            element("enabled", "true"),
            link("FunctionSetAssignmentsListLink", self.paths["fsa"], all=1),
            element("postRate", self.post_s),
            link("RegistrationLink", self.paths["rg"]),
            link("doe:ConnectionPointLink", self.paths["cp"]),
            href=self.paths["edev"] + "1",
        )
        return Listing("EndDeviceList", [other, own] if lfdi in self.devices else [other], self.poll_s)

    def _registration(self, lfdi: str) -> bytes:
        content = element("dateTimeRegistered", int(self.start_s)) + element("pIN", self.devices[lfdi])
        return document("Registration", content, pollRate=self.poll_s)

    def _assignments(self, lfdi: str) -> Listing:
        programs = link("DERProgramListLink", self.paths["derp"], all=len(PRIMACIES))
        item = nest("FunctionSetAssignments", programs, element("mRID", "F5A0" + "0" * 20 + "00037244"))
        return Listing("FunctionSetAssignmentsList", [item], self.poll_s)

    def _programs(self, lfdi: str) -> Listing:
        items = [
            nest(
                "DERProgram",
                element("mRID", f"D0{index:02d}" + "0" * 20 + "00037244"),
                element("description", f"program {index}"),
                link("DefaultDERControlLink", self.paths["dderc"]) if index == 0 and self.default else "",
                link("DERControlListLink", self.paths[f"derc {index}"], all=len(self._listed(index))),
                element("primacy", primacy),
            )
            for index, primacy in enumerate(PRIMACIES)
        ]
        return Listing("DERProgramList", items, self.poll_s)

    def _listed(self, program: int) -> list[Control]:
        now_s = utc_ms() / 1000
        return [
            control
            for control in sorted(self.controls, key=lambda item: item.start_s)
            if control.program == program
            and control.creation_s <= now_s < control.start_s + control.duration_s + LISTED_AFTER_END_S
        ]

    def _controls(self, program: int) -> Listing:
        return Listing("DERControlList", [self._control_item(item) for item in self._listed(program)], None)

    def _control_item(self, control: Control) -> str:
        now_s = utc_ms() / 1000
        cancelled = control.cancel_s is not None and now_s >= control.cancel_s
        status = 2 if cancelled else int(now_s >= control.start_s)
        randomisation = [
            element(name, value)
            for name, value in (
                ("randomizeDuration", control.randomize_duration_s),
                ("randomizeStart", control.randomize_start_s),
            )
            if value is not None
        ]
        return nest(
            "DERControl",
            element("mRID", control.mrid),
            element("creationTime", control.creation_s),
            nest(
                "EventStatus",
                element("currentStatus", status),
                element("dateTime", int(now_s)),
                element("potentiallySuperseded", "false"),
            ),
            nest("interval", element("duration", control.duration_s), element("start", control.start_s)),
            *randomisation,
            control_base(control.modes, control.ramp_tms),
            replyTo=self.paths["rsp"],
            responseRequired=control.response_required,
        )

    def _default(self, lfdi: str) -> bytes:
        grad = "" if self.default_grad is None else element("setGradW", self.default_grad)
        content = element("mRID", "DEFA" + "0" * 20 + "00037244") + control_base(self.default, None) + grad
        return document("DefaultDERControl", content)

    def _ders(self, lfdi: str) -> Listing:
        item = nest(
            "DER",
            link("DERCapabilityLink", self.paths["dercap"]),
            link("DERSettingsLink", self.paths["derg"]),
            link("DERStatusLink", self.paths["ders"]),
        )
        return Listing("DERList", [item], self.poll_s)

    def _mirrors(self, lfdi: str) -> Listing:
        items = []
        for path, name in self._names.items():
            if name.startswith("mup "):
                content = self.records.mirrors[name.removeprefix("mup ")]
                inner = content[content.index("<mRID>") : content.rindex("</MirrorUsagePoint>")]
                items.append(nest("MirrorUsagePoint", inner, element("postRate", self.post_s), href=path))
        return Listing("MirrorUsagePointList", items, self.poll_s)

    def summary(self) -> dict[str, Any]:
        """utility.json."""
        records = self.records
        return {
            "responses": records.responses,
            "readings": len(records.readings),
            "last_readings": {item["description"]: item for item in records.readings},
            "puts": records.puts,
            "mirrors": sorted(records.mirrors),
            "requests": dict(sorted(records.requests.items())),
            "faults": records.faults,
            "start_utc_s": self.start_s,
        }


@dataclass(frozen=True, slots=True)
class Listing:
    """A list before it is paged."""

    name: str
    items: list[str]
    poll_s: int | None


def _page(listing: Listing, query: Mapping[str, str]) -> bytes:
    first = _number(query.get("s"), 0)
    items = listing.items[first : first + min(_number(query.get("l"), PAGE_DEFAULT), PAGE_MAX)]
    attributes = {"all": len(listing.items), "results": len(items), "pollRate": listing.poll_s}
    return document(listing.name, "".join(items), **attributes)


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else default


def _sfdi(lfdi: str) -> int:
    number = int(lfdi[:9], 16)
    return number * 10 + (10 - sum(map(int, str(number))) % 10) % 10


def _peer_lfdi(request: web.Request) -> str:
    tls = request.transport.get_extra_info("ssl_object") if request.transport else None
    certificate = tls.getpeercert(binary_form=True) if tls else None
    return hashlib.sha256(certificate).hexdigest()[:40].upper() if certificate else ""


_OPEN = frozenset({"dcap", "tm", "edev", "mup"})
_PUT_TYPES = {"dercap": "DERCapability", "derg": "DERSettings", "ders": "DERStatus", "cp": "ConnectionPoint"}
_DOCUMENTS: dict[str, Callable[[Utility, str], bytes | Listing] | None] = {
    "dcap": Utility._dcap,
    "tm": Utility._time,
    "edev": Utility._end_devices,
    "rg": Utility._registration,
    "fsa": Utility._assignments,
    "derp": Utility._programs,
    "derc 0": lambda utility, lfdi: utility._controls(0),
    "derc 1": lambda utility, lfdi: utility._controls(1),
    "dderc": Utility._default,
    "der": Utility._ders,
    "mup": Utility._mirrors,
    "rsp": None,
    "dercap": None,
    "derg": None,
    "ders": None,
    "cp": None,
}


def tls_context(config: Mapping[str, Any]) -> ssl.SSLContext:
    """TLS 1.2 with the one mandatory suite; a client without a certificate of the root is refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.load_cert_chain(config["certificate"], config["private_key"])
    context.load_verify_locations(config["ca"])
    context.verify_mode = ssl.CERT_REQUIRED
    return context


class UtilityServer:
    """The listener around a Utility."""

    def __init__(self, utility: Utility) -> None:
        self._utility = utility
        application = web.Application(client_max_size=200_000)
        application.router.add_route("*", "/{path:.*}", utility.handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        self.port = 0

    async def start(self, port: int = 0) -> str:
        """Listen on loopback; returns the URL of the DeviceCapability."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, port, ssl_context=tls_context(self._utility.config))
        await site.start()
        self.port = int(self._runner.addresses[0][1])
        return f"https://{HOST}:{self.port}/dcap"

    async def stop(self) -> None:
        """Close the listener and every connection."""
        await self._runner.cleanup()


async def main(config: Mapping[str, Any]) -> None:
    """The process: serve until told to stop, then write utility.json."""
    out_dir = Path(config["out_dir"])
    lines = LineFile(out_dir / "utility.jsonl")

    def write(line: Mapping[str, Any]) -> None:
        lines.write(json.dumps(line))
        lines.flush()

    utility = Utility(config, log=write)
    server = UtilityServer(utility)
    announce({"url": await server.start(), "port": server.port})
    try:
        await wait_for_stop(float(config["max_seconds"]))
    finally:
        await server.stop()
        (out_dir / "utility.json").write_text(json.dumps(utility.summary(), indent=1), encoding="utf-8")
        lines.close()


if __name__ == "__main__":
    run(main)
