"""The simulated utility server without sockets: requests in, answers out, everything remembered.

    Received ──> fault? ──> who ──> GET document | PUT, POST, checked against the schema ──> Reply
    advance(now) ──> script steps that are due; documents that changed ──> Push to those who subscribed

Hrefs cannot be guessed: the client has to follow links. Only /dcap and /.well-known/csipaus are known beforehand.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from dgm.sim.utility import intake
from dgm.sim.utility.documents import PUTS, Listing, View, build
from dgm.sim.utility.records import Exchange, Push, Received, Records, Reply
from dgm.sim.utility.script import Director
from dgm.sim.utility.state import Fault, State
from dgm.sim.utility.xml import AUS_13, SEP, check, document, element, text_of

MEDIA_TYPE = "application/sep+xml"
WELL_KNOWN = "/.well-known/csipaus"
PAGE_MAX = 20
SUBSCRIPTIONS_MAX = 100
GARBAGE = bytes(range(256)) * 16
OLD_NAMESPACE = "http://ieee.org/2030.5"
"""That of before 2018."""
AUS_13_PARAMETER = "csipaus=1.3"
NOT_ACCEPTABLE, UNSUPPORTED_MEDIA_TYPE = 406, 415
CONDITION_UNSUPPORTED = 3
"""Error.reasonCode."""
SUBJECT = re.compile(rb"<(?:\w+:)?subject>\s*([0-9A-Fa-f]{1,32})\s*<")
OPEN = frozenset({"dcap", "tm", "edev", "mup"})
"""What a device that is not registered yet may ask for, where the utility registers in-band."""


@dataclass(slots=True, kw_only=True)
class Subscription:
    """Who wants to be told of which resource; sent: the document that they know."""

    name: str
    lfdi: str
    uri: str
    limit: int
    sent: bytes


class Server:
    """One utility. `log` gets a line for every request, report, response and reading."""

    def __init__(
        self,
        state: State,
        now_ms: int,
        *,
        director: Director | None = None,
        log: Callable[[Mapping[str, Any]], None] = lambda line: None,
    ) -> None:
        self.state = state
        self.records = Records()
        self.director = director or Director()
        self.subscriptions: dict[str, Subscription] = {}
        self._log = log
        self._now_ms = now_ms
        self._start_ms = now_ms
        self._names: dict[str, str] = {}
        self._pushes: list[Push] = []
        self.href("dcap")
        self.director.begin(state, now_ms)

    # -- time -------------------------------------------------------------------------------------------------------

    def advance(self, now_ms: int) -> None:
        """Let time pass: the script goes on, and who subscribed is told what has changed."""
        self._now_ms = now_ms
        self.director.advance(self.state, now_ms)
        self._notify()

    def pushes(self) -> list[Push]:
        """Notifications that are to be sent now; each is given once."""
        found, self._pushes = self._pushes, []
        return found

    @property
    def now_s(self) -> int:
        """The server's clock."""
        return self._now_ms // 1000 + self.state.clock_offset_s

    # -- hrefs ------------------------------------------------------------------------------------------------------

    def href(self, name: str) -> str:
        """Where a resource is now."""
        moved = self.state.moved.get(name, 0)
        if name == "dcap" and not moved:
            path = "/dcap"
        else:
            path = "/" + hashlib.sha256(f"{name} {moved} {self._start_ms}".encode()).hexdigest()[:12]
        self._names[path] = name
        return path

    def name_of(self, path: str) -> str:
        """What a path is: the name of a resource, "gone NAME" where it is no more, or "unknown"."""
        plain = path.removesuffix("/elsewhere")
        name = self._names.get(plain, "unknown")
        return name if name == "unknown" or plain == self.href(name) else f"gone {name}"

    # -- requests ---------------------------------------------------------------------------------------------------

    def handle(self, request: Received, now_ms: int) -> Reply:
        """Answer a request. What the script waits for it does before a GET is answered, and after a PUT or POST."""
        self._now_ms = now_ms
        name = "csipaus" if request.path == WELL_KNOWN else self.name_of(request.path)
        if request.method == "GET":
            self.director.saw(self.state, now_ms, method="GET", name=name)
        reply = self._reply(request, name)
        self._record(request, name, reply)
        if request.method != "GET" and reply.status < 300:
            kind = name.partition(" ")[0]
            self.director.saw(self.state, now_ms, method=request.method, name=kind, body=request.body.decode())
        self._notify()
        return reply

    def _record(self, request: Received, name: str, reply: Reply) -> None:
        self.records.add(
            Exchange(
                at_ms=self._now_ms,
                method=request.method,
                path=request.path,
                name=name,
                is_first_page=request.query.get("s", "0") == "0",
                status=reply.status,
                body=request.body.decode(errors="replace"),
            )
        )
        self.log(kind="request", method=request.method, path=request.path, name=name, code=reply.status)

    def log(self, **line: Any) -> None:
        """One line of the record."""
        self._log({"utc_ms": self._now_ms, **line})

    def _fault(self, name: str) -> Fault | None:
        for fault in self.state.faults:
            if fault.from_ms <= self._now_ms < fault.to_ms and fault.resource in (None, name):
                return fault
        return None

    def _reply(self, request: Received, name: str) -> Reply:
        fault = self._fault(name)
        if fault is None:
            return self._route(request, name)
        return _failed(fault) if fault.status else _damaged(self._route(request, name), fault.body)

    def _media_fault(self, request: Received) -> int | None:
        """CSIP-AUS 1.3: what is asked for and sent names its version."""
        if self.state.aus != AUS_13:
            return None
        if request.accept is not None and AUS_13_PARAMETER not in request.accept:
            return NOT_ACCEPTABLE
        if request.body and request.media_type is not None and AUS_13_PARAMETER not in request.media_type:
            return UNSUPPORTED_MEDIA_TYPE
        return None

    def _route(self, request: Received, name: str) -> Reply:
        if name == "csipaus":
            return self._versions()
        media = self._media_fault(request)
        if media is not None:
            return Reply(status=media)
        if request.lfdi not in self.state.devices and not (self.state.in_band and name in OPEN):
            return Reply(status=403)
        if name in self.state.redirected and not request.path.endswith("/elsewhere"):
            return Reply(status=301, headers={"Location": self.href(name) + "/elsewhere"})
        if request.method == "GET":
            return self._get(request, name)
        return self._put(request, name) if request.method == "PUT" else self._post(request, name)

    def _versions(self) -> Reply:
        if self.state.versions is None:
            return Reply(status=404)
        body = json.dumps({"supportedSchemaVersions": self.state.versions}).encode()
        return Reply(status=200, body=body, headers={"Content-Type": "application/json"})

    def view(self, lfdi: str) -> View:
        """What documents for this device are built from."""
        return View(
            state=self.state,
            lfdi=lfdi,
            now_s=self.now_s,
            href=self.href,
            mirrors=self.records.mirrors,
            subscriptions=len(self.subscriptions),
            responses=len(self.records.responses),
        )

    def _get(self, request: Received, name: str) -> Reply:
        if name == "rsp" and self.state.response_sets:
            return Reply(status=200, body=self.page(self._responses(), request.query))
        made = build(name, self.view(request.lfdi))
        if made is None:
            return Reply(status=405 if name in PUTS or name == "rsp" else 404)
        if isinstance(made, bytes):
            return Reply(status=200, body=made)
        return Reply(status=200, body=self.page(made, request.query))

    def page(self, listing: Listing, query: Mapping[str, str]) -> bytes:
        """One page of a list."""
        first = _number(query.get("s"), 0)
        items = listing.items[first : first + min(_number(query.get("l"), self.state.page), PAGE_MAX)]
        attributes: dict[str, object] = {"all": len(listing.items), "results": len(items)}
        attributes["pollRate"] = listing.poll_s
        attributes["subscribable"] = 1 if listing.subscribable else None
        return document(listing.name, "".join(items), aus=self.state.aus, **attributes)

    def _responses(self) -> Listing:
        items = [
            f"<Response>{element('createdDateTime', item['created_s'])}{element('endDeviceLFDI', item['lfdi'])}"
            f"{element('status', item['status'])}{element('subject', item['mrid'])}</Response>"
            for item in self.records.responses
        ]
        return Listing("ResponseList", items, None)

    def _put(self, request: Received, name: str) -> Reply:
        if name.startswith("frq "):
            return self._kept(request, name)
        if name not in PUTS:
            return Reply(status=404 if name == "unknown" or name.startswith("gone ") else 405)
        root, faults = check(request.body, PUTS[name], self.state.aus)
        if root is None or faults:
            return self._refuse(faults)
        self.records.puts[PUTS[name]] = request.body.decode()
        self.log(kind="put", type=PUTS[name], body=request.body.decode())
        return Reply(status=204)

    def _post(self, request: Received, name: str) -> Reply:
        match name.partition(" ")[0], name:
            case "rsp", _:
                return self._response(request)
            case "edev", "edev":
                return self._device(request)
            case "mup", "mup":
                return self._mirror(request)
            case "mup", _:
                return self._reading(request, name.removeprefix("mup "))
            case "sub", "sub":
                return self._subscribe(request)
            case "lel" | "frq", _:
                return self._kept(request, name)
            case _:
                return Reply(status=404 if name == "unknown" or name.startswith("gone ") else 405)

    def _refuse(self, faults: Sequence[str]) -> Reply:
        self.records.faults += faults
        self.log(kind="fault", faults=list(faults))
        return Reply(status=400, body=document("Error", element("reasonCode", 0)))

    def _response(self, request: Received) -> Reply:
        found = SUBJECT.search(request.body)
        mrid = "" if found is None else found[1].decode().upper()
        wanted = self.state.response_type(mrid)
        if wanted is None:
            return self._refuse([f"response to an unknown event {mrid}"])
        root, faults = check(request.body, wanted)
        if root is None or faults:
            return self._refuse(faults)
        status = int(text_of(root, "status") or -1)
        if text_of(root, "endDeviceLFDI") != request.lfdi:
            return self._refuse(["response of another device"])
        if status not in self.state.allowed:
            return self._refuse([f"response {status}: this utility takes {sorted(self.state.allowed)}"])
        record = {"mrid": mrid, "status": status, "created_s": int(text_of(root, "createdDateTime") or -1)}
        self.records.responses.append({**record, "utc_ms": self._now_ms, "lfdi": request.lfdi, "type": wanted})
        self.log(kind="response", **record)
        self.director.responded(self.state, self._now_ms, mrid=mrid, status=status)
        return Reply(status=201, headers={"Location": f"{self.href('rsp')}x{len(self.records.responses)}"})

    def _device(self, request: Received) -> Reply:
        root, faults = check(request.body, "EndDevice")
        if root is None or faults:
            return self._refuse(faults)
        if not self.state.in_band:
            return Reply(status=403)
        if text_of(root, "lFDI") != request.lfdi or request.lfdi in self.state.devices:
            return Reply(status=409)
        self.records.devices.append(request.body.decode())
        self.state.devices[request.lfdi] = self.state.in_band_pin
        return Reply(status=201, headers={"Location": self.href("edev own")})

    def _mirror(self, request: Received) -> Reply:
        root, faults = check(request.body, "MirrorUsagePoint")
        if root is None or faults:
            return self._refuse(faults)
        if text_of(root, "deviceLFDI") != request.lfdi:
            return self._refuse(["mirror of another device"])
        taken = intake.update(root)
        if taken.faults:
            return self._refuse(taken.faults)
        mrid = (text_of(root, "mRID") or "").upper()
        known = mrid in self.records.mirrors
        if not taken.items:
            self.records.mirrors[mrid] = request.body.decode()
        self._take_readings(mrid, taken)
        headers = {"Location": self.href(f"mup {mrid}")} if self.state.mirror_places else {}
        return Reply(status=204 if known else 201, headers=headers)

    def _reading(self, request: Received, mirror: str) -> Reply:
        taken = intake.readings(request.body)
        if taken.faults:
            return self._refuse(taken.faults)
        self._take_readings(mirror, taken)
        return Reply(status=201, headers={"Location": f"{self.href('mup')}r{len(self.records.readings)}"})

    def _take_readings(self, mirror: str, taken: intake.Taken) -> None:
        for item in taken.items:
            record = {"mirror": mirror, **item}
            self.records.readings.append(record)
            self.log(kind="reading", **record)

    def _kept(self, request: Received, name: str) -> Reply:
        is_log, is_change = name == "lel", name != "lel" and request.method == "PUT"
        taken = intake.log_event(request.body) if is_log else intake.reservation(request.body)
        if taken.faults:
            return self._refuse(taken.faults)
        kept, items = (
            (self.records.log_events, self.records.logged)
            if is_log
            else (self.records.reservations, self.records.requested)
        )
        mrids = self.state.requests
        if not is_log and taken.items[0]["mrid"] not in mrids:
            if is_change:
                return Reply(status=404)
            mrids.append(taken.items[0]["mrid"])
        kept.append(request.body.decode())
        items += taken.items
        self.log(kind=name, **taken.items[0])
        if is_change:
            return Reply(status=204)
        return Reply(status=201, headers={"Location": self.href(f"{name} {len(kept)}")})

    # -- subscriptions ----------------------------------------------------------------------------------------------

    def _subscribe(self, request: Received) -> Reply:
        root, faults = check(request.body, "Subscription")
        if root is None or faults:
            return self._refuse(faults)
        if text_of(root, "Condition", "attributeIdentifier") is not None:
            return Reply(status=400, body=document("Error", element("reasonCode", CONDITION_UNSUPPORTED)))
        name = self.name_of(urlsplit(text_of(root, "subscribedResource") or "").path)
        made = build(name, self.view(request.lfdi))
        uri = text_of(root, "notificationURI") or ""
        if not self.state.subscribable or made is None or not uri.startswith("https://"):
            return self._refuse([f"subscription to {name}: not subscribable, or no https URI to notify"])
        if len(self.subscriptions) >= SUBSCRIPTIONS_MAX:
            return Reply(status=507)
        limit = int(text_of(root, "limit") or 0)
        place = self.href(f"sub {len(self.subscriptions) + 1}")
        self.subscriptions[place] = Subscription(
            name=name, lfdi=request.lfdi, uri=uri, limit=limit, sent=self._whole(made)
        )
        return Reply(status=201, headers={"Location": place})

    def _whole(self, made: bytes | Listing) -> bytes:
        return made if isinstance(made, bytes) else "".join(made.items).encode() + str(made.poll_s).encode()

    def _notify(self) -> None:
        for place, wish in list(self.subscriptions.items()):
            made = build(wish.name, self.view(wish.lfdi))
            if made is None:
                self._push(place, wish, "", 4)
                del self.subscriptions[place]
            elif self._whole(made) != wish.sent:
                wish.sent = self._whole(made)
                self._push(place, wish, self._resource(made, wish.limit), 0)

    def _resource(self, made: bytes | Listing, limit: int) -> str:
        """The document as an element of its own type in a notification."""
        body = made if isinstance(made, bytes) else self.page(made, {"l": str(limit)})
        root = body.decode().split("\n", 1)[1]
        head, _, rest = root.partition(">")
        tag, _, attributes = head.removeprefix("<").partition(" ")
        return f'<Resource xsi:type="{tag}" {attributes}>{rest.rsplit("</", 1)[0]}</Resource>'

    def _push(self, place: str, wish: Subscription, resource: str, status: int) -> None:
        content = (
            element("subscribedResource", self.href(wish.name)),
            resource,
            element("status", status),
            element("subscriptionURI", place),
        )
        body = document("Notification", "".join(content), aus=self.state.aus)
        self._pushes.append(Push(uri=wish.uri, body=body))
        self.records.notified += 1
        self.log(kind="notification", uri=wish.uri, name=wish.name, status=status)


def _damaged(reply: Reply, how: str) -> Reply:
    """The answer with a body that cannot be read, or is of the namespace of before 2018."""
    match how:
        case "truncated":
            body = reply.body[: len(reply.body) * 2 // 3]
        case "namespace":
            body = reply.body.replace(SEP.encode(), OLD_NAMESPACE.encode())
        case "empty":
            body = b""
        case _:
            return Reply(status=200, body=GARBAGE)
    return replace(reply, body=body)


def _failed(fault: Fault) -> Reply:
    headers = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
    return Reply(status=fault.status, headers=headers)


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else default
