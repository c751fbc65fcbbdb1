"""Tells a 2.x CSMS, as the gateway itself, that the site limits its stations, and when it does so no more (K14, K24).

    sum of the site's limits, nameplate ──Limited──> Notices ──> NotifyChargingLimit, ClearedChargingLimit

For the stations of one CPO together, never per station. A change is told when it exceeds LimitChangeSignificance
(K14.FR.02) and not more often than NOTICE_INTERVAL_MS; an end is told at once. One CALL at a time; one that fails is
not repeated as it was: what holds when its turn comes again is told. Pure. Said on the gateway's own identity
(`own_identity`) or not at all (safety rules, section 6).
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.machine import Now
from dgm.ocpp import stamp
from dgm.ocpp.frame import Payload

NOTICE_INTERVAL_MS = 60_000
CALL_TIMEOUT_MS = 30_000
SIGNIFICANCE_PERCENT = 10
SOURCE = "EMS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """What the site allows all stations of a CPO together, W, and what they could draw without it."""

    limit_w: int
    nameplate_w: int

    @property
    def is_limit(self) -> bool:
        """The site holds them below what they could draw."""
        return self.limit_w < self.nameplate_w


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A CALL to the CSMS."""

    action: str
    payload: Payload


class Notices:
    """The notices to one CSMS. significance_percent: of the limit told before."""

    def __init__(self, *, significance_percent: int = SIGNIFICANCE_PERCENT) -> None:
        self._significance = significance_percent
        self._newest: Limited | None = None
        self._told_w: int | None = None
        self._asked_w: int | None = None
        self._must_clear = self._has_failed = False
        self._open_ms: int | None = None
        self._next_ms = 0

    @property
    def told_w(self) -> int | None:
        """The limit that the CSMS knows, W; None: none."""
        return self._told_w

    def put(self, limited: Limited) -> None:
        """What holds now."""
        self._newest = limited

    def connected(self) -> None:
        """A new connection: the CSMS may not know what was told on the one before."""
        self._must_clear = self._must_clear or self._told_w is not None
        self._told_w, self._open_ms = None, None
        if not self._has_failed:
            self._next_ms = 0

    def wake_time(self) -> int | None:
        """Monotonic ms at which to ask `next` again."""
        if self._open_ms is not None:
            return self._open_ms + CALL_TIMEOUT_MS
        return self._next_ms if self._is_worth_telling() else None

    def next(self, now: Now) -> Notice | None:
        """The CALL to send now."""
        if self._open_ms is not None and now.mono_ms < self._open_ms + CALL_TIMEOUT_MS:
            return None
        self._open_ms = None
        newest = self._newest
        if newest is None or not self._is_worth_telling():
            return None
        if (newest.is_limit or self._has_failed) and now.mono_ms < self._next_ms:
            return None
        self._open_ms, self._next_ms = now.mono_ms, now.mono_ms + NOTICE_INTERVAL_MS
        self._asked_w = newest.limit_w if newest.is_limit else None
        return _limited(newest, now) if newest.is_limit else _cleared()

    def answered(self, *, accepted: bool) -> None:
        """The CSMS answered; accepted False: with CALLERROR."""
        self._open_ms, self._has_failed = None, not accepted
        if accepted:
            self._told_w, self._must_clear = self._asked_w, False

    def _is_worth_telling(self) -> bool:
        newest, told_w = self._newest, self._told_w
        if newest is None:
            return False
        if not newest.is_limit:
            return told_w is not None or self._must_clear
        if told_w is None:
            return True
        return abs(newest.limit_w - told_w) * 100 > self._significance * max(told_w, 1)


def _limited(limited: Limited, now: Now) -> Notice:
    """The limit with its schedule: constant until the next notice. No evseId: it is the whole site's."""
    schedule: Payload = {
        "id": 1,
        "startSchedule": stamp.text(now.utc_ms),
        "chargingRateUnit": "W",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": float(limited.limit_w)}],
    }
    payload: Payload = {"chargingLimit": {"chargingLimitSource": SOURCE}, "chargingSchedule": [schedule]}
    return Notice(action="NotifyChargingLimit", payload=payload)


def _cleared() -> Notice:
    return Notice(action="ClearedChargingLimit", payload={"chargingLimitSource": SOURCE})
