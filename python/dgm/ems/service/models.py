"""Reading a SunSpec model of a device because somebody asks: a question to the core, its answer as named points.

    ReadModel ──read_model──> core (when nothing else of the line is due) ──take_models──> sunspec_decode ──> ModelGroup

The reply waits for the device, the event loop does not. Writes nothing to any device.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol, assert_never, cast

from dgm import _core
from dgm.api.core.v1.field_pb2 import ModelAnswer, ModelBatch, ModelFailure
from dgm.api.ems.v1.field_pb2 import ModelGroup, ModelPoint, ReadModelRequest, ReadModelResponse
from dgm.devices.sunspec_units import model_names
from dgm.site.refusal import Reason, Refusal
from dgm.site.topology import Topology

TIMEOUT_MS = 10_000
TIMEOUT_MS_MIN, TIMEOUT_MS_MAX = 1_000, 60_000
GRACE_S = 2.0
"""After its deadline the core's own answer, which says why, must have come."""

REGISTER_MAX = 65_535
OCCURRENCE_MAX = 63
INT64_MAX = 2**63 - 1

FAILURES: dict[int, tuple[Reason, str]] = {
    ModelFailure.MODEL_FAILURE_QUEUE: (Reason.TOO_MANY, "too many questions wait for the line of {asset}; ask later"),
    ModelFailure.MODEL_FAILURE_EXPIRED: (
        Reason.DEVICE_SILENT,
        "the line of {asset} is not connected or found no time; look at dgm_core_modbus_* and `dgm check`",
    ),
    ModelFailure.MODEL_FAILURE_DISCONNECTED: (Reason.DEVICE_SILENT, "the connection to {asset} ended; ask again"),
    ModelFailure.MODEL_FAILURE_SILENT: (Reason.DEVICE_SILENT, "{asset} does not answer"),
    ModelFailure.MODEL_FAILURE_NO_MAP: (
        Reason.NO_DEVICE,
        "{asset} shows no SunSpec map at 0, 40000 or 50000; expected a SunSpec device",
    ),
    ModelFailure.MODEL_FAILURE_NO_MODEL: (Reason.NO_MODEL, "{asset} has no such model {model}; it has {models}"),
    ModelFailure.MODEL_FAILURE_REFUSED: (
        Reason.DEVICE_REFUSED,
        "{asset} refuses to be read there with exception {exception}",
    ),
    ModelFailure.MODEL_FAILURE_NO_POINT: (Reason.DEVICE_REFUSED, "{asset} has no such point, or cannot say the value"),
    ModelFailure.MODEL_FAILURE_MISMATCH: (Reason.DEVICE_REFUSED, "{asset} does not show what was written to it"),
    ModelFailure.MODEL_FAILURE_MALFORMED: (Reason.DEVICE_REFUSED, "{asset} answers with something else than asked"),
}


class ModelPort(Protocol):
    """What is needed of the field core."""

    def read_model(self, asset_index: int, model: int, occurrence: int, timeout_ms: int) -> int: ...


class ModelDesk:
    """Questions that wait for their answer."""

    def __init__(self, field: ModelPort, topology: Topology) -> None:
        self._field = field
        self._assets = {asset.id: asset.index for asset in topology.assets if not asset.is_evse}
        self._waiting: dict[int, asyncio.Future[ModelAnswer]] = {}

    async def read(self, request: ReadModelRequest) -> ReadModelResponse | Refusal:
        """Ask and wait."""
        refusal = self._check(request)
        if refusal is not None:
            return refusal
        timeout_ms = request.timeout_ms or TIMEOUT_MS
        index = self._assets[request.asset_id]
        try:
            ticket = self._field.read_model(index, request.model, request.occurrence, timeout_ms)
        except _core.CoreError as error:
            return Refusal(reason=Reason.NO_DEVICE, message=f"{request.asset_id}: {error}", field="asset_id")
        future: asyncio.Future[ModelAnswer] = asyncio.get_running_loop().create_future()
        self._waiting[ticket] = future
        try:
            async with asyncio.timeout(timeout_ms / 1000 + GRACE_S):
                found = await future
        except TimeoutError:
            found = ModelAnswer(ticket=ticket, failure=ModelFailure.MODEL_FAILURE_EXPIRED)
        finally:
            del self._waiting[ticket]
        return reply(request, found)

    def take(self, batch: bytes) -> None:
        """core.v1.ModelBatch: answers for those who wait; whoever has given up gets none."""
        if not batch:
            return
        for found in ModelBatch.FromString(batch).answers:
            future = self._waiting.get(found.ticket)
            if future is not None and not future.done():
                future.set_result(found)

    def _check(self, request: ReadModelRequest) -> Refusal | None:
        if request.asset_id not in self._assets:
            message = f"asset_id: found {request.asset_id!r}; expected a METER, LOAD, PV or BATTERY of site.yaml"
            return Refusal(reason=Reason.UNKNOWN_ASSET, message=message, field="asset_id")
        for name, low, high in (
            ("model", 0, REGISTER_MAX),
            ("occurrence", 0, OCCURRENCE_MAX),
            ("timeout_ms", TIMEOUT_MS_MIN, TIMEOUT_MS_MAX),
        ):
            value = getattr(request, name)
            if not low <= value <= high and (name, value) != ("timeout_ms", 0):
                message = f"{name}: found {value}; expected {low}..{high}"
                return Refusal(reason=Reason.OUT_OF_RANGE, message=message, field=name)
        return None


def reply(request: ReadModelRequest, found: ModelAnswer) -> ReadModelResponse | Refusal:
    """What the core has found, as the answer to a request."""
    if found.failure != ModelFailure.MODEL_FAILURE_UNSPECIFIED:
        reason, text = FAILURES[found.failure]
        models = ", ".join(str(model.id) for model in found.models) or "none"
        asset, model, exception = request.asset_id, request.model, found.exception
        return Refusal(reason=reason, message=text.format(asset=asset, model=model, models=models, exception=exception))
    answer = ReadModelResponse(models=found.models)
    if found.registers:
        answer.content.CopyFrom(content(request.model, found.registers))
    return answer


def content(model_id: int, registers: bytes) -> ModelGroup:
    """The points of a model from its registers, header included."""
    names = model_names(model_id)
    return _group(names.name, _core.sunspec_decode(model_id, registers), "", names.units)


Decoded = Mapping[str, object]


def _group(name: str, decoded: Decoded, path: str, units: Mapping[str, str]) -> ModelGroup:
    group = ModelGroup(name=name)
    for key, value in decoded.items():
        match value:
            case dict():
                group.groups.append(_group(key, cast(Decoded, value), f"{path}{key}.", units))
            case list():
                group.groups.extend(_group(key, one, f"{path}{key}.", units) for one in value)
            case _:
                group.points.append(_point(key, value, units.get(path + key, "")))
    return group


def _point(name: str, value: Any, unit: str) -> ModelPoint:
    point = ModelPoint(name=name, unit=unit)
    match value:
        case None:
            pass
        case str():
            point.text = value
        case float():
            point.text = repr(value)
        case (int(raw), exponent) if raw > INT64_MAX:
            point.text = f"{raw}e{exponent or 0}"
        case (int(raw), None):
            point.raw, point.scale_absent = raw, True
        case (int(raw), int(exponent)):
            point.raw, point.exponent = raw, exponent
        case _:
            assert_never(cast(Any, value))
    return point
