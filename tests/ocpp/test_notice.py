"""What a 2.x CSMS is told of the site's limit, and how often."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocpp.messages import get_validator
from ocpp_driver import QUICK, UTC_MS

from dgm.machine import Now
from dgm.ocpp.notice import CALL_TIMEOUT_MS, NOTICE_INTERVAL_MS, Limited, Notice, Notices

NAMEPLATE_W = 100_000


def at(ms: int) -> Now:
    return Now(mono_ms=ms, utc_ms=UTC_MS + ms)


def told(notices: Notices, ms: int, limit_w: int, *, accepted: bool = True) -> Notice | None:
    notices.put(Limited(limit_w=limit_w, nameplate_w=NAMEPLATE_W))
    notice = notices.next(at(ms))
    if notice is not None:
        notices.answered(accepted=accepted)
    return notice


def action(notice: Notice | None) -> str | None:
    return None if notice is None else notice.action


@pytest.mark.parametrize("version", ["2.0.1", "2.1"])
def test_a_limit_and_its_end_are_told_in_words_of_the_schema(version: str) -> None:
    notices = Notices()
    for limit_w in (40_000, NAMEPLATE_W):
        notice = told(notices, 0, limit_w)
        assert notice is not None
        get_validator(2, notice.action, version).validate(notice.payload)


def test_no_limit_is_not_told_and_its_end_only_once() -> None:
    notices = Notices()
    assert told(notices, 0, NAMEPLATE_W) is None
    assert action(told(notices, 0, 40_000)) == "NotifyChargingLimit"
    assert action(told(notices, 1, NAMEPLATE_W)) == "ClearedChargingLimit"
    assert told(notices, 2, NAMEPLATE_W) is None


def test_small_changes_are_not_told_and_large_ones_once_a_minute() -> None:
    notices = Notices()
    told(notices, 0, 40_000)
    assert told(notices, NOTICE_INTERVAL_MS, 43_999) is None
    assert told(notices, NOTICE_INTERVAL_MS - 1, 60_000) is None
    assert notices.wake_time() == NOTICE_INTERVAL_MS
    assert action(told(notices, NOTICE_INTERVAL_MS, 60_000)) == "NotifyChargingLimit"


def test_after_a_refusal_or_silence_what_holds_then_is_told() -> None:
    notices = Notices()
    told(notices, 0, 40_000, accepted=False)
    again = told(notices, NOTICE_INTERVAL_MS, 30_000)
    assert again is not None
    assert again.payload["chargingSchedule"][0]["chargingSchedulePeriod"][0]["limit"] == 30_000.0
    notices = Notices()
    notices.put(Limited(limit_w=40_000, nameplate_w=NAMEPLATE_W))
    assert notices.next(at(0)) is not None
    assert notices.next(at(CALL_TIMEOUT_MS - 1)) is None
    assert notices.next(at(NOTICE_INTERVAL_MS)) is not None


def test_a_new_connection_is_told_anew() -> None:
    notices = Notices()
    told(notices, 0, 40_000)
    notices.connected()
    assert action(told(notices, 1, 40_000)) == "NotifyChargingLimit"


@QUICK
@given(st.lists(st.tuples(st.integers(0, 90_000), st.integers(0, 120_000)), max_size=30))
def test_notices_of_limits_are_a_minute_apart_and_the_last_word_is_true(steps: list[tuple[int, int]]) -> None:
    notices, now_ms, sent = Notices(), 0, []
    limit_w = NAMEPLATE_W
    for wait_ms, limit_w in steps:
        now_ms += wait_ms
        notice = told(notices, now_ms, limit_w)
        if notice is not None:
            sent.append((now_ms, notice))
    limits = [ms for ms, notice in sent if notice.action == "NotifyChargingLimit"]
    assert all(later - earlier >= NOTICE_INTERVAL_MS for earlier, later in pairwise(limits))
    last = told(notices, now_ms + NOTICE_INTERVAL_MS, limit_w)
    sent += [] if last is None else [(0, last)]
    is_told = bool(sent) and sent[-1][1].action == "NotifyChargingLimit"
    assert is_told is (limit_w < NAMEPLATE_W)
