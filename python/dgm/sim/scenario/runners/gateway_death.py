"""Scenario 12: what `dgm check` proves of the fallbacks, and what happens when the OCPP gateway dies, then the node.

RS-1 with other fallbacks ──fallback_rows──> broken or not          run `proof`
stage at its ceiling ──kill ocpp──> ──kill ems──> ──start both──>   runs `import` and `export`, on the plant
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.config.v1.scenario_pb2 import CarsArrive
from dgm.api.site.v1.site_pb2 import AssetType
from dgm.sim.scenario.mark import Measured
from dgm.sim.scenario.runners.timeline import finish
from dgm.sim.scenario.script import car_of
from dgm.sim.scenario.site import AC11, AC22, BATTERY_W, rs_1
from dgm.sim.scenario.stage import Stage
from dgm.sim.scenario.task import Outcome, Task
from dgm.site.finding import State
from dgm.site.proof import fallback_proof, fallback_rows

ARRIVE_S, GATEWAY_S, NODE_S, START_S = 5, 100, 190, 250
SIX_A_MA = 6_000
TOLERANCE_MA = 100
BACK_W = 10_000
Change = Callable[[DgmConfig], None]


def run(task: Task) -> Outcome:
    """The run that the file names."""
    return _proof(task) if task.run == "proof" else _drill(task)


# -- the proof ---------------------------------------------------------------------------------------------------------


def _fallbacks(config: DgmConfig, kind: str, current_ma: int) -> None:
    for station in config.stations:
        for evse in station.evses:
            if evse.id.startswith(kind):
                evse.fallback_ma = current_ma


def _as_shipped(config: DgmConfig) -> None:
    """As the makers deliver them: 32 A where the EVSE can."""
    _fallbacks(config, AC11.name, 0)
    _fallbacks(config, AC22.name, AC22.current_max_ma)


def _all_six(config: DgmConfig) -> None:
    _fallbacks(config, "ac", SIX_A_MA)


def _unknown(config: DgmConfig) -> None:
    config.stations[0].evses[0].ClearField("fallback_ma")


def _to_nameplate(config: DgmConfig) -> None:
    """PV and battery go on at full power when nobody commands them."""
    for asset in config.assets:
        if asset.type == AssetType.ASSET_TYPE_PV:
            asset.revert_w = asset.power_max_w
        elif asset.type == AssetType.ASSET_TYPE_BATTERY:
            asset.revert_w = BATTERY_W


BAD: dict[str, Change] = {
    "as shipped": _as_shipped,
    "100 x 6 A": _all_six,
    "an unknown fallback": _unknown,
    "reverts to nameplate": _to_nameplate,
}


def _proof(task: Task) -> Outcome:
    good = rs_1(task.world).config
    broken = {name: _changed(good, change) for name, change in BAD.items()}
    passed = [name for name, config in broken.items() if not _is_broken(config)]
    wrong = [row for row in fallback_rows(good) if row.state is State.BROKEN]
    return Outcome(
        figures={
            "bad_passed": Measured(value=len(passed), detail=", ".join(passed) or "all four fail, each as it should"),
            "good_broken": Measured(value=len(wrong), detail=str(wrong[0]) if wrong else ""),
            "good_kw": Measured(value=_total(good, "import") / 1000, detail="60 x 6 A and the building"),
            "as_shipped_kw": Measured(value=_part(broken["as shipped"], "evse") / 1000, detail="of EVSEs"),
            "all_six_kw": Measured(value=_total(broken["100 x 6 A"], "import") / 1000),
            "export_kw": Measured(value=_total(broken["reverts to nameplate"], "export") / 1000),
        }
    )


def _changed(config: DgmConfig, change: Change) -> DgmConfig:
    found = DgmConfig()
    found.CopyFrom(config)
    change(found)
    return found


def _is_broken(config: DgmConfig) -> bool:
    return any(row.state is State.BROKEN for row in fallback_rows(config))


def _total(config: DgmConfig, side: str) -> int:
    return next(row.total for row in fallback_proof(config) if (row.circuit_id, row.side) == ("grid", side))


def _part(config: DgmConfig, name: str) -> int:
    rows = (row for row in fallback_proof(config) if (row.circuit_id, row.side) == ("grid", "import"))
    return dict(next(rows).parts)[name]


# -- the drill ---------------------------------------------------------------------------------------------------------


def _drill(task: Task) -> Outcome:
    stage = Stage(task)
    world, lease_s = stage.world, stage.site.config.ocpp.profile_lease_s
    fallbacks = {plan.id: plan.fallback_ma for plan in stage.site.timeline.evses}
    above: list[float] = []
    if task.run == "import":
        for plan in stage.site.timeline.evses:
            stage.at_s(ARRIVE_S, partial(world.actions.plug, plan.id, car_of(plan, CarsArrive())))

    def look() -> None:
        plans = ((plan.id, port) for line in world.lines for plan, port in zip(line.plans, line.ports, strict=True))
        if any(port.current_ma > fallbacks[name] + TOLERANCE_MA for name, port in plans):
            above.append(stage.elapsed_ms / 1000)

    world.agenda.every(500, look)
    stage.at_s(GATEWAY_S, partial(world.actions.kill, "ocpp"))
    stage.at_s(NODE_S, partial(world.actions.kill, "ems"))
    stage.at_s(START_S, partial(world.actions.start, "ems"))
    stage.at_s(START_S, partial(world.actions.start, "ocpp"))
    found = finish(stage)
    late = [at for at in above if GATEWAY_S <= at < START_S]
    least_w = sum(min(fallbacks[plan.id], plan.current_max_ma) for plan in stage.site.timeline.evses) * 0.69
    ev_w = stage.trace.series("ev_w")
    back = next((at for at in range(START_S, len(ev_w)) if ev_w[at] > least_w + BACK_W), None)
    figures = {
        "fallback_s": Measured(
            value=late[-1] + 0.5 - GATEWAY_S if late else 0.0, detail=f"until no car drew more; leases of {lease_s} s"
        ),
        "back_s": Measured(value=None if back is None else float(back - START_S), detail="cars beyond their fallbacks"),
    }
    return Outcome(figures=figures, trace=found.trace, panels=found.panels, why=found.why)
