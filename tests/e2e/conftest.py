"""One running site per mode, shared by all tests of that mode: the destructive ones come last (file names order them).

live["run"]: world + `dgm run` ──tests──> stopped      live["serve"]: world + three `dgm serve` ──tests──> stopped
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from e2e_client import SiteClient
from e2e_live import Live, charges
from e2e_product import ROLES, Product
from e2e_waiting import eventually
from e2e_world import World


@pytest.fixture(scope="package", params=["run", "serve"])
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A site on which cars charge with their full current."""
    directory = tmp_path_factory.mktemp(f"site-{request.param}")
    # Not below pytest's own directory: the path of a unix socket must be short.
    with tempfile.TemporaryDirectory(prefix="dgm-e2e-") as run_dir:
        world = World(directory, Path(run_dir))
        product = Product(request.param, world.site_file)
        try:
            world.start()
            ports = {role: world.document["api"][f"metrics_port_{role}"] for role in ROLES}
            client = SiteClient(Path(run_dir), ports)
            product.start()
            for role in ROLES:
                eventually(f"{role} is ready", partial(client.is_serving, role))
            world.start_fleet()
            found = Live(world=world, product=product, client=client)
            eventually("every car charges", partial(charges, found))
            yield found
            client.close()
        finally:
            product.stop()
            world.stop()
