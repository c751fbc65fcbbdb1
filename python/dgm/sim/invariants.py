"""What must hold at every simulated second, and what must come back when the world has healed.

truth <= counted (each station's own profiles against what the Arbiter counts it at) · rows kept or shortfall stated ·
grants on their step · the connection point within its limit but for short excursions · relay byte-equal and in order ·
responses along a legal path · queues bounded · after all outages every bill booked, in order, and none invented

The world's truth is compared with the product's books; the product's books are never compared with themselves alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dgm import _core
from dgm.api.core.v1.core_pb2 import AssetGrant, Decision, Row
from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.ocpp import events as ocpp
from dgm.sim.quirks import Quirk
from dgm.sim.roles import ROLES

if TYPE_CHECKING:
    from dgm.sim.line import Line
    from dgm.sim.world import World

EXCESS_SECONDS_MAX = 20
"""Longest run of seconds above the limit in force; the demo's live bar is 10 s after the first 15 s."""

EXCESS_FACTOR_PERMILLE = 1020
LEGAL_PATHS = ((1,), (1, 2), (1, 2, 3), (1, 2, 6), (1, 2, 7), (1, 6), (1, 7), (254,), (1, 2, 3, 6))
LOAD_ROWS = (
    Quantity.QUANTITY_NET_IMPORT,
    Quantity.QUANTITY_CURRENT,
    Quantity.QUANTITY_GROSS_LOAD,
)
DUE_MAX = 500
PATIENCE_S = 1
"""A frame that wipes profiles needs a moment from the relay to the next tick: twice in a row is too long."""

PATIENCE_OF_DEAD_S = 7
"""The ems role takes the ocpp role for dead after 5 s without a sign (`ems.cycle.LINK_MS`), and then decides."""


def _settled_ma(grant: AssetGrant) -> int:
    """What an EVSE takes once its newest grant is proved: its grant, or what it counts at where no grant moves it."""
    return grant.counted_ma if grant.counted_reason in ("nameplate", "fallback") else grant.current_ma


class Invariants:
    """Checks one world. What is broken raises AssertionError with seed, time, the last events and the replay line."""

    def __init__(self, world: World) -> None:
        self.checked_seconds = 0
        self.worst_excess_s = 0
        self._world = world
        self._excess_s = 0
        self._suspects: dict[int, int] = {}
        self._evses = [evse for station in world.config.stations for evse in station.evses]

    def check(self) -> None:
        """Everything that can be seen at one instant."""
        self.checked_seconds += 1
        self._check_connection_point()
        self._check_responses()
        ems = self._world.ems
        if ems is None or not ems.grants:
            return
        self._check_counted(ems.grants)
        self._check_grants(ems.grants)
        if ems.decision is not None:
            self._check_rows(ems.decision)
        self._expect(not ems.refused, f"the EMS refused a message: {ems.refused[:1]}")

    def check_liveness(self) -> None:
        """After HEAL_MS without faults: every station is proved, and cars that want energy charge if there is room."""
        world = self._world
        self._expect(world.alive == frozenset(ROLES), f"of the roles only {sorted(world.alive)} live")
        for line in world.lines:
            self._expect(line.is_up, f"{line.id} did not come back")
            wrong = world.outages.faults(line, world.now)
            self._expect(not wrong, f"{line.id}: {wrong}")
            if Quirk.EMPTY_COMPOSITE in line.station.plan.quirks:
                continue  # nothing that it says proves anything
            for evse in line.session.evses:
                proved = evse.enforcer.proved_ma(world.now)
                self._expect(proved is not None, f"{line.id}: nothing proved, plug {evse.memory.plug_state}")

    # Electrical

    def _check_counted(self, grants: list[tuple[int, ...]]) -> None:
        world = self._world
        first = len(world.config.assets)
        patience_s = PATIENCE_S if world.fleet.is_alive else PATIENCE_OF_DEAD_S
        for index, (line, plan) in enumerate(world.evses):
            counted_ma = grants[first + index][1]
            could_ma = line.station.limit_ma(line.port(plan.id), world.now.utc_ms)
            self._suspects[index] = self._suspects.get(index, 0) + 1 if could_ma > counted_ma else 0
            self._expect(
                self._suspects[index] <= patience_s,
                f"{plan.id} could draw {could_ma} mA by its installed profiles and counts at {counted_ma} mA",
            )

    def _check_grants(self, grants: list[tuple[int, ...]]) -> None:
        first = len(self._world.config.assets)
        for evse, grant in zip(self._evses, grants[first:], strict=True):
            value_ma = grant[0]
            if value_ma in (0, _core.ABSENT64):
                continue
            inside = evse.current_min_ma <= value_ma <= evse.current_max_ma
            self._expect(inside and value_ma % evse.current_step_ma == 0, f"{evse.id} is granted {value_ma} mA")

    def _check_rows(self, decision: Decision) -> None:
        """Grants, and what cannot be moved at its worst, keep every row; where they cannot, nothing is granted."""
        granted = {grant.asset_index: grant.current_ma for grant in decision.grants if grant.HasField("current_ma")}
        settled = {grant.asset_index: _settled_ma(grant) for grant in decision.grants if grant.HasField("current_ma")}
        for row in decision.rows:
            if row.quantity not in LOAD_ROWS:
                continue
            evses = self._evses_of(row)
            over = self._load_of(row, evses, settled) + row.uncontrolled - row.help - row.bound
            if over <= 0:
                continue
            where = f"row {row.circuit_index} {Quantity.Name(row.quantity)} phase {row.phase}"
            self._expect(row.shortfall > 0, f"{where} is over by {over} and states no shortfall")
            above = [index for index in evses if granted[index] > 0]
            self._expect(not above, f"{where} is over by {over} and still grants {len(above)} EVSEs")

    def _load_of(self, row: Row, evses: list[int], settled_ma: dict[int, int]) -> int:
        config = self._world.config
        first = len(config.assets)
        if row.phase:
            return sum(settled_ma[index] for index in evses)
        wired = {index: len(self._evses[index - first].phases) for index in evses}
        return sum(settled_ma[index] * wired[index] for index in evses) * config.site.nominal_voltage_mv // 1_000_000

    def _evses_of(self, row: Row) -> list[int]:
        config = self._world.config
        below = {config.circuits[row.circuit_index].id}
        for _ in config.circuits:
            below |= {circuit.id for circuit in config.circuits if circuit.parent in below}
        found = []
        for index, evse in enumerate(self._evses):
            wired = row.phase == 0 or row.phase in evse.phases
            if evse.circuit in below and wired:
                found.append(len(config.assets) + index)
        return found

    def _check_connection_point(self) -> None:
        world = self._world
        net_w = world.plant.reading().net_w
        limits = [world.timeline.site.import_w, *world.utility.limits.values()]
        if world.ems is None or not world.field.meter.is_right:
            # With nobody in control the configured limit is what the fallback proof promises.
            limits = limits[:1]
        elif self._states_shortfall(world.ems.decision):
            self._excess_s = 0
            return
        over = net_w > min(limits) * EXCESS_FACTOR_PERMILLE // 1000
        self._excess_s = self._excess_s + 1 if over else 0
        self.worst_excess_s = max(self.worst_excess_s, self._excess_s)
        self._expect(
            self._excess_s <= EXCESS_SECONDS_MAX,
            f"import {net_w:.0f} W above {min(limits)} W for {self._excess_s} s in a row",
        )

    def _states_shortfall(self, decision: Decision | None) -> bool:
        rows = [] if decision is None else decision.rows
        return any(row.circuit_index == 0 and row.shortfall > 0 for row in rows)

    # Messages

    def sent(self, line: Line, effect: ocpp.Send) -> None:
        """A frame left the relay: a relayed one must be the oldest its origin is owed, unchanged."""
        if not effect.relayed:
            return
        due = line.due_north if effect.leg is ocpp.Leg.NORTH else line.due_south
        self._take(line, due, effect.raw, "was relayed")

    def excepted(self, line: Line, effect: ocpp.Excepted) -> None:
        """A frame of the closed list: kept ones are owed no longer, ours were owed to nobody."""
        if effect.direction is not ocpp.Direction.LOCAL:
            return
        if effect.reason is ocpp.Reason.TAKEN_OVER:
            line.due_north.insert(0, effect.raw)  # it went to a CSMS that was lost: it is owed again
            return
        due = line.due_north if effect.raw in line.due_north else line.due_south
        self._take(line, due, effect.raw, f"was kept ({effect.reason.value})", in_order=False)

    def _take(self, line: Line, due: list[bytes], raw: bytes, what: str, *, in_order: bool = True) -> None:
        name = line.id
        self._expect(raw in due, f"{name}: a frame {what} that no peer has sent: {raw[:120]!r}")
        if in_order:
            # Answers never wait behind CALLs, so order is kept within CALLs and within answers.
            kind = raw.lstrip()[1:2]
            first = next(frame for frame in due if frame.lstrip()[1:2] == kind)
            self._expect(first == raw, f"{name}: a frame {what} out of order: {raw[:120]!r}")
        due.remove(raw)
        self._expect(len(due) <= DUE_MAX, f"{name}: {len(due)} frames wait")

    def _check_responses(self) -> None:
        for mrid, codes in self._world.utility.responses.items():
            self._expect(tuple(codes) in LEGAL_PATHS, f"responses of {mrid}: {codes}")

    def _expect(self, holds: bool, what: str) -> None:
        if holds:
            return
        world = self._world
        hours = world.length_ms / 3_600_000
        replay = f"dgm sim --seed {world.seed} --hours {hours:g} --evse {len(world.lines)}"
        events = "\n".join(world.recent)
        at_s = world.agenda.elapsed_ms / 1000
        raise AssertionError(f"at {at_s:.1f} s: {what}\nlast events:\n{events}\nreplay: {replay}")
