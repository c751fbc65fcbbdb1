"""What a client reports to the simulated utility, taken apart and judged: readings, LogEvents, reservation requests.

    body ──check (schema)──> Taken: the parts that matter as plain values, and everything that is wrong

No state and no HTTP: the server decides what becomes of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import Element

from dgm.sim.utility.xml import SEP, check, text_of

UOM_WATT_HOUR = 72
FUNCTION_SET_DER, PROFILE_VENDOR, PROFILE_STANDARD, PEN_STANDARD = 11, 1, 2, 40732
DER_CODE_MAX = 21
"""Of the standard: phase rotation's return to normal."""


@dataclass(slots=True, kw_only=True)
class Taken:
    """What a body holds."""

    items: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def readings(body: bytes) -> Taken:
    """A MirrorMeterReading, or several in a list."""
    is_list = b"MirrorMeterReadingList" in body
    root, faults = check(body, "MirrorMeterReadingList" if is_list else "MirrorMeterReading")
    if root is None or faults:
        return Taken(faults=faults)
    found = Taken()
    for item in root if is_list else (root,):
        _take_reading(item, found)
    if is_list and {root.get("all"), root.get("results")} != {str(len(root))}:
        found.faults.append(
            f"list of {len(root)} readings: all and results are {root.get('all')}, {root.get('results')}"
        )
    return found


def update(root: Element) -> Taken:
    """Readings inside a MirrorUsagePoint: an update by its mRID; one without readings creates only."""
    found = Taken()
    for item in root.iterfind(f"{{{SEP}}}MirrorMeterReading"):
        if text_of(item, "Reading", "value") is not None:
            _take_reading(item, found)
    return found


def _take_reading(item: Element, found: Taken) -> None:
    value = text_of(item, "Reading", "value")
    start, duration = (text_of(item, "Reading", "timePeriod", part) for part in ("start", "duration"))
    is_stored = text_of(item, "ReadingType", "uom") == str(UOM_WATT_HOUR)
    if value is None or start is None or duration is None or (int(duration) == 0 and not is_stored):
        found.faults.append("reading without value, start or duration")
        return
    found.items.append(
        {
            "mrid": text_of(item, "mRID"),
            "description": text_of(item, "description"),
            "value": int(value),
            "start_s": int(start),
            "duration_s": int(duration),
        }
    )


def log_event(body: bytes) -> Taken:
    """A LogEvent: of the standard with a code that it has, or of a vendor under another number."""
    root, faults = check(body, "LogEvent")
    if root is None or faults:
        return Taken(faults=faults)
    names = {
        "created_s": "createdDateTime",
        "code": "logEventCode",
        "id": "logEventID",
        "pen": "logEventPEN",
        "profile": "profileID",
        "function_set": "functionSet",
        "extended": "extendedData",
    }
    texts = {name: text_of(root, element) for name, element in names.items()}
    item: dict[str, Any] = {name: None if text is None else int(text) for name, text in texts.items()}
    item["details"] = text_of(root, "details")
    return Taken(items=[item], faults=list(_log_faults(item)))


def _log_faults(item: dict[str, Any]) -> Iterator[str]:
    if item["profile"] == PROFILE_STANDARD:
        if item["pen"] != PEN_STANDARD:
            yield f"LogEvent of the standard under the number {item['pen']}; expected {PEN_STANDARD}"
        if item["function_set"] == FUNCTION_SET_DER and item["code"] > DER_CODE_MAX:
            yield f"LogEvent code {item['code']}; expected at most {DER_CODE_MAX}"
    elif item["profile"] != PROFILE_VENDOR or item["pen"] in (0, PEN_STANDARD):
        yield f"LogEvent of profile {item['profile']} under the number {item['pen']}"


def unpaired(log_events: list[dict[str, Any]]) -> list[str]:
    """Returns to normal of what was never raised, and alarms that were raised twice in between."""
    found, raised = [], set[tuple[int, int]]()
    for item in log_events:
        kind = (item["pen"], item["code"] // 2)
        is_raised = item["code"] % 2 == 0
        if (kind in raised) is is_raised:
            found.append(f"LogEvent {item['code']} of {item['pen']}: {'raised twice' if is_raised else 'never raised'}")
        raised ^= {kind} if (kind in raised) is not is_raised else set()
    return found


def reservation(body: bytes) -> Taken:
    """A FlowReservationRequest. Positive charges."""
    root, faults = check(body, "FlowReservationRequest")
    if root is None or faults:
        return Taken(faults=faults)
    item: dict[str, Any] = {
        "mrid": (text_of(root, "mRID") or "").upper(),
        "energy_wh": _scaled(root, "energyRequested"),
        "power_w": _scaled(root, "powerRequested"),
        "start_s": int(text_of(root, "intervalRequested", "start") or 0),
        "duration_s": int(text_of(root, "intervalRequested", "duration") or 0),
        "least_s": int(text_of(root, "durationRequested") or 0),
        "status": int(text_of(root, "RequestStatus", "requestStatus") or 0),
    }
    found = Taken(items=[item])
    if item["energy_wh"] * item["power_w"] < 0:
        found.faults.append(f"reservation of {item['energy_wh']} Wh at {item['power_w']} W: two directions")
    if item["least_s"] > item["duration_s"]:
        found.faults.append(f"reservation that takes {item['least_s']} s within {item['duration_s']} s")
    return found


def _scaled(root: Element, name: str) -> int:
    value, multiplier = (int(text_of(root, name, part) or 0) for part in ("value", "multiplier"))
    return int(value * 10**multiplier)
