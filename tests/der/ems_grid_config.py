"""A site whose inverter permits every grid-code function."""

from __future__ import annotations

from dgm.api.config.v1.config_pb2 import AssetConfig, CircuitConfig, DerConfig, DgmConfig
from dgm.api.ems.v1.grid_pb2 import GridFunction
from dgm.api.site.v1.site_pb2 import AssetType


def grid_config(url: str) -> DgmConfig:
    """url: of the utility's DeviceCapability."""
    pv = AssetConfig(id="pv1", type=AssetType.ASSET_TYPE_PV, circuit="site", power_max_w=100_000)
    pv.grid_functions.extend(number for number in GridFunction.values() if number)
    return DgmConfig(
        circuits=[CircuitConfig(id="site")],
        assets=[pv],
        der=DerConfig(url=url, pin="111115", site_rating_w=100_000, poll_s=900),
    )
