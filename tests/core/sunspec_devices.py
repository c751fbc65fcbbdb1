"""A meter, a PV inverter and a battery behind one Modbus TCP gateway, for tests of the field core.

    published model files (pysunspec2) ── registers ──> pymodbus server, unit ids 1, 2, 3

Neither library is used by the product's core, so both the frames and the meaning of the registers get a second opinion.
Run as a program it prints its port and serves until its input ends.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

import sunspec2.device as sunspec
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

HOST = "127.0.0.1"
BASE = 40000
METER, PV, BATTERY = 1, 2, 3
Points = Mapping[int, Mapping[str, int]]

SITE: Mapping[int, Points] = {
    METER: {
        1: {},
        203: {
            **{"AphA": 1001, "AphB": 1002, "AphC": 1003, "A_SF": -2, "W": 3210, "W_SF": 1, "VAR": -45, "VAR_SF": 1},
            **{"PhVphA": 23011, "PhVphB": 23022, "PhVphC": 23033, "V_SF": -2, "Hz": 5001, "Hz_SF": -2},
            **{"TotWhImp": 7654321, "TotWh_SF": 0},
        },
    },
    PV: {
        1: {},
        701: {
            **{"W": 2150, "W_SF": 1, "Var": 30, "Var_SF": 0, "AL1": 312, "AL2": 313, "AL3": 314, "A_SF": -1},
            **{"VL1": 2311, "VL2": 2312, "VL3": 2313, "V_SF": -1, "Hz": 49987, "Hz_SF": -3},
        },
        702: {"WMaxRtg": 500, "WMax": 500, "W_SF": 2},
        704: {"WMaxLimPctEna": 0, "WMaxLimPct": 1000, "WMaxLimPct_SF": -1},
    },
    BATTERY: {
        1: {},
        701: {"W": -4000, "W_SF": 0, "AL1": 6, "AL2": 6, "AL3": 6, "A_SF": 0, "TotWhAbs": 1234567, "TotWh_SF": 0},
        702: {"WMax": 300, "W_SF": 2},
        704: {"WSetEna": 0, "WSetMod": 1, "WSet": 0, "WSet_SF": 0},
        713: {"SoC": 617, "Pct_SF": -1},
    },
}


def model_words(model_id: int, points: Mapping[str, int]) -> list[int]:
    """Registers of one model as the published definition lays them out; what is not named is "not implemented"."""
    model = sunspec.Model(model_id=model_id)
    for name, value in points.items():
        getattr(model, name).value = value
    data = bytearray(model.get_mb())
    data[2:4] = (len(data) // 2 - 2).to_bytes(2, "big")
    return words_of(bytes(data))


def words_of(data: bytes) -> list[int]:
    """Big-endian registers."""
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


def offset_of(model_id: int, name: str) -> int:
    """Offset of a point from the model's header, by the published definition."""
    return int(getattr(sunspec.Model(model_id=model_id), name).offset)


@dataclass
class Gateway:
    """The server with its three units and everything that was written to them."""

    site: Mapping[int, Points] = field(default_factory=lambda: SITE)
    writes: list[tuple[int, int, list[int]]] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._starts: dict[tuple[int, int], int] = {}
        self._server: ModbusTcpServer | None = None

    async def __aenter__(self) -> Gateway:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the port it had before if there was one."""
        devices = [self._device(unit, models) for unit, models in self.site.items()]
        self._server = ModbusTcpServer(devices, address=(HOST, self.port))
        await self._server.serve_forever(background=True)
        transport = self._server.transport
        assert transport is not None
        self.port = transport.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close all connections."""
        if self._server is not None:
            await self._server.shutdown()
            self._server = None

    def _device(self, unit: int, models: Points) -> SimDevice:
        words = words_of(b"SunS")
        for model_id, points in models.items():
            self._starts[unit, model_id] = BASE + len(words)
            words += model_words(model_id, points)
        words += [0xFFFF, 0]

        async def action(
            function: int, _start: int, address: int, _count: int, _now: list[int], new: list[int] | list[bool] | None
        ) -> ExcCodes | None:
            if new is not None:
                self.writes.append((unit, address, [int(value) for value in new]))
            return None

        return SimDevice(unit, simdata=[SimData(BASE, values=words, datatype=DataType.REGISTERS)], action=action)

    async def read(self, unit: int, model_id: int, name: str, count: int = 1) -> list[int]:
        """Registers of a point as the server holds them."""
        assert self._server is not None
        address = self._starts[unit, model_id] + offset_of(model_id, name)
        values = await self._server.async_getValues(unit, 3, address, count)
        assert isinstance(values, list)
        return [int(value) for value in values]

    async def overwrite(self, unit: int, model_id: int, name: str, words: list[int]) -> None:
        """What another master would write."""
        assert self._server is not None
        address = self._starts[unit, model_id] + offset_of(model_id, name)
        await self._server.async_setValues(unit, 16, address, words)

    def written(self, unit: int, model_id: int) -> list[tuple[int, list[int]]]:
        """Writes to a model, in order: offset from its header, registers."""
        start = self._starts[unit, model_id]
        return [(address - start, words) for written_unit, address, words in self.writes if written_unit == unit]


async def main() -> None:
    """Serve until the input ends."""
    async with Gateway() as gateway:
        print(gateway.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
