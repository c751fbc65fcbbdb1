"""The gateway on real loopback sockets, between independent OCPP stations and CSMSs."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call_result
from ocpp.v16.enums import Action
from ocpp_bench import BOOT, OCPP16, Bench, Csms, frame_with, until
from ocpp_driver import ModelStation
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from dgm import clock
from dgm.api.ems.v1.ems_pb2 import OutcomeState
from dgm.errors import TransportError
from dgm.ocpp.events import Direction, Excepted, Reason, SetpointIn
from dgm.ocpp.frame import MAX_FRAME_BYTES
from dgm.ocpp.gateway import AuditFile
from dgm.ocpp.version import Version


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with Csms().running() as csms:
        found = Bench(csms, tmp_path)
        await found.gateway.start("127.0.0.1", 0)
        yield found
        await found.gateway.stop()


class LibraryStation(ChargePoint):
    """A charge point of the `ocpp` library; it validates every CALL it gets against the standard's schema."""

    def __init__(self, socket: ClientConnection) -> None:
        super().__init__("CP-1", socket)
        self.model = ModelStation()
        self.got: list[str] = []

    async def route_message(self, raw_msg: str) -> None:
        self.got.append(raw_msg)
        await super().route_message(raw_msg)

    @on(Action.set_charging_profile)
    def on_profile(self, connector_id: int, cs_charging_profiles: dict[str, Any]) -> Any:
        raw = json.loads(self.got[-1])[3]
        return call_result.SetChargingProfile(**self.model.answer("SetChargingProfile", raw, clock.now().utc_ms))

    @on(Action.get_composite_schedule)
    def on_composite(self, **_: Any) -> Any:
        raw = json.loads(self.got[-1])[3]
        answer = self.model.answer("GetCompositeSchedule", raw, clock.now().utc_ms)
        return call_result.GetCompositeSchedule(
            status=answer["status"], connector_id=0, charging_schedule=answer["chargingSchedule"]
        )

    @on(Action.trigger_message)
    def on_trigger(self, **_: Any) -> Any:
        return call_result.TriggerMessage(status="Rejected")


async def test_frames_pass_byte_for_byte_both_ways_and_text_stays_text(bench: Bench) -> None:
    odd = ' [ 2,\n"\\u0041\\"é" , "DataTransfer", {"vendorId":"ß","data":"{\\"MS\\":\\"Zähler\\"}", "n":1.000} ]\t'
    async with bench.station() as station:
        await station.send(odd)
        assert json.loads(await frame_with(station, 'A"é')) == [3, 'A"é', {}]
        assert bench.csms.seen == [odd]
        command = '[3,"c\\u00e9",\t{"key":["ü"]}]\n'
        await bench.csms.sockets[0].send(command)
        assert await frame_with(station, "cé") == command
    await until(lambda: bench.metric("dgm_ocpp_connections") == 0)
    assert bench.metric("dgm_ocpp_frames_total", direction="north") == 1
    assert bench.metric("dgm_ocpp_frames_total", direction="south") == 2
    assert bench.metric("dgm_ocpp_forward_seconds_count") == 3


async def test_identity_path_authorization_and_subprotocol_are_handed_on(bench: Bench) -> None:
    bench.csms.choice = None
    headers = {"Authorization": "Basic Q1A6c2VjcmV0", "User-Agent": "Wallbox/1"}
    async with bench.station("x/CP%202%7C%C3%A9", additional_headers=headers, user_agent_header=None) as station:
        (request,) = bench.csms.requests
        assert request.path == "/cpo/ocpp/CP%202%7C%C3%A9"
        assert request.headers["Authorization"] == headers["Authorization"]
        assert request.headers["User-Agent"] == "Wallbox/1"
        assert request.headers["Sec-WebSocket-Protocol"] == "ocpp1.6"
        assert station.subprotocol is None


async def test_a_library_station_is_limited_and_the_csms_sees_nothing_of_it(bench: Bench) -> None:
    async with bench.station() as socket:
        station = LibraryStation(socket)
        serving = asyncio.create_task(station.start())
        await socket.send(BOOT)
        confirmed = OutcomeState.OUTCOME_STATE_CONFIRMED
        await until(lambda: bench.states().count(confirmed) == 1)
        for asset_id in ("evse-1", "evse-unknown"):
            setpoint = SetpointIn(asset_id=asset_id, epoch=1, sequence=1, current_ma=16_000, ttl_ms=15_000)
            bench.gateway.deliver(setpoint)
        await until(lambda: bench.states().count(confirmed) == 2)
        assert station.model.limit_ma(clock.now().utc_ms) == 16_000
        serving.cancel()
    assert bench.csms.seen == [BOOT]
    listed = {line["sha256"]: line for line in bench.audit()}
    received = [hashlib.sha256(raw.encode()).hexdigest() for raw in station.got if json.loads(raw)[1] != "b1"]
    own = [line for line in listed.values() if line["kind"] == "own_call"]
    assert [listed[digest]["kind"] for digest in received] == ["own_call"] * len(received)
    assert len(own) == len(received) == 6  # floor, live, read-back, keys; live, read-back
    assert {line["station"] for line in own} == {"CP-1"}
    assert {line["direction"] for line in own} == {"south"}
    assert all(uuid.UUID(line["id"]).version == 4 for line in own)


async def test_an_unknown_station_gets_404_and_is_not_dialled(bench: Bench) -> None:
    for path in ("CP-9", "", "a/b/", "CP-1/extra", "%ff"):
        with pytest.raises(InvalidStatus) as refused:
            await bench.station(path)
        assert refused.value.response.status_code == 404
    assert not bench.csms.requests
    assert bench.metric("dgm_ocpp_refused_total", reason="unknown") == 5


@pytest.mark.parametrize(("csms_says", "station_gets"), [(401, 401), (404, 502), (503, 502)])
async def test_a_station_is_refused_when_its_csms_refuses(bench: Bench, csms_says: int, station_gets: int) -> None:
    bench.csms.refuse_with = csms_says
    with pytest.raises(InvalidStatus) as refused:
        await bench.station()
    assert refused.value.response.status_code == station_gets
    assert bench.metric("dgm_ocpp_refused_total", reason="csms") == 1


async def test_a_station_is_refused_502_when_nobody_listens(tmp_path: Path) -> None:
    csms = Csms()
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and never listens: the port is ours and refuses
        csms.url = f"ws://127.0.0.1:{bound.getsockname()[1]}/"
        bench = Bench(csms, tmp_path)
        await bench.gateway.start("127.0.0.1", 0)
        with pytest.raises(InvalidStatus) as refused:
            await bench.station()
        assert refused.value.response.status_code == 502
        await bench.gateway.stop()


async def test_a_station_that_speaks_only_an_unknown_version_is_refused(bench: Bench) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await bench.station(subprotocols=[Subprotocol("ocpp1.5")])
    assert refused.value.response.status_code == 502
    async with bench.station(subprotocols=[Subprotocol("ocpp1.5"), OCPP16]) as station:
        assert station.subprotocol == OCPP16
    assert bench.csms.requests[-1].headers["Sec-WebSocket-Protocol"] == "ocpp1.6"


@pytest.mark.parametrize(("choice", "version"), [("ocpp2.1", Version.V21), ("ocpp2.0.1", Version.V201)])
async def test_the_csms_chooses_among_the_versions_of_the_station(bench: Bench, choice: str, version: Version) -> None:
    bench.csms.choice = Subprotocol(choice)
    offer = [Subprotocol(name) for name in ("ocpp2.1", "ocpp2.0.1", "ocpp1.6")]
    async with bench.station(subprotocols=offer) as station:
        assert station.subprotocol == choice
        assert bench.csms.requests[-1].headers["Sec-WebSocket-Protocol"] == "ocpp2.1, ocpp2.0.1, ocpp1.6"
        assert bench.sessions["CP-1"].version is version


async def test_the_newest_connection_wins_and_the_old_ones_end_disturbs_it_not(bench: Bench) -> None:
    async with bench.station() as old:
        await old.send('[2,"1","Heartbeat",{}]')
        await frame_with(old, "1")
        async with bench.station() as new:
            with pytest.raises(ConnectionClosed):
                await frame_with(old, "never")
            await until(lambda: bench.metric("dgm_ocpp_connections") == 1)
            await new.send('[2,"2","Heartbeat",{}]')
            assert await frame_with(new, "2") == '[3, "2", {}]'
            assert bench.sessions["CP-1"].is_up


async def test_the_loss_of_the_csms_closes_the_station(bench: Bench) -> None:
    async with bench.station() as station:
        await bench.csms.sockets[0].close()
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(station.recv(), 5)
    assert not bench.sessions["CP-1"].is_up


async def test_the_loss_of_the_station_closes_the_csms(bench: Bench) -> None:
    async with bench.station() as station:
        station.transport.abort()
        await asyncio.wait_for(bench.csms.sockets[0].wait_closed(), 5)
    await until(lambda: bench.metric("dgm_ocpp_connections") == 0)
    assert not bench.sessions["CP-1"].is_up


async def test_a_station_that_gives_up_while_its_csms_is_dialled_leaves_nothing_behind(bench: Bench) -> None:
    bench.csms.hold = asyncio.Event()
    opening = asyncio.ensure_future(bench.station().__aenter__())
    await until(lambda: bench.csms.requests)
    opening.cancel()
    await asyncio.wait({opening})
    bench.csms.hold.set()
    await until(lambda: bench.csms.sockets)
    await asyncio.wait_for(bench.csms.sockets[0].wait_closed(), 5)
    assert not bench.sessions["CP-1"].is_up


async def test_garbage_on_one_connection_disturbs_nobody(bench: Bench) -> None:
    async with bench.station("CP%202%7C%C3%A9") as good, bench.station() as bad:
        await bad.send("this is not OCPP")
        await bad.send(b'[2,"1","Heartbeat",{}]')
        await bad.send([b"frag", b"mented"])
        await bad.send('[2,"2","Heartbeat",{}]')
        assert await frame_with(bad, "2")
        await bad.send('[2,"3","DataTransfer",{"data":"' + "x" * MAX_FRAME_BYTES + '"}]')
        with pytest.raises(ConnectionClosed) as closed:
            await frame_with(bad, "3")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
        await good.send('[2,"4","Heartbeat",{}]')
        assert await frame_with(good, "4")
    await until(lambda: bench.metric("dgm_ocpp_bad_frames_total", reason="oversize") == 1)
    assert bench.metric("dgm_ocpp_bad_frames_total", reason="head") == 1
    assert bench.metric("dgm_ocpp_bad_frames_total", reason="binary") == 2
    assert len(bench.csms.seen) == 2
    assert [line["kind"] for line in bench.audit()].count("unreadable") == 1


@pytest.mark.parametrize(
    "raw", [b"\x00\xff garbage\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"POST /CP-1 HTTP/1.1\r\nA: b\r\n\r\n", b""]
)
async def test_bytes_that_are_no_websocket_are_refused_and_the_gateway_goes_on(bench: Bench, raw: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.gateway.port)
    writer.write(raw)
    if not raw:
        writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer == b"" or answer.split(b" ", 2)[1] in (b"400", b"404", b"405", b"426")
    writer.close()
    async with bench.station() as station:
        await station.send('[2,"1","Heartbeat",{}]')
        assert await frame_with(station, "1")
    assert not bench.csms.seen[1:]


async def test_a_csms_that_sends_garbage_is_counted_and_the_station_stays(bench: Bench) -> None:
    async with bench.station() as station:
        await bench.csms.sockets[0].send("<html>")
        await bench.csms.sockets[0].send(b"\x00\x01")
        await station.send('[2,"1","Heartbeat",{}]')
        assert await frame_with(station, "1")
    assert bench.metric("dgm_ocpp_bad_frames_total", reason="head") == 1
    assert bench.metric("dgm_ocpp_bad_frames_total", reason="binary") == 1


async def test_an_address_in_use_says_so(bench: Bench) -> None:
    other = Bench(bench.csms, bench.state_dir)
    with pytest.raises(TransportError, match="free address"):
        await other.gateway.start("127.0.0.1", bench.gateway.port)


def excepted(raw: bytes) -> Excepted:
    return Excepted(reason=Reason.OWN_CALL, direction=Direction.SOUTH, id="\ud800", action="A", raw=raw)


def test_the_audit_file_is_rotated_at_its_bound(tmp_path: Path) -> None:
    audit = AuditFile(tmp_path, max_bytes=500)
    for number in range(10):
        audit.write("CP-1", excepted(b"x"), number)
    audit.close()
    older = (tmp_path / "ocpp-exceptions.1.jsonl").read_text().splitlines()
    newer = (tmp_path / "ocpp-exceptions.jsonl").read_text().splitlines()
    stamps = [json.loads(line)["utc_ms"] for line in older + newer]
    assert stamps == list(range(stamps[0], 10))
    assert len(older) >= 2
    assert json.loads(newer[-1]) == {
        "utc_ms": 9,
        "station": "CP-1",
        "direction": "south",
        "kind": "own_call",
        "id": "\ud800",
        "action": "A",
        "sha256": hashlib.sha256(b"x").hexdigest(),
    }


def test_the_audit_file_is_appended_to_after_a_restart(tmp_path: Path) -> None:
    for number in range(2):
        audit = AuditFile(tmp_path)
        audit.write("CP-1", excepted(b"x"), number)
        audit.close()
    assert len((tmp_path / "ocpp-exceptions.jsonl").read_text().splitlines()) == 2


def test_an_audit_file_that_cannot_be_written_is_counted_and_disturbs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    audit = AuditFile(tmp_path / "file")
    assert not audit.write("CP-1", excepted(b"x"), 1)
    (tmp_path / "file").unlink()
    assert audit.write("CP-1", excepted(b"x"), 2)
