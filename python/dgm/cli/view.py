"""The live picture of a site in a terminal: what `dgm demo` shows while it runs. Draws only; asks nobody."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dgm.api.der.v1.der_pb2 import Control, ControlState
from dgm.api.site.v1.site_pb2 import AssetType, CircuitState, Grant, PlugState, Sample, Site, WatchSiteResponse

BAR_CELLS = 44
HISTORY_CELLS = 60
EVSE_ROWS = 14
SPARKS = "▁▂▃▄▅▆▇█"
PLUGGED = (
    PlugState.PLUG_STATE_PREPARING,
    PlugState.PLUG_STATE_CHARGING,
    PlugState.PLUG_STATE_SUSPENDED_EV,
    PlugState.PLUG_STATE_SUSPENDED_EVSE,
    PlugState.PLUG_STATE_FINISHING,
)


@dataclass(slots=True, kw_only=True)
class SiteView:
    """The newest of everything, by asset; `history` holds (net W, limit W) once a second, newest last."""

    site: Site
    title: str
    seconds_total: int
    samples: dict[str, Sample] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    root: CircuitState | None = None
    controls: list[Control] = field(default_factory=list)
    history: deque[tuple[int, int | None]] = field(default_factory=lambda: deque(maxlen=HISTORY_CELLS))
    notes: deque[str] = field(default_factory=lambda: deque(maxlen=4))
    elapsed_s: float = 0.0
    second: int = 0

    def take(self, update: WatchSiteResponse) -> None:
        """Fold one update in; a snapshot replaces everything."""
        if update.snapshot:
            self.samples.clear()
            self.grants.clear()
        self.samples.update({sample.asset_id: sample for sample in update.samples})
        self.grants.update({grant.asset_id: grant for grant in update.grants})
        root_id = self.site.circuits[0].id
        for circuit in update.circuits:
            if circuit.circuit_id == root_id:
                self.root = circuit
        is_next = update.time_utc_ms // 1000 != self.second
        self.second = update.time_utc_ms // 1000
        if is_next and self.root is not None and self.root.HasField("net_power_w"):
            limit = self.root.import_limit_w if self.root.HasField("import_limit_w") else None
            self.history.append((self.root.net_power_w, limit))

    def power_w(self, kind: AssetType) -> int | None:
        """Sum of the known powers of one type of asset; None when none is known."""
        ids = [asset.id for asset in self.site.assets if asset.type == kind]
        known = [self.samples[name].power_w for name in ids if name in self.samples and _has_power(self.samples[name])]
        return sum(known) if known else None


def _has_power(sample: Sample) -> bool:
    return sample.HasField("power_w")


def line(view: SiteView) -> str:
    """One line for a log or a pipe."""
    net = "-" if view.root is None or not view.root.HasField("net_power_w") else f"{view.root.net_power_w / 1000:.1f}"
    limit = "-" if view.root is None or not view.root.HasField("import_limit_w") else f"{_limit_kw(view.root):.1f}"
    cars = [sample for sample in view.samples.values() if sample.plug_state in PLUGGED]
    charging = sum(1 for sample in cars if sample.power_w > 0)
    return (
        f"{view.elapsed_s:5.0f} s  net {net:>7} kW  limit {limit:>7} kW  pv {_kw(view, AssetType.ASSET_TYPE_PV)}  "
        f"battery {_kw(view, AssetType.ASSET_TYPE_BATTERY)}  cars {_kw(view, AssetType.ASSET_TYPE_EVSE)} kW, "
        f"{len(cars)} plugged, {charging} charging  {_event(view)}"
    )


def _limit_kw(circuit: CircuitState) -> float:
    return circuit.import_limit_w / 1000


def _kw(view: SiteView, kind: AssetType) -> str:
    power_w = view.power_w(kind)
    return "      -" if power_w is None else f"{power_w / 1000:7.1f}"


def render(view: SiteView) -> RenderableType:
    """The whole picture."""
    parts: list[RenderableType] = [_connection(view), _balance(view), _event_line(view), _spark(view), _evses(view)]
    parts += [Text(note, style="dim") for note in view.notes]
    clock = f"{int(view.elapsed_s) // 60}:{int(view.elapsed_s) % 60:02d} of {view.seconds_total // 60}:"
    return Panel(Group(*parts), title=f"{view.title} · {clock}{view.seconds_total % 60:02d}", title_align="left")


def _connection(view: SiteView) -> Text:
    text = Text("Connection point ", style="bold")
    root = view.root
    if root is None or not root.HasField("net_power_w"):
        return text.append("no reading yet" if root is None or not root.meter_lost else "METER LOST", style="yellow")
    if not root.HasField("import_limit_w"):
        return text.append(f"{root.net_power_w / 1000:8.1f} kW, no limit")
    scale_w = max(root.import_limit_w * 5 // 4, 1)
    filled = max(0, min(BAR_CELLS, root.net_power_w * BAR_CELLS // scale_w))
    mark = min(BAR_CELLS - 1, root.import_limit_w * BAR_CELLS // scale_w)
    style = "red" if root.net_power_w > root.import_limit_w else "green"
    text.append(f"{root.net_power_w / 1000:8.1f} kW ")
    for cell in range(BAR_CELLS):
        text.append("┃" if cell == mark else "█" if cell < filled else "░", style="bold" if cell == mark else style)
    text.append(f" limit {_limit_kw(root):.1f} kW", style="bold")
    return text.append(f"  {root.import_limit_id}", style="dim")


def _balance(view: SiteView) -> Text:
    text = Text()
    building = "" if view.root is None else f"{view.root.uncontrolled_w / 1000:.1f}"
    soc = [sample.soc_permille for sample in view.samples.values() if sample.HasField("soc_permille")]
    cars = [sample for sample in view.samples.values() if sample.plug_state in PLUGGED]
    charging = sum(1 for sample in cars if sample.power_w > 0)
    text.append("PV ", style="bold").append(f"{_kw(view, AssetType.ASSET_TYPE_PV)} kW   ")
    text.append("Battery ", style="bold").append(f"{_kw(view, AssetType.ASSET_TYPE_BATTERY)} kW")
    text.append(f" ({max(soc) / 10:.1f} %)   " if soc else "   ")
    text.append("Building ", style="bold").append(f"{building} kW   ")
    text.append("Cars ", style="bold").append(f"{_kw(view, AssetType.ASSET_TYPE_EVSE)} kW, ")
    return text.append(f"{len(cars)} plugged in, {charging} charging")


def _event(view: SiteView) -> str:
    current = [control for control in view.controls if control.state == ControlState.CONTROL_STATE_ACTIVE]
    coming = [control for control in view.controls if control.state == ControlState.CONTROL_STATE_SCHEDULED]
    for control in (*current, *coming):
        modes = ", ".join(
            f"{mode.name} {mode.power_w / 1000:.1f} kW" for mode in control.modes if mode.HasField("power_w")
        )
        state = ControlState.Name(control.state).removeprefix("CONTROL_STATE_")
        responses = ",".join(str(code) for code in control.responses_sent)
        return f"event {state} {modes} responses {responses or '-'}"
    done = [control for control in view.controls if control.state == ControlState.CONTROL_STATE_COMPLETED]
    return f"event COMPLETED responses {','.join(map(str, done[-1].responses_sent))}" if done else "no event"


def _event_line(view: SiteView) -> Text:
    found = _event(view)
    style = "magenta" if "ACTIVE" in found else "cyan" if "SCHEDULED" in found else "dim"
    return Text("Utility ", style="bold").append(found, style=style)


def _spark(view: SiteView) -> Text:
    text = Text("Last minute ", style="bold")
    top = max([max(net, limit or 0) for net, limit in view.history], default=1) or 1
    for net, limit in view.history:
        level = max(0, min(len(SPARKS) - 1, net * len(SPARKS) // (top + 1)))
        text.append(SPARKS[level], style="red" if limit is not None and net > limit else "green")
    return text


def _evses(view: SiteView) -> Table:
    table = Table("EVSE", "CPO", "state", "A", "kW", "bound by", box=None, pad_edge=False, header_style="dim")
    shown = [asset for asset in view.site.assets if asset.type == AssetType.ASSET_TYPE_EVSE]
    shown.sort(key=lambda asset: (_plugged_rank(view, asset.id), asset.id))
    for asset in shown[:EVSE_ROWS]:
        sample, grant = view.samples.get(asset.id), view.grants.get(asset.id)
        state = "-" if sample is None else PlugState.Name(sample.plug_state).removeprefix("PLUG_STATE_").lower()
        amps = "-" if grant is None or not grant.HasField("current_ma") else f"{grant.current_ma / 1000:.0f}"
        power = "-" if sample is None or not sample.HasField("power_w") else f"{sample.power_w / 1000:.1f}"
        bound = "" if grant is None else grant.binding_limit_id
        table.add_row(asset.id, asset.cpo_id, state, amps, power, bound)
    if len(shown) > EVSE_ROWS:
        table.add_row(f"... {len(shown) - EVSE_ROWS} more", "", "", "", "", "")
    return table


def _plugged_rank(view: SiteView, asset_id: str) -> int:
    sample = view.samples.get(asset_id)
    return 0 if sample is not None and sample.plug_state in PLUGGED else 1
