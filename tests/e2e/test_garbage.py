"""Garbage on every port: dropped or answered as the protocol says, counted, and a good peer beside it notices nothing.

Each test runs a well-behaved peer while the bad ones are at work. What no library lets us count is not asserted: bytes
that are no HTTP/2 on the gRPC sockets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from e2e_client import SiteClient, recording, watch_site
from e2e_live import Live
from e2e_peers import HOST, StationPeer, half_open, modbus, modbus_answer, noise, said_to, station
from e2e_product import ROLES
from e2e_waiting import eventually
from e2e_world import BAD, EVENT_W, GOOD
from pymodbus.client import ModbusTcpClient
from websockets.exceptions import InvalidStatus

from dgm.api.ems.v1 import ems_pb2
from dgm.api.site.v1.site_pb2 import Quality, WatchSiteResponse
from dgm.maps.table import BASE, MARKER

pytestmark = pytest.mark.parametrize("live", ["run"], indirect=True)

PROMPT_S = 2.0
"""A good peer is served within this, whatever its neighbours do."""

TOO_LONG = "x" * 300_000
READ_MAGIC = bytes((3, 0, 0, 0, 2))


@pytest.fixture
def good(live: Live) -> Iterator[StationPeer]:
    """A station that has booted and talks with its CSMS through the gateway; it must stay connected throughout."""
    with station(ocpp_port(live), GOOD) as peer:
        peer.ask("BootNotification", {"chargePointVendor": "Fine", "chargePointModel": "One"})
        yield peer
        assert peer.ask() < PROMPT_S
        assert reconnects(live) == 0


def ocpp_port(live: Live) -> int:
    """Where stations connect."""
    return int(live.world.document["ocpp"]["port"])


def reconnects(live: Live) -> int:
    """How often stations of the fleet have lost the gateway."""
    return int(json.loads((live.world.directory / "fleet.json").read_text(encoding="utf-8"))["reconnects"])


@contextmanager
def counted(client: SiteClient, role: str, name: str) -> Iterator[None]:
    """The counter must rise by what happens in the block."""
    before = client.metrics(role).get(name, 0.0)
    yield
    eventually(f"{name} has risen", lambda: client.metrics(role).get(name, 0.0) > before)


def bad_frames(reason: str) -> str:
    """The gateway's counter."""
    return f"dgm_ocpp_bad_frames_total{{reason={reason}}}"


@pytest.mark.parametrize("message", [noise(500), b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"A" * 100_000])
def test_bytes_that_are_no_handshake_end_their_connection(live: Live, good: StationPeer, message: bytes) -> None:
    with half_open((HOST, ocpp_port(live)), f"GET /{BAD} HTTP/1.1\r\nHost:".encode()):
        with counted(live.client, "ocpp", bad_frames("handshake")):
            said_to((HOST, ocpp_port(live)), message + b"\r\n\r\n")
        assert good.ask() < PROMPT_S


def test_a_station_that_nobody_knows_is_refused(live: Live, good: StationPeer) -> None:
    for path in ("CP-NOBODY", "", "%00%ff", f"{BAD}/..", "x" * 2000):
        with (
            counted(live.client, "ocpp", "dgm_ocpp_refused_total{reason=unknown}"),
            pytest.raises(InvalidStatus, match="404"),
            station(ocpp_port(live), path),
        ):
            pass
        assert good.ask() < PROMPT_S


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("{not json", "head"),
        ("", "head"),
        ('[2,"1","Heartbeat",{}', "tail"),
        ('[2,"1"]', "head"),
        ('[9,"1","Heartbeat",{}]', "head"),
        (b"\x00\x01\x02", "binary"),
    ],
)
def test_a_frame_that_is_not_ocpp_goes_nowhere(live: Live, good: StationPeer, frame: str | bytes, reason: str) -> None:
    with station(ocpp_port(live), BAD) as bad:
        with counted(live.client, "ocpp", bad_frames(reason)):
            bad.connection.send(frame)
        assert bad.ask() < PROMPT_S, "its next frame passes"
        with counted(live.client, "ocpp", bad_frames(reason)):
            live.world.run(live.world.csms.send(BAD, frame))
        assert bad.ask() < PROMPT_S, "the same from the CSMS"
        assert good.ask() < PROMPT_S
        assert frame not in bad.frames
    assert (BAD, frame) not in live.world.csms.received


def test_a_payload_that_cannot_be_read_still_passes_unchanged(live: Live, good: StationPeer) -> None:
    frame = '[2, "odd", "MeterValues", {"connectorId": "one", "meterValue": [7]}]'
    with (
        station(ocpp_port(live), BAD) as bad,
        counted(live.client, "ocpp", "dgm_ocpp_wrong_payloads_total{action=MeterValues}"),
    ):
        bad.connection.send(frame)
        eventually("the CSMS has it", lambda: (BAD, frame) in live.world.csms.received)
        assert good.ask() < PROMPT_S


@pytest.mark.parametrize("sender", ["station", "csms"])
def test_a_frame_that_is_too_long_ends_its_connection(live: Live, good: StationPeer, sender: str) -> None:
    with station(ocpp_port(live), BAD) as bad:
        bad.ask()
        with counted(live.client, "ocpp", bad_frames("oversize")):
            if sender == "station":
                bad.connection.send(TOO_LONG)
                assert bad.closed_with() is not None
            else:
                live.world.run(live.world.csms.send(BAD, TOO_LONG))
        if sender == "csms":
            assert bad.ask() < PROMPT_S, "its CSMS has lost its connection, the station keeps its own (policy island)"
        assert good.ask() < PROMPT_S
    with station(ocpp_port(live), BAD) as again:
        assert again.ask() < PROMPT_S, "it may come back"


FACADES = ("ocpp", "der")


@pytest.mark.parametrize("role", FACADES)
def test_garbage_on_a_modbus_facade_is_dropped_or_answered_with_an_exception(live: Live, role: str) -> None:
    port = int(live.world.document[role]["facade"]["port"])
    dropped = (noise(300), modbus(READ_MAGIC, protocol=9), modbus(READ_MAGIC, length=60_000), modbus(b"", length=0))
    refused = {
        bytes((0x83, 2)): modbus(bytes((3, 0xFF, 0xF0, 0, 2))),  # no such registers
        bytes((0x83, 3)): modbus(bytes((3, 0, 0, 0, 200))),  # more than a frame can carry
        bytes((0xE3, 1)): modbus(bytes((0x63, 1, 2, 3))),  # no such function
        bytes((0x83, 0x0B)): modbus(READ_MAGIC, unit=77),  # no such unit
    }
    with ModbusTcpClient(HOST, port=port) as good, half_open((HOST, port), modbus(READ_MAGIC)[:5]):
        for message in dropped:
            assert said_to((HOST, port), message) == b""
            assert magic_of(good) == MARKER
        for answer, message in refused.items():
            assert modbus_answer(port, message) == answer
            assert magic_of(good) == MARKER


def magic_of(client: ModbusTcpClient) -> bytes:
    """The first two registers, as a well-behaved site EMS reads them."""
    high, low = client.read_holding_registers(BASE, count=2, device_id=1).registers
    return int(high << 16 | low).to_bytes(4, "big")


@pytest.mark.parametrize("role", ["der", "ocpp"])
def test_garbage_on_a_facade_is_counted(live: Live, role: str) -> None:
    port = int(live.world.document[role]["facade"]["port"])
    with counted(live.client, role, "dgm_facade_modbus_bad_frames_total"):
        said_to((HOST, port), noise(300))
    with counted(live.client, role, "dgm_facade_modbus_exceptions_total"):
        modbus_answer(port, modbus(READ_MAGIC, unit=77))


@pytest.mark.parametrize("role", ROLES)
def test_garbage_on_the_metrics_listener_is_refused_and_counted(live: Live, role: str) -> None:
    address = (HOST, live.client.metrics_port(role))
    with half_open(address, b"GET /metrics HTTP/1.1\r\nHost:"):
        for message in (noise(300), b"GET /metrics HTTP/9.9\r\n\r\n", b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n"):
            with counted(live.client, role, "dgm_metrics_bad_requests_total"):
                assert said_to(address, message + b"\r\n\r\n").startswith(b"HTTP/1.0 400 ")
        elsewhere = said_to(address, b"GET /other HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert elsewhere.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("role", ROLES)
def test_garbage_on_a_grpc_socket_disturbs_no_call(live: Live, role: str) -> None:
    path = Path(live.world.run_dir) / f"{role}.sock"
    with half_open(path, b"PRI * HTTP/2.0\r\n"):
        for message in (noise(300), b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + noise(300)):
            said_to(path, message)
            assert live.client.is_serving(role)


def test_a_grpc_message_that_is_too_long_is_refused_alone(live: Live) -> None:
    limit = ems_pb2.Limit(id="long", source="api:e2e", circuit_id="grid", reason="x" * 9_000_000)
    with pytest.raises(grpc.RpcError) as refused:
        live.client.ems.PutLimit(ems_pb2.PutLimitRequest(limit=limit), timeout=5.0)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "long" not in live.client.limits()


def test_garbage_from_a_modbus_device_leaves_the_others_good(live: Live) -> None:
    device, before = live.world.device, live.world.device.garbled
    with recording(live.client, "ems", watch_site) as site:
        with counted(live.client, "ems", "dgm_core_modbus_bad_frames_total"):
            device.is_garbling = True
            try:
                eventually("the inverter is known to be lost", lambda: quality(site.messages, "pv-2") in LOST)
                told = len(site.messages)
                eventually("the site is told further", lambda: len(site.messages) > told + 10)
            finally:
                device.is_garbling = False
        others = {
            sample.quality
            for update in site.messages[told:]
            for sample in update.samples
            if sample.asset_id in ("meter", "pv-1", "battery")
        }
        assert others == {Quality.QUALITY_GOOD}
        eventually("the inverter is back", lambda: quality(site.messages, "pv-2") == Quality.QUALITY_GOOD)
    assert device.garbled > before


LOST = (Quality.QUALITY_STALE, Quality.QUALITY_FAILED)


def quality(updates: list[WatchSiteResponse], asset_id: str) -> int | None:
    """The newest quality of an asset in the updates of a watcher."""
    samples = [sample for update in updates for sample in update.samples if sample.asset_id == asset_id]
    return samples[-1].quality if samples else None


WRONG = b'<Time xmlns="urn:ieee:std:2030.5:ns"><currentTime>soon</currentTime></Time>'
BOMB = b'<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>'
MALFORMED = "dgm_2030_5_malformed_answers"


@pytest.mark.parametrize(
    ("status", "body", "name"),
    [
        (500, b"", "dgm_2030_5_requests_total{code=500}"),
        (200, noise(4000), MALFORMED),
        (200, WRONG, MALFORMED),
        (200, BOMB, MALFORMED),
        (200, b"<a>" * 3_000_000, "dgm_2030_5_requests_total{code=none}"),
    ],
    ids=["500", "noise", "wrong value", "entities", "too long"],
)
def test_garbage_from_the_utility_changes_no_limit(live: Live, status: int, body: bytes, name: str) -> None:
    client, utility = live.client, live.world.utility
    eventually("the event rules", lambda: client.limits()["utility:opModImpLimW"].limit.power_w == EVENT_W)
    try:
        with counted(client, "der", name):
            utility.instead = (status, body)
        assert client.limits()["utility:opModImpLimW"].limit.power_w == EVENT_W
        assert client.is_serving("der")
    finally:
        utility.instead = None
    seen = live.world.requests("derc 0")
    eventually("the utility is followed again", lambda: live.world.requests("derc 0") > seen)
    assert live.world.responses() == [1, 2]


def test_garbage_is_no_error_of_ours(live: Live) -> None:
    """After all of the above: no role has died or failed, and no library has written past the log."""
    lines = live.product.log.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("{")] == []
    assert [event for event in live.product.events() if event["level"] == "error"] == []
