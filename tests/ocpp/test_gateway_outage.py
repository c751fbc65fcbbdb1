"""The gateway on real loopback sockets while the CSMS is away: stations stay, and nothing of a transaction is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from ocpp_bench import BOOT, Bench, Csms, frame_with, until
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from dgm.ocpp.outage_rules import Policy

START = {"connectorId": 1, "idTag": "ANNA", "meterStart": 0, "timestamp": "2026-01-01T00:00:00Z"}


@asynccontextmanager
async def running(csms: Csms, state_dir: Path, policy: Policy, **options: Any) -> AsyncIterator[Bench]:
    """A gateway whose stations keep to this policy."""
    bench = Bench(csms, state_dir, policy=policy, **options)
    await bench.start()
    try:
        yield bench
    finally:
        await bench.stop()


@pytest.fixture
async def nobody() -> Csms:
    """A CSMS that is away, and comes back to the same port when its `running` is entered with it."""
    csms = Csms()
    async with csms.running():
        pass
    return csms


def port_of(csms: Csms) -> int:
    return int(csms.url.split(":")[2].split("/")[0])


async def frame_of(station: ClientConnection, message_id: str) -> Any:
    """The next frame with this id, parsed; CALLs of the gateway that come before are turned down."""
    async with asyncio.timeout(5):
        while True:
            frame = json.loads(await station.recv())
            if frame[1] == message_id:
                return frame
            await station.send(json.dumps([4, frame[1], "NotSupported", "", {}]))


async def ask(station: ClientConnection, message_id: str, action: str, payload: dict[str, Any]) -> Any:
    """The payload of the answer to a CALL."""
    await station.send(json.dumps([2, message_id, action, payload]))
    return (await frame_of(station, message_id))[2]


def calls(csms: Csms) -> list[str]:
    """The CALLs of stations that it has seen, by action, without those that a watchful gateway may cause."""
    frames = [json.loads(message) for message in csms.seen]
    return [frame[2] for frame in frames if frame[0] == 2]


async def test_a_station_is_let_in_without_its_csms_and_keeps_its_connection_when_that_is_back(
    nobody: Csms, tmp_path: Path
) -> None:
    async with running(nobody, tmp_path, Policy.ISLAND) as bench, bench.station() as station:
        assert station.subprotocol == "ocpp1.6"
        assert "currentTime" in await ask(station, "1", "Heartbeat", {})
        assert bench.metric("dgm_ocpp_alone", cpo="cpo-a") == 1
        async with nobody.running(port=port_of(nobody)):
            await until(lambda: bench.sessions["CP-1"].has_csms)
            assert await ask(station, "2", "Heartbeat", {}) == {}
            assert calls(nobody) == ["Heartbeat"]
            assert bench.metric("dgm_ocpp_alone", cpo="cpo-a") == 0
        assert bench.metric("dgm_ocpp_outage_seconds_total", cpo="cpo-a") > 0
        await until(lambda: not bench.sessions["CP-1"].has_csms)
        assert "currentTime" in await ask(station, "3", "Heartbeat", {})


async def test_in_island_a_driver_is_left_to_the_station_and_its_own_rules(nobody: Csms, tmp_path: Path) -> None:
    async with running(nobody, tmp_path, Policy.ISLAND) as bench, bench.station() as station:
        await station.send('[2,"1","Authorize",{"idTag":"ANNA"}]')
        with pytest.raises(ConnectionClosed):
            await frame_with(station, "1")


async def test_in_strict_the_station_is_refused(nobody: Csms, tmp_path: Path) -> None:
    async with running(nobody, tmp_path, Policy.STRICT) as bench:
        with pytest.raises(InvalidStatus) as refused:
            await bench.station()
        assert refused.value.response.status_code == 502


@pytest.mark.parametrize("status", [401, 404])
async def test_a_csms_that_refuses_a_station_is_not_away(status: int, tmp_path: Path) -> None:
    async with Csms().running() as csms, running(csms, tmp_path, Policy.STORE) as bench:
        csms.refuse_with = status
        with pytest.raises(InvalidStatus):
            await bench.station()


async def test_a_csms_that_is_back_and_refuses_the_station_ends_its_stay(nobody: Csms, tmp_path: Path) -> None:
    nobody.refuse_with = 404
    async with running(nobody, tmp_path, Policy.ISLAND) as bench:
        station = await bench.station()
        async with nobody.running(port=port_of(nobody)):
            await asyncio.wait_for(station.wait_closed(), 5)
            with pytest.raises(InvalidStatus):
                await bench.station()


async def test_a_csms_that_cannot_serve_is_away(tmp_path: Path) -> None:
    async with Csms().running() as csms, running(csms, tmp_path, Policy.STORE) as bench:
        csms.refuse_with = 503
        async with bench.station() as station:
            assert (await ask(station, "1", "BootNotification", {}))["status"] == "Accepted"


async def test_in_an_outage_a_station_must_show_what_its_csms_let_in(tmp_path: Path) -> None:
    good, bad = ({"Authorization": f"Basic {word}"} for word in ("Z29vZA==", "YmFk"))
    csms = Csms()
    async with csms.running(), running(csms, tmp_path, Policy.STORE) as bench:
        async with bench.station(additional_headers=good):
            pass
        assert bench.kept == [("CP-1", "admission")]
    admitted = bench.admitted
    async with running(csms, tmp_path, Policy.STORE, admitted=admitted) as bench:
        with pytest.raises(InvalidStatus) as refused:
            await bench.station(additional_headers=bad)
        assert refused.value.response.status_code == 401
        async with bench.station(additional_headers=good) as station:
            assert "currentTime" in await ask(station, "1", "Heartbeat", {})


async def test_in_store_messages_reach_the_csms_in_order_after_two_deaths_of_the_gateway(
    nobody: Csms, tmp_path: Path
) -> None:
    async with running(nobody, tmp_path, Policy.STORE) as bench, bench.station() as station:
        await station.send(BOOT)
        assert json.loads(await frame_with(station, "b1"))[2]["status"] == "Accepted"
        given = (await ask(station, "t1", "StartTransaction", START))["transactionId"]
    async with running(nobody, tmp_path, Policy.STORE) as bench, bench.station() as station:
        assert (await ask(station, "x1", "StartTransaction", START))["transactionId"] == given, "sent again"
        assert await ask(station, "m1", "MeterValues", {"connectorId": 1, "transactionId": given}) == {}
    async with running(nobody, tmp_path, Policy.STORE) as bench, bench.station() as station:
        assert await ask(station, "e1", "StopTransaction", {"transactionId": given}) == {}
        nobody.transaction_id = 77
        async with nobody.running(port=port_of(nobody)):
            await until(lambda: len(calls(nobody)) == 4)
            await until(
                lambda: bench.sessions["CP-1"].has_csms and bench.metric("dgm_ocpp_books_waiting", cpo="cpo-a") < 0
            )
            await nobody.sockets[-1].send('[2,"c1","RemoteStopTransaction",{"transactionId":77}]')
            assert (await frame_of(station, "c1"))[3] == {"transactionId": given}
    assert calls(nobody) == ["BootNotification", "StartTransaction", "MeterValues", "StopTransaction"]
    named = [json.loads(message)[3].get("transactionId") for message in nobody.seen[-2:]]
    assert named == [77, 77]
    assert bench.metric("dgm_ocpp_outage_messages_total", cpo="cpo-a", what="replayed") == 4
    kinds = [line["kind"] for line in bench.audit()]
    assert kinds.count("stored") == 3


async def test_a_disk_that_is_full_turns_store_into_island_and_the_station_keeps_its_message(
    nobody: Csms, tmp_path: Path
) -> None:
    async with running(nobody, tmp_path, Policy.STORE) as bench, bench.station() as station:
        assert bench.books is not None
        bench.books._db.execute("PRAGMA max_page_count = 1")
        await station.send(json.dumps([2, "t1", "StartTransaction", {**START, "idTag": "A" * 20_000}]))
        with pytest.raises(ConnectionClosed):
            await frame_with(station, "t1")
        async with bench.station() as station:
            assert (await ask(station, "b2", "BootNotification", {}))["status"] == "Pending"
        assert "full" in str(bench.disk[0])


async def test_what_was_on_its_way_when_the_csms_was_lost_is_stored(nobody: Csms, tmp_path: Path) -> None:
    async with running(nobody, tmp_path, Policy.STORE) as bench:
        async with nobody.running(port=port_of(nobody)):
            nobody.is_silent = True
            station = await bench.station()
            await station.send('[2,"m1","MeterValues",{"connectorId":1}]')
            await until(lambda: nobody.seen)
        assert json.loads(await frame_with(station, "m1")) == [3, "m1", {}]
        nobody.is_silent = False
        async with nobody.running(port=port_of(nobody)):
            await until(lambda: len(nobody.seen) == 2)
            await asyncio.sleep(0)
        assert nobody.seen[0] == nobody.seen[1], "under the id that the CSMS knows"
        await station.close()
