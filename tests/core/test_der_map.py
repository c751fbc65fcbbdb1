"""The DER facade's map in the core: what an EMS says ends while the interpreter is held; roles; no torn value."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTlsClient, ModbusTcpClient
from test_facade_held import HOST, LATE_S
from threads import hold_interpreter

from dgm import _core
from dgm.api.config.v1.config_pb2 import FacadeConfig
from dgm.der.models import GATEWAY_MODEL, LIMIT_MODEL
from dgm.der.registers import PLACES, UNIT, place
from dgm.maps.table import Place, declaration, decode, encode
from dgm.sim.live.modbus_pki import make_end
from dgm.sim.live.pki import make_root

VALID_S = 1
HEARTBEAT_AT = place(GATEWAY_MODEL).address + GATEWAY_MODEL.offsets["heartbeat"]

CLIENT = """
import json, struct, sys, time, socket
port, span_s, at, valid_s = (json.loads(word) for word in sys.argv[1:])
link = socket.create_connection(("127.0.0.1", port), timeout=5)
def ask(pdu):
    link.sendall(struct.pack(">HHHB", 1, 0, len(pdu) + 1, 1) + pdu)
    head = b""
    while len(head) < 6: head += link.recv(6 - len(head))
    length, body = struct.unpack(">HHH", head)[2], b""
    while len(body) < length: body += link.recv(length - len(body))
    return body[1:]
sent = time.monotonic()
assert ask(struct.pack(">BHHBHH", 16, at, 2, 4, 7, valid_s))[0] == 16
written = time.monotonic()
print("ready", flush=True)
fallen = None
while time.monotonic() < written + span_s:
    found = struct.unpack(">HH", ask(struct.pack(">BHH", 3, at, 2))[2:])
    if fallen is None and found == (0, 0):
        fallen = time.monotonic()
print(json.dumps({"sent": sent, "written": written, "fallen": fallen}))
"""


def facade_for(config: FacadeConfig | None = None) -> _core.Facade:
    facade = _core.Facade(HOST, 0, UNIT, None if config is None else config.SerializeToString())
    for model, _, address in PLACES:
        facade.declare(UNIT, declaration(model, Place(unit=UNIT, address=address), {}, {}).SerializeToString())
    facade.start()
    return facade


def test_a_heartbeat_ends_on_time_while_the_interpreter_is_held() -> None:
    facade = facade_for()
    words = [str(facade.port()), str(VALID_S + 0.4), str(HEARTBEAT_AT), str(VALID_S)]
    with subprocess.Popen([sys.executable, "-c", CLIENT, *words], stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n"
        began, ended = hold_interpreter(VALID_S + 0.5)
        seen = json.loads(client.stdout.readline())
        assert client.wait(timeout=10) == 0
    facade.stop()
    assert began < seen["fallen"] < ended, "nobody but the core can have done it"
    assert seen["sent"] + VALID_S - 0.002 <= seen["fallen"] < seen["written"] + VALID_S + LATE_S


def test_a_limit_and_its_end_are_read_of_one_moment() -> None:
    facade, stop = facade_for(), threading.Event()
    at = place(LIMIT_MODEL, 0).address

    def publish() -> None:
        number = 0
        while not stop.is_set():
            number = (number + 70_001) % 0xFFFF_0000  # both words of each value change every time
            values = {name: number for name in ("limit_w", "began_s", "end_s", "left_s", "next_w", "agreement_w")}
            facade.publish(UNIT, at, encode(LIMIT_MODEL, {**values, "mrid": f"{number:032X}"}))

    writer = threading.Thread(target=publish)
    writer.start()
    client = ModbusTcpClient(HOST, port=facade.port(), timeout=5)
    assert client.connect()
    try:
        seen = set()
        for _ in range(300):
            answer = client.read_holding_registers(at, count=LIMIT_MODEL.size, device_id=UNIT)
            found = decode(LIMIT_MODEL, b"".join(word.to_bytes(2, "big") for word in answer.registers))
            if found["limit_w"] is not None:
                values = {found[name] for name in ("limit_w", "began_s", "end_s", "left_s", "next_w", "agreement_w")}
                assert values == {int(str(found["mrid"]), 16)}
                seen |= values
        assert len(seen) > 3, "the values moved while they were read"
    finally:
        stop.set()
        writer.join()
        client.close()
        facade.stop()


@pytest.mark.parametrize(("roles", "code"), [(("SiteEms",), 0), (("Viewer",), 1), ((), 1)])
async def test_only_the_role_that_may_write_says_that_it_lives(
    tmp_path: Path, roles: tuple[str, ...], code: int
) -> None:
    issuer = make_root("DER facade test root")
    config = FacadeConfig(tls=make_end(issuer, tmp_path, "server").message(), write_roles=["SiteEms"])
    facade, end = facade_for(config), make_end(issuer, tmp_path, "client", roles=roles)
    context = ssl.create_default_context(cafile=end.ca)
    context.load_cert_chain(end.certificate, end.private_key)
    client = AsyncModbusTlsClient(HOST, port=facade.port(), sslctx=context, retries=0, timeout=5)
    assert await client.connect()
    limit = place(LIMIT_MODEL, 0).address
    assert not (await client.read_holding_registers(limit, count=LIMIT_MODEL.size, device_id=UNIT)).isError()
    for address, words in ((HEARTBEAT_AT, [1, 5]), (limit + LIMIT_MODEL.offsets["ack_sequence"], [1, 2])):
        answer = await client.write_registers(address, words, device_id=UNIT)
        assert (answer.exception_code if answer.isError() else 0) == code
    client.close()
    facade.stop()
