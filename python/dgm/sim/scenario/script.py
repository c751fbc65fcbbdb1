"""What each step of a timeline does to the world.

    ScenarioStep ──planned──> at its time: Actions of the world, Utility, ramps of building and sun

Names that the site does not have are found before anything is started (`problems`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from dgm.api.config.v1.scenario_pb2 import (
    CarsArrive,
    DeviceFault,
    DeviceFaultKind,
    EvseChoice,
    LinkCut,
    LoadStep,
    MeterFault,
    MeterFaultKind,
    RoleDeath,
    ScenarioStep,
    StationBehaviour,
    UtilityControl,
    UtilityDefault,
)
from dgm.api.ems.v1.policy_pb2 import ChargingNeed, SetChargingNeedRequest
from dgm.sim.car import CarSpec
from dgm.sim.meter import MeterFault as Fault
from dgm.sim.scenario.manner import behave
from dgm.sim.scenario.stage import Stage
from dgm.sim.timeline import EvsePlan

NEED_WH, DELAY_MS, RAMP_MA_PER_S = 60_000, 2_000, 4_000
RAMP_STEP_S = 0.1
THIRD = (1.0, 1.0, 1.0)
FAULTS = {
    MeterFaultKind.METER_FAULT_KIND_SILENT: Fault.SILENT,
    MeterFaultKind.METER_FAULT_KIND_FROZEN: Fault.FROZEN,
    MeterFaultKind.METER_FAULT_KIND_FLIPPED: Fault.FLIPPED,
    MeterFaultKind.METER_FAULT_KIND_PHASE_LOST: Fault.PHASE_LOST,
}
Finding = tuple[str, str, str]


class Script:
    """The steps of one run on its stage."""

    def __init__(self, stage: Stage, steps: Iterable[ScenarioStep]) -> None:
        self._stage = stage
        self._building_w = stage.world.plant.reading().building_w
        self._sun_w = float(stage.task.world.sun_w)
        self._programs: set[str] = set()
        for step in steps:
            stage.at_s(step.at_s, partial(self._do, step))

    def _do(self, step: ScenarioStep) -> None:
        what = next(field.name for field, _ in step.ListFields() if field.name != "at_s")
        getattr(self, f"_{what}")(getattr(step, what))

    # Cars

    def _cars(self, arrive: CarsArrive) -> None:
        chosen = choose(self._stage.site.timeline.evses, arrive.at)
        for index, plan in enumerate(chosen):
            delay_ms = arrive.over_s * 1000 * index / len(chosen)
            self._stage.world.after(delay_ms, partial(self._plug, plan, arrive))

    def _plug(self, plan: EvsePlan, arrive: CarsArrive) -> None:
        world = self._stage.world
        spec = car_of(plan, arrive)
        world.actions.plug(plan.id, spec)
        if arrive.HasField("departure_s"):
            away_ms = arrive.departure_s * 1000 - self._stage.elapsed_ms
            need = ChargingNeed(
                asset_id=plan.id,
                source="api:scenario",
                energy_wh=spec.need_wh,
                departure_utc_ms=world.now.utc_ms + away_ms,
            )
            world.ask(SetChargingNeedRequest(need=need))

    def _leave(self, leave: CarsArrive) -> None:
        for plan in choose(self._stage.site.timeline.evses, leave.at):
            self._stage.world.actions.unplug(plan.id)

    # Plant

    def _building(self, load: LoadStep) -> None:
        shares = tuple(one / 1000 for one in load.phases_permille) or THIRD
        set_w = partial(self._stage.world.actions.set_building, shares=(shares[0], shares[1], shares[2]))
        self._ramp(self._building_w, load, set_w)
        self._building_w = float(load.power_w)

    def _sun(self, load: LoadStep) -> None:
        self._ramp(self._sun_w, load, self._stage.set_sun)
        self._sun_w = float(load.power_w)

    def _ramp(self, from_w: float, load: LoadStep, set_w: Callable[[float], None]) -> None:
        steps = max(1, round(load.over_s / RAMP_STEP_S))
        for at in range(1, steps + 1):
            watts = from_w + (load.power_w - from_w) * at / steps
            self._stage.world.after(at * load.over_s * 1000 / steps, partial(set_w, watts))

    def _battery(self, battery: object) -> None:
        self._stage.world.actions.set_soc(battery.soc_permille)  # type: ignore[attr-defined]

    # Utility

    def _program(self, primacy: int) -> str:
        name = str(primacy)
        if name not in self._programs:
            self._programs.add(name)
            self._act("program", {"name": name, "primacy": primacy})
        return name

    def _control(self, control: UtilityControl) -> None:
        primacy = control.primacy if control.HasField("primacy") else 1
        arguments = {
            "name": control.id,
            "program": self._program(primacy),
            "modes": {control.mode: mode_value(control)},
            "start_in_s": control.start_s - self._stage.elapsed_ms // 1000,
            "duration_s": control.duration_s,
        }
        if control.HasField("ramp_cs"):
            arguments["ramp_tms"] = control.ramp_cs
        self._act("control", arguments)

    def _default(self, default: UtilityDefault) -> None:
        arguments: dict[str, object] = {"program": self._program(1), "modes": {default.mode: mode_value(default)}}
        if default.HasField("set_grad_w"):
            arguments["grad"] = default.set_grad_w
        self._act("default", arguments)

    def _cancel(self, cancel: UtilityControl) -> None:
        self._act("cancel", {"control": cancel.id})

    def _act(self, action: str, arguments: dict[str, object]) -> None:
        self._stage.utility.act(action, arguments, self._stage.world.now)

    # Faults

    def _meter(self, fault: MeterFault) -> None:
        actions = self._stage.world.actions
        actions.spoil_meter(FAULTS[fault.fault], phase=fault.phase if fault.HasField("phase") else 1)
        self._later(fault.for_s, actions.mend_meter)

    def _device(self, fault: DeviceFault) -> None:
        actions = self._stage.world.actions
        if fault.fault == DeviceFaultKind.DEVICE_FAULT_KIND_TRIP:
            actions.trip(fault.id)
            self._later(fault.for_s, lambda: actions.trip(fault.id, is_tripped=False))
        else:
            actions.cut_device(fault.id)
            self._later(fault.for_s, lambda: actions.cut_device(fault.id, is_cut=False))

    def _kill(self, death: RoleDeath) -> None:
        world, utility = self._stage.world, self._stage.utility
        if death.role == "der":
            utility.kill()
            self._later(death.for_s, lambda: utility.start(world.now))
        else:
            world.actions.kill(death.role, for_ms=death.for_s * 1000 if death.for_s else None)

    def _cut(self, cut: LinkCut) -> None:
        if cut.of == "utility":
            self._stage.utility.is_cut = True
            self._later(cut.for_s, self._join_utility)
            return
        for plan in choose(self._stage.site.timeline.evses, cut.at):
            self._stage.world.actions.cut(plan.station.id, for_ms=cut.for_s * 1000 if cut.for_s else None)

    def _join_utility(self) -> None:
        self._stage.utility.is_cut = False

    def _stations(self, behaviour: StationBehaviour) -> None:
        for plan in choose(self._stage.site.timeline.evses, behaviour.at):
            behave(self._stage.world.fleet.by_asset[plan.id], behaviour.manner, behaviour.late_ms)

    def _later(self, for_s: int, action: Callable[[], None]) -> None:
        if for_s:
            self._stage.world.after(for_s * 1000, action)


def mode_value(control: UtilityControl | UtilityDefault) -> object:
    """What stands in the document for a mode: W, hundredths of a percent, or a switch."""
    if control.HasField("power_w"):
        return control.power_w
    if control.HasField("percent_hundredths"):
        return control.percent_hundredths
    return isinstance(control, UtilityControl) and control.flag


def car_of(plan: EvsePlan, arrive: CarsArrive) -> CarSpec:
    """The car that comes to an EVSE."""
    return CarSpec(
        id_tag=f"TAG-{plan.id}",
        phases=arrive.phases if arrive.HasField("phases") else plan.phases,
        current_max_ma=arrive.current_max_ma if arrive.HasField("current_max_ma") else plan.current_max_ma,
        need_wh=arrive.need_wh if arrive.HasField("need_wh") else NEED_WH,
        delay_ms=arrive.delay_ms if arrive.HasField("delay_ms") else DELAY_MS,
        ramp_ma_per_s=arrive.ramp_ma_per_s if arrive.HasField("ramp_ma_per_s") else RAMP_MA_PER_S,
    )


def choose(evses: Iterable[EvsePlan], choice: EvseChoice) -> list[EvsePlan]:
    """The EVSEs that are meant, in the order of the site."""
    found = [plan for plan in evses if not choice.kind or plan.evse_class == choice.kind]
    if choice.ids:
        found = [plan for plan in found if plan.id in set(choice.ids)]
    first = choice.first if choice.HasField("first") else 0
    return found[first : first + choice.count] if choice.HasField("count") else found[first:]


def problems(stage: Stage, steps: Iterable[ScenarioStep]) -> Iterator[Finding]:
    """Names in the timeline that the site does not have."""
    evses = {plan.id for plan in stage.site.timeline.evses}
    kinds = {plan.evse_class for plan in stage.site.timeline.evses}
    for step in steps:
        at = f"the step at {step.at_s} s"
        for choice in (step.cars.at, step.leave.at, step.stations.at, step.cut.at):
            unknown = sorted(set(choice.ids) - evses)
            if unknown:
                yield at, f"EVSE {unknown[0]!r}", f"one of {len(evses)} such as {min(evses)!r}"
            if choice.kind and choice.kind not in kinds:
                yield at, f"kind {choice.kind!r}", "one of " + ", ".join(sorted(kinds))
        if step.HasField("device") and step.device.id not in stage.world.field.devices:
            known = ", ".join(stage.world.field.devices)
            yield f"{at}: device.id", repr(step.device.id), f"one of {known}"
        if step.HasField("kill") and step.kill.role not in ("ems", "der", "ocpp"):
            yield f"{at}: kill.role", repr(step.kill.role), "ems, der or ocpp"
