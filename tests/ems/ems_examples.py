"""A small site, hand-built decisions of the core, and a field core that only writes down what it is told."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from dgm import config as site_config
from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.core.v1.core_pb2 import AssetGrant, Decision, LimitSet, Row
from dgm.api.core.v1.field_pb2 import ModelAnswer, ModelBatch, ModelFailure
from dgm.api.ems.v1.ems_pb2 import Limit, PutLimitRequest, Quantity
from dgm.api.site.v1.site_pb2 import PhaseValues, PlugState, Quality, Sample
from dgm.ems.events import CoreDecided
from dgm.machine import Now
from dgm.site.state import Reading

SITE = """
site: {id: demo, name: Demo, nominal_voltage_mv: 230000, state_dir: state}
circuits:
  - {id: grid, import_limit_w: 100000, export_limit_w: 50000, current_limit_ma: 200000, meter: m1,
     max_uncontrolled_w: 20000}
  - {id: garage, parent: grid, current_limit_ma: 63000, max_uncontrolled_w: 0}
assets:
  - {id: m1, type: METER, circuit: grid, modbus: {host: 127.0.0.1, port: 1502}}
  - {id: pv1, type: PV, circuit: grid, power_max_w: 30000, revert_w: 30000, modbus: {host: 127.0.0.1, port: 1503}}
  - {id: b1, type: BATTERY, circuit: grid, power_max_w: 20000, charge_max_w: 15000, energy_wh: 40000,
     modbus: {host: 127.0.0.1, port: 1504}}
cpos:
  - {id: cpo-a, url: "ws://127.0.0.1:9100/ocpp"}
stations:
  - {id: st1, cpo: cpo-a, evses: [{id: e1, connector_id: 1, circuit: garage, phases: [L1, L2, L3],
     current_max_ma: 32000, fallback_ma: 6000}]}
  - {id: st2, cpo: cpo-a, evses: [{id: e2, connector_id: 1, circuit: garage, phases: [L2], current_max_ma: 16000,
     weight: 2, stratum: 3}]}
ocpp: {host: 127.0.0.1, port: 9000}
"""
M1, PV1, B1, E1, E2 = range(5)
GRID, GARAGE = range(2)


def demo_config() -> DgmConfig:
    return site_config.parse(SITE, source="test")


def at(mono_ms: int, *, utc_ms: int | None = None) -> Now:
    """UTC goes along with the monotonic clock unless it is given."""
    return Now(mono_ms=mono_ms, utc_ms=1_700_000_000_000 + mono_ms if utc_ms is None else utc_ms)


def limit(limit_id: str = "l1", **fields: object) -> Limit:
    """An import limit of 60 kW at the connection point unless fields say otherwise."""
    given: dict[str, object] = {"id": limit_id, "source": "api:test", "circuit_id": "grid"}
    given |= {"quantity": Quantity.QUANTITY_NET_IMPORT, "power_w": 60_000}
    given |= fields
    return Limit(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def put(limit_id: str = "l1", request_id: str = "", **fields: object) -> PutLimitRequest:
    return PutLimitRequest(limit=limit(limit_id, **fields), request_id=request_id)


def sample(asset_id: str, plug: PlugState, *, ma: int | None = None, age_ms: int = 0) -> Sample:
    current = PhaseValues(l1=ma, l2=ma, l3=ma) if ma is not None else None
    return Sample(asset_id=asset_id, quality=Quality.QUALITY_GOOD, age_ms=age_ms, current_ma=current, plug_state=plug)


def power(index: int, power_w: int, now: Now, *, soc: int | None = None) -> tuple[int, Reading]:
    return index, Reading(quality=Quality.QUALITY_GOOD, measured_ms=now.mono_ms, power_w=power_w, soc_permille=soc)


def import_row(
    bound: int, limit_id: str = "site:grid:NET_IMPORT", *, shortfall: int = 0, measured: int | None = None
) -> Row:
    return Row(
        circuit_index=GRID,
        quantity=Quantity.QUANTITY_NET_IMPORT,
        bound=bound,
        limit_id=limit_id,
        uncontrolled=20_000,
        help=5_000,
        evse_counted=30_000,
        shortfall=shortfall,
        measured=measured,
    )


def current_row(circuit: int, phase: int, bound: int, limit_id: str) -> Row:
    return Row(circuit_index=circuit, quantity=Quantity.QUANTITY_CURRENT, phase=phase, bound=bound, limit_id=limit_id)


def evse_grant(index: int, current_ma: int, *, sequence: int = 1, **fields: object) -> AssetGrant:
    given: dict[str, object] = {"counted_ma": current_ma, "counted_reason": "proved"}
    given |= fields
    return AssetGrant(asset_index=index, current_ma=current_ma, sequence=sequence, **given)  # type: ignore[arg-type]


def decided(
    now: Now,
    *grants: AssetGrant,
    rows: Iterable[Row] = (),
    readings: Iterable[tuple[int, Reading]] = (),
) -> CoreDecided:
    """A tick at that time; as in the core, its sequence is that of the newest grants."""
    sequence = max((grant.sequence for grant in grants), default=0)
    decision = Decision(epoch=7, sequence=sequence, time_mono_ms=now.mono_ms, rows=rows, grants=grants)
    return CoreDecided(decision=decision.SerializeToString(), readings=tuple(readings))


@dataclass
class WrittenField:
    """A field core on paper: keeps what it was told in order, and says what the test put on its desk."""

    epoch: int = 0
    told: list[tuple[str, object]] = field(default_factory=list)
    desk: CoreDecided | None = None
    audit: bytes = b""
    models: bytes = b""
    model_failure: ModelFailure | None = None
    _fd: int = field(default_factory=lambda: os.eventfd(0, os.EFD_NONBLOCK))

    def start(self) -> None:
        self.told.append(("start", None))

    def stop(self) -> None:
        self.told.append(("stop", None))

    def fileno(self) -> int:
        return self._fd

    def put_limits(self, limits: bytes) -> None:
        self.told.append(("limits", LimitSet.FromString(limits)))

    def put_targets(self, rows: Iterable[tuple[int | None, ...]], ttl_ms: int) -> None:
        self.told.append(("targets", (list(rows), ttl_ms)))

    def put_samples(self, rows: Iterable[tuple[int | None, ...]]) -> None:
        self.told.append(("samples", list(rows)))

    def put_outcomes(self, rows: Iterable[tuple[int | None, ...]]) -> None:
        self.told.append(("outcomes", list(rows)))

    def put_link(self, up: bool) -> None:
        self.told.append(("link", up))

    def take(self, now: Now) -> CoreDecided:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._fd)
        return CoreDecided(decision=b"", readings=()) if self.desk is None else self.desk

    def take_audit(self) -> bytes:
        taken, self.audit = self.audit, b""
        return taken

    def read_model(self, asset_index: int, model: int, occurrence: int, timeout_ms: int) -> int:
        self.told.append(("model", (asset_index, model, occurrence, timeout_ms)))
        ticket = len(self.told)
        if self.model_failure is not None:
            answer = ModelAnswer(ticket=ticket, failure=self.model_failure)
            self.models = ModelBatch(answers=[answer]).SerializeToString()
            os.eventfd_write(self._fd, 1)
        return ticket

    def amend_model(self, asset_index: int, model: int, amendment: bytes, timeout_ms: int) -> int:
        self.told.append(("amend", (asset_index, model, amendment, timeout_ms)))
        return len(self.told)

    def know(self, asset_index: int, learnt: bytes) -> None:
        self.told.append(("know", (asset_index, learnt)))

    def take_learnt(self) -> bytes:
        return b""

    def take_troubles(self) -> list[tuple[str, str | None]]:
        return []

    def take_models(self) -> bytes:
        taken, self.models = self.models, b""
        return taken

    def lines(self) -> dict[str, dict[str, int]]:
        return {}

    def counters(self) -> dict[str, int]:
        return {"ticks_total": 3, "modbus_sessions": 2}

    def publish(self, event: CoreDecided) -> None:
        """Put a decision on the desk and ring."""
        self.desk = event
        os.eventfd_write(self._fd, 1)

    def newest(self, what: str) -> object:
        return next(value for name, value in reversed(self.told) if name == what)
