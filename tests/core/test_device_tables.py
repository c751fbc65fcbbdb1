"""Every device table that comes with DGM, from site.yaml to the image, against registers as makers document them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest
import yaml
from table_devices import HOST, UNITS, TableGateway, i32
from test_field import Running

from dgm import _core
from dgm import config as site_config
from dgm.api.core.v1.core_pb2 import Decision
from dgm.api.site.v1.site_pb2 import Quality
from dgm.devices import tables


def document(port: int, **changes: object) -> dict[str, object]:
    """A site whose assets are all units of the gateway; the first is the meter of the connection point."""
    assets: list[Mapping[str, object]] = []
    for unit, found in UNITS.items():
        needs: dict[str, object] = {}
        if found.kind == "PV":
            needs = {"power_max_w": 50_000, "revert_w": 50_000}
        if found.kind == "BATTERY":
            needs = {"power_max_w": 25_000, "charge_max_w": 20_000, "energy_wh": 60_000}
        modbus = {"host": HOST, "port": port, "unit_id": unit, "device": found.table, "poll_interval_ms": 50}
        assets.append({"id": found.table, "type": found.kind, "circuit": "grid", "modbus": modbus, **needs})
    grid = {"id": "grid", "import_limit_w": 200_000, "current_limit_ma": 400_000, "max_uncontrolled_w": 100_000}
    return {
        "site": {"id": "tables"},
        "circuits": [{**grid, "meter": "eastron_sdm630"}],
        "assets": assets,
        "ems": {"tick_ms": 50},
        **changes,
    }


def index(table: str) -> int:
    """Position of an asset."""
    return [found.table for found in UNITS.values()].index(table)


@pytest.fixture
async def gateway() -> AsyncIterator[TableGateway]:
    async with TableGateway() as gateway:
        yield gateway


@pytest.fixture
async def running(gateway: TableGateway) -> AsyncIterator[Running]:
    config = site_config.parse(yaml.safe_dump(document(gateway.port)))
    field = _core.Field(config.SerializeToString(), 1)
    field.start()
    try:
        yield Running(field)
    finally:
        field.stop()


def test_every_table_that_comes_with_dgm_is_tried() -> None:
    assert sorted(found.table for found in UNITS.values()) == list(tables.names())


async def test_every_device_is_read_in_our_units_and_signs(running: Running) -> None:
    await running.until_good(*range(len(UNITS)))
    for unit, found in UNITS.items():
        row = running.row(unit - 1)
        assert {name: row[name] for name in found.expected} == found.expected, found.table
        assert row["quality"] == Quality.QUALITY_GOOD


def reason(running: Running, asset: int) -> str | None:
    """Why an asset counts as it does; None before the first decision."""
    grants = {grant.asset_index: grant for grant in Decision.FromString(running.field.decision()).grants}
    return grants[asset].counted_reason if asset in grants else None


async def test_a_battery_by_table_is_enabled_commanded_proved_and_kept_alive(
    gateway: TableGateway, running: Running
) -> None:
    pcs = index("dgm_pcs")
    await running.until(lambda: reason(running, pcs) == "")
    await running.until(lambda: sum(1 for write in gateway.writes if write[1] == 106) >= 2)
    _, _, values = next(write for write in gateway.writes if write[:2] == (14, 100))
    assert values[:4] == [1, 30, *i32(0)], "remote enable, revert timer, revert power"
    beats = [values[0] for unit, address, values in gateway.writes if (unit, address) == (14, 106)]
    assert beats[:2] == [1, 2]


async def test_a_battery_switched_to_local_is_uncontrolled(gateway: TableGateway, running: Running) -> None:
    pcs = index("dgm_pcs")
    await running.until(lambda: reason(running, pcs) == "")
    await gateway.overwrite(14, 10, [0])
    await running.until(lambda: reason(running, pcs) == "nameplate")


async def test_an_inverter_whose_cap_has_no_timer_is_commanded_and_never_counts_as_controlled(
    gateway: TableGateway, running: Running
) -> None:
    await running.until(lambda: any(write[:2] == (12, 40125) for write in gateway.writes))
    await running.until(lambda: running.count("readbacks_total") >= 3)
    assert reason(running, index("huawei_sun2000")) == "nameplate"
