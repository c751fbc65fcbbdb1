"""The fallback proof counts every device at what it does with nobody alive, in both directions."""

from __future__ import annotations

from dgm.api.config.v1.config_pb2 import AssetConfig, CircuitConfig, DgmConfig, EvseConfig, SiteConfig, StationConfig
from dgm.api.site.v1.site_pb2 import AssetType, Phase
from dgm.site.proof import RowProof, fallback_proof

PHASES = [Phase.PHASE_L1, Phase.PHASE_L2, Phase.PHASE_L3]


def rows(*, discharge_max_ma: int, export_limit_w: int = 15_000) -> dict[str, RowProof]:
    evse = EvseConfig(id="e1", circuit="grid", phases=PHASES, current_max_ma=32_000, fallback_ma=6_000)
    evse.discharge_max_ma = discharge_max_ma
    grid = CircuitConfig(id="grid", export_limit_w=export_limit_w, import_limit_w=50_000, min_uncontrolled_w=1_000)
    solar = AssetConfig(id="pv", circuit="grid", type=AssetType.ASSET_TYPE_PV, power_max_w=10_000, revert_w=5_000)
    config = DgmConfig(site=SiteConfig(nominal_voltage_mv=230_000), circuits=[grid], assets=[solar])
    config.stations.append(StationConfig(id="CP-1", evses=[evse]))
    return {proof.side: proof for proof in fallback_proof(config)}


def test_what_a_v2x_evse_may_give_back_is_part_of_the_export_side() -> None:
    found = rows(discharge_max_ma=16_000)
    assert found["export"].total == 5_000 + 11_040 - 1_000
    assert not found["export"].holds
    assert ("v2x", 11_040) in found["export"].parts
    assert found["import"].total == rows(discharge_max_ma=0)["import"].total


def test_a_site_without_v2x_has_no_such_part() -> None:
    assert rows(discharge_max_ma=0)["export"].total == 4_000
    assert rows(discharge_max_ma=0)["export"].holds
