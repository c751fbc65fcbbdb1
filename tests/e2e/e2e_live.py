"""What a test of a running site is given: the simulated world, the product in it, and a client."""

from __future__ import annotations

from dataclasses import dataclass

from e2e_client import SiteClient
from e2e_product import Product
from e2e_world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A running site; the fixture `live` makes and ends it."""

    world: World
    product: Product
    client: SiteClient
