"""The EVSE facade's map in the core: leases that end while the interpreter is held, torn writes, roles, many EVSEs."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTlsClient
from test_facade_held import HOST, LATE_S
from threads import hold_interpreter

from dgm import _core
from dgm.api.config.v1.config_pb2 import FacadeConfig
from dgm.maps.table import MODEL_AT, declaration
from dgm.ocpp.models import EVSE_MODEL, SITE_MODEL
from dgm.ocpp.registers import evse_place, site_place, units_for
from dgm.sim.live.modbus_pki import make_end
from dgm.sim.live.pki import make_root

FALLBACK_MA = 6_000
VALID_S = 1
CAP_AT, HEARTBEAT_AT = MODEL_AT + EVSE_MODEL.offsets["sequence"], MODEL_AT + SITE_MODEL.offsets["heartbeat"]
CAP = [1, 0, 16_000, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, VALID_S]

CLIENT = """
import json, struct, sys, time, socket
port, span_s, cap_at, beat_at, cap = (json.loads(word) for word in sys.argv[1:])
link = socket.create_connection(("127.0.0.1", port), timeout=5)
def ask(unit, pdu):
    link.sendall(struct.pack(">HHHB", 1, 0, len(pdu) + 1, unit) + pdu)
    head = b""
    while len(head) < 6: head += link.recv(6 - len(head))
    length, body = struct.unpack(">HHH", head)[2], b""
    while len(body) < length: body += link.recv(length - len(body))
    return body[1:]
def write(unit, at, words):
    count = len(words)
    answer = ask(unit, struct.pack(f">BHHB{count}H", 16, at, count, 2 * count, *words))
    assert answer[0] == 16, answer
def read(unit, at, count):
    return list(struct.unpack(f">{count}H", ask(unit, struct.pack(">BHH", 3, at, count))[2:]))
write(2, cap_at, cap)
write(1, beat_at, [7, cap[-1]])
written = time.monotonic()
print("ready", flush=True)
seen, fallen = [], None
while time.monotonic() < written + span_s:
    found = read(2, cap_at, 8) + read(1, beat_at, 2)
    seen.append(time.monotonic())
    if fallen is None and found[7] == 0 and found[9] == 0:
        fallen, values = seen[-1], found
print(json.dumps({"written": written, "seen": seen, "fallen": fallen, "values": values}))
"""


def facade_for(evses: int, config: FacadeConfig | None = None) -> _core.Facade:
    facade = _core.Facade(HOST, 0, units_for(evses), None if config is None else config.SerializeToString())
    facade.declare(1, declaration(SITE_MODEL, site_place(), {}, {}).SerializeToString())
    for index in range(evses):
        place = evse_place(index, EVSE_MODEL)
        highs = {"cap_ma": 32_000, "cap_w": 44_160}
        wire = declaration(EVSE_MODEL, place, highs, {"cap_ma": FALLBACK_MA})
        facade.declare(place.unit, wire.SerializeToString())
    facade.start()
    return facade


def test_a_cap_and_a_heartbeat_end_on_time_while_the_interpreter_is_held() -> None:
    facade = facade_for(1)
    words = [str(facade.port()), str(VALID_S + 0.4), str(CAP_AT), str(HEARTBEAT_AT), json.dumps(CAP)]
    with subprocess.Popen([sys.executable, "-c", CLIENT, *words], stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n"
        began, ended = hold_interpreter(VALID_S + 0.5)
        seen = json.loads(client.stdout.readline())
        assert client.wait(timeout=10) == 0
    facade.stop()
    assert began < seen["fallen"] < ended, "nobody but the core can have done it"
    assert seen["written"] + VALID_S - 0.002 <= seen["fallen"] < seen["written"] + VALID_S + LATE_S
    assert seen["values"][1:3] == [0, FALLBACK_MA], "the register shows what holds now"
    assert len([at for at in seen["seen"] if began <= at <= ended]) > 100
    changes = facade.take_writes()
    ended_ones = {(unit, address) for unit, address, _, _, _, peer, _ in changes if peer is None}
    assert {(2, CAP_AT), (1, HEARTBEAT_AT)} <= ended_ones


def test_a_thousand_evses_can_be_declared_and_each_is_written_by_itself() -> None:
    facade = facade_for(1_000)
    place = evse_place(999, EVSE_MODEL)
    assert (place.unit, place.address) == (17, MODEL_AT + 4 * EVSE_MODEL.size)
    again = declaration(EVSE_MODEL, place, {"cap_ma": 1, "cap_w": 1}, {})
    with pytest.raises(_core.CoreError, match="no other writable value"):
        facade.declare(place.unit, again.SerializeToString())
    facade.stop()


@pytest.mark.parametrize(("roles", "code"), [(("SiteEms",), 0), (("Viewer",), 1), ((), 1)])
async def test_only_the_role_that_may_write_controls_an_evse(tmp_path: Path, roles: tuple[str, ...], code: int) -> None:
    issuer = make_root("EVSE facade test root")
    config = FacadeConfig(tls=make_end(issuer, tmp_path, "server").message(), write_roles=["SiteEms"])
    facade, end = facade_for(1, config), make_end(issuer, tmp_path, "client", roles=roles)
    context = ssl.create_default_context(cafile=end.ca)
    context.load_cert_chain(end.certificate, end.private_key)
    client = AsyncModbusTlsClient(HOST, port=facade.port(), sslctx=context, retries=0, timeout=5)
    assert await client.connect()
    assert not (await client.read_holding_registers(MODEL_AT, count=EVSE_MODEL.size, device_id=2)).isError()
    answer = await client.write_registers(CAP_AT, CAP, device_id=2)
    assert (answer.exception_code if answer.isError() else 0) == code
    named = {role for *_, role in facade.take_writes()}
    assert named == (set(roles) if code == 0 else set())
    client.close()
    facade.stop()
