"""What a run leaves behind, as typed rows: the plant's trace, the cars, the frames, the gateway's audit, the responses.

    lines of a file ──parse_*──> rows ──> checks

Pure: the caller reads the files. A line that does not fit raises ValueError with its number: a judge does not guess.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

RowT = TypeVar("RowT")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRow:
    """One sample of trace.csv; W and mA positive for import and charging, pv_w is output."""

    utc_ms: int
    net_w: int
    currents_ma: tuple[int, int, int]
    building_w: int
    pv_w: int
    battery_w: int
    ev_w: int
    soc_permille: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CarRow:
    """One EVSE in one second of cars.csv. cap_ma: what car and EVSE could take, mA per phase."""

    utc_ms: int
    evse: str
    evse_class: str
    phases: int
    cap_ma: int
    current_ma: int
    power_w: int
    is_plugged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CarReport:
    """One car's stay, from fleet.json."""

    evse: str
    evse_class: str
    plug_utc_ms: int
    unplug_utc_ms: int | None
    energy_wh: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetReport:
    """fleet.json."""

    cars: tuple[CarReport, ...]
    stations: int
    accepted: int
    schema_violations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRow:
    """One frame as one peer saw it. direction: "tx" or "rx" of that peer; type 2 CALL, 3 and 4 answers."""

    utc_ms: int
    station: str
    direction: str
    sha256: str
    message_type: int
    id: str
    action: str
    cause: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExceptionRow:
    """One frame of the gateway's closed list. direction: "north"/"south" sent by the gateway, "local" kept by it."""

    utc_ms: int
    station: str
    direction: str
    kind: str
    id: str
    action: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseRow:
    """A response that the utility received: 1 received, 2 started, 3 completed."""

    utc_ms: int
    mrid: str
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFacts:
    """A DERControl as the utility defines it; UTC ms of its creation and of its effective start and end."""

    mrid: str
    created_utc_ms: int
    start_utc_ms: int
    end_utc_ms: int
    import_w: int


def parse_trace(lines: Iterable[str]) -> tuple[TraceRow, ...]:
    """trace.csv with its header."""
    return _parse(_skip_header(lines, "utc_ms,net_w"), _trace_row)


def _trace_row(line: str) -> TraceRow:
    utc_ms, net_w, i1, i2, i3, building_w, pv_w, battery_w, ev_w, soc = (int(cell) for cell in line.split(","))
    return TraceRow(
        utc_ms=utc_ms,
        net_w=net_w,
        currents_ma=(i1, i2, i3),
        building_w=building_w,
        pv_w=pv_w,
        battery_w=battery_w,
        ev_w=ev_w,
        soc_permille=soc,
    )


def parse_cars(lines: Iterable[str]) -> tuple[CarRow, ...]:
    """cars.csv with its header."""
    return _parse(_skip_header(lines, "utc_ms,evse"), _car_row)


def _car_row(line: str) -> CarRow:
    utc_ms, evse, evse_class, phases, cap_ma, current_ma, power_w, plugged, _offered, _status = line.split(",")
    return CarRow(
        utc_ms=int(utc_ms),
        evse=evse,
        evse_class=evse_class,
        phases=int(phases),
        cap_ma=int(cap_ma),
        current_ma=int(current_ma),
        power_w=int(power_w),
        is_plugged=bool(int(plugged)),
    )


def parse_fleet(text: str) -> FleetReport:
    """fleet.json."""
    raw = json.loads(text)
    return FleetReport(
        cars=tuple(
            CarReport(
                evse=car["evse"],
                evse_class=car["class"],
                plug_utc_ms=car["plug_utc_ms"],
                unplug_utc_ms=car["unplug_utc_ms"],
                energy_wh=car["energy_wh"],
            )
            for car in raw["cars"]
        ),
        stations=raw["stations"],
        accepted=raw["accepted"],
        schema_violations=raw["schema_violations"],
    )


def parse_frames(lines: Iterable[str]) -> tuple[FrameRow, ...]:
    """fleet-frames.jsonl or csms-<id>-frames.jsonl."""
    return _parse_json(
        lines,
        lambda raw: FrameRow(
            utc_ms=raw["utc_ms"],
            station=raw["station"],
            direction=raw["dir"],
            sha256=raw["sha256"],
            message_type=raw["type"],
            id=raw["id"],
            action=raw["action"],
            cause=raw.get("cause"),
        ),
    )


def parse_exceptions(lines: Iterable[str]) -> tuple[ExceptionRow, ...]:
    """ocpp-exceptions.jsonl."""
    names = ("utc_ms", "station", "direction", "kind", "id", "action", "sha256")
    return _parse_json(lines, lambda raw: ExceptionRow(**{name: raw[name] for name in names}))


def parse_responses(lines: Iterable[str]) -> tuple[ResponseRow, ...]:
    """utility.jsonl: its lines of kind "response"; the others are passed over."""
    rows = _parse_json(lines, _response_row)
    return tuple(row for row in rows if row is not None)


def _response_row(raw: Mapping[str, Any]) -> ResponseRow | None:
    if raw["kind"] != "response":
        return None
    return ResponseRow(utc_ms=raw["utc_ms"], mrid=raw["mrid"], status=int(raw["status"]))


def _skip_header(lines: Iterable[str], start: str) -> Iterable[str]:
    rows = iter(lines)
    header = next(rows, "")
    if not header.startswith(start):
        raise ValueError(f"line 1: found {header[:60]!r}, expected a header that starts with {start!r}")
    return rows


def _parse_json(lines: Iterable[str], make: Callable[[Mapping[str, Any]], RowT]) -> tuple[RowT, ...]:
    return _parse(lines, lambda line: make(json.loads(line)))


def _parse(lines: Iterable[str], make: Callable[[str], RowT]) -> tuple[RowT, ...]:
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append(make(line))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"row {number}: {error!r} in {line[:100]!r}") from error
    return tuple(rows)
