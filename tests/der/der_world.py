"""Virtual time around one conversation, and a server that is a dict of documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dgm.der import resource as r
from dgm.der.discovery import (
    Answer,
    ClockMeasured,
    Discovery,
    NoAnswer,
    Request,
    SetKnown,
)
from dgm.der.identity import sfdi_of
from dgm.der.scheduler import ProgramsKnown, ResponseTaken
from dgm.der.walk import Identity
from dgm.machine import Now, Tick

HOST = "https://utility.example:8443"
LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
UTC0_MS = 1_700_000_000_000
LATENCY_MS = 40
PIN = 111115
MIRROR = r.MirrorUsagePoint(mrid="AB" * 16, role_flags=3, service_category=0, status=1, device_lfdi=LFDI, readings=())


def page(items: tuple[Any, ...], kind: type, **more: Any) -> Any:
    return kind(all=len(items), results=len(items), items=items, **more)


def event(mrid: str) -> r.DERControl:
    return r.DERControl(
        reply_to="/rsp",
        response_required=3,
        mrid=mrid,
        creation_s=0,
        status=r.EventStatus(current=r.EventState.SCHEDULED, changed_s=0),
        interval=r.Interval(start_s=0, duration_s=60),
        base=r.ControlBase(),
    )


def documents() -> dict[str, Any]:
    """A small server: one device, one group, one program with one event and a default."""
    own = r.EndDevice(
        href="/me",
        der_list_link="/ders",
        lfdi=LFDI,
        sfdi=sfdi_of(LFDI),
        changed_s=0,
        function_set_assignments_list_link="/fsa",
        post_rate_s=60,
        registration_link="/rg",
    )
    program = r.DERProgram(mrid="D0", default_der_control_link="/dd", der_control_list_link="/dc", primacy=1)
    return {
        "/dcap": r.DeviceCapability(
            poll_s=300, time_link="/tm", end_device_list_link="/edev", mirror_usage_point_list_link="/mup"
        ),
        "/tm": r.Time(poll_s=300, current_s=UTC0_MS // 1000, quality=3),
        "/edev": page((own,), r.EndDeviceList, poll_s=300),
        "/rg": r.Registration(poll_s=900, registered_s=0, pin=PIN),
        "/fsa": page(
            (r.FunctionSetAssignments(mrid="FA", der_program_list_link="/dp"),), r.FunctionSetAssignmentsList, poll_s=60
        ),
        "/dp": page((program,), r.DERProgramList, poll_s=60),
        "/dc": page((event("E0"),), r.DERControlList),
        "/dd": r.DefaultDERControl(mrid="DD", base=r.ControlBase()),
        "/ders": page(
            (r.DER(capability_link="/cap", settings_link="/set", status_link="/sta"),), r.DERList, poll_s=300
        ),
        "/mup": page((), r.MirrorUsagePointList, poll_s=300),
    }


@dataclass
class DictServer:
    """Answers from a dict of documents, page by page; remembers what it was sent; can be told to misbehave."""

    documents: dict[str, Any]
    page_items: int = 2
    asked: list[tuple[int, str, str]] = field(default_factory=list)
    bodies: list[tuple[str, str, Any]] = field(default_factory=list)
    trouble: Callable[[str, str, int], Answer | NoAnswer | None] = lambda method, path, at_ms: None

    def answer(self, request: Request, at_ms: int) -> Answer | NoAnswer:
        parts = urlsplit(request.url)
        self.asked.append((at_ms, request.method, request.url.removeprefix(HOST)))
        trouble = self.trouble(request.method, parts.path, at_ms)
        if trouble is not None:
            return replace(trouble, tag=request.tag)
        if request.method != "GET":
            self.bodies.append((request.method, parts.path, request.body))
            made = {r.MirrorUsagePoint: "/mup", r.Subscription: "/sub"}.get(type(request.body))
            location = f"{made}/{len(self.bodies)}" if made else None
            return Answer(tag=request.tag, status=201 if request.method == "POST" else 204, location=location)
        document = self.documents.get(parts.path)
        if document is None:
            return Answer(tag=request.tag, status=404)
        if isinstance(document, r.Time):
            document = replace(document, current_s=document.current_s + at_ms // 1000)
        if isinstance(document, r.ListResource):
            query = parse_qs(parts.query)
            first, most = (int(query.get(name, [str(other)])[0]) for name, other in (("s", 0), ("l", 1)))
            most = min(most, self.page_items)
            items: Any = document.items[first : first + most]
            document = replace(document, items=items, results=len(items))
        return Answer(tag=request.tag, status=200, resource=document)

    def times(self, path: str, method: str = "GET") -> list[float]:
        return [at_ms / 1000 for at_ms, how, url in self.asked if how == method and urlsplit(url).path == path]


class World:
    """Virtual time around one Discovery and one server."""

    def __init__(self, server: DictServer, *, utc_ahead_ms: int = 0, **options: Any) -> None:
        self.server = server
        pin, path = options.pop("pin", PIN), options.pop("path", "/dcap")
        identity = Identity(
            url=HOST + path,
            lfdi=LFDI,
            sfdi=sfdi_of(LFDI),
            pin=pin,
            poll_s=900,
            is_pin_required=options.pop("is_pin_required", False),
            subscribes="notification_url" in options,
        )
        self.discovery = Discovery(identity, lambda most: 0, mirrors=(MIRROR,), **options)
        self.at_ms = 0
        self.programs: list[tuple[r.AssignedProgram, ...]] = []
        self.taken: list[ResponseTaken] = []
        self.offsets: list[int] = []
        self.sets: dict[str, tuple[Any, ...]] = {}
        self.apart: list[Mapping[str, int]] = []
        self._ahead_ms = utc_ahead_ms

    def now(self) -> Now:
        return Now(mono_ms=self.at_ms, utc_ms=UTC0_MS + self.at_ms + self._ahead_ms)

    def give(self, happening: Any) -> None:
        pending = self._note(self.discovery.handle(happening, self.now()))
        while pending is not None:
            answer = self.server.answer(pending, self.at_ms)
            self.at_ms += LATENCY_MS
            pending = self._note(self.discovery.handle(answer, self.now()))

    def _note(self, effects: list[Any]) -> Request | None:
        requests = [effect for effect in effects if isinstance(effect, Request)]
        self.programs += [effect.programs for effect in effects if isinstance(effect, ProgramsKnown)]
        self.sets |= {effect.function_set.value: effect.sources for effect in effects if isinstance(effect, SetKnown)}
        self.apart += [effect.offsets_ms for effect in effects if isinstance(effect, ProgramsKnown)]
        self.taken += [effect for effect in effects if isinstance(effect, ResponseTaken)]
        self.offsets += [effect.offset_ms for effect in effects if isinstance(effect, ClockMeasured)]
        assert len(requests) <= 1, "one request in flight at a time"
        return requests[0] if requests else None

    def run(self, until_s: float) -> World:
        self.give(Tick())
        while (wake := self.discovery.wake_time()) is not None and wake <= until_s * 1000:
            assert wake > self.at_ms - LATENCY_MS, "a wake time in the past would be a busy loop"
            self.at_ms = max(self.at_ms, wake)
            self.give(Tick())
        self.at_ms = max(self.at_ms, int(until_s * 1000))
        return self


def mrids(world: World) -> list[str]:
    """mRIDs of the events known at the end, of all programs."""
    return [item.mrid for program in world.programs[-1] for item in program.controls or ()]
