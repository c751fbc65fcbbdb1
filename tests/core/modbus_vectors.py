"""Modbus frames as pymodbus writes them: the vectors that the Rust codec is held against.

    pymodbus ── frames() ──> dgm_core/tests/vectors/modbus.txt ── dgm_core/tests/differential.rs ──> the same bytes

Run this file to write the vectors anew. One line is one transaction: function | numbers of the request | values
written | values read, or "exception N" | transaction id | unit | request and reply over TCP | the same over RTU, in
hex.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu import bit_message as bits
from pymodbus.pdu import register_message as registers

VECTORS = Path(__file__).resolve().parents[2] / "dgm_core" / "tests" / "vectors" / "modbus.txt"
EXCEPTIONS = (1, 2, 3, 4, 5, 6, 8, 0x0A, 0x0B)
READS = {
    1: (bits.ReadCoilsRequest, bits.ReadCoilsResponse, (1, 8, 13, 2000)),
    2: (bits.ReadDiscreteInputsRequest, bits.ReadDiscreteInputsResponse, (1, 9, 1999)),
    3: (registers.ReadHoldingRegistersRequest, registers.ReadHoldingRegistersResponse, (1, 2, 125)),
    4: (registers.ReadInputRegistersRequest, registers.ReadInputRegistersResponse, (1, 40, 125)),
}

Transaction: TypeAlias = tuple[int, list[int], list[int], list[int], ModbusPDU, ModbusPDU]


def words(rng: random.Random, count: int) -> list[int]:
    return [rng.choice((0, 1, 0x7FFF, 0x8000, 0xFFFF, rng.randrange(0x10000))) for _ in range(count)]


def flags(rng: random.Random, count: int) -> list[bool]:
    return [rng.random() < 0.5 for _ in range(count)]


def start(rng: random.Random, count: int) -> int:
    return rng.choice((0, rng.randrange(0x10000 - count), 0x10000 - count))


def reads(rng: random.Random) -> Iterator[Transaction]:
    for function, (request, reply, counts) in READS.items():
        for count in counts:
            address = start(rng, count)
            asked = request(address=address, count=count)
            if function < 3:
                found = flags(rng, count)
                yield function, [address, count], [], [int(bit) for bit in found], asked, reply(bits=found)
            else:
                values = words(rng, count)
                yield function, [address, count], [], values, asked, reply(registers=values)


def writes(rng: random.Random) -> Iterator[Transaction]:
    for coil in (False, True):
        at = start(rng, 1)
        asked, done = bits.WriteSingleCoilRequest, bits.WriteSingleCoilResponse
        yield 5, [at], [int(coil)], [], asked(address=at, bits=[coil]), done(address=at, bits=[coil])
    for value in (0, 0x0D0A, 0xFFFF):
        at = start(rng, 1)
        word, wrote = registers.WriteSingleRegisterRequest, registers.WriteSingleRegisterResponse
        yield 6, [at], [value], [], word(address=at, registers=[value]), wrote(address=at, registers=[value])
    for count in (1, 8, 11, 1968):
        at, coils = start(rng, count), flags(rng, count)
        many = bits.WriteMultipleCoilsRequest(address=at, bits=coils)
        yield 15, [at], [int(bit) for bit in coils], [], many, bits.WriteMultipleCoilsResponse(address=at, count=count)
    for count in (1, 3, 123):
        at, values = start(rng, count), words(rng, count)
        block = registers.WriteMultipleRegistersRequest(address=at, registers=values)
        yield 16, [at], values, [], block, registers.WriteMultipleRegistersResponse(address=at, count=count)
    for and_mask, or_mask in ((0xF2, 0x25), (0xFFFF, 0)):
        at = start(rng, 1)
        mask = registers.MaskWriteRegisterRequest(address=at, and_mask=and_mask, or_mask=or_mask)
        masked = registers.MaskWriteRegisterResponse(address=at, and_mask=and_mask, or_mask=or_mask)
        yield 22, [at, and_mask, or_mask], [], [], mask, masked
    for count, written in ((1, 1), (6, 3), (125, 121)):
        at, to, values, found = start(rng, count), start(rng, written), words(rng, written), words(rng, count)
        both = registers.ReadWriteMultipleRegistersRequest(
            read_address=at, read_count=count, write_address=to, write_registers=values
        )
        yield 23, [at, count, to], values, found, both, registers.ReadWriteMultipleRegistersResponse(registers=found)


def framed(pdu: ModbusPDU, *, transaction: int, unit: int) -> tuple[str, str]:
    pdu.transaction_id, pdu.dev_id = transaction, unit
    decoder = DecodePDU(False)
    return FramerSocket(decoder).buildFrame(pdu).hex(), FramerRTU(decoder).buildFrame(pdu).hex()


def lines() -> Iterator[str]:
    rng = random.Random(22)
    done = [*reads(rng), *writes(rng)]
    for position, (function, numbers, written, found, request, reply) in enumerate(done):
        transaction, unit = rng.randrange(0x10000), rng.randrange(1, 248)
        tcp, rtu = framed(request, transaction=transaction, unit=unit)
        code = EXCEPTIONS[position % len(EXCEPTIONS)]
        for answer, result in ((reply, text(found)), (ExceptionResponse(function, code), f"exception {code}")):
            tcp_reply, rtu_reply = framed(answer, transaction=transaction, unit=unit)
            heads = [str(function), text(numbers), text(written), result, str(transaction), str(unit)]
            yield "|".join([*heads, tcp, tcp_reply, rtu, rtu_reply])


def text(numbers: list[int]) -> str:
    return ",".join(map(str, numbers))


def content() -> str:
    return "\n".join(lines()) + "\n"


if __name__ == "__main__":
    VECTORS.write_text(content(), encoding="ascii")
