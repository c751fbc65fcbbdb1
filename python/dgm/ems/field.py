"""The shell around the field core: what the machine wants done goes in, what a tick decided comes out.

    rows ──array('i')──> _core.Field ──eventfd──> refresh, image view, Decision bytes ──> CoreDecided

No call here waits for a device; the core polls, decides and writes on its own thread.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from dgm import _core
from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.site.v1.site_pb2 import Quality
from dgm.ems.columns import columns, reading
from dgm.ems.events import CoreDecided, Row
from dgm.machine import Now
from dgm.site.topology import Topology

WIDTH = len(_core.IMAGE_COLUMNS)


class CoreField:
    """The field core of this process. Not started: it takes limits already, so that they hold before its first tick."""

    def __init__(self, config: DgmConfig, *, epoch: int) -> None:
        """_core.CoreError when the core cannot accept the configuration."""
        self._field = _core.Field(config.SerializeToString(), epoch)
        topology = Topology.from_config(config)
        self._polled = [asset.index for asset in topology.assets if not asset.is_evse]

    def start(self) -> None:
        """Begin to poll, decide and write."""
        self._field.start()

    def stop(self) -> None:
        """End the thread; devices fall back by their own revert timers."""
        self._field.stop()

    def fileno(self) -> int:
        """Readable when a tick has published something new."""
        return self._field.fileno()

    def put_limits(self, limits: bytes) -> None:
        """core.v1.LimitSet; replaces all limits put before."""
        self._field.put_limits(limits)

    def put_targets(self, rows: Iterable[Row], ttl_ms: int) -> None:
        """Rows of _core.TARGET_COLUMNS, one per asset."""
        self._field.put_targets(columns(rows), ttl_ms)

    def put_samples(self, rows: Iterable[Row]) -> None:
        """Rows of _core.SAMPLE_COLUMNS."""
        self._field.put_samples(columns(rows))

    def put_outcomes(self, rows: Iterable[Row]) -> None:
        """Rows of _core.OUTCOME_COLUMNS."""
        self._field.put_outcomes(columns(rows))

    def put_link(self, up: bool) -> None:
        """Whether the ocpp role is heard."""
        self._field.put_link(up)

    def take(self, now: Now) -> CoreDecided:
        """The newest decision and the newest readings of the assets that the core polls; clears fileno()."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._field.fileno(), 8)
        self._field.refresh()
        image = self._field.image()
        readings = [(index, reading(image[index * WIDTH : (index + 1) * WIDTH], now)) for index in self._polled]
        seen = [(index, found) for index, found in readings if found.quality != Quality.QUALITY_NEVER]
        return CoreDecided(decision=self._field.decision(), readings=seen)

    def take_audit(self) -> bytes:
        """core.v1.AuditBatch: what became of setpoints since the last call; empty: nothing new."""
        return self._field.take_audit()

    def know(self, asset_index: int, learnt: bytes) -> None:
        """Before start: core.v1.LearntDevice of an earlier start. _core.CoreError: it cannot be."""
        self._field.know(asset_index, learnt)

    def take_learnt(self) -> bytes:
        """core.v1.LearntBatch: what was found out of devices since the last call; empty: nothing new."""
        return self._field.take_learnt()

    def read_model(self, asset_index: int, model: int, occurrence: int, timeout_ms: int) -> int:
        """Ask for a SunSpec model of a device; the ticket. _core.CoreError: it cannot be asked now."""
        return self._field.read_model(asset_index, model, occurrence, timeout_ms)

    def amend_model(self, asset_index: int, model: int, amendment: bytes, timeout_ms: int) -> int:
        """Change grid-code settings by a core.v1.ModelAmendment; the ticket. _core.CoreError: it cannot be."""
        return self._field.amend_model(asset_index, model, amendment, timeout_ms)

    def take_models(self) -> bytes:
        """core.v1.ModelBatch: what has been read, or not, since the last call."""
        return self._field.take_models()

    def take_troubles(self) -> list[tuple[str, str | None]]:
        """Lines that could not be connected, with the reason, or are connected again (None), since the last call."""
        return self._field.take_troubles()

    def counters(self) -> dict[str, int]:
        """The core's counters and gauges by name."""
        return self._field.counters()

    def lines(self) -> dict[str, dict[str, int]]:
        """How each Modbus line stands, by its endpoint."""
        return self._field.lines()
