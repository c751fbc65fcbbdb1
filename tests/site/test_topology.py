"""The order of assets, the paths, and what GetSite tells."""

from __future__ import annotations

import pytest

from dgm.api.config.v1.config_pb2 import AssetConfig, CircuitConfig, DgmConfig, EvseConfig, SiteConfig, StationConfig
from dgm.api.site.v1.site_pb2 import AssetType, Phase
from dgm.errors import ConfigError
from dgm.site.topology import Topology


def small_config() -> DgmConfig:
    return DgmConfig(
        site=SiteConfig(id="s", name="S", nominal_voltage_mv=230_000),
        circuits=[
            CircuitConfig(id="grid", import_limit_w=0, meter="m1"),
            CircuitConfig(id="hall", parent="grid"),
            CircuitConfig(id="row", parent="hall", current_limit_ma=63_000),
        ],
        assets=[
            AssetConfig(id="m1", type=AssetType.ASSET_TYPE_METER, circuit="grid"),
            AssetConfig(id="b1", type=AssetType.ASSET_TYPE_BATTERY, circuit="hall", power_max_w=10),
        ],
        stations=[
            StationConfig(id="st1", cpo="a", evses=[EvseConfig(id="e1", circuit="row", current_max_ma=32_000)]),
            StationConfig(id="st2", cpo="b", evses=[EvseConfig(id="e2", circuit="hall", phases=[Phase.PHASE_L3])]),
        ],
    )


def test_assets_come_first_and_then_the_evses_in_file_order() -> None:
    topology = Topology.from_config(small_config())
    assert [asset.id for asset in topology.assets] == ["m1", "b1", "e1", "e2"]
    assert [asset.index for asset in topology.assets] == [0, 1, 2, 3]
    assert [asset.id for asset in topology.evses()] == ["e1", "e2"]


def test_a_path_leads_from_the_connection_point_down() -> None:
    topology = Topology.from_config(small_config())
    asset = topology.asset("e1")
    assert asset is not None
    assert [topology.circuits[index].id for index in topology.path_of(asset)] == ["grid", "hall", "row"]
    assert [found.id for found in topology.below(1)] == ["b1", "e1", "e2"]
    assert topology.root.id == "grid"


def test_what_is_not_there_is_none() -> None:
    topology = Topology.from_config(small_config())
    assert topology.asset("x") is None
    assert topology.circuit("x") is None
    assert topology.assets[0].power_max_w is None


def test_the_site_message_keeps_zero_and_absence_apart() -> None:
    site = Topology.from_config(small_config()).site_message(epoch=5)
    assert site.epoch == 5
    assert site.circuits[0].HasField("import_limit_w")
    assert site.circuits[0].import_limit_w == 0
    assert not site.circuits[1].HasField("import_limit_w")
    assert (site.circuits[0].parent_id, site.circuits[2].parent_id) == ("", "hall")
    assert site.circuits[0].meter_id == "m1"
    assert (site.assets[3].station_id, site.assets[3].cpo_id, list(site.assets[3].phases)) == (
        "st2",
        "b",
        [Phase.PHASE_L3],
    )


@pytest.mark.parametrize(
    ("at", "field", "value"), [(1, "parent", "nowhere"), (0, "parent", "row"), (1, "parent", "hall")]
)
def test_a_tree_that_is_none_is_not_built(at: int, field: str, value: str) -> None:
    config = small_config()
    setattr(config.circuits[at], field, value)
    with pytest.raises(ConfigError):
        Topology.from_config(config)


def test_an_asset_on_an_unknown_circuit_is_named() -> None:
    config = small_config()
    config.stations[0].evses[0].circuit = "nowhere"
    with pytest.raises(ConfigError, match=r"st1\.evses\.e1\.circuit.*nowhere"):
        Topology.from_config(config)
