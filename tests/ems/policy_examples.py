"""A site on paper for the policies: pictures of it, second by second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ems_examples import at, demo_config

from dgm.api.site.v1.site_pb2 import PlugState
from dgm.ems.calendar import local_at, utc_offset
from dgm.ems.policies import registry
from dgm.ems.snapshot import EvseView, Planned, Snapshot, SolarView, StorageView
from dgm.ems.stack import Policy
from dgm.ems.steering import Targets, nonsense
from dgm.site.state import NO_PHASES
from dgm.site.topology import Topology

TOPOLOGY = Topology.from_config(demo_config())
CHARGING = PlugState.PLUG_STATE_CHARGING
FREE = PlugState.PLUG_STATE_AVAILABLE


def evse(
    index: int,
    plug: PlugState = CHARGING,
    *,
    power_w: int | None = 0,
    grant_ma: int = 0,
    planned: Planned | None = None,
    topology: Topology = TOPOLOGY,
) -> EvseView:
    return EvseView(
        asset=topology.assets[index],
        plug_state=plug,
        power_w=power_w,
        current_ma=NO_PHASES,
        energy_wh=None,
        grant_ma=grant_ma,
        planned=planned,
    )


def picture(
    mono_ms: int = 0,
    *,
    utc_ms: int | None = None,
    net_w: int | None = 0,
    evses: Sequence[EvseView] | None = None,
    battery: tuple[int | None, int | None] = (0, 500),
    solar_w: int | None = 0,
    topology: Topology = TOPOLOGY,
    **more: Any,
) -> Snapshot:
    """The demo site: both EVSEs free unless given, battery (W, permille), PV giving `solar_w`."""
    now = at(mono_ms, utc_ms=utc_ms)
    evses = [evse(view.index, FREE, topology=topology) for view in topology.evses()] if evses is None else evses
    kinds = {asset.id: asset for asset in topology.assets}
    return Snapshot(
        now=now,
        local=local_at(now.utc_ms, utc_offset),
        cycle_ms=1000,
        topology=topology,
        net_w=net_w,
        evses=evses,
        batteries=[StorageView(asset=kinds["b1"], power_w=battery[0], soc_permille=battery[1])],
        solars=[SolarView(asset=kinds["pv1"], power_w=None if solar_w is None else -solar_w)],
        **more,
    )


def policy(name: str, **given: Sequence[str] | str) -> tuple[Policy, Any]:
    """A policy with its parameters as site.yaml would give them."""
    from dgm.ems.policies import parameters

    lists: Mapping[str, Sequence[str]] = {k: [v] if isinstance(v, str) else v for k, v in given.items()}
    found = registry.policies()[name]
    params, wrong = parameters.read(found.params, lists)
    assert not wrong, wrong
    return found, params


class Run:
    """One policy through time: its memory is handed back as the stack does."""

    def __init__(self, name: str, **given: Sequence[str] | str) -> None:
        self.policy, self.params = policy(name, **given)
        self.memory: Any = None

    def __call__(self, snapshot: Snapshot) -> Targets:
        targets = self.policy.decide(replace(snapshot, memory=self.memory), self.params)
        assert nonsense(targets, snapshot.topology) is None
        self.memory = targets.memory
        return targets
