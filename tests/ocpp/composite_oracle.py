"""A second reading of the composite-schedule rules, one second at a time, straight from the wire's bodies.

Shares nothing with the product: every profile is written out as explicit intervals, and each second is looked up.
Amperes per phase as fractions. Also draws random sites of profiles from a seed.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

VOLTS = 230
T0 = datetime(2026, 11, 20, 23, 59, 0, tzinfo=UTC)
SPAN_S = 80
DAY_S = 86_400

Body = dict[str, Any]
Held = tuple[int, Body, datetime]
"""EVSE, body, when it was set."""

Interval = tuple[datetime, datetime, Fraction, int]
FOREVER = datetime(9000, 1, 1, tzinfo=UTC)


def when(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def intervals(body: Body, set_at: datetime, tx_start: datetime) -> list[Interval]:
    """When a profile says what (amperes per phase, phases), within the span looked at."""
    schedule = body["chargingSchedule"]
    schedule = schedule[0] if isinstance(schedule, list) else schedule
    kind = body["chargingProfileKind"]
    if kind == "Dynamic":
        begins = [set_at]
    elif kind == "Relative" or "startSchedule" not in schedule:
        station_wide = body["chargingProfilePurpose"] in (
            "ChargePointMaxProfile",
            "ChargingStationMaxProfile",
            "ChargingStationExternalConstraints",
            "LocalGeneration",
        )
        begins = [set_at if station_wide else tx_start]
    else:
        begins = [when(schedule["startSchedule"])]
    round_s = None
    if kind == "Recurring":
        round_s = DAY_S if body["recurrencyKind"] == "Daily" else 7 * DAY_S
        while begins[-1] + timedelta(seconds=round_s) <= T0 + timedelta(seconds=SPAN_S):
            begins.append(begins[-1] + timedelta(seconds=round_s))
    found: list[Interval] = []
    periods = schedule["chargingSchedulePeriod"]
    for begin in begins:
        ends = [FOREVER]
        if "duration" in schedule:
            ends.append(begin + timedelta(seconds=schedule["duration"]))
        if round_s is not None:
            ends.append(begin + timedelta(seconds=round_s))
        for index, period in enumerate(periods):
            start = begin + timedelta(seconds=period["startPeriod"])
            after = [begin + timedelta(seconds=p["startPeriod"]) for p in periods[index + 1 : index + 2]]
            phases = period.get("numberPhases", 3)
            amps = Fraction(str(period["limit"]))
            if schedule["chargingRateUnit"] == "W":
                amps = amps / (VOLTS * phases)
            found.append((start, min(ends + after), amps, phases))
    return found


class Oracle:
    """One site of profiles, looked at from one EVSE."""

    def __init__(self, held: list[Held], *, tx: dict[int, tuple[Any, datetime]], as_if: datetime) -> None:
        self.held = held
        self.tx = tx
        self.as_if = as_if
        self.priority: set[int] = set()
        self.offline_since: datetime | None = None
        self._cache: dict[tuple[int, int], list[Interval]] = {}
        self._valid = [
            (
                when(body.get("validFrom", "1000-01-01T00:00:00Z")),
                when(body["validTo"]) if "validTo" in body else FOREVER,
            )
            for _, body, _ in held
        ]
        self._places = {
            (body["chargingProfilePurpose"].replace("ChargePoint", "ChargingStation"), evse, body["stackLevel"]): number
            for number, (evse, body, _) in enumerate(held)
        }

    def says(self, number: int, evse: int, at: datetime) -> tuple[Fraction, int] | None:
        _, body, set_at = self.held[number]
        valid_from, valid_to = self._valid[number]
        if not valid_from <= at < valid_to:
            return None
        offline_s = (at - self.offline_since).total_seconds() if self.offline_since is not None else -1.0
        if offline_s >= body.get("maxOfflineDuration", 10**9):
            return None
        if (number, evse) not in self._cache:
            tx_start = self.tx[evse][1] if evse in self.tx else self.as_if
            self._cache[number, evse] = intervals(body, set_at, tx_start)
        for start, end, amps, phases in self._cache[number, evse]:
            if start <= at < end:
                return amps, phases
        return None

    def top(self, evse: int, at: datetime, purpose: str, where: tuple[int, ...]) -> tuple[Fraction, int] | None:
        for level in range(3, -1, -1):
            for place in sorted(where, reverse=True):
                number = self._places.get((purpose, place, level))
                if number is None:
                    continue
                body = self.held[number][1]
                if purpose == "TxProfile" and body.get("transactionId", self.tx[evse][0]) != self.tx[evse][0]:
                    continue
                found = self.says(number, evse, at)
                if found is not None:
                    return found
                if purpose == "TxDefaultProfile" and place != 0:
                    break  # it replaces the station's one of this level for this EVSE
        return None

    def of_evse(self, evse: int, at: datetime) -> list[tuple[Fraction, int]]:
        found = [self.top(evse, at, "ChargingStationExternalConstraints", (place,)) for place in (0, evse)]
        tx = self.top(evse, at, "PriorityCharging", (0, evse)) if evse in self.priority else None
        if tx is None and evse in self.tx:
            tx = self.top(evse, at, "TxProfile", (evse,))
        if tx is None:
            tx = self.top(evse, at, "TxDefaultProfile", (0, evse))
        return [one for one in (*found, tx) if one is not None]

    def amps(self, evse: int, at: datetime, evses: tuple[int, ...] = ()) -> tuple[Fraction, int] | None:
        """(amperes per phase, phases) at a second; None: no limit."""
        limits = [self.top(evse, at, "ChargingStationMaxProfile", (0,))]
        if evse:
            limits += self.of_evse(evse, at)
        else:
            limits.append(self.top(0, at, "ChargingStationExternalConstraints", (0,)))
            each = [self.of_evse(one, at) for one in evses]
            if each and all(each):
                total = sum((min(a for a, _ in one) for one in each), Fraction(0))
                limits.append((total, max(min(p for _, p in one) for one in each)))
        known = [one for one in limits if one is not None]
        if not known:
            return None
        local = self.top(evse, at, "LocalGeneration", (0, evse))
        amps = min(a for a, _ in known) + (local[0] if local else 0)
        return amps, min(p for _, p in known)


def draw_site(seed: int) -> tuple[str, list[Held]]:
    """A version and random profiles around T0."""
    rng = random.Random(seed)
    version = rng.choice(["ocpp1.6", "ocpp2.0.1", "ocpp2.1", "ocpp2.1"])
    purposes = {
        "ocpp1.6": ["ChargePointMaxProfile", "TxDefaultProfile", "TxProfile"],
        "ocpp2.0.1": ["ChargingStationMaxProfile", "TxDefaultProfile", "TxProfile"],
        "ocpp2.1": ["ChargingStationMaxProfile", "TxDefaultProfile", "TxProfile", "PriorityCharging"],
    }[version]
    if version != "ocpp1.6":
        purposes = [*purposes, "ChargingStationExternalConstraints"]
    if version == "ocpp2.1":
        purposes = [*purposes, "LocalGeneration"]
    taken: set[tuple[str, int, int]] = set()
    held: list[Held] = []
    for number in range(rng.randrange(8)):
        purpose = rng.choice(purposes)
        places = {"ChargePointMaxProfile": [0], "ChargingStationMaxProfile": [0], "TxProfile": [1, 2]}
        evse, level = rng.choice(places.get(purpose, [0, 1, 2])), rng.randrange(4)
        # One profile in a place: which of two would win is a rule of installing, not of combining.
        if (purpose, evse, level) in taken or ((purpose, 0, level) in taken and version != "ocpp1.6"):
            continue
        if version != "ocpp1.6" and evse == 0 and {(purpose, 1, level), (purpose, 2, level)} & taken:
            continue
        taken.add((purpose, evse, level))
        held.append((evse, draw_body(rng, version, number + 1, purpose, level), T0 + seconds(rng, -60, 60)))
    return version, held


def seconds(rng: random.Random, low: int, high: int) -> timedelta:
    return timedelta(seconds=rng.randrange(low, high))


def draw_body(rng: random.Random, version: str, number: int, purpose: str, level: int) -> Body:
    is_2x = version != "ocpp1.6"
    kinds = ["Absolute", "Recurring", "Relative"] + (["Dynamic", "Dynamic"] if version == "ocpp2.1" else [])
    kind = rng.choice(kinds)
    starts = sorted({0, *(rng.randrange(1, 90) for _ in range(rng.randrange(4)))})
    schedule: Body = {
        "chargingRateUnit": rng.choice(["A", "W"]),
        "chargingSchedulePeriod": [draw_period(rng, start) for start in (starts if kind != "Dynamic" else [0])],
    }
    if schedule["chargingRateUnit"] == "W":
        for period in schedule["chargingSchedulePeriod"]:
            period["limit"] = round(period["limit"] * 300, 1)
    back_s = rng.choice([0, 0, DAY_S, 7 * DAY_S, 14 * DAY_S, 3 * DAY_S])
    start = T0 + seconds(rng, -80, 80) - timedelta(seconds=back_s)
    if kind in ("Absolute", "Recurring") and (is_2x or rng.random() < 0.8):
        schedule["startSchedule"] = start.isoformat().replace("+00:00", "Z")
    if rng.random() < 0.5 and purpose != "PriorityCharging":
        schedule["duration"] = rng.choice([rng.randrange(1, 120), DAY_S, 2 * DAY_S])
    if is_2x:
        schedule["id"] = 1
    body: Body = {
        "id" if is_2x else "chargingProfileId": number,
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": kind,
        "chargingSchedule": [schedule] if is_2x else schedule,
    }
    if kind == "Recurring":
        body["recurrencyKind"] = rng.choice(["Daily", "Weekly"])
    for name in ("validFrom", "validTo"):
        if rng.random() < 0.25:
            body[name] = (T0 + seconds(rng, -60, 90)).isoformat()
    if purpose == "TxProfile" and rng.random() < 0.5:
        body["transactionId"] = rng.choice(["tx-1", "tx-2"]) if is_2x else rng.choice([1, 2])
    if version == "ocpp2.1" and rng.random() < 0.3:
        body["maxOfflineDuration"] = rng.randrange(0, 60)
    return body


def draw_period(rng: random.Random, start: int) -> Body:
    period: Body = {"startPeriod": start, "limit": round(rng.uniform(0, 40), 1)}
    if rng.random() < 0.4:
        period["numberPhases"] = rng.choice([1, 2, 3])
    return period
