"""The shell around the real field core: columns, image, a running role. Nobody answers on the site's Modbus ports."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc.aio
import pytest
from ems_examples import E1, at, demo_config, put, sample
from prometheus_client import CollectorRegistry, generate_latest

from dgm.api.core.v1.core_pb2 import Decision, Row
from dgm.api.ems.v1 import ems_pb2 as ems
from dgm.api.site.v1 import site_pb2 as site
from dgm.ems.service import EmsRole
from dgm.journal import Journal
from dgm.role import RoleContext
from dgm.site.refusal import Refusal

WAIT_S = 5.0
ABSENT64 = -(2**63)


def test_rows_become_one_block_of_columns_with_absence_marked() -> None:
    from dgm.ems.columns import columns

    block = columns([(1, None), (-3, 4)])
    assert (block.typecode, block.itemsize, list(block)) == ("i", 4, [1, -(2**31), -3, 4])


def test_an_image_row_becomes_a_reading_on_our_clock() -> None:
    from dgm.ems.columns import reading

    row = [site.QUALITY_GOOD, 40, -500, ABSENT64, 1, 2, ABSENT64, 230_000, ABSENT64, ABSENT64, 50_000, 0, 0, ABSENT64]
    found = reading(row, at(1000))
    assert (found.quality, found.measured_ms, found.power_w, found.reactive_var) == (site.QUALITY_GOOD, 960, -500, None)
    assert (found.current_ma, found.voltage_mv) == ((1, 2, None), (230_000, None, None))
    assert (found.frequency_mhz, found.energy_wh, found.soc_permille) == (50_000, 0, 0)


def test_a_core_that_has_not_started_takes_everything_and_has_seen_nothing() -> None:
    from dgm.ems.field import CoreField

    field = CoreField(demo_config(), epoch=3)
    field.put_targets([(None, 1, 1, 0, 0)] * 5, 3000)
    field.put_samples([(E1, 0, 3, None, 6000, 6000, 6000, None, None)])
    field.put_outcomes([(E1, 1, 3, 6000, None)])
    field.put_link(False)
    taken = field.take(at(0))
    assert Decision.FromString(taken.decision).epoch == 3
    assert taken.readings == []


def context(tmp_path: Path, journal: Journal, registry: CollectorRegistry) -> RoleContext:
    def no_channel(name: str) -> grpc.aio.Channel:
        raise AssertionError(name)

    return RoleContext(
        config=demo_config(),
        base_dir=tmp_path,
        state_dir=tmp_path,
        epoch=1,
        journal=journal,
        channel=no_channel,
        registry=registry,
    )


def rows_of(role: EmsRole) -> list[Row]:
    return [] if role.cycle.decision is None else list(role.cycle.decision.rows)


async def test_a_role_runs_on_the_real_core_and_its_limits_bind_there(tmp_path: Path) -> None:
    journal, registry = Journal(tmp_path / "ems.journal"), CollectorRegistry()
    role = EmsRole(context(tmp_path, journal, registry))
    work = asyncio.create_task(role.run())
    try:
        await asyncio.wait_for(role.ready.wait(), WAIT_S)
        report = site.ReportSamplesRequest(
            source="ocpp:1", sequence=1, samples=[sample("e1", site.PLUG_STATE_CHARGING, ma=6000)]
        )
        for request in (put(power_w=1000, ttl_ms=60_000), report):
            assert not isinstance(role.step(request), Refusal)
        async with asyncio.timeout(WAIT_S):
            while not any(row.limit_id == "l1" for row in rows_of(role)):  # noqa: ASYNC110 - its own thread
                await asyncio.sleep(0.01)
        explained = role.explain("e1")
        assert isinstance(explained, ems.ExplainDecisionResponse)
        assert explained.setpoint.current_ma == 0
        assert [row.limit_id for row in explained.rows if row.circuit_id == "grid"][:1] == ["l1"]
        assert "dgm_core_ticks_total" in generate_latest(registry).decode()
    finally:
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        journal.close()
