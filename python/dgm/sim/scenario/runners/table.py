"""All runners by the name that a scenario file gives."""

from __future__ import annotations

from dgm.sim.scenario.task import Runner

RUNNERS: dict[str, Runner] = {}

TIMELINE = "timeline"
"""What plays a scenario that names no runner: its world and its timeline, on the whole simulated site."""
