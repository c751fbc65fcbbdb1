"""Devices without SunSpec behind one Modbus TCP gateway: registers as the makers document them, served by pymodbus.

    Unit: registers by address, hand-encoded from the maker's document ──> pymodbus server ──> what a row must say

The registers are written down here a second time, beside the tables of the product, so that an address or a factor that
is wrong in one of the two is found.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

HOST = "127.0.0.1"
Row = Mapping[str, int | None]


def words(data: bytes) -> list[int]:
    """Big-endian registers."""
    return [word for (word,) in struct.iter_unpack(">H", data)]


def f32(*values: float) -> list[int]:
    """Floats, the most significant register first."""
    return words(struct.pack(f">{len(values)}f", *values))


def f32_low(value: float) -> list[int]:
    """A float, the least significant register first."""
    return f32(value)[::-1]


def i32(*values: int) -> list[int]:
    """Signed 32-bit numbers, the most significant register first."""
    return words(struct.pack(f">{len(values)}i", *values))


def i32_low(*values: int) -> list[int]:
    """Signed 32-bit numbers, the least significant register first."""
    return [word for value in values for word in i32(value)[::-1]]


def u32(*values: int) -> list[int]:
    """32-bit numbers, the most significant register first."""
    return words(struct.pack(f">{len(values)}I", *values))


def i16(*values: int) -> list[int]:
    """Signed registers."""
    return words(struct.pack(f">{len(values)}h", *values))


def u64(value: int) -> list[int]:
    """A 64-bit number."""
    return words(struct.pack(">Q", value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One device: its table, what it is, what its registers hold, and what must be read out of them."""

    table: str
    kind: str
    registers: Mapping[int, Sequence[int]]
    expected: Row


def three_phase(**others: int) -> dict[str, int | None]:
    """230.5, 231, 231.5 V; 10, 20, 30.25 A; 49.98 Hz."""
    volts = {f"v{phase}_mv": mv for phase, mv in ((1, 230_500), (2, 231_000), (3, 231_500))}
    amps = {f"i{phase}_ma": ma for phase, ma in ((1, 10_000), (2, 20_000), (3, 30_250))}
    return {**volts, **amps, "frequency_mhz": 49_980, **others}


VOLTS, AMPS = (230.5, 231.0, 231.5), (10.0, 20.0, 30.25)
FLOAT_METER = three_phase(power_w=-12_346, reactive_var=1_500, energy_wh=7_654_500, frequency_mhz=50_000)

CARLO_GAVAZZI = {
    0: i32_low(2305, 2310, 2315),
    12: i32_low(10_000, 20_000, 30_250),
    40: i32_low(-123_455),
    44: i32_low(15_000),
    51: [500],
    52: i32_low(76_545),
}
SCHNEIDER = {
    2999: f32(*AMPS),
    3027: f32(*VOLTS),
    3059: f32(-12.3455),
    3067: f32(1.5),
    3109: f32(50.0),
    3203: u64(7_654_500),
}

UNITS: Mapping[int, Unit] = {
    1: Unit(
        table="eastron_sdm630",
        kind="METER",
        registers={0: f32(*VOLTS, *AMPS), 52: f32(-12_346.4), 60: f32(1_500), 70: f32(50.0), 72: f32(7_654.5)},
        expected=FLOAT_METER,
    ),
    2: Unit(
        table="eastron_sdm120",
        kind="LOAD",
        registers={0: f32(230.5), 6: f32(10), 12: f32(2_305), 24: f32(-7), 70: f32(50), 72: f32(0.25)},
        expected={
            **{"power_w": 2_305, "reactive_var": -7, "i1_ma": 10_000, "i2_ma": None, "v1_mv": 230_500, "v2_mv": None},
            **{"frequency_mhz": 50_000, "energy_wh": 250},
        },
    ),
    3: Unit(
        table="carlo_gavazzi_em340",
        kind="METER",
        registers=CARLO_GAVAZZI,
        expected=three_phase(power_w=-12_345, reactive_var=1_500, energy_wh=7_654_500, frequency_mhz=50_000),
    ),
    4: Unit(
        table="carlo_gavazzi_em24",
        kind="METER",
        registers=CARLO_GAVAZZI,
        expected=three_phase(power_w=-12_345, reactive_var=1_500, energy_wh=7_654_500, frequency_mhz=50_000),
    ),
    5: Unit(
        table="abb_b23",
        kind="METER",
        registers={
            0x5B00: u32(2305, 2310, 2315),
            0x5B0C: u32(1000, 2000, 3025),
            0x5B14: i32(-1_234_550),
            0x5B1C: i32(150_000),
            0x5B2C: [4998],
            0x5000: u64(765_450),
        },
        expected=three_phase(power_w=-12_345, reactive_var=1_500, energy_wh=7_654_500),
    ),
    6: Unit(
        table="schneider_iem3000",
        kind="METER",
        registers=SCHNEIDER,
        expected=three_phase(power_w=-12_345, reactive_var=1_500, energy_wh=7_654_500, frequency_mhz=50_000),
    ),
    7: Unit(
        table="schneider_pm5000",
        kind="METER",
        registers={**SCHNEIDER, 3203: u64(1 << 63), 3027: [*f32(*VOLTS[:2]), 0xFFC0, 0]},
        expected=three_phase(power_w=-12_345, reactive_var=1_500, frequency_mhz=50_000)
        | {"energy_wh": None, "v3_mv": None},
    ),
    8: Unit(
        table="janitza_umg",
        kind="METER",
        registers={
            **{19000: f32(*VOLTS), 19012: f32(*AMPS), 19026: f32(-12_346.4), 19042: f32(1_500), 19050: f32(50)},
            19068: f32(7_654_500),
        },
        expected=FLOAT_METER,
    ),
    9: Unit(
        table="victron_gx_grid",
        kind="METER",
        registers={820: i16(-5_000, 1_000, -300)},
        expected={"power_w": -4_300, "v1_mv": None, "energy_wh": None},
    ),
    10: Unit(
        table="victron_gx_battery",
        kind="BATTERY",
        registers={842: i16(-2_500), 843: [57]},
        expected={"power_w": -2_500, "soc_permille": 570},
    ),
    11: Unit(
        table="sma_storage",
        kind="BATTERY",
        registers={
            **{30775: i32(4_200), 30783: u32(23_050, 0xFFFFFFFF, 0xFFFFFFFF), 30803: u32(4_998), 30845: u32(57)},
        },
        expected={
            **{"power_w": -4_200, "soc_permille": 570, "v1_mv": 230_500, "v2_mv": None, "frequency_mhz": 49_980},
        },
    ),
    12: Unit(
        table="huawei_sun2000",
        kind="PV",
        registers={
            **{32069: [2305, 2310, 2315], 32072: i32(10_000, 20_000, 30_250), 32080: i32(21_500, -300)},
            **{32085: [4998], 40125: [1000]},
        },
        expected=three_phase(power_w=-21_500, reactive_var=300),
    ),
    13: Unit(
        table="kostal_plenticore_battery",
        kind="BATTERY",
        registers={514: [61], 582: i16(-1_800), 1034: f32_low(0), 1076: f32_low(5_000), 1078: f32_low(6_000)},
        expected={"power_w": 1_800, "soc_permille": 610},
    ),
    14: Unit(
        table="dgm_pcs",
        kind="BATTERY",
        registers={0: [*i32(-4_000, 250), 617, *u32(20_000, 25_000), 3, 1], 100: [0, 0, *i32(0, 0), 0]},
        expected={"power_w": -4_000, "reactive_var": 250, "soc_permille": 617},
    ),
}


def blocks(registers: Mapping[int, Sequence[int]]) -> list[SimData]:
    """Blocks of registers; those that touch are one, and what nobody documents does not exist."""
    runs: list[tuple[int, list[int]]] = []
    for start, values in sorted(registers.items()):
        if runs and runs[-1][0] + len(runs[-1][1]) == start:
            runs[-1][1].extend(values)
        else:
            runs.append((start, list(values)))
    return [SimData(start, values=values, datatype=DataType.REGISTERS) for start, values in runs]


@dataclass
class TableGateway:
    """The server with its units, and what was written to them."""

    units: Mapping[int, Unit] = field(default_factory=lambda: UNITS)
    writes: list[tuple[int, int, list[int]]] = field(default_factory=list)
    port: int = 0
    _server: ModbusTcpServer | None = None

    async def __aenter__(self) -> TableGateway:
        devices = [self._device(unit, found) for unit, found in self.units.items()]
        self._server = ModbusTcpServer(devices, address=(HOST, 0))
        await self._server.serve_forever(background=True)
        assert self._server.transport is not None
        self.port = self._server.transport.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        await self._server.shutdown()

    def _device(self, unit: int, found: Unit) -> SimDevice:
        async def action(
            function: int, _start: int, address: int, _count: int, _now: list[int], new: list[int] | list[bool] | None
        ) -> ExcCodes | None:
            if new is not None:
                self.writes.append((unit, address, [int(value) for value in new]))
            return None

        return SimDevice(unit, simdata=blocks(found.registers), action=action)

    async def overwrite(self, unit: int, address: int, values: list[int]) -> None:
        """What the device, or somebody at it, would change."""
        assert self._server is not None
        await self._server.async_setValues(unit, 16, address, values)
