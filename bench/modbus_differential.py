"""Random transactions between DGM and libmodbus, both ways, each answer beside a model of the registers.

    libmodbus client (ctypes) ──> Facade                        functions 1-6, 15, 16, 22, 23, and what must be refused
    Poller.request()          ──> libmodbus server (bench, C)   the same

libmodbus is an oracle here and no part of DGM; where it is not installed this says so and ends well. The same seed asks
the same. Loopback only.
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import errno
import random
import select
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dgm import _core
from dgm.api.core.v1.poller_pb2 import PollerConfig
from dgm.api.core.v1.registers_pb2 import PointType, RegisterMap, RegisterTable
from modbus_clients import HOST
from modbus_processes import Absent, libmodbus, serving

SIZE, DEADLINE_MS = 200, 5000
# libmodbus adds the code of an exception to this for its errno.
EXCEPTIONS = 112345678
ILLEGAL_ADDRESS = 2

Answer = list[int] | None
"""Values read, nothing for a write, and None for exception 2."""


@dataclass(slots=True)
class Model:
    """What the registers must hold: two tables, of words and of bits, as both servers have them."""

    words: list[int] = field(default_factory=lambda: [0] * SIZE)
    bits: list[int] = field(default_factory=lambda: [0] * SIZE)

    def take(self, ask: Ask) -> Answer:
        """Carry it out."""
        table = self.bits if ask.function in (1, 5, 15) else self.words
        spans = [(ask.address, ask.count)] if ask.count else []
        spans += [(ask.written_at, len(ask.values))] if ask.values else []
        if any(start + count > SIZE for start, count in spans):
            return None
        if ask.function == 22:
            and_mask, or_mask = ask.masks
            table[ask.address] = (table[ask.address] & and_mask) | (or_mask & ~and_mask & 0xFFFF)
            return []
        table[ask.written_at : ask.written_at + len(ask.values)] = ask.values
        return table[ask.address : ask.address + ask.count] if ask.function in (1, 3, 23) else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request."""

    function: int
    address: int
    count: int = 0
    written_at: int = 0
    values: tuple[int, ...] = ()
    masks: tuple[int, int] = (0, 0)

    def pdu(self) -> bytes:
        """As it goes on the wire, written here once more and not by either side."""
        words = b"".join(value.to_bytes(2, "big") for value in self.values)
        match self.function:
            case 1 | 3:
                return struct.pack(">BHH", self.function, self.address, self.count)
            case 5:
                return struct.pack(">BHH", 5, self.written_at, 0xFF00 * self.values[0])
            case 6:
                return struct.pack(">BHH", 6, self.written_at, self.values[0])
            case 15:
                packed = sum(value << place for place, value in enumerate(self.values))
                bits = packed.to_bytes((len(self.values) + 7) // 8, "little")
                return struct.pack(">BHHB", 15, self.written_at, len(self.values), len(bits)) + bits
            case 16:
                return struct.pack(">BHHB", 16, self.written_at, len(self.values), len(words)) + words
            case 22:
                return struct.pack(">BHHH", 22, self.address, *self.masks)
            case _:
                head = (23, self.address, self.count, self.written_at, len(self.values), len(words))
                return struct.pack(">BHHHHB", *head) + words


def asks(seed: int, times: int) -> Iterator[Ask]:
    """Requests within the limits of the standard; about one in ten leaves the registers."""
    dice = random.Random(seed)

    def at(count: int) -> int:
        return dice.randrange(SIZE + 20) if dice.random() < 0.1 else dice.randrange(SIZE - count + 1)

    def words(most: int) -> tuple[int, ...]:
        return tuple(dice.randrange(0x10000) for _ in range(dice.choice((1, 2, dice.randint(1, most)))))

    for _ in range(times):
        function = dice.choice((1, 3, 5, 6, 15, 16, 22, 23))
        count = dice.choice((1, dice.randint(1, SIZE if function == 1 else 125)))
        if function in (1, 3):
            yield Ask(function=function, address=at(count), count=count)
        elif function == 22:
            masks = (dice.randrange(0x10000), dice.randrange(0x10000))
            yield Ask(function=22, address=dice.randrange(SIZE), masks=masks)
        else:
            values = words({5: 1, 6: 1, 15: SIZE, 16: 123, 23: 121}[function])
            values = values[:1] if function in (5, 6) else values
            values = tuple(value & 1 for value in values) if function in (5, 15) else values
            reads = {"address": at(count), "count": count} if function == 23 else {"address": 0}
            yield Ask(function=function, written_at=at(len(values)), values=values, **reads)


class Client:
    """libmodbus's client, by ctypes."""

    def __init__(self, port: int) -> None:
        found = ctypes.util.find_library("modbus")
        if found is None:
            raise Absent("libmodbus: its library is not installed")
        self.library = ctypes.CDLL(found, use_errno=True)
        self.library.modbus_new_tcp.restype = ctypes.c_void_p
        line = self.library.modbus_new_tcp(HOST.encode(), port)
        self.line = ctypes.c_void_p(line)
        self.library.modbus_set_slave(self.line, 1)
        if self.library.modbus_connect(self.line):
            raise Absent("libmodbus: no connection")

    def ask(self, ask: Ask) -> Answer:
        """Carry out a request; any other end than an answer or exception 2 is an error."""
        call, line, written = self.library, self.line, len(ask.values)
        words, octets = (ctypes.c_uint16 * 256)(), (ctypes.c_uint8 * 256)()
        given = (ctypes.c_uint16 * max(1, written))(*ask.values)
        bits = (ctypes.c_uint8 * max(1, written))(*(value & 1 for value in ask.values))
        match ask.function:
            case 1:
                done = call.modbus_read_bits(line, ask.address, ask.count, octets)
            case 3:
                done = call.modbus_read_registers(line, ask.address, ask.count, words)
            case 5:
                done = call.modbus_write_bit(line, ask.written_at, ask.values[0])
            case 6:
                done = call.modbus_write_register(line, ask.written_at, ctypes.c_uint16(ask.values[0]))
            case 15:
                done = call.modbus_write_bits(line, ask.written_at, written, bits)
            case 16:
                done = call.modbus_write_registers(line, ask.written_at, written, given)
            case 22:
                masks = [ctypes.c_uint16(mask) for mask in ask.masks]
                done = call.modbus_mask_write_register(line, ask.address, *masks)
            case _:
                done = call.modbus_write_and_read_registers(
                    line, ask.written_at, written, given, ask.address, ask.count, words
                )
        if done == -1:
            why = ctypes.get_errno()
            if why == EXCEPTIONS + ILLEGAL_ADDRESS:
                return None
            raise AssertionError(f"{ask}: found errno {why} ({errno.errorcode.get(why, why - EXCEPTIONS)})")
        return list((octets if ask.function == 1 else words)[: ask.count]) if ask.function in (1, 3, 23) else []

    def close(self) -> None:
        """End the connection."""
        self.library.modbus_close(self.line)
        self.library.modbus_free(self.line)


@contextmanager
def facade() -> Iterator[_core.Facade]:
    """DGM's server with as many registers and coils, all writable."""
    served, declared = _core.Facade(HOST, 0, 1), RegisterMap(name="all")
    for address in range(SIZE):
        word = declared.points.add(name=f"w{address}", table=RegisterTable.HOLDING, address=address, type=PointType.U16)
        word.write.high, word.write.fallback = 0xFFFF, 0
        bit = declared.points.add(name=f"b{address}", table=RegisterTable.COIL, address=address, type=PointType.BIT)
        bit.write.high, bit.write.fallback = 1, 0
    served.declare(1, declared.SerializeToString())
    served.start()
    try:
        yield served
    finally:
        served.stop()


def compare(ask_all: Callable[[Ask], Answer], seed: int, times: int) -> None:
    """Every answer is the model's."""
    model = Model()
    for number, ask in enumerate(asks(seed, times)):
        expected, found = model.take(ask), ask_all(ask)
        if expected != found:
            raise AssertionError(f"request {number} of seed {seed}: {ask}: found {found}; expected {expected}")


def their_client(seed: int, times: int) -> None:
    """libmodbus asks, we answer."""
    with facade() as served:
        client = Client(served.port())
        compare(client.ask, seed, times)
        client.close()


def their_server(seed: int, times: int) -> None:
    """We ask, libmodbus answers."""
    with serving([libmodbus(), "server"]) as server:
        config = PollerConfig()
        config.lines.add(host=HOST, port=server.port, timeout_ms=DEADLINE_MS).devices.add(unit_id=1)
        poller = _core.Poller(config.SerializeToString())
        poller.start()

        def ask_all(ask: Ask) -> Answer:
            ticket = poller.request(0, ask.pdu(), DEADLINE_MS)
            while (outcome := poller.outcome(ticket)) is None:
                select.select([poller.fileno()], [], [], DEADLINE_MS / 1000)
                poller.refresh()
            state, code, _, _, values = outcome
            if (state, code) == ("refused", ILLEGAL_ADDRESS):
                return None
            assert state == "done", f"{ask}: found {outcome[:2]}; expected an answer or exception 2"
            return values

        compare(ask_all, seed, times)
        poller.stop()


def main() -> None:
    """Both ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20_000, help="requests each way (default 20000)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for name, way in (("libmodbus asks DGM", their_client), ("DGM asks libmodbus", their_server)):
        started_s = time.monotonic()
        try:
            way(arguments.seed, arguments.times)
        except Absent as reason:
            print(f"{name}: skipped: {reason}")
            continue
        print(f"{name}: {arguments.times:,} requests, no difference, {time.monotonic() - started_s:.1f} s")


if __name__ == "__main__":
    sys.exit(main())
