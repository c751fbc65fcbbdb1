"""The facades of a process share one thread, and it works on while the interpreter is held."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

from threads import hold_interpreter, left_of

from dgm import _core
from dgm.api.core.v1.registers_pb2 import HOLDING, U16, Point, RegisterMap, WriteRule

HOST = "127.0.0.1"
HELD_S = 1.0
LEASE_S = 0.4
LATE_S = 0.1
SERVING = "dgm-facade"

CLIENT = """
import json, socket, sys, time
first, second, span_s = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
read, write = bytes([0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1]), bytes([0, 1, 0, 0, 0, 6, 1, 6, 0, 0, 0, 5])
clients = [socket.create_connection(("127.0.0.1", port), timeout=5) for port in (first, second)]
def ask(client, request, length):
    client.sendall(request)
    answer = b""
    while len(answer) < length:
        answer += client.recv(length - len(answer))
    return answer[-1]
for client in clients:
    ask(client, write, 12)
written = time.monotonic()
print("ready", flush=True)
answers, fallen = [], None
while time.monotonic() < written + span_s:
    values = [ask(client, read, 11) for client in clients]
    answers.append(time.monotonic())
    if fallen is None and values == [9, 9]:
        fallen = answers[-1]
print(json.dumps({"written": written, "answers": answers, "fallen": fallen}))
"""


def leased_facade() -> _core.Facade:
    """Register 0 falls back to 9 when it is not rewritten in time."""
    rule = WriteRule(high=100, lease_ms=int(LEASE_S * 1000), fallback=9)
    points = [Point(name="limit", table=HOLDING, address=0, type=U16, write=rule)]
    facade = _core.Facade(HOST, 0, 1)
    facade.declare(1, RegisterMap(name="held", points=points).SerializeToString())
    facade.start()
    return facade


def test_leases_end_and_every_request_is_answered_while_the_interpreter_is_held() -> None:
    facades = [leased_facade(), leased_facade()]
    ports = [str(facade.port()) for facade in facades]
    arguments = [sys.executable, "-c", CLIENT, *ports, str(HELD_S + 0.2)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n"
        began, ended = hold_interpreter(HELD_S)
        seen = json.loads(client.stdout.readline())
        assert client.wait(timeout=10) == 0
    for facade in facades:
        facade.stop()
    while_held = [at for at in seen["answers"] if began <= at <= ended]
    assert ended - began > LEASE_S + 2 * LATE_S, "the interpreter was held for long enough to see it"
    assert len(while_held) > 100, "answers came all the time"
    assert seen["written"] + LEASE_S <= seen["fallen"] + 0.002, "the clock of leases counts whole milliseconds"
    assert seen["fallen"] < min(seen["written"] + LEASE_S + LATE_S, ended)


def is_answered(facade: _core.Facade) -> bool:
    with socket.create_connection((HOST, facade.port()), timeout=5) as client:
        client.sendall(bytes([0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1]))
        return client.recv(100)[-1] == 9


def test_all_facades_of_a_process_share_one_thread_that_ends_with_the_last() -> None:
    before = left_of(SERVING)
    facades = [leased_facade() for _ in range(3)]
    assert all(is_answered(facade) for facade in facades)
    assert left_of(SERVING, before + 1) == before + 1
    facades[0].stop()
    assert all(is_answered(facade) for facade in facades[1:])
    assert left_of(SERVING, before + 1) == before + 1
    assert facades[1].counters()["running"] == 1
    for facade in facades[1:]:
        facade.stop()
    assert left_of(SERVING, before) == before
    assert facades[2].counters()["running"] == 0
