"""Did a client behave? Judged on what the simulated utility recorded, by the rules of the public CSIP-AUS procedures.

Each check gives a list of sentences, empty when all is well. Tolerances of polling are those of CACTUS (its check
all-polls-at-correct-time): a gap of more than 1.5 intervals is a miss, one miss is allowed per 5 intervals; more
polls than intervals, in a window of 3, are over-polling.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from dgm.sim.utility.intake import unpaired
from dgm.sim.utility.records import Exchange, Records
from dgm.sim.utility.state import PEN, mrid_of
from dgm.sim.utility.xml import SEP

GAP_PERMILLE_MAX = 1500
INTERVALS_PER_MISS = 5
WINDOW_INTERVALS = 3
EARLY_PERMILLE = 500
"""A poll this much of an interval before its time is still that poll."""
MARK_S = 60


def polls(records: Records, name: str, *, every_s: float, from_ms: int, to_ms: int) -> list[str]:
    """A resource was asked for once per interval, no more and no less."""
    times = [item.at_ms for item in records.gets(name) if from_ms <= item.at_ms <= to_ms]
    every_ms = every_s * 1000
    edges = [from_ms, *times, to_ms]
    gaps = [later - earlier for earlier, later in pairwise(edges)]
    wide = [gap for gap in gaps if gap * 1000 > every_ms * GAP_PERMILLE_MAX]
    missed = sum(int(gap / every_ms + 0.5) - 1 for gap in wide)
    allowed = int((to_ms - from_ms) / every_ms) // INTERVALS_PER_MISS
    found = []
    if missed > allowed:
        found.append(
            f"{name}: {missed} polls missed at {every_s} s; {allowed} allowed; polls at {_shown(times, from_ms)}"
        )
    window_ms = WINDOW_INTERVALS * every_ms
    for first in times:
        inside = [time for time in times if first <= time < first + window_ms - every_ms * EARLY_PERMILLE / 1000]
        if len(inside) > WINDOW_INTERVALS:
            found.append(
                f"{name}: {len(inside)} polls within {WINDOW_INTERVALS} x {every_s} s: {_shown(inside, from_ms)}"
            )
            break
    return found


def _shown(times: Sequence[int], from_ms: int) -> str:
    return ", ".join(f"{(time - from_ms) / 1000:.0f}" for time in times[:12]) + " s"


def responses(records: Records, expected: Mapping[str, Sequence[int]]) -> list[str]:
    """Each control got exactly these response codes in this order. Controls by their name in the script."""
    found = []
    for name, codes in expected.items():
        mrid = mrid_of("control", name)
        got = [item["status"] for item in records.responses if item["mrid"] == mrid]
        if got != list(codes):
            found.append(f"control {name}: responses {got}; expected {list(codes)}")
    return found


def is_before(records: Records, first: tuple[str, int], then: tuple[str, int]) -> list[str]:
    """One response of a control came before one of another: (control, code)."""
    order = [(item["mrid"], item["status"]) for item in records.responses]
    places = [(mrid_of("control", name), code) for name, code in (first, then)]
    if all(place in order for place in places) and order.index(places[0]) < order.index(places[1]):
        return []
    return [f"response {first} before {then}: found otherwise"]


def valid(records: Records) -> list[str]:
    """No body was refused, and every identifier is as CSIP-AUS wants it."""
    found = [*records.faults, *unpaired(records.logged)]
    for mrid in records.mirrors:
        if len(mrid) != 32 or not mrid[-8:].isdigit():
            found.append(f"mirror {mrid}: its last 8 digits are no PEN in decimal digits")
    groups = {str(item["mrid"]) for item in records.readings} - {""}
    ends = {mrid[-8:] for mrid in (*records.mirrors, *groups)}
    if len(ends) > 1:
        found.append(f"mRIDs end in {sorted(ends)}; expected one PEN (the utility's own is {PEN})")
    return found


def readings(records: Records, names: Iterable[str], *, at_least: int, every_s: int | None = None) -> list[str]:
    """Averages of these quantities have come, on minute marks, for whole minutes."""
    found = []
    for name in names:
        got = [item for item in records.readings if item["description"] == name]
        if len(got) < at_least:
            found.append(f"readings of {name}: {len(got)}; expected at least {at_least}")
        off = [item for item in got if item["start_s"] % MARK_S or item["duration_s"] % MARK_S]
        if off:
            found.append(f"readings of {name}: {off[0]['start_s']} + {off[0]['duration_s']} s is not on minute marks")
        if every_s is not None and any(item["duration_s"] != every_s for item in got):
            found.append(f"readings of {name}: {sorted({item['duration_s'] for item in got})} s; expected {every_s} s")
    return found


def within(records: Records, name: str, *, low: int, high: int, start_s: int, end_s: int) -> list[str]:
    """Every reading whose whole interval lies in a time is between two values."""
    values = [
        item["value"]
        for item in records.readings
        if item["description"] == name and start_s <= item["start_s"] and item["start_s"] + item["duration_s"] <= end_s
    ]
    if not values:
        return [f"readings of {name}: none between {start_s} and {end_s}"]
    return [] if low <= min(values) and max(values) <= high else [f"{name}: {values}; expected {low}..{high}"]


def untouched(records: Records, kind: str) -> list[str]:
    """No href that a resource has left was asked for."""
    touched = [item for item in records.exchanges if item.name.startswith(f"gone {kind}")]
    return [f"{touched[0].method} of {touched[0].name}, {len(touched)} times"] if touched else []


def asked(records: Records, name: str, *, from_ms: int, to_ms: int) -> list[Exchange]:
    """Every request for a resource in a time, however it was answered."""
    return [item for item in records.exchanges if item.name == name and from_ms <= item.at_ms < to_ms]


def contents(records: Records, kind: str, *parts: str) -> list[str]:
    """The last document of a kind that was put holds these elements (local names, or `name=value`)."""
    body = records.puts.get(kind)
    if body is None:
        return [f"{kind}: never put"]
    found = []
    for part in parts:
        name, _, value = part.partition("=")
        if f"{name}>{value}" not in body:
            found.append(f"{kind}: no {part} in {body.replace(SEP, '')[:400]}")
    return found
