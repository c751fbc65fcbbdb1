"""The gateway's core and the simulated utility's core, joined in virtual time: every body is real XML, no socket.

    script ──> Server <──bytes── encode / decode ──> DerCore <── SitePlant (a plant that does what the bounds say)

What is sent either way is judged by the published schemas. The plant obeys at once: what these runs prove is the
conversation and what the EMS is told to hold, not how inverters follow it (tests/e2e and `dgm sim` do that).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from der_documents import faults
from der_examples import site

from dgm.der.codec import Dialect, decode, encode
from dgm.der.codec.well_known import entry_of
from dgm.der.core import DerCore
from dgm.der.core_events import CoreEvent, Keep, SiteSeen
from dgm.der.discovery import Answer, NoAnswer, Notified, Request
from dgm.der.nodes import VERSIONS_PATH, Document
from dgm.der.prices import EnergyPrice
from dgm.der.profiles.loader import load
from dgm.der.resource import Notification
from dgm.errors import PeerError
from dgm.machine import Now, Tick
from dgm.sim.utility.plant import SITE_STEP_MS, SitePlant
from dgm.sim.utility.records import Received, Reply
from dgm.sim.utility.script import Director, steps_of
from dgm.sim.utility.server import Server
from dgm.sim.utility.state import Rates, State

LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
ZERO_MS = 1_900_000_000_000 - 1_900_000_000_000 % 3_600_000 + 17_000
"""Not on a minute mark, so that the marks have to be found."""
REQUESTS_AT_ONCE_MAX = 500
NOTIFY_URL = "https://site.example:9443/notify"


@dataclass(slots=True)
class Joined:
    """One run. Times are ms since its start."""

    server: Server
    core: DerCore
    plant: SitePlant
    now_ms: int = 0
    xml_faults: list[str] = field(default_factory=list)
    held: list[tuple[int, dict[str, int]]] = field(default_factory=list)
    """What the EMS is told to hold, by time of change."""
    ramps: list[dict[str, Any]] = field(default_factory=list)
    """Ramps that the EMS is told, by mode, ms."""
    prices: list[tuple[int, dict[str, list[list[int | None]]]]] = field(default_factory=list)
    """Prices in force by the mRID of their component, in millionths by block, by time of change."""
    energy: list[tuple[int, tuple[EnergyPrice, ...]]] = field(default_factory=list)
    """What the EMS is told that energy costs, ms since the start, by time of change."""
    wanted: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    """Modes for which the EMS is told a target, by time of change."""
    cut: bool = False
    _seen_bodies: set[int] = field(default_factory=set)
    _site_ms: int = 0
    _journal: dict[str, bytes] = field(default_factory=dict)

    @property
    def now(self) -> Now:
        """This instant."""
        return Now(mono_ms=self.now_ms, utc_ms=ZERO_MS + self.now_ms)

    @property
    def dialect(self) -> Dialect:
        """What both sides write: the CSIP-AUS namespace that the utility speaks, as if it had been negotiated."""
        return Dialect(aus_namespace=self.server.state.aus)

    def restart(self, **changes: Any) -> None:
        """The gateway goes down and comes back with its journal alone."""
        self.core = core_of(**changes)
        self._execute(self.core.restore(self._journal, self.now))

    def run(self, until_s: float) -> Joined:
        """Let time pass."""
        while self.now_ms < until_s * 1000:
            self.server.advance(ZERO_MS + self.now_ms)
            self._take_pushes()
            if self.now_ms >= self._site_ms:
                self._site_ms = self.now_ms + SITE_STEP_MS
                update = self.plant.seen(self.bounds(), self.now_ms // SITE_STEP_MS)
                self._give(SiteSeen(update=update))
            self._give(Tick())
            wake = self.core.wake_time()
            times = [self._site_ms, int(until_s * 1000), *([] if wake is None else [max(wake, self.now_ms + 1)])]
            self.now_ms = min(times)
        return self

    def _take_pushes(self) -> None:
        """The listener's part: a notification of a subscription of ours goes to the core."""
        for push in self.server.pushes():
            assert push.uri == NOTIFY_URL, push.uri
            self._judge(push.body, push.uri)
            notification = decode(push.body)
            assert isinstance(notification, Notification)
            assert self.core.discovery.is_ours(notification), notification
            self._give(Notified(notification=notification))

    def bounds(self) -> dict[str, int]:
        """W by mode, as the EMS is told now."""
        return {mode: bound.power_w for mode, bound in self.core.bounds(self.now).items()}

    def held_at(self, at_s: float) -> dict[str, int]:
        """W by mode, as the EMS was told then."""
        return next((bounds for at_ms, bounds in reversed(self.held) if at_ms <= at_s * 1000), {})

    def _give(self, event: CoreEvent) -> None:
        self._execute(self.core.handle(event, self.now))
        self._note()
        bounds = self.bounds()
        if not self.held or self.held[-1][1] != bounds:
            self.held.append((self.now_ms, bounds))
            rows = self.core.bounds(self.now).values()
            self.ramps += [{"mode": bound.mode, "ms": bound.ramp_ms} for bound in rows if bound.ramp_ms]

    def _note(self) -> None:
        modes = tuple(sorted(self.core.targets()))
        if not self.wanted or self.wanted[-1][1] != modes:
            self.wanted.append((self.now_ms, modes))
        prices = {
            price.program_mrid: [[block.start, block.price_micro] for block in dict(price.notice.values)[key].blocks]
            for key, price in self.core.further.prices().items()
        }
        if not self.prices or self.prices[-1][1] != prices:
            self.prices.append((self.now_ms, prices))
        energy = tuple(
            replace(one, start_ms=one.start_ms - ZERO_MS, end_ms=one.end_ms - ZERO_MS) for one in self.core.prices()
        )
        if not self.energy or self.energy[-1][1] != energy:
            self.energy.append((self.now_ms, energy))

    def _execute(self, effects: list[Any]) -> None:
        queue = list(effects)
        for _ in range(REQUESTS_AT_ONCE_MAX):
            if not queue:
                return
            effect = queue.pop(0)
            match effect:
                case Keep():
                    for key, value in effect.entries:
                        self._keep(key, value)
                case Request():
                    queue += self.core.handle(self._send(effect), self.now)
        raise AssertionError(f"more than {REQUESTS_AT_ONCE_MAX} requests at {self.now_ms / 1000} s")

    def _keep(self, key: str, value: bytes | None) -> None:
        if value is None:
            self._journal.pop(key, None)
        else:
            self._journal[key] = value

    def _send(self, request: Request) -> Answer | NoAnswer:
        if self.cut:
            return NoAnswer(tag=request.tag)
        url = urlsplit(request.url)
        body = b"" if request.body is None else encode(request.body, self.dialect)
        self._judge(body, request.url)
        received = Received(
            method=request.method, path=url.path, query=dict(parse_qsl(url.query)), body=body, lfdi=LFDI
        )
        reply = self.server.handle(received, ZERO_MS + self.now_ms)
        return self._answer(request, reply)

    def _answer(self, request: Request, reply: Reply) -> Answer:
        resource: Document | None = None
        is_versions = urlsplit(request.url).path == VERSIONS_PATH
        if is_versions and reply.status < 300:
            resource = entry_of(reply.body)
        elif reply.status < 300 and reply.body:
            try:
                resource = decode(reply.body)
            except PeerError as error:
                self.xml_faults.append(f"{request.url}: {error}")
            else:
                self._judge(reply.body, request.url)
        retry_after = reply.headers.get("Retry-After")
        return Answer(
            tag=request.tag,
            status=reply.status,
            resource=resource,
            location=reply.headers.get("Location"),
            retry_after_s=None if retry_after is None else int(retry_after),
        )

    def _judge(self, body: bytes, url: str) -> None:
        """By the published schema; bodies seen before are not judged again."""
        if body and hash(body) not in self._seen_bodies:
            self._seen_bodies.add(hash(body))
            self.xml_faults += [f"{url}: {fault}" for fault in faults(body, self.dialect)]


def core_of(
    *,
    pin: str = "111115",
    in_band: bool = False,
    utility: str = "csip-aus-1.2",
    draw: int = 0,
    subscribes: bool = False,
    entry: str = "/dcap",
    demand_response_modes: bool = False,
) -> DerCore:
    """A gateway for the example site, before its start. draw: what every random draw gives, per mille of the most."""
    config = site(f"https://utility.example{entry}", pin=pin)
    config.der.site_rating_va, config.der.site_rating_var = 160_000, 60_000
    config.der.min_power_factor_permille = 900
    config.der.poll_s = 60
    config.der.in_band_registration = in_band
    config.der.demand_response_modes = demand_response_modes
    if subscribes:
        config.der.notify.url = NOTIFY_URL
    return DerCore(config, LFDI, lambda most: most * draw // 1000, profile=load(utility))


def joined(
    steps: list[dict[str, Any]],
    *,
    plant: SitePlant | None = None,
    rate_s: int = 60,
    registered: bool = True,
    **options: Any,
) -> Joined:
    """A run at its start: the utility with the script, the gateway with an empty journal."""
    rates = Rates(dcap=rate_s, edev=rate_s, fsa=rate_s, derp=rate_s, der=rate_s, mup=rate_s, post=60, mup_post=60)
    state = State(start_s=ZERO_MS // 1000, devices={LFDI: 111115} if registered else {}, rates=rates)
    server = Server(state, ZERO_MS, director=Director(steps_of(steps)))
    return Joined(server, core_of(**options), plant or SitePlant())
