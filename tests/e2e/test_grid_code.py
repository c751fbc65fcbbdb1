"""A utility's curve and power factor at a simulated inverter: held exactly, and its own settings back in the end."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from e2e_live import Live
from e2e_waiting import eventually
from e2e_world import GRID_PV

from dgm.api.ems.v1 import grid_pb2, grid_pb2_grpc
from dgm.sim.devices import InverterDevice
from dgm.sim.plant import Inverter
from dgm.sim.utility.state import Control, Served, mrid_of

pytestmark = pytest.mark.parametrize("live", ["serve"], indirect=True)

RESTORED_S = 60.0
"""After a restart of the ems role sources have a quarter of a minute to come back."""
VOLT_VAR = ((90, 30), (95, 0), (105, 0), (110, -30))
CURVE = "<DERCurve><mRID>{mrid}</mRID><creationTime>1</creationTime>{points}<curveType>11</curveType>{rest}</DERCurve>"
REST = "<xMultiplier>0</xMultiplier><yMultiplier>0</yMultiplier><yRefType>2</yRefType>"
COMMANDS = ("AdptCrvReq", "AdptCtlReq")


@dataclass
class Bench:
    """One inverter of the live site, looked at past the product, and the utility's controls for it."""

    live: Live
    port: int
    device: InverterDevice = field(default_factory=lambda: InverterDevice(Inverter(1), index=0))

    def get(self, model: int, name: str) -> int:
        """A register as it stands on the device."""
        point = self.device.image.point(model, name)
        words = self._read(point.address, point.width)
        number = int.from_bytes(b"".join(word.to_bytes(2, "big") for word in words), "big")
        return number - (1 << 16) if point.kind == "i16" and number >> 15 else number

    def _read(self, address: int, count: int) -> tuple[int, ...]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5.0) as connection:
            connection.sendall(struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, address, count))
            answer = b""
            while len(answer) < 9 + 2 * count:
                answer += connection.recv(512)
        return struct.unpack(f">{count}H", answer[9:])

    def settings(self) -> dict[tuple[int, str], int]:
        """All that the product may change of the inverter's own."""
        own = [point for point in self.device.grid_code.writable() if point[1] not in COMMANDS]
        points = [self.device.image.point(*point) for point in own]
        first, last = points[0].address, points[-1].address + points[-1].width
        words: list[int] = []
        while first + len(words) < last:
            words += self._read(first + len(words), min(120, last - first - len(words)))
        return {name: words[point.address - first] for name, point in zip(own, points, strict=True)}

    def begin(self, name: str, modes: dict[str, object]) -> Control:
        """The utility publishes an event that begins at once."""
        now_s = int(time.time())
        mrid = mrid_of("control", name)
        control = Control(mrid=mrid, creation_s=now_s, start_s=now_s, duration_s=600, modes=modes)
        self.live.world.utility.server.state.programs["0"].controls[mrid] = control
        return control

    def responses(self, control: Control) -> list[int]:
        """What the product has answered to an event."""
        return [
            int(record["status"])
            for record in self.live.world.utility.records.responses
            if record["mrid"] == control.mrid
        ]

    def listed(self) -> grid_pb2.ListModesResponse:
        """What the ems role says of it."""
        stub = grid_pb2_grpc.GridServiceStub(self.live.client.channel("ems"))
        found: grid_pb2.ListModesResponse = stub.ListModes(grid_pb2.ListModesRequest(), timeout=5.0)
        return found


@pytest.fixture
def bench(live: Live) -> Iterator[Bench]:
    document = live.world.document
    port = next(asset for asset in document["assets"] if asset["id"] == GRID_PV)["modbus"]["port"]
    found = Bench(live=live, port=port)
    points = "".join(f"<CurveData><xvalue>{x}</xvalue><yvalue>{y}</yvalue></CurveData>" for x, y in VOLT_VAR)
    xml = CURVE.format(mrid=mrid_of("curve", "1"), points=points, rest=REST)
    live.world.utility.server.state.served["curve 1"] = Served(name="curve 1", xml=xml, link="", on="")
    yield found
    for control in live.world.utility.server.state.programs["0"].controls.values():
        if control.modes.keys() & {"opModVoltVar", "opModFixedPFInjectW"}:
            control.cancel_s = control.cancel_s or int(time.time())


def holds_curve(bench: Bench) -> bool:
    shown = [(bench.get(705, f"Crv[0].Pt[{at}].V"), bench.get(705, f"Crv[0].Pt[{at}].Var")) for at in range(4)]
    return bench.get(705, "Ena") == 1 and shown == [(10 * x, 10 * y) for x, y in VOLT_VAR]


def holds_factor(bench: Bench) -> bool:
    return [bench.get(704, name) for name in ("PFWInjEna", "PFWInj.PF", "PFWInj.Ext")] == [1, 950, 1]


def test_a_curve_and_a_power_factor_are_held_through_a_kill_and_the_own_settings_come_back(
    live: Live, bench: Bench
) -> None:
    eventually("the inverter was looked at", lambda: bench.listed().inverters[0].is_surveyed)
    own = bench.settings()
    assert bench.get(705, "Ena") == 1, "its owner has volt-var on"
    href = live.world.utility.server.href("curve 1")
    volt_var = bench.begin("volt-var", {"opModVoltVar": href})
    eventually("the curve is in force", lambda: holds_curve(bench))
    eventually("the event is answered", lambda: bench.responses(volt_var) == [1, 2])

    factor = bench.begin("pf", {"opModFixedPFInjectW": {"displacement": 95, "excitation": True, "multiplier": -2}})
    eventually("the power factor is held", lambda: holds_factor(bench))
    eventually("volt-var gives way", lambda: bench.get(705, "Ena") == 0)
    live.product.kill("ems")
    assert holds_factor(bench), "the inverter goes on by itself"
    live.product.restart("ems")
    eventually("ems is ready", lambda: live.client.is_serving("ems"))
    eventually(
        "it is held again",
        lambda: [one.state for one in bench.listed().inverters[0].settings].count(grid_pb2.GRID_STATE_HELD) == 2,
        within_s=RESTORED_S,
    )
    assert holds_factor(bench)
    assert bench.get(705, "Ena") == 0

    factor.cancel_s = int(time.time())
    eventually("the curve is in force again", lambda: holds_curve(bench))
    assert bench.get(704, "PFWInjEna") == 0
    volt_var.cancel_s = int(time.time())
    eventually("its own settings are back", lambda: bench.settings() == own)
    eventually("both are answered", lambda: [bench.responses(one) for one in (volt_var, factor)] == [[1, 2, 6]] * 2)
    eventually("nothing is left to be restored", lambda: not bench.listed().inverters[0].settings)


def test_what_ends_while_the_ems_role_is_dead_is_restored_when_it_is_back(live: Live, bench: Bench) -> None:
    eventually("the inverter was looked at", lambda: bench.listed().inverters[0].is_surveyed)
    own = bench.settings()
    volt_var = bench.begin("late", {"opModVoltVar": live.world.utility.server.href("curve 1")})
    eventually("the curve is in force", lambda: holds_curve(bench))
    live.product.kill("ems")
    volt_var.cancel_s = int(time.time())
    eventually("the end is answered", lambda: bench.responses(volt_var) == [1, 2, 6])
    assert holds_curve(bench)
    live.product.restart("ems")
    eventually("its own settings are back", lambda: bench.settings() == own, within_s=RESTORED_S)
    eventually("ems is ready", lambda: live.client.is_serving("ems"))
