"""The shell of the grid-code desk: GridService, the journal of own settings, and the audit of what was changed.

    PutMode ──> GridDesk ──Store──> journal (durable first) ──Ask──> core ──take_models──> GridDesk ──Told──> audit

Everything is one synchronous step in the loop of the role; no call here waits for a device.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, assert_never

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dgm import _core
from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.core.v1.field_pb2 import (
    AmendmentStep,
    ModelAmendment,
    ModelAnswer,
    ModelBatch,
    ModelFailure,
    PointValue,
)
from dgm.api.ems.v1 import grid_pb2, grid_pb2_grpc
from dgm.api.ems.v1.field_pb2 import FieldAuditEntry, RegisterBlock
from dgm.ems.grid import JOURNAL_TABLE, GridDesk, Powers, entry
from dgm.ems.inverter import Ask, Effect, Store, Told
from dgm.ems.inverter_models import Step
from dgm.journal import Journal
from dgm.log import logger
from dgm.machine import Now
from dgm.site.service import Context, answer
from dgm.site.topology import Topology

STATES = {name.removeprefix("GRID_STATE_").lower(): number for name, number in grid_pb2.GridState.items() if number}
TIMEOUT_MS = 30_000
"""How long the line of an inverter may take for one transaction: polls and setpoints go first."""


class AmendingField(Protocol):
    """What is needed of the field core."""

    def read_model(self, asset_index: int, model: int, occurrence: int, timeout_ms: int) -> int: ...
    def amend_model(self, asset_index: int, model: int, amendment: bytes, timeout_ms: int) -> int: ...


class GridShell:
    """Runs the desk of one ems process. tell: takes an entry for the audit."""

    def __init__(
        self,
        config: DgmConfig,
        topology: Topology,
        field: AmendingField,
        journal: Journal,
        *,
        epoch: int,
        tell: Callable[[FieldAuditEntry], None],
        powers: Powers,
        now: Now,
    ) -> None:
        self._log = logger("field")
        self.desk = GridDesk(config, journal.items(JOURNAL_TABLE), now)
        for key, why in self.desk.damaged:
            self._log.error("stored settings of an inverter cannot be read; restore them by hand", entry=key, why=why)
        self._index = {asset.id: asset.index for asset in topology.assets}
        self._field = field
        self._journal = journal
        self._epoch = epoch
        self._tell = tell
        self._powers = powers
        self._waiting: dict[int, str] = {}

    def advance(self, now: Now) -> None:
        """Do what is due."""
        self._execute(self.desk.advance(self._powers, now), now)

    def take(self, batch: bytes, now: Now) -> None:
        """core.v1.ModelBatch: answers to what was asked here; others are somebody else's."""
        if not batch or not self._waiting:
            return
        for found in ModelBatch.FromString(batch).answers:
            asset_id = self._waiting.pop(found.ticket, None)
            if asset_id is not None:
                self._execute(self.desk.take(asset_id, found, now), now)
                self.advance(now)

    def _execute(self, effects: Sequence[Effect], now: Now) -> None:
        for effect in effects:
            match effect:
                case Ask():
                    self._ask(effect, now)
                case Store():
                    self._store(effect, now)
                case Told():
                    self._told(effect, now)
                case _:
                    assert_never(effect)

    def _ask(self, ask: Ask, now: Now) -> None:
        index = self._index[ask.asset_id]
        try:
            if ask.steps:
                amendment = amendment_of(ask.steps).SerializeToString()
                ticket = self._field.amend_model(index, ask.model, amendment, TIMEOUT_MS)
            else:
                ticket = self._field.read_model(index, ask.model, 0, TIMEOUT_MS)
        except _core.CoreError as error:
            self._log.warning("an inverter cannot be asked", asset=ask.asset_id, model=ask.model, why=str(error))
            failed = ModelAnswer(failure=ModelFailure.MODEL_FAILURE_QUEUE)
            self._execute(self.desk.take(ask.asset_id, failed, now), now)
        else:
            self._waiting[ticket] = ask.asset_id

    def _store(self, effect: Store, now: Now) -> None:
        """Durable before the first write: where the journal fails, nothing is written."""
        key, value = entry(effect)
        try:
            if value is None:
                self._journal.delete(JOURNAL_TABLE, key)
            else:
                self._journal.put(JOURNAL_TABLE, key, value)
        except sqlite3.Error as error:
            self._log.error("own settings of an inverter cannot be stored or forgotten", entry=key, why=str(error))
            if value is not None:
                self.desk.not_stored(effect, f"journal: {error}", now)

    def _told(self, told: Told, now: Now) -> None:
        found = FieldAuditEntry(
            asset_id=told.asset_id,
            time_utc_ms=now.utc_ms,
            epoch=self._epoch,
            verdict=told.verdict,
            times=1,
            model=told.model,
            setting=told.setting,
            written=told.answer.written,
            read_back=read_back(told.answer, told.model),
        )
        self._tell(found)


class GridCollector(Collector):
    """Models that are not as their owner left them, by asset and state; both bounded by the configuration."""

    def __init__(self, listed: Callable[[], grid_pb2.ListModesResponse]) -> None:
        self._listed = listed

    def collect(self) -> Iterator[Metric]:
        """A sample for every inverter that takes part and every state; 0 is the normal state of things."""
        family = GaugeMetricFamily(
            "dgm_grid_settings", "Models whose own grid-code settings are put aside", labels=["asset", "state"]
        )
        for inverter in self._listed().inverters:
            counts = Counter[int](setting.state for setting in inverter.settings)
            for name, state in STATES.items():
                family.add_metric([inverter.asset_id, name], counts[state])
        yield family


def amendment_of(steps: Sequence[Step]) -> ModelAmendment:
    """The message."""

    def values(pairs: Sequence[tuple[str, int]]) -> list[PointValue]:
        return [PointValue(path=path, raw=raw) for path, raw in pairs]

    found = [AmendmentStep(writes=values(step.writes), expected=values(step.expected)) for step in steps]
    return ModelAmendment(steps=found)


def read_back(answer: ModelAnswer, number: int) -> list[RegisterBlock]:
    """What stood at the registers written when the model was last read."""
    start = next((model.address for model in answer.models if model.id == number), None)
    words = [int.from_bytes(answer.registers[at : at + 2], "big") for at in range(0, len(answer.registers), 2)]
    if start is None or not words:
        return []
    return [
        RegisterBlock(address=block.address, words=words[block.address - start :][: len(block.words)])
        for block in answer.written
    ]


class GridService(grid_pb2_grpc.GridServiceServicer):
    """The servicer. Modes rest in memory; what they do to inverters is journaled."""

    def __init__(self, shell: GridShell, clock: Callable[[], Now]) -> None:
        self._shell = shell
        self._clock = clock

    async def PutMode(self, request: grid_pb2.PutModeRequest, context: Context) -> Any:
        """Accept or replace a mode; inverters begin at once."""
        now = self._clock()
        reply = self._shell.desk.put(request, now)
        self._shell.advance(now)
        return await answer(reply, context)

    async def DeleteMode(self, request: grid_pb2.DeleteModeRequest, context: Context) -> Any:
        """Remove a mode of the same source; own settings are restored at once."""
        reply = self._shell.desk.delete(request)
        self._shell.advance(self._clock())
        return await answer(reply, context)

    async def CheckMode(self, request: grid_pb2.CheckModeRequest, context: Context) -> Any:
        """Say which inverters could be told a mode; nothing is put."""
        return await answer(self._shell.desk.check(request.mode, self._clock()), context)

    async def ListModes(self, request: grid_pb2.ListModesRequest, context: Context) -> grid_pb2.ListModesResponse:
        """Modes, and what stands on inverters because of them."""
        return self._shell.desk.listed(self._clock())
