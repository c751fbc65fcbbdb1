"""Mirror metering (S18 10.7): what the client measured, posted to the server.

    MirrorUsagePoint (where) ── MirrorMeterReading (what: ReadingType) ── Reading, or MirrorReadingSet of Readings

Numbers are in the unit and power of ten of their ReadingType, in the sign that the utility asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.der.resources.event import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingType:
    """What a mirrored number means."""

    accumulation: int | None = None
    commodity: int | None = None
    data_qualifier: int | None = None
    flow_direction: int | None = None
    interval_s: int | None = None
    kind: int | None = None
    phase: int | None = None
    power_of_ten: int | None = None
    uom: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One value over one period, in the unit and multiplier of its ReadingType."""

    consumption_block: int | None = None
    quality_flags: int | None = None
    period: Interval | None = None
    tou_tier: int | None = None
    value: int | None = None
    local_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorReadingSet:
    """Readings of one period, as one."""

    mrid: str
    description: str | None = None
    period: Interval
    readings: tuple[Reading, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorMeterReading:
    """One mirrored quantity: its type, its newest reading, or sets of readings."""

    mrid: str
    description: str | None = None
    last_update_s: int | None = None
    sets: tuple[MirrorReadingSet, ...] = ()
    next_update_s: int | None = None
    reading: Reading | None = None
    reading_type: ReadingType | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorMeterReadingList:
    """Several mirrored quantities in one post."""

    href: str | None = None
    all: int
    results: int
    items: tuple[MirrorMeterReading, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorUsagePoint:
    """A group of mirrored quantities; the server answers with where to post and how often."""

    href: str | None = None
    mrid: str
    description: str | None = None
    role_flags: int
    service_category: int
    status: int
    device_lfdi: str
    readings: tuple[MirrorMeterReading, ...] = ()
    post_rate_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorUsagePointList:
    """A page of the client's own mirrors."""

    href: str | None = None
    all: int
    results: int
    poll_s: int | None = None
    items: tuple[MirrorUsagePoint, ...] = ()
