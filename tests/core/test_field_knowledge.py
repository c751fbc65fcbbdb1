"""What the field core tells beside readings: audit, learnt maps, models on request, lines without connection."""

from __future__ import annotations

import asyncio
import socket

import pytest
from sunspec_devices import BATTERY, HOST, METER, PV, SITE, Gateway, model_words
from test_field import DEADLINE_S, GRID_METER, ROOF, STORE, Running, config_for

from dgm import _core
from dgm.api.core.v1.field_pb2 import AuditBatch, LearntBatch, LearntDevice, ModelAnswer, ModelBatch, ModelFailure
from dgm.api.ems.v1.field_pb2 import SetpointVerdict


def opened(port: int) -> Running:
    """A field that is not started."""
    return Running(_core.Field(config_for(port).SerializeToString(), 7))


async def learnt(running: Running, count: int) -> dict[int, LearntDevice | None]:
    """What is found out, until it is of so many assets; None: to be forgotten."""
    found: dict[int, LearntDevice | None] = {}

    def is_all() -> bool:
        for news in LearntBatch.FromString(running.field.take_learnt()).assets:
            found[news.asset_index] = news.learnt if news.HasField("learnt") else None
        return len(found) == count and None not in found.values()

    await running.until(is_all)
    return found


async def test_setpoints_are_told_with_their_registers_and_counted() -> None:
    async with Gateway() as gateway:
        running = opened(gateway.port)
        running.field.start()
        batches: list[AuditBatch] = []

        def is_told() -> bool:
            batches.append(AuditBatch.FromString(running.field.take_audit()))
            return {news.asset_index for batch in batches for news in batch.assets} == {ROOF, STORE}

        await running.until(is_told)
        running.field.stop()
        for news in (news for batch in batches for news in batch.assets):
            assert news.counts.sent >= 1
            entry = news.entries[0].entry
            assert (entry.number, entry.epoch, entry.verdict) == (1, 7, SetpointVerdict.SETPOINT_VERDICT_CONFIRMED)
            assert list(entry.written) == list(entry.read_back)
            unit = {ROOF: PV, STORE: BATTERY}[news.asset_index]
            first = next(write for write in gateway.writes if write[0] == unit)
            assert (entry.written[0].address, list(entry.written[0].words)) == first[1:]


async def test_a_map_is_learnt_once_and_a_restart_asks_only_whether_it_is_the_same() -> None:
    async with Gateway() as gateway:
        first = opened(gateway.port)
        first.field.start()
        known = await learnt(first, 3)
        first.field.stop()
        again = opened(gateway.port)
        for asset, device in known.items():
            assert device is not None
            again.field.know(asset, device.SerializeToString())
        again.field.start()
        await again.until_good(GRID_METER, ROOF, STORE)
        assert again.field.take_learnt() == b""
        again.field.stop()
    inverter = known[ROOF]
    assert inverter is not None
    assert [model.id for model in inverter.models] == list(SITE[PV])


async def test_a_device_that_was_exchanged_is_forgotten_and_learnt_anew() -> None:
    async with Gateway() as gateway:
        first = opened(gateway.port)
        first.field.start()
        known = await learnt(first, 3)
        first.field.stop()
    inverter = known[ROOF]
    assert inverter is not None
    async with Gateway(
        site={METER: SITE[METER], PV: {1: {}, **{701: SITE[PV][701]}}, BATTERY: SITE[BATTERY]}
    ) as gateway:
        again = opened(gateway.port)
        again.field.know(ROOF, inverter.SerializeToString())
        again.field.start()
        found = await learnt(again, 3)
        again.field.stop()
    renewed = found[ROOF]
    assert renewed is not None
    assert [model.id for model in renewed.models] == [1, 701]


def test_what_no_walk_could_have_found_is_refused_by_name() -> None:
    running = opened(1502)
    good = LearntDevice(base=40_000, identity=bytes(128))
    good.models.add(id=1, address=40_002, length=66)
    running.field.know(ROOF, good.SerializeToString())
    for field, value, expected in (
        ("base", 7, "learnt.base: found 7; expected 0, 40000 or 50000"),
        ("identity", b"\0" * 6, "learnt.identity: found 3 registers; expected 64"),
        ("end_address", 70_000, "learnt.end_address: found 70000; expected 0..65535"),
    ):
        bad = LearntDevice()
        bad.CopyFrom(good)
        setattr(bad, field, value)
        with pytest.raises(_core.CoreError, match=expected):
            running.field.know(ROOF, bad.SerializeToString())
    with pytest.raises(_core.CoreError, match="LearntDevice"):
        running.field.know(ROOF, b"\xff")
    with pytest.raises(_core.CoreError, match="an asset with a Modbus device"):
        running.field.know(99, good.SerializeToString())


async def test_a_model_is_read_on_request_as_the_device_holds_it() -> None:
    async with Gateway() as gateway:
        running = opened(gateway.port)
        running.field.start()
        await running.until_good(GRID_METER, ROOF, STORE)
        tickets = [running.field.read_model(asset, model, 0, 5_000) for asset, model in ((ROOF, 701), (STORE, 802))]
        answers: dict[int, ModelAnswer] = {}

        def are_answered() -> bool:
            for answer in ModelBatch.FromString(running.field.take_models()).answers:
                answers[answer.ticket] = answer
            return len(answers) == 2

        await running.until(are_answered)
        running.field.stop()
    found, missing = (answers[ticket] for ticket in tickets)
    words = model_words(701, SITE[PV][701])
    assert found.registers == b"".join(word.to_bytes(2, "big") for word in words)
    assert missing.failure == ModelFailure.MODEL_FAILURE_NO_MODEL
    assert [model.id for model in missing.models] == list(SITE[BATTERY])


async def test_a_line_that_cannot_be_connected_is_told_once_with_the_reason_and_when_it_is_back() -> None:
    with socket.socket() as nobody:
        nobody.bind((HOST, 0))
        port = nobody.getsockname()[1]
    running = opened(port)
    running.field.start()
    told: list[tuple[str, str | None]] = []

    def has_told(count: int) -> bool:
        told.extend(running.field.take_troubles())
        return len(told) >= count

    await running.until(lambda: has_told(1))
    gateway = Gateway(port=port)
    await gateway.start()
    async with asyncio.timeout(DEADLINE_S):
        await running.until(lambda: has_told(2))
    running.field.stop()
    await gateway.stop()
    assert [line for line, _ in told] == [f"{HOST}:{port}"] * 2
    assert "refused" in (told[0][1] or "")
    assert told[1][1] is None


async def test_a_serial_port_that_is_none_is_named_with_what_to_do() -> None:
    config = config_for(1502)
    del config.assets[1:]
    config.assets[0].modbus.Clear()
    config.assets[0].modbus.unit_id = 1
    config.assets[0].modbus.serial.path = "/dev/null"
    running = Running(_core.Field(config.SerializeToString(), 1))
    running.field.start()
    told: list[tuple[str, str | None]] = []
    await running.until(lambda: bool(told.extend(running.field.take_troubles()) or told))
    running.field.stop()
    assert told == [
        (
            "/dev/null at 9600 baud",
            "serial port /dev/null: is not a serial port; expected a device such as /dev/ttyUSB0",
        )
    ]
