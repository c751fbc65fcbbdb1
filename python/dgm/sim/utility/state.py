"""What a simulated utility holds: devices, assignments, programs, controls, rates, faults; changed by script steps.

Times are whole seconds of the server's clock (UTC + `clock_offset_s`); None means absent. Nothing here is XML or HTTP.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from dgm.sim.utility.xml import AUS

PEN = "00037244"
LISTED_AFTER_END_S = 60
"""How long an event stays listed after its end."""


def mrid_of(kind: str, name: str) -> str:
    """An mRID that is the same in every run of a script."""
    return hashlib.sha256(f"{kind} {name}".encode()).hexdigest()[:24].upper() + PEN


@dataclass(slots=True, kw_only=True)
class Control:
    """One event: a DERControl by its modes, or one of another function set by its content.

    cancel_status: 2 cancelled, 3 cancelled with randomisation; superseded_s: when it became 4.
    """

    mrid: str
    creation_s: int
    start_s: int
    duration_s: int
    modes: Mapping[str, object] = field(default_factory=dict)
    content: Mapping[str, Any] = field(default_factory=dict)
    cancel_s: int | None = None
    cancel_status: int = 2
    superseded_s: int | None = None
    randomize_start_s: int | None = None
    randomize_duration_s: int | None = None
    ramp_tms: int | None = None
    response_required: str = "03"

    def status(self, now_s: int) -> int:
        """EventStatus.currentStatus."""
        if self.cancel_s is not None and now_s >= self.cancel_s:
            return self.cancel_status
        if self.superseded_s is not None and now_s >= self.superseded_s:
            return 4
        return int(now_s >= self.start_s)

    def since_s(self, now_s: int) -> int:
        """Since when it has that status."""
        match self.status(now_s):
            case 0:
                return self.creation_s
            case 1:
                return max(self.start_s, self.creation_s)
            case 4:
                return self.superseded_s or 0
            case _:
                return self.cancel_s or 0

    def is_listed(self, now_s: int) -> bool:
        """In its list from its creation to a while after its end."""
        return self.creation_s <= now_s < self.start_s + self.duration_s + LISTED_AFTER_END_S


def listed(events: Iterable[Control], now_s: int) -> list[Control]:
    """Those of a list, in order of their start."""
    return sorted((item for item in events if item.is_listed(now_s)), key=lambda item: item.start_s)


@dataclass(slots=True, kw_only=True)
class Program:
    """One DERProgram with its controls and curves by name."""

    name: str
    primacy: int
    mrid: str
    controls: dict[str, Control] = field(default_factory=dict)
    default: dict[str, object] = field(default_factory=dict)
    default_grad: int | None = None
    curves: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def listed(self, now_s: int) -> list[Control]:
        """The controls of its list, in order of their start."""
        return listed(self.controls.values(), now_s)


class Set(Enum):
    """A function set beside DER: the first word of the names of its lists."""

    TARIFFS = "tp"
    LOAD = "drp"
    MESSAGES = "msg"


@dataclass(slots=True, kw_only=True)
class Group:
    """One TariffProfile, DemandResponseProgram or MessagingProgram with its events by name.

    content: what the script says of it. components: of a tariff, what the script says of each.
    """

    kind: Set
    name: str
    fsa: str
    primacy: int
    mrid: str
    content: Mapping[str, Any]
    components: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    events: dict[str, Control] = field(default_factory=dict)


RESPONSES = {Set.TARIFFS: "PriceResponse", Set.LOAD: "DrResponse", Set.MESSAGES: "TextResponse"}


@dataclass(slots=True, kw_only=True)
class Assignment:
    """One FSA: names of programs, in order."""

    name: str
    mrid: str
    programs: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Rates:
    """pollRate of each list and the post rates, in s; None: the attribute is left out."""

    dcap: int | None = 60
    edev: int | None = 60
    fsa: int | None = 60
    derp: int | None = 60
    der: int | None = 60
    mup: int | None = 60
    post: int | None = 60
    """EndDevice.postRate."""
    mup_post: int | None = 60
    """postRate of every MirrorUsagePoint."""
    tp: int | None = 60
    tti: int | None = 60
    drp: int | None = 60
    msg: int | None = 60
    frp: int | None = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is answered instead, for a while. resource: a name, or None for all.

    status 0: the answer as it would be, with a body that is damaged: garbage, truncated, namespace or empty.
    """

    from_ms: int
    to_ms: int
    status: int = 0
    resource: str | None = None
    retry_after_s: int | None = None
    body: str = "garbage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A document given as it is: the type of its root, the inner XML, and the link that leads to it."""

    name: str
    xml: str
    link: str
    on: str


@dataclass(slots=True, kw_only=True)
class State:
    """Everything that the server can be asked for, but what the client itself has put there.

    mirror_places: the answer to a mirror says where it is. mirror_list: the list of mirrors shows those of the client.
    reserves: whether flow may be reserved; requests: mRIDs of what the client has asked for; grants: by name.
    devices: PIN by LFDI. allowed: response codes that are taken. moved: names of resources that have another href now,
    with how often. redirected: names whose href stays but answers 301. page: items answered to a request without `l`.
    listed: function sets whose lists are linked though they are empty.
    """

    start_s: int
    devices: dict[str, int] = field(default_factory=dict)
    in_band: bool = False
    in_band_pin: int = 111115
    registration_link: bool = True
    connection_point: bool = True
    mirror_places: bool = True
    mirror_list: bool = True
    subscribable: bool = False
    aus: str = AUS
    versions: Mapping[str, object] | None = None
    allowed: frozenset[int] = frozenset(range(256))
    page: int = 1
    clock_offset_s: int = 0
    rates: Rates = field(default_factory=Rates)
    assignments: dict[str, Assignment] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    served: dict[str, Served] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)
    redirected: set[str] = field(default_factory=set)
    groups: dict[str, Group] = field(default_factory=dict)
    listed: set[Set] = field(default_factory=set)
    response_sets: bool = False
    reserves: bool = False
    requests: list[str] = field(default_factory=list)
    grants: dict[str, Control] = field(default_factory=dict)

    def controls(self) -> dict[str, Control]:
        """Every control of every program, by mRID."""
        return {item.mrid: item for program in self.programs.values() for item in program.controls.values()}

    def response_type(self, mrid: str) -> str | None:
        """What an event is answered with; None: there is no such event."""
        for name, events in self._events():
            if any(item.mrid == mrid for item in events.values()):
                return name
        return None

    def _events(self) -> Iterator[tuple[str, dict[str, Control]]]:
        yield from (("DERControlResponse", program.controls) for program in self.programs.values())
        yield from ((RESPONSES[group.kind], group.events) for group in self.groups.values())
        yield "FlowReservationResponseResponse", self.grants

    def holder(self, name: str) -> dict[str, Control]:
        """The events among which one of this name in the script is. StopIteration when there is none."""
        return next(events for _, events in self._events() if name in events)

    def control(self, name: str) -> Control:
        """An event of any kind by its name in the script. StopIteration when there is none."""
        return self.holder(name)[name]
