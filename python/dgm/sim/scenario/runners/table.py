"""All runners by the name that a scenario file gives."""

from __future__ import annotations

from dgm.sim.scenario.runners import cpo_outage, event_algebra, gateway_death, guard_limit, transparency
from dgm.sim.scenario.runners.timeline import play
from dgm.sim.scenario.task import Runner

TIMELINE = "timeline"
"""What plays a scenario that names no runner: its world and its timeline, on the whole simulated site."""

RUNNERS: dict[str, Runner] = {
    TIMELINE: play,
    "cpo_outage": cpo_outage.run,
    "event_algebra": event_algebra.run,
    "gateway_death": gateway_death.run,
    "guard_limit": guard_limit.run,
    "transparency": transparency.run,
}
