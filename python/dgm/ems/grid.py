"""The grid-code side of the ems role as one pure machine: modes in, transactions with inverters out.

    PutMode, DeleteMode ──> GridBook ──plan──> Inverter(s) ──> Ask (core), Store (journal), Told (audit)
                                                    ^── answers of the core

An inverter takes part if its `grid_functions` in site.yaml permit something, or settings of its own are put aside.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

from dgm.api.config.v1.config_pb2 import AssetConfig, DgmConfig
from dgm.api.core.v1.field_pb2 import ModelAnswer
from dgm.api.ems.v1.grid_pb2 import (
    CheckModeResponse,
    DeleteModeRequest,
    DeleteModeResponse,
    GridFunction,
    GridMode,
    InverterGrid,
    ListModesResponse,
    ModeFit,
    PutModeRequest,
    PutModeResponse,
)
from dgm.ems.grid_modes import GridBook, GridEntry, left
from dgm.ems.grid_modes import check as check_mode
from dgm.ems.grid_plan import Wants, plan
from dgm.ems.inverter import Effect, Inverter, Store, Stored
from dgm.ems.inverter_points import points_of
from dgm.machine import Now
from dgm.site.refusal import Refusal

JOURNAL_TABLE = "grid"
"""Own settings of inverters: key `asset/model`."""

NO_ASSET = "no asset of this id with a SunSpec device in site.yaml"
CHECKED = "api:check"
"""Id and source of a mode that is only looked at."""
ASKS_MAX = 4
"""Transactions in flight: what one line takes."""

GRID_FUNCTIONS = tuple(GridFunction.values())

Powers = Callable[[str], int | None]
"""W of an asset as measured, None: not seen."""


class GridDesk:
    """Modes, inverters and what stands on them."""

    def __init__(self, config: DgmConfig, stored: Mapping[str, bytes], now: Now) -> None:
        """Stored entries that cannot be read are in `damaged` and left where they are."""
        self._book = GridBook()
        self.damaged: list[tuple[str, str]] = []
        kept = self._load(stored)
        devices = {asset.id: asset for asset in config.assets if asset.HasField("modbus") and not asset.modbus.device}
        self.damaged += [(asset_id, NO_ASSET) for asset_id in kept if asset_id not in devices]
        # What was put aside comes back, even where nothing is permitted any more.
        self._inverters = {
            asset_id: _inverter(asset, kept.get(asset_id, {}), now)
            for asset_id, asset in devices.items()
            if asset.grid_functions or asset_id in kept
        }
        self._wants: dict[str, Wants] = {}

    def put(self, request: PutModeRequest, now: Now) -> PutModeResponse | Refusal:
        """Accept or replace a mode."""
        return self._book.put(request.mode, now)

    def delete(self, request: DeleteModeRequest) -> DeleteModeResponse | Refusal:
        """Remove a mode of the same source."""
        existed = self._book.delete(request.id, request.source)
        return existed if isinstance(existed, Refusal) else DeleteModeResponse(existed=existed)

    def listed(self, now: Now) -> ListModesResponse:
        """Modes with what is left of them, and every inverter that takes part."""
        found = ListModesResponse(modes=[left(entry, now) for entry in self._book.active(now)])
        for asset_id, inverter in self._inverters.items():
            able = [GridFunction.Name(function) for function in GRID_FUNCTIONS if function in inverter.able]
            settings = inverter.settings(self._wants.get(asset_id, {}))
            one = InverterGrid(asset_id=asset_id, is_surveyed=inverter.is_surveyed, able=able, why=inverter.why)
            one.settings.extend(settings)
            found.inverters.append(one)
        return found

    def check(self, asked: GridMode, now: Now) -> CheckModeResponse | Refusal:
        """Which inverters could be told a mode, were it the only one."""
        mode = GridMode()
        mode.CopyFrom(asked)
        mode.id, mode.source, mode.ttl_ms = CHECKED, CHECKED, 1
        refusal = check_mode(mode)
        if refusal is not None:
            return refusal
        alone = GridEntry(mode=mode, before=None, began_ms=now.mono_ms, end_ms=now.mono_ms + 1, order=0)
        able = [one for one in self._inverters.values() if one.is_surveyed and mode.function in one.able]
        wants = plan([alone], [one.facts(None) for one in able], now.mono_ms)
        found = {one.asset_id: one.declines(wants.get(one.asset_id, {})) for one in able}
        return CheckModeResponse(
            inverters=[ModeFit(asset_id=name, is_fit=why is None, why=why or "") for name, why in found.items()]
        )

    def advance(self, powers: Powers, now: Now) -> list[Effect]:
        """What is due now; effects are to be executed in order."""
        facts = [inverter.facts(powers(asset_id)) for asset_id, inverter in self._inverters.items()]
        self._wants = plan(self._book.active(now), facts, now.mono_ms)
        effects: list[Effect] = []
        for asset_id, inverter in self._inverters.items():
            if sum(one.is_busy for one in self._inverters.values()) < ASKS_MAX:
                effects += inverter.next(self._wants.get(asset_id, {}), now.mono_ms)
        return effects

    def take(self, asset_id: str, answer: ModelAnswer, now: Now) -> list[Effect]:
        """The answer to an Ask."""
        return self._inverters[asset_id].take(answer, now.mono_ms)

    def not_stored(self, effect: Store, why: str, now: Now) -> None:
        """What was to be stored is not: nothing may be written."""
        self._inverters[effect.asset_id].not_stored(effect.model, why, now.mono_ms)

    def _load(self, stored: Mapping[str, bytes]) -> dict[str, dict[int, Stored]]:
        found: dict[str, dict[int, Stored]] = {}
        for key, value in stored.items():
            asset_id, _, model = key.rpartition("/")
            try:
                record = json.loads(value)
                kept = Stored(identity=bytes.fromhex(record["identity"]), registers=bytes.fromhex(record["registers"]))
                if int.from_bytes(kept.registers[:2], "big") != int(model) or not points_of(int(model), kept.registers):
                    raise ValueError(f"found registers that are not those of model {model}")
            except (ValueError, KeyError, TypeError) as error:
                self.damaged.append((key, str(error)))
                continue
            found.setdefault(asset_id, {})[int(model)] = kept
        return found


def entry(effect: Store) -> tuple[str, bytes | None]:
    """Key and value of the journal; None: to be deleted."""
    key, kept = f"{effect.asset_id}/{effect.model}", effect.stored
    if kept is None:
        return key, None
    return key, json.dumps({"identity": kept.identity.hex(), "registers": kept.registers.hex()}).encode()


def _inverter(asset: AssetConfig, stored: Mapping[int, Stored], now: Now) -> Inverter:
    permitted: Iterable[int] = asset.grid_functions
    rated_w = max(asset.power_max_w, asset.charge_max_w)
    return Inverter(asset.id, frozenset(permitted), stored, rated_w=rated_w, start_ms=now.mono_ms)
