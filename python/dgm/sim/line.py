"""One station of the virtual world with its session in the gateway, its CSMS, and the two links between them.

    Station <──south_up, south_down──> Session <──north_up, north_down──> Csms

What is on the way, what is owed to whom, and which connection it belongs to; `fleet` moves it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dgm.api.ocpp.v1.evse_model_pb2 import EvseModel
from dgm.ocpp.books import Books
from dgm.ocpp.outage import Outage
from dgm.ocpp.outage_rules import Policy
from dgm.ocpp.session import Session
from dgm.ocpp.store import StationSettings, settings_of
from dgm.sim.connector import Connector
from dgm.sim.draw import Draw
from dgm.sim.nodes import Csms, Link
from dgm.sim.outages import POLICIES, Bills
from dgm.sim.quirks import Quirk
from dgm.sim.station import Station
from dgm.sim.station_2x import OCPP_21, OCPP_201, Station2x
from dgm.sim.timeline import EvsePlan

if TYPE_CHECKING:
    from dgm.sim.world import World

OCPP_16 = "ocpp1.6"
FORGETFUL = "Forgetful"
MODELS = (EvseModel(name=FORGETFUL, vendor=FORGETFUL, forgets_profiles=True),)
"""What cannot be found out by asking has to be known."""


@dataclass(slots=True)
class Line:
    """One station with both its links and its CSMS. `due_north` are its frames the relay has not dealt with yet.

    plans: its EVSEs, at least one. settings, policy: what the gateway is told of it. epoch, north_epoch: of the
    station's connection, of the one to the CSMS. stored, disk: what its session has kept and what is in its books on
    disk, which outlive the session. disk_ms: when its last write is done.
    """

    index: int
    plans: tuple[EvsePlan, ...]
    settings: tuple[StationSettings, ...]
    policy: Policy
    station: Station | Station2x
    session: Session
    csms: Csms
    south_up: Link
    south_down: Link
    north_up: Link
    north_down: Link
    is_up: bool = False
    epoch: int = 0
    due_north: list[bytes] = field(default_factory=list)
    due_south: list[bytes] = field(default_factory=list)
    is_csms_there: bool = True
    north_epoch: int = 0
    stored: dict[str, bytes] = field(default_factory=dict)
    disk: Books = field(default_factory=Books)
    disk_ms: int = 0
    bills: Bills = field(default_factory=Bills)

    @property
    def id(self) -> str:
        """Of the station."""
        return self.station.plan.id

    @property
    def plan(self) -> EvsePlan:
        """Its first EVSE."""
        return self.plans[0]

    @property
    def links(self) -> tuple[Link, ...]:
        """All of them."""
        return self.south_up, self.south_down, self.north_up, self.north_down

    @property
    def ports(self) -> list[Connector]:
        """The connectors of its EVSEs, in their order."""
        return [self.station.connectors[plan.connector_id] for plan in self.plans]

    def plan_of(self, evse_id: str) -> EvsePlan:
        """That EVSE of it."""
        return next(plan for plan in self.plans if plan.id == evse_id)

    def port(self, evse_id: str) -> Connector:
        """The connector of that EVSE."""
        return self.station.connectors[self.plan_of(evse_id).connector_id]

    @property
    def version(self) -> str:
        """The subprotocol that the station speaks."""
        return self.station.plan.subprotocol

    @property
    def transaction(self) -> str | None:
        """The running transaction of a 2.x station."""
        if not isinstance(self.station, Station2x):
            return None
        running = self.station.transactions.get(self.plan.connector_id)
        return None if running is None else running.id


def make_line(world: World, index: int, plans: tuple[EvsePlan, ...], fresh_id: Callable[[], str]) -> Line:
    """Draw what a station is like and give it its session."""
    draw, plan = world.draw, plans[0]
    settings = settings_of(world.config, world.config.stations[index])

    def link() -> Link:
        return Link(delay_ms=round(draw.uniform(1, 40)))

    quirks = () if world.is_quiet else _quirks(draw)
    vendor = FORGETFUL if Quirk.FORGETS in quirks else plan.station.vendor
    version = _version(draw)
    is_merged = version != OCPP_16 and draw.randrange(3) == 0
    settings = tuple(replace(one, enforcement="merge" if is_merged else "") for one in settings)
    known = replace(plan.station, quirks=quirks, vendor=vendor, subprotocol=version)
    station = Station(known, draw) if version == OCPP_16 else Station2x(known, draw, version)
    policy = POLICIES[draw.randrange(len(POLICIES))]
    session = session_of(settings, policy, fresh_id)
    return Line(index, plans, settings, policy, station, session, Csms(version), link(), link(), link(), link())


def session_of(
    settings: tuple[StationSettings, ...],
    policy: Policy,
    fresh_id: Callable[[], str],
    *,
    stored: Mapping[str, bytes] | None = None,
    disk: Books | None = None,
) -> Session:
    """The session of a station at the start of a life of the ocpp role: what was kept, and a copy of its books."""
    books = Books() if disk is None else Books(messages=dict(disk.messages), facts=dict(disk.facts))
    outage = Outage(policy, books, fresh_id)
    return Session(settings, fresh_id, models=MODELS, stored=dict(stored or {}), outage=outage)


def _version(draw: Draw) -> str:
    """Half of the stations speak 1.6, a quarter each 2.0.1 and 2.1."""
    versions = (OCPP_16, OCPP_16, OCPP_201, OCPP_21)
    return versions[draw.randrange(len(versions))]


def _quirks(draw: Draw) -> tuple[str, ...]:
    """Every third station is different in one way."""
    kinds = list(Quirk)
    return (kinds[draw.randrange(len(kinds))],) if draw.randrange(3) == 0 else ()
