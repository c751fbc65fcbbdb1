"""What a test of a running site is given: the simulated world, the product in it, and a client."""

from __future__ import annotations

from dataclasses import dataclass

from e2e_client import SiteClient
from e2e_product import Product
from e2e_world import World

from dgm.api.ocpp.v1.ocpp_pb2 import LinkState
from dgm.api.site.v1.site_pb2 import PlugState


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A running site; the fixture `live` makes and ends it."""

    world: World
    product: Product
    client: SiteClient


def charges(live: Live) -> bool:
    """Whether every station of the fleet is connected on both sides and its car draws power."""
    stations = live.client.stations()
    if not all(name in stations and stations[name].evses for name in live.world.station_ids):
        return False
    found = [stations[name] for name in live.world.station_ids]
    up = all(station.south == station.north == LinkState.LINK_STATE_UP for station in found)
    evses = [station.evses[0] for station in found]
    return up and all(evse.plug_state == PlugState.PLUG_STATE_CHARGING and evse.power_w > 0 for evse in evses)
