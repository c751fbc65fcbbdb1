"""The Python side of the Modbus benchmark's boundary measures, as processes of their own so that they can be pinned.

    modbus_poller.py floor PEERS MS PERIOD_US     eventfd written by a native process -> asyncio
    modbus_poller.py reply PORT MS                reply on the socket -> value visible in asyncio
    modbus_poller.py set PORT COUNT               write() on an idle line, and a plain socket: when each was handed in
    modbus_poller.py reading PORT ROUNDS          one value; refresh() of 1,000 x 125 registers beside a plain copy
    modbus_poller.py held PORT SECONDS            a fleet while the interpreter is held
    modbus_poller.py rate PORT MS [CERTIFICATES]  one line as fast as it can, plain or with TLS
    modbus_poller.py memory PORT READS            resident memory of a fleet, and after very many reads
    modbus_poller.py config PORT                  the configuration of that fleet, as bytes

Each prints one line of JSON, or {"absent": why}.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import subprocess
import sys
import time
import timeit
from array import array
from pathlib import Path
from typing import Any

from dgm import _core
from modbus_clients import HOST, REGISTERS, hold, quantiles

FLEET, FLEET_PERIOD_MS = 1000, 100
# The eventfd floor is measured at the same rhythm.
REPLY_PERIOD_MS = 1
SETTLE_S = 0.5
# A line that is idle but for what is written.
IDLE_PERIOD_MS, SET_EVERY_S, SET_DEADLINE_MS = 60_000, 0.003, 1000
# Head, unit, function 16, address, one register, its bytes.
WRITE_ONE = ">HHHBBHHBH"


def fleet(port: int, *, lines: int, period_ms: int, window: int = 1, certificates: str = "") -> bytes:
    """PollerConfig: one connection and one read of 125 registers a line, due times spread over the period."""
    if not hasattr(_core, "Poller"):
        print(json.dumps({"absent": "dgm._core has no Poller"}))
        raise SystemExit
    from dgm.api.core.v1.poller_pb2 import PollerConfig
    from dgm.api.core.v1.registers_pb2 import RegisterTable

    config = PollerConfig()
    for number in range(lines):
        line = config.lines.add(host=HOST, port=port, window_max=window)
        if certificates:
            line.tls.certificate, line.tls.private_key = f"{certificates}/client.pem", f"{certificates}/client.key"
            line.tls.ca = f"{certificates}/ca.pem"
        device = line.devices.add(unit_id=1)
        # A read is in flight once at most, so a window needs as many.
        for place in range(window):
            read = device.reads.add(table=RegisterTable.HOLDING, address=place * REGISTERS, count=REGISTERS)
            read.period_ms, read.phase_ms = period_ms, number * period_ms // lines
    return config.SerializeToString()


def polling(config: bytes) -> _core.Poller:
    """A poller that runs."""
    started = _core.Poller(config)
    started.start()
    return started


async def listen(notifier: int, woken: Any, seconds: float) -> None:
    """asyncio tells us when the eventfd is readable."""
    asyncio.get_running_loop().add_reader(notifier, woken)
    await asyncio.sleep(seconds)


def floor(peers: str, span_ms: int, period_us: int) -> dict[str, Any]:
    """What an eventfd alone takes: the stamp is its value; a sum of two stamps lies far in the future."""
    times_ns: list[int] = []
    notifier = os.eventfd(0, os.EFD_NONBLOCK)

    def woken() -> None:
        stamp_ns = os.eventfd_read(notifier)
        late_ns = time.monotonic_ns() - stamp_ns
        if late_ns >= 0:
            times_ns.append(late_ns)

    command = [peers, "boundary", "0", str(span_ms), str(period_us)]
    with subprocess.Popen(command, stdout=notifier) as process:
        asyncio.run(listen(notifier, woken, span_ms / 1000))
        process.wait(10)
    return quantiles(times_ns)


def reply(port: int, span_ms: int) -> dict[str, Any]:
    """The device's first four registers are the time at which it made its answer."""
    source = polling(fleet(port, lines=1, period_ms=REPLY_PERIOD_MS))
    view = source.registers()
    times_ns: list[int] = []
    newest_ns = 0

    def woken() -> None:
        nonlocal newest_ns
        source.refresh()
        one, two, three, four = view[:4]
        stamp_ns = one << 48 | two << 32 | three << 16 | four
        if stamp_ns > newest_ns:
            newest_ns = stamp_ns
            times_ns.append(time.monotonic_ns() - stamp_ns)

    asyncio.run(listen(source.fileno(), woken, span_ms / 1000))
    source.stop()
    return quantiles(times_ns)


def set_values(port: int, count: int) -> dict[str, Any]:
    """One value after the other, each when its line has long been idle, odd ones by write(), even ones by a socket of
    Python's own on a connection of its own: the price of the path without a second thread. [ns, value] of each."""
    source = polling(fleet(port, lines=1, period_ms=IDLE_PERIOD_MS))
    handed_in = []
    with socket.create_connection((HOST, port), 5) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        time.sleep(SETTLE_S)
        for value in range(1, 2 * count + 1):
            time.sleep(SET_EVERY_S)
            registers, request = array("H", [value]), struct.pack(WRITE_ONE, value, 0, 9, 1, 16, 0, 1, 2, value)
            handed_in.append([time.monotonic_ns(), value])
            if value % 2:
                source.write(0, 0, registers, SET_DEADLINE_MS)
            else:
                plain.sendall(request)
        time.sleep(SETTLE_S)
        source.stop()
    return {"handed_in": handed_in}


def reading(port: int, rounds: int) -> dict[str, Any]:
    """refresh() when every device has changed, and a copy of as many bytes at the same moment, now one first, now the
    other: after 150 ms of other work neither finds its memory in the cache. Then the copy again, which does."""
    source = polling(fleet(port, lines=FLEET, period_ms=FLEET_PERIOD_MS))
    target, origin = bytearray(2 * REGISTERS * FLEET), os.urandom(2 * REGISTERS * FLEET)
    times_ns: dict[str, list[int]] = {"refresh": [], "copy": [], "copy_again": []}

    def copy() -> None:
        target[:] = origin

    time.sleep(SETTLE_S)
    for number in range(rounds):
        time.sleep(1.5 * FLEET_PERIOD_MS / 1000)
        first = [("refresh", source.refresh), ("copy", copy)]
        for name, call in [*(first if number % 2 else first[::-1]), ("copy_again", copy)]:
            before_ns = time.perf_counter_ns()
            call()
            times_ns[name].append(time.perf_counter_ns() - before_ns)
    view, times = source.registers(), 200_000
    value_ns = min(timeit.repeat("view[77777]", globals={"view": view}, number=times, repeat=5)) / times * 1e9
    good = sum(1 for index in range(0, REGISTERS * FLEET, REGISTERS) if view[index + 5] == 5)
    source.stop()
    return {"times_ns": times_ns, "value_ns": value_ns, "devices": good}


def held(port: int, seconds: float) -> dict[str, Any]:
    """Run, hold, run."""
    source = polling(fleet(port, lines=FLEET // 10, period_ms=FLEET_PERIOD_MS))
    time.sleep(SETTLE_S)
    hold(seconds)
    time.sleep(SETTLE_S)
    found: dict[str, Any] = source.counters()
    source.stop()
    return found


def times_read(source: _core.Poller) -> int:
    """How many reads have been made until now; counters() is older."""
    source.refresh()
    return sum(source.stamps()[_core.STAMP_COLUMNS.index("sequence") :: len(_core.STAMP_COLUMNS)])


def rate(port: int, span_ms: int, certificates: str = "") -> dict[str, Any]:
    """One line that reads as fast as it can; Python sleeps, so the CPU time of the process is the poller's."""
    source = polling(fleet(port, lines=1, period_ms=0, certificates=certificates))
    time.sleep(SETTLE_S)
    reads, cpu_ns, wall_ns = times_read(source), time.process_time_ns(), time.monotonic_ns()
    time.sleep(span_ms / 1000)
    found = {"cpu_ns": time.process_time_ns() - cpu_ns, "wall_ns": time.monotonic_ns() - wall_ns}
    found["reads"] = times_read(source) - reads
    source.stop()
    return found


def resident_kib() -> float:
    """Of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def memory(port: int, reads: int) -> dict[str, Any]:
    """A fleet against nothing; then one line that reads as fast as it can. Another process writes the configuration
    of the fleet: what protobuf leaves behind in ours is not the poller's."""
    polling(fleet(port, lines=1, period_ms=FLEET_PERIOD_MS)).stop()
    config = subprocess.run([sys.executable, __file__, "config", str(port)], capture_output=True, check=True).stdout
    empty_kib = resident_kib()
    source = polling(config)
    time.sleep(SETTLE_S)
    source.refresh()
    fleet_kib = resident_kib()
    source.stop()
    source = polling(fleet(port, lines=1, period_ms=0, window=16))
    start_kib = 0.0
    while (done := times_read(source)) < reads:
        time.sleep(0.02)
        if not start_kib and done > reads // 20:
            start_kib = resident_kib()
    growth_kib = resident_kib() - start_kib
    source.stop()
    return {"device_kib": (fleet_kib - empty_kib) / FLEET, "growth_kib": growth_kib, "reads": done}


def main() -> None:
    """The role is the first argument."""
    match sys.argv[1:]:
        case ["floor", peers, span_ms, period_us]:
            found = floor(peers, int(span_ms), int(period_us))
        case ["reply", port, span_ms]:
            found = reply(int(port), int(span_ms))
        case ["set", port, count]:
            found = set_values(int(port), int(count))
        case ["reading", port, rounds]:
            found = reading(int(port), int(rounds))
        case ["held", port, seconds]:
            found = held(int(port), float(seconds))
        case ["rate", port, span_ms, *certificates]:
            found = rate(int(port), int(span_ms), *certificates)
        case ["memory", port, reads]:
            found = memory(int(port), int(reads))
        case ["config", port]:
            sys.stdout.buffer.write(fleet(int(port), lines=FLEET, period_ms=FLEET_PERIOD_MS))
            return
        case words:
            raise SystemExit(f"found {words}; expected one of the roles at the head of this file")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
