"""`dgm sim`: one seeded run of the virtual world, with its figures."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import typer
import yaml

from dgm import clock
from dgm import config as site_config
from dgm.sim.site_document import Endpoints, site_document
from dgm.sim.timeline import CPO_IDS, SECONDS_MIN, demo_timeline
from dgm.sim.world import HEAL_MS, World

LEAST_MS = 2 * HEAL_MS


def make_world(
    *, seed: int, hours: float, evse: int, ems: Mapping[str, Any] | None = None, is_quiet: bool = False
) -> World:
    """The world of these arguments: the same arguments, the same run. ems: more of that section of site.yaml."""
    draw = random.Random(seed)
    timeline = demo_timeline(evse_count=evse, seconds=SECONDS_MIN, seed=seed, draw=draw)
    endpoints = Endpoints(
        run_dir="run",
        modbus={name: 1502 for name in ("meter", "pv-1", "pv-2", "battery")},
        csms_urls={cpo_id: "ws://127.0.0.1:1" for cpo_id in CPO_IDS},
        ocpp_port=9000,
        ocpp_facade_port=9001,
        metrics_ports=(0, 0, 0),
        utility=None,
    )
    document = site_document(timeline, endpoints)
    document["ems"] |= ems or {}
    config = site_config.parse(yaml.safe_dump(document), source="simulated site")
    length_ms = max(LEAST_MS, round(hours * 3_600_000))
    return World(config, timeline, draw, seed=seed, length_ms=length_ms, is_quiet=is_quiet)


def run_sim(*, seed: int, hours: float, evse: int) -> int:
    """Run and report; 0 when every invariant held, 1 with the replay line when one was broken."""
    world = make_world(seed=seed, hours=hours, evse=evse)
    started_ms = clock.now().mono_ms
    try:
        world.run()
    except AssertionError as broken:
        typer.echo(f"INVARIANT BROKEN {broken}", err=True)
        return 1
    took_s = max(0.001, (clock.now().mono_ms - started_ms) / 1000)
    virtual_s = world.invariants.checked_seconds
    for name, count in sorted(world.counts.items()):
        typer.echo(f"  {name}: {count}")
    typer.echo(f"  longest excess over the limit: {world.invariants.worst_excess_s} s")
    typer.echo(f"  trace hash: {world.trace_hash[:16]}")
    typer.echo(
        f"seed {seed}: {virtual_s} virtual seconds of {evse} EVSEs in {took_s:.1f} s "
        f"({virtual_s / took_s:.0f} x real time), every invariant held"
    )
    return 0
