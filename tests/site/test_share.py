"""The site without an EMS of ours: what is arbitrated, and which roles that takes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from dgm import config as site_config
from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.app import arbitrating, listeners, roles_of
from dgm.errors import ConfigError
from dgm.site.share import shared

SITE: dict[str, Any] = yaml.safe_load("""
site: {id: demo, name: Demo, state_dir: state}
circuits:
  - {id: grid, import_limit_w: 100000, current_limit_ma: 200000, meter: m1, max_uncontrolled_w: 20000}
assets:
  - {id: m1, type: METER, circuit: grid, modbus: {host: 127.0.0.1, port: 1502}}
  - {id: pv1, type: PV, circuit: grid, power_max_w: 30000, revert_w: 30000, modbus: {host: 127.0.0.1, port: 1503}}
  - {id: b1, type: BATTERY, circuit: grid, power_max_w: 20000, energy_wh: 40000, modbus: {host: 127.0.0.1, port: 1504}}
cpos: [{id: cpo-a, url: "ws://127.0.0.1:9100/ocpp"}]
stations:
  - {id: st1, cpo: cpo-a, evses: [{id: e1, connector_id: 1, circuit: grid, phases: [L1], current_max_ma: 32000}]}
ems: {third_party: true}
ocpp: {host: 127.0.0.1, port: 9000, facade: {port: 1502}}
api: {metrics_port_ocpp: 9466}
""")


def parsed(**changes: Any) -> DgmConfig:
    return site_config.parse(yaml.safe_dump({**SITE, **changes}))


def test_the_other_emss_pv_and_battery_are_left_out_and_nothing_else_is() -> None:
    config = parsed()
    found = shared(config)
    assert [asset.id for asset in found.assets] == ["m1"]
    assert (found.circuits, found.stations) == (config.circuits, config.stations)
    assert [asset.id for asset in config.assets] == ["m1", "pv1", "b1"], "the configuration itself stays"


def test_with_an_ems_of_ours_the_whole_site_is_arbitrated() -> None:
    config = parsed(ems={})
    assert shared(config) == config
    assert (roles_of(config), arbitrating(config)) == (["ems", "ocpp"], "ems")


def test_without_one_the_ocpp_role_arbitrates_and_listens_for_its_clients() -> None:
    config = parsed(
        api={"host": "127.0.0.1", "port": 9500, **dict.fromkeys(("certificate", "private_key", "client_ca"), "x")}
    )
    assert (roles_of(config), arbitrating(config)) == (["ocpp"], "ocpp")
    assert ("api.port", "127.0.0.1", 9500) in listeners(config, "ocpp")
    assert ("api.port", "127.0.0.1", 9500) not in listeners(config, "ems")


@pytest.mark.parametrize("ocpp", [{"host": "127.0.0.1", "port": 9000}])
def test_another_ems_needs_the_facade_to_control_anything(ocpp: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"ems\.third_party.*ocpp\.facade"):
        parsed(ocpp=ocpp)
