"""The gateway as a station of its own: boot, heartbeats, notices and answers, in the machine and on real sockets."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocpp.messages import get_validator
from ocpp_bench import Csms, until
from ocpp_driver import UTC_MS
from ocpp_pki import Authority
from prometheus_client import CollectorRegistry
from websockets.typing import Subprotocol

from dgm.api.config.v1.config_pb2 import CpoConfig, DgmConfig, OwnIdentityConfig
from dgm.machine import Now, Tick
from dgm.ocpp.gateway.own import OwnLine, OwnMetrics
from dgm.ocpp.gateway.security import own_authorization, own_tls, security_problems
from dgm.ocpp.notice import CALL_TIMEOUT_MS, NOTICE_INTERVAL_MS, Limited
from dgm.ocpp.own_answers import _FIXED, _UNSUPPORTED, answer
from dgm.ocpp.own_identity import Heard, Lost, Opened, OwnIdentity, Say, Told

HALF = Limited(limit_w=50_000, nameplate_w=100_000)
FREE = Limited(limit_w=100_000, nameplate_w=100_000)


class Talk:
    """The machine with a CSMS that answers as told."""

    def __init__(self) -> None:
        numbers = itertools.count(1)
        self.machine = OwnIdentity(cpo_id="c", identity="GW", ids=lambda: f"gw-{next(numbers)}", firmware="1.2")
        self.ms = 0
        self.told: list[Told] = []

    def do(self, event: Any) -> list[list[Any]]:
        effects = self.machine.handle(event, Now(mono_ms=self.ms, utc_ms=UTC_MS + self.ms))
        self.told += [effect for effect in effects if isinstance(effect, Told)]
        return [json.loads(effect.raw) for effect in effects if isinstance(effect, Say)]

    def hear(self, frame: list[Any]) -> list[list[Any]]:
        return self.do(Heard(raw=json.dumps(frame).encode()))

    def sleep(self, to_ms: int) -> list[list[Any]]:
        """Time passes; every wake time is kept."""
        said: list[list[Any]] = []
        for _ in range(1000):
            wake_ms = self.machine.wake_time()
            if wake_ms is None or wake_ms > to_ms:
                break
            self.ms = max(self.ms, wake_ms)
            said += self.do(Tick())
        self.ms = to_ms
        return said

    def booted(self, *, interval_s: int = 300) -> Talk:
        [boot] = self.do(Opened(subprotocol="ocpp2.1"))
        self.hear(accepted(boot, interval_s))
        return self


def accepted(boot: list[Any], interval_s: int = 300, status: str = "Accepted") -> list[Any]:
    return [3, boot[1], {"currentTime": "2026-01-01T00:00:00Z", "interval": interval_s, "status": status}]


def actions(said: list[list[Any]]) -> list[str]:
    return [frame[2] for frame in said if frame[0] == 2]


@pytest.mark.parametrize("version", ["2.0.1", "2.1"])
def test_it_boots_then_tells_the_limit_and_beats_in_words_of_the_schema(version: str) -> None:
    talk = Talk()
    talk.do(HALF)
    [boot] = talk.do(Opened(subprotocol=f"ocpp{version}"))
    get_validator(2, "BootNotification", version).validate(boot[3])
    assert boot[3]["chargingStation"]["serialNumber"] == "GW"
    [notice] = talk.hear(accepted(boot))
    get_validator(2, "NotifyChargingLimit", version).validate(notice[3])
    assert notice[3]["chargingSchedule"][0]["chargingSchedulePeriod"][0]["limit"] == 50_000
    assert talk.hear([3, notice[1], {}]) == []
    assert talk.machine.describe().told_limit_w == 50_000
    assert actions(talk.sleep(300_000)) == ["Heartbeat"]


def test_nothing_but_boots_is_said_before_the_csms_has_accepted_one() -> None:
    talk = Talk()
    talk.do(HALF)
    [boot] = talk.do(Opened(subprotocol="ocpp2.0.1"))
    for status, wait_s in (("Pending", 20), ("Rejected", 40)):
        assert talk.hear(accepted(boot, wait_s, status)) == []
        assert talk.sleep(talk.ms + wait_s * 1000 - 1) == []
        [boot] = talk.sleep(talk.ms + 1)
        assert boot[2] == "BootNotification"
    assert actions(talk.hear(accepted(boot))) == ["NotifyChargingLimit"]


def test_after_a_reconnection_it_does_not_boot_again_but_tells_what_holds() -> None:
    talk = Talk().booted()
    [notice] = talk.do(HALF)
    talk.hear([3, notice[1], {}])
    talk.do(Lost())
    assert talk.machine.wake_time() is None
    assert actions(talk.do(Opened(subprotocol="ocpp2.1"))) == ["NotifyChargingLimit"]


def test_the_end_of_a_limit_that_was_told_before_a_reconnection_is_told_after_it() -> None:
    talk = Talk().booted()
    [notice] = talk.do(HALF)
    talk.hear([3, notice[1], {}])
    talk.do(Lost())
    talk.do(FREE)
    assert actions(talk.do(Opened(subprotocol="ocpp2.1"))) == ["ClearedChargingLimit"]


def test_a_csms_that_does_not_know_us_any_more_is_told_who_we_are_but_not_in_a_loop() -> None:
    talk = Talk().booted()
    [notice] = talk.do(HALF)
    assert talk.hear([4, notice[1], "SecurityError", "boot first", {}]) == []
    boots = talk.sleep(talk.ms + 60_000)
    assert actions(boots) == ["BootNotification"]


@pytest.mark.parametrize("limited", [HALF, FREE])
def test_a_csms_that_refuses_every_notice_is_asked_once_a_minute_at_most(limited: Limited) -> None:
    talk = Talk().booted(interval_s=86_400)
    [notice] = talk.do(HALF)
    talk.hear([3, notice[1], {}])
    said = talk.do(limited)
    for minute in range(1, 11):
        talk.ms = minute * NOTICE_INTERVAL_MS
        said += talk.do(Limited(limit_w=limited.limit_w * (1 + minute % 2) // 2, nameplate_w=limited.limit_w + 1))
        said += talk.hear([4, said[-1][1] if said else "x", "InternalError", "", {}])
    assert len(said) <= 12


def test_a_silent_csms_costs_one_call_at_a_time() -> None:
    talk = Talk()
    [boot] = talk.do(Opened(subprotocol="ocpp2.1"))
    assert talk.sleep(CALL_TIMEOUT_MS - 1) == []
    talk.sleep(CALL_TIMEOUT_MS)
    assert talk.told == [Told(action="BootNotification", outcome="silence")]
    assert talk.hear(accepted(boot)) == [], "too late"
    assert not talk.machine.is_accepted
    assert actions(talk.sleep(CALL_TIMEOUT_MS + 60_000)) == ["BootNotification"]


def test_a_trigger_is_answered_then_done_and_others_are_not_implemented() -> None:
    talk = Talk().booted()
    for wanted, status in (
        ("Heartbeat", "Accepted"),
        ("BootNotification", "Accepted"),
        ("LogStatus", "NotImplemented"),
    ):
        said = talk.hear([2, "c", "TriggerMessage", {"requestedMessage": wanted}])
        assert said[0] == [3, "c", {"status": status}]
        assert actions(said) == ([wanted] if status == "Accepted" else [])
        if len(said) > 1:
            talk.hear(accepted(said[1]))


def valid_requests() -> list[tuple[str, dict[str, Any]]]:
    listed = {
        "GetVariables": {"getVariableData": [{"component": {"name": "A"}, "variable": {"name": "B"}}]},
        "SetVariables": {
            "setVariableData": [{"attributeValue": "1", "component": {"name": "A"}, "variable": {"name": "B"}}]
        },
        "SetVariableMonitoring": {
            "setMonitoringData": [
                {"value": 1, "type": "Delta", "severity": 1, "component": {"name": "A"}, "variable": {"name": "B"}}
            ]
        },
        "TriggerMessage": {"requestedMessage": "Heartbeat"},
    }
    return [*listed.items(), *((action, {}) for action in _FIXED)]


@pytest.mark.parametrize(("action", "payload"), valid_requests())
def test_every_answer_keeps_to_its_schema(action: str, payload: dict[str, Any]) -> None:
    found = answer(action, payload)
    assert not found.code
    get_validator(3, action, "2.0.1").validate(found.payload)
    get_validator(3, action, "2.1").validate(found.payload)


@pytest.mark.parametrize("action", sorted(_UNSUPPORTED))
def test_what_only_a_station_can_do_is_not_supported(action: str) -> None:
    assert get_validator(2, action, "2.1") is not None
    assert answer(action, {}).code == "NotSupported"


@given(st.binary(max_size=200) | st.text(max_size=60).map(lambda text: f'[2,"a","{text}",{{}}]'.encode()))
def test_no_message_of_a_csms_hurts(raw: bytes) -> None:
    talk = Talk().booted()
    talk.do(Heard(raw=raw))
    assert actions(talk.do(HALF)) == ["NotifyChargingLimit"]


@pytest.mark.parametrize("items", [None, [], [{}], [1], [{"component": 1}] * 300])
def test_a_list_that_makes_no_sense_is_a_callerror(items: Any) -> None:
    assert answer("GetVariables", {"getVariableData": items}).code


async def test_on_a_socket_it_shows_its_name_and_password_and_is_back_after_the_csms_was_away(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("secret\n")
    own = OwnIdentityConfig(id="GW=1", password_file="own.txt")
    csms, registry = Csms(), CollectorRegistry()
    csms.choice = Subprotocol("ocpp2.0.1")
    async with csms.running():
        line = OwnLine(
            OwnIdentity(cpo_id="c", identity=own.id, ids=iter(map(str, range(100))).__next__, firmware="1"),
            csms.url,
            metrics=OwnMetrics(registry),
            authorization=own_authorization(own, tmp_path),
            retry_min_s=0.01,
        )
        line.put(HALF)
        task = asyncio.create_task(line.run())
        await until(lambda: [json.loads(raw)[2] for raw in csms.seen] == ["BootNotification", "NotifyChargingLimit"])
        request = csms.requests[0]
        assert request.path.endswith("/GW%3D1")
        assert request.headers["Authorization"].startswith("Basic ")
        assert registry.get_sample_value("dgm_ocpp_own_connections", {"cpo": "c"}) == 1
        csms.refuse_with = 503
        await csms.sockets[0].close()
        await until(lambda: registry.get_sample_value("dgm_ocpp_own_failures_total", {"cpo": "c"}))
        csms.refuse_with = None
        await until(lambda: [json.loads(raw)[2] for raw in csms.seen][2:] == ["NotifyChargingLimit"])
        task.cancel()


async def test_a_csms_without_2x_is_left_and_counted(tmp_path: Path) -> None:
    csms, registry = Csms(), CollectorRegistry()
    csms.choice = None
    async with csms.running():
        machine = OwnIdentity(cpo_id="c", identity="GW", ids=lambda: "1", firmware="1")
        line = OwnLine(machine, csms.url, metrics=OwnMetrics(registry), retry_min_s=0.01)
        task = asyncio.create_task(line.run())
        await until(lambda: registry.get_sample_value("dgm_ocpp_own_failures_total", {"cpo": "c"}))
        task.cancel()
    assert csms.seen == []


def test_files_of_the_own_identity_are_checked_and_a_wss_csms_gets_the_certificate_of_this_name(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "cpo")
    cpo = CpoConfig(id="c", url="wss://csms", ca=authority.file.name, certificate="{station}.pem")
    cpo.private_key = "{station}.key"
    cpo.own.id, cpo.own.password_file = "GW", "own.txt"
    problems = list(security_problems(DgmConfig(cpos=[cpo]), tmp_path))
    assert {problem.path for problem in problems} == {"cpos[0]", "cpos[0].own.password_file"}
    authority.sign("GW")
    (tmp_path / "own.txt").write_text("x")
    assert list(security_problems(DgmConfig(cpos=[cpo]), tmp_path)) == []
    assert own_tls(cpo, tmp_path) is not None
