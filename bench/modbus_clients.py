"""The Python processes of the Modbus benchmark: pymodbus as client, DGM's facade as server, a plain or TLS reader.

    modbus_clients.py pymodbus PORT MILLISECONDS     its asynchronous client, one awaited read after the other
    modbus_clients.py facade [CERTIFICATES]          dgm._core.Facade: READY PORT, then orders on standard input
    modbus_clients.py reader PORT MILLISECONDS [CERTIFICATES]     blocking socket, one read after the other

Clients print one line of JSON. The order `hold SECONDS` makes the facade's process hold the interpreter: a C function
is called that keeps the lock, so that no other Python thread can run until it returns.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import socket
import ssl
import struct
import sys
import time

HOST = "127.0.0.1"
REGISTERS = 125
REPLY_BYTES = 9 + 2 * REGISTERS
# One writable value that falls back to its fallback when it is not written again for a second.
LEASED_ADDRESS, LEASED_FALLBACK, WATCHDOG_S = 200, 7, 1
WARM_UP_READS = 50


def quantiles(times_ns: list[int]) -> dict[str, int]:
    """As the native peers report them; zeros when nothing was timed."""
    times_ns.sort()
    middle, high = ([times_ns[len(times_ns) * part // 1000] for part in (500, 990)]) if times_ns else (0, 0)
    return {"reads": len(times_ns), "p50_ns": middle, "p99_ns": high}


def spend(wall_ns: int, cpu_ns: int, times_ns: list[int]) -> str:
    """The line that all clients of this benchmark print."""
    return json.dumps({"wall_ns": wall_ns, "cpu_ns": cpu_ns} | quantiles(times_ns))


async def pymodbus(port: int, span_ms: int) -> None:
    """Reads 125 holding registers as often as it can."""
    from pymodbus.client import AsyncModbusTcpClient

    client = AsyncModbusTcpClient(HOST, port=port)
    assert await client.connect()
    for _ in range(WARM_UP_READS):
        await client.read_holding_registers(0, count=REGISTERS, device_id=1)
    times_ns: list[int] = []
    wall_ns, cpu_ns = time.monotonic_ns(), time.process_time_ns()
    before_ns = wall_ns
    while before_ns < wall_ns + span_ms * 1_000_000:
        answer = await client.read_holding_registers(0, count=REGISTERS, device_id=1)
        assert len(answer.registers) == REGISTERS
        now_ns = time.monotonic_ns()
        times_ns.append(now_ns - before_ns)
        before_ns = now_ns
    print(spend(before_ns - wall_ns, time.process_time_ns() - cpu_ns, times_ns))
    client.close()


def hold(seconds: float) -> None:
    """Keep the interpreter: functions of a PyDLL are called with its lock held."""
    libc = ctypes.PyDLL(None)
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        libc.usleep(ctypes.c_uint(int(min(left_s, 0.9) * 1e6)))


def security(directory: str) -> list[bytes]:
    """FacadeConfig of a facade that speaks TLS only; nothing for one in plaintext."""
    if not directory:
        return []
    from dgm.api.config.v1.config_pb2 import FacadeConfig, ModbusTlsConfig

    files = {"certificate": "server.pem", "private_key": "server.key", "ca": "ca.pem"}
    tls = ModbusTlsConfig(**{field: f"{directory}/{name}" for field, name in files.items()})
    return [FacadeConfig(tls=tls).SerializeToString()]


def facade(directory: str = "") -> None:
    """Registers 0..124 to read, one leased value to write."""
    from dgm import _core

    server = _core.Facade(HOST, 0, 1, *security(directory))
    server.define(1, 0, REGISTERS)
    server.define(1, LEASED_ADDRESS, 1)
    server.allow_write(1, LEASED_ADDRESS, 1, 0, 1000, WATCHDOG_S)
    server.set_fallback(1, LEASED_ADDRESS, LEASED_FALLBACK)
    server.publish(1, 0, struct.pack(f">{REGISTERS}H", *range(REGISTERS)))
    server.start()
    print(f"READY {server.port()}", flush=True)
    for line in sys.stdin:
        order, seconds = line.split()
        assert order == "hold"
        hold(float(seconds))
        print("held", flush=True)
    server.stop()
    print(json.dumps(server.counters()))


def connected(port: int, directory: str) -> socket.socket:
    """A connection, with TLS if there are certificates."""
    client = socket.create_connection((HOST, port), 5)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not directory:
        return client
    context = ssl.create_default_context(cafile=f"{directory}/ca.pem")
    context.load_cert_chain(f"{directory}/client.pem", f"{directory}/client.key")
    return context.wrap_socket(client, server_hostname=HOST)


def reader(port: int, span_ms: int, directory: str = "") -> None:
    """One read after the other."""
    request = struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, 0, REGISTERS)
    buffer = memoryview(bytearray(REPLY_BYTES))
    times_ns: list[int] = []
    with connected(port, directory) as client:
        wall_ns, cpu_ns = time.monotonic_ns(), time.process_time_ns()
        before_ns = wall_ns
        while before_ns < wall_ns + span_ms * 1_000_000:
            client.sendall(request)
            got = 0
            while got < REPLY_BYTES:
                count = client.recv_into(buffer[got:])
                assert count, "the server closed the connection"
                got += count
            now_ns = time.monotonic_ns()
            times_ns.append(now_ns - before_ns)
            before_ns = now_ns
    print(spend(before_ns - wall_ns, time.process_time_ns() - cpu_ns, times_ns))


def main() -> None:
    """The role is the first argument."""
    match sys.argv[1:]:
        case ["pymodbus", port, span_ms]:
            asyncio.run(pymodbus(int(port), int(span_ms)))
        case ["facade", *directory]:
            facade(*directory)
        case ["reader", port, span_ms, *directory]:
            reader(int(port), int(span_ms), *directory)
        case words:
            raise SystemExit(f"found {words}; expected one of the roles at the head of this file")


if __name__ == "__main__":
    main()
