"""What happens at random in a simulated world, drawn from its seed, until the world heals.

    per station: cars come and go, its link is cut, its CPO commands          once: the ems role dies, the meter falls
    silent, the utility issues overlapping events

Only decides what and when; `actions` does it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from dgm.sim.car import CarSpec
from dgm.sim.cpo_commands import commands
from dgm.sim.line import Line
from dgm.sim.meter import MeterFault

if TYPE_CHECKING:
    from dgm.sim.world import World


class Chance:
    """Draws for one world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def plan(self) -> None:
        """Begin to draw."""
        world = self._world
        for line in world.lines:
            world.at_random(400_000, partial(self._cars, line))
            world.at_random(900_000, partial(self._cut, line))
            world.at_random(600_000, partial(self._command, line))
        world.outages.plan()
        world.at_random(700_000, self._kill_ems)
        world.at_random(900_000, self._kill_ocpp)
        world.at_random(600_000, self._silence_meter)
        world.at_random(300_000, self._issue_event)

    def _cars(self, line: Line) -> None:
        world, plan = self._world, line.plan
        if line.port(plan.id).car is not None:
            world.actions.unplug(plan.id)
            return
        world.count("cars")
        car = CarSpec(
            # Few drivers, so that a CSMS knows them when it goes away.
            id_tag=f"TAG-{line.index}-{world.counts['cars'] % 2}",
            phases=plan.phases if world.draw.uniform(0, 1) < 0.8 else 1,
            current_max_ma=world.draw.randrange(3) * 8000 + 16_000,
            need_wh=5_000 + world.draw.randrange(40_000),
            delay_ms=500 + world.draw.randrange(4000),
            ramp_ma_per_s=2000 + world.draw.randrange(10_000),
        )
        world.actions.plug(plan.id, car)

    def _cut(self, line: Line) -> None:
        self._world.count("cuts")
        self._world.actions.cut(line.id, for_ms=self._world.draw.uniform(1_000, 200_000))

    def _command(self, line: Line) -> None:
        if not self._world.fleet.has_csms(line):
            return
        world = self._world
        known = commands(line.version, line.plan.connector_id, line.transaction, world.now.utc_ms)
        action, payload = known[world.draw.randrange(len(known))]
        world.actions.command(line.id, action, payload)

    def _kill_ems(self) -> None:
        world = self._world
        if world.ems is None:
            return
        world.count("ems deaths")
        world.actions.kill("ems", for_ms=world.draw.uniform(2_000, 20_000))

    def _kill_ocpp(self) -> None:
        world = self._world
        if not world.fleet.is_alive:
            return
        world.count("ocpp deaths")
        world.actions.kill("ocpp", for_ms=world.draw.uniform(2_000, 60_000))

    def _silence_meter(self) -> None:
        world = self._world
        world.count("meter silences")
        world.actions.spoil_meter(MeterFault.SILENT)
        world.after(world.draw.uniform(1_000, 20_000), world.actions.mend_meter)

    def _issue_event(self) -> None:
        """A DERControl of one of two programs: overlapping, adjacent or nested with what is there."""
        world = self._world
        number = world.counts.get("utility events", 0)
        size = world.timeline.site
        low_w, high_w = size.import_w * 6 // 10, size.import_w
        world.count("utility events")
        start_s = world.draw.randrange(120)
        duration_s = 30 + world.draw.randrange(300)
        world.actions.put_control(
            f"{number:032X}",
            mode="opModImpLimW",
            power_w=low_w + world.draw.randrange(high_w - low_w),
            start_s=start_s,
            duration_s=duration_s,
            primacy=number % 2 + 1,
        )
