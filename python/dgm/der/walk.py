"""What the documents fetched so far say is to be fetched next, and what they add up to.

    version document (CSIP-AUS v1.3) or configured URL ─> DeviceCapability

    /dcap ─> Time
          ─> EndDeviceList ─> own EndDevice ─> Registration (PIN) ─> FSA list ─> Time, DERPrograms ─> controls, default
          │                                 └> DERList            (nothing below a wrong PIN)     └> groups
          └> MirrorUsagePointList

Pure: from documents to a Walk. Because the whole plan is derived anew from what is linked now, a list that fills later,
moves or vanishes needs no code of its own; a document that is no longer linked is no longer wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from dgm.der import resource as r
from dgm.der.groups import NOTHING, Groups, Sets
from dgm.der.nodes import VERSIONS_PATH, Document, Documents, EntryPoint, Kind, Node, poll_s_of, resolve

SUBSCRIPTIONS_POLL_S = 86_400
"""As often as they are renewed."""
CURVE_POLL_S = 900
"""The default pollRate (S18)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who we are and where the walk starts. pin None: not checked. poll_s: where the server gives no pollRate.

    is_pin_required: a server that shows no Registration gives no controls (utility profile); else that is no reason.
    curve_modes: modes whose DERCurves are fetched. subscribes: subscriptions of an earlier start are looked for.
    """

    url: str
    lfdi: str
    sfdi: int
    pin: int | None
    poll_s: int
    is_pin_required: bool = False
    curve_modes: frozenset[str] = frozenset()
    subscribes: bool = False


@dataclass(slots=True, kw_only=True)
class Walk:
    """The result of one walk.

    wanted: poll interval in s of every linked document, in the order of the walk. programs None: not known completely.
    wrong_pin: the server means another device; no control is taken. clock: Time of the server as a whole; clocks: by
    program mRID, the Time of its FSA where that has one of its own. sets: the other function sets, each that is known.
    """

    wanted: dict[Node, int] = field(default_factory=dict)
    end_devices: Node | None = None
    own: r.EndDevice | None = None
    listed: bool = False
    wrong_pin: bool = False
    der: r.DER | None = None
    mirrors: Node | None = None
    programs: tuple[r.AssignedProgram, ...] | None = None
    clock: Node | None = None
    clocks: dict[str, Node] = field(default_factory=dict)
    sets: Sets = field(default_factory=dict)


def walk(identity: Identity, documents: Documents) -> Walk:
    """Follow every link from the configured DeviceCapability through the documents there are."""
    return _Walker(identity, documents).run()


class _Walker:
    def __init__(self, identity: Identity, documents: Documents) -> None:
        self._identity = identity
        self._documents = documents
        self._out = Walk()
        self._groups = Groups(identity.url, self._want)
        self._are_groups_known = False

    def run(self) -> Walk:
        entry = self._entry()
        capability = self._want(Kind.CAPABILITY, entry) if entry else None
        if isinstance(capability, r.DeviceCapability):
            if capability.time_link:
                self._out.clock = self._node(Kind.TIME, capability.time_link)
                self._want(Kind.TIME, capability.time_link)
            if capability.end_device_list_link:
                self._end_devices(capability.end_device_list_link)
            if capability.mirror_usage_point_list_link:
                self._out.mirrors = self._node(Kind.MIRRORS, capability.mirror_usage_point_list_link)
                self._want(Kind.MIRRORS, capability.mirror_usage_point_list_link)
        return self._out

    def _entry(self) -> str | None:
        """Where the DeviceCapability is. Behind a version document never guessed: its path, or none (no /dcap)."""
        if urlsplit(self._identity.url).path != VERSIONS_PATH:
            return self._identity.url
        entry = self._want(Kind.VERSIONS, self._identity.url)
        return entry.path if isinstance(entry, EntryPoint) else None

    def _node(self, kind: Kind, href: str) -> Node | None:
        url = resolve(self._identity.url, href)
        return None if url is None else Node(kind=kind, url=url)

    def _want(self, kind: Kind, href: str, *, poll_s: int | None = None) -> Document | None:
        """Note a document as wanted; its content if it was fetched. `poll_s`: of the list above, for what has none.

        What is wanted twice is polled at the faster rate.
        """
        node = self._node(kind, href)
        if node is None:
            return None
        document = self._documents.get(node)
        own_s = getattr(document, "poll_s", None)
        rate_s = poll_s_of(poll_s if own_s is None else own_s, self._identity.poll_s)
        self._out.wanted[node] = min(rate_s, self._out.wanted.get(node, rate_s))
        return document

    def _end_devices(self, href: str) -> None:
        self._out.end_devices = self._node(Kind.END_DEVICES, href)
        devices = self._want(Kind.END_DEVICES, href)
        if not isinstance(devices, r.EndDeviceList):
            return
        self._out.listed = True
        own = _own_device(self._identity, devices.items)
        self._out.own = own
        if own is None or own.enabled is False:
            self._nothing()
            return
        if own.subscription_list_link and self._identity.subscribes:
            self._want(Kind.SUBSCRIPTIONS, own.subscription_list_link, poll_s=SUBSCRIPTIONS_POLL_S)
        if own.der_list_link:
            ders = self._want(Kind.DERS, own.der_list_link)
            if isinstance(ders, r.DERList) and ders.items:
                self._out.der = ders.items[0]
        if self._is_meant(own):
            self._assignments(own)
            self._groups.grants(own)
            self._out.sets = self._groups.sources(is_assigned=self._are_groups_known)

    def _nothing(self) -> None:
        """Nothing is meant for this device, and that is certain."""
        self._out.programs, self._out.sets = (), NOTHING

    def _is_meant(self, own: r.EndDevice) -> bool:
        """The PIN is ours, or there is none to compare (no RegistrationLink: carry on, where the profile lets us)."""
        if not own.registration_link:
            if self._identity.is_pin_required:
                self._nothing()
            return not self._identity.is_pin_required
        registration = self._want(Kind.REGISTRATION, own.registration_link)
        if self._identity.pin is None:
            return True
        if not isinstance(registration, r.Registration):
            return False
        if registration.pin != self._identity.pin:
            self._out.wrong_pin = True
            self._nothing()
            return False
        return True

    def _assignments(self, own: r.EndDevice) -> None:
        if not own.function_set_assignments_list_link:
            self._out.programs, self._are_groups_known = (), True
            return
        assignments = self._want(Kind.ASSIGNMENTS, own.function_set_assignments_list_link)
        if not isinstance(assignments, r.FunctionSetAssignmentsList):
            return
        self._are_groups_known = True
        clocks: dict[str, Node | None] = {}
        for item in assignments.items:
            clock = self._clock(item)
            if item.der_program_list_link:
                clocks.setdefault(item.der_program_list_link, clock)
        lists = {link: self._want(Kind.PROGRAMS, link) for link in clocks}
        found: dict[str, r.AssignedProgram] = {}
        for link, programs in lists.items():
            if isinstance(programs, r.DERProgramList):
                for program in self._programs(programs):
                    self._assign(program, clocks[link], found)
        if all(isinstance(programs, r.DERProgramList) for programs in lists.values()):
            self._out.programs = tuple(found.values())
        self._further(assignments)

    def _further(self, assignments: r.FunctionSetAssignmentsList) -> None:
        """After the DERControls, which bind: what informs."""
        for item in assignments.items:
            clock = self._clock(item)
            assigned = self._groups.take(item)
            if clock is not None:
                self._out.clocks |= dict.fromkeys(assigned, clock)

    def _clock(self, item: r.FunctionSetAssignments) -> Node | None:
        """The Time of a group where it is not that of the server; asked for before what runs on it."""
        if not item.time_link:
            return None
        self._want(Kind.TIME, item.time_link)
        node = self._node(Kind.TIME, item.time_link)
        return None if node == self._out.clock else node

    def _assign(self, program: r.AssignedProgram, clock: Node | None, found: dict[str, r.AssignedProgram]) -> None:
        if program.mrid not in found:
            found[program.mrid] = program
            if clock is not None:
                self._out.clocks[program.mrid] = clock

    def _programs(self, programs: r.DERProgramList) -> Iterator[r.AssignedProgram]:
        # A DERControlList and a DefaultDERControl have no pollRate: that of the program list rules them.
        poll_s = poll_s_of(programs.poll_s, self._identity.poll_s)
        for program in programs.items:
            controls, default = program.der_control_list_link, program.default_der_control_link
            listed = self._want(Kind.CONTROLS, controls, poll_s=poll_s) if controls else None
            stated = self._want(Kind.DEFAULT, default, poll_s=poll_s) if default else None
            self._curves((*getattr(listed, "items", ()), stated))
            yield r.AssignedProgram(
                mrid=program.mrid,
                primacy=program.primacy,
                controls=listed.items if isinstance(listed, r.DERControlList) else None if controls else (),
                default=stated if isinstance(stated, r.DefaultDERControl) else None,
                default_known=isinstance(stated, r.DefaultDERControl) or not default,
            )

    def _curves(self, controls: Iterable[object]) -> None:
        """What the modes of controls link to; a DERCurve has no pollRate either, and its control is cancelled first."""
        bases = [item.base for item in controls if isinstance(item, r.DERControl | r.DefaultDERControl)]
        for mode in (mode for base in bases for mode in base.modes):
            if mode.curve_href and mode.name in self._identity.curve_modes:
                self._want(Kind.CURVE, mode.curve_href, poll_s=CURVE_POLL_S)


def _own_device(identity: Identity, devices: tuple[r.EndDevice, ...]) -> r.EndDevice | None:
    by_lfdi = (device for device in devices if device.lfdi == identity.lfdi)
    by_sfdi = (device for device in devices if device.lfdi is None and device.sfdi == identity.sfdi)
    return next(by_lfdi, None) or next(by_sfdi, None)
