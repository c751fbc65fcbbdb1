"""The gateway as a station of its own towards one 2.x CSMS: boots, beats, answers, and tells the site's limit. Sans-IO.

    Opened ──> BootNotification ──Accepted──> Heartbeat, NotifyChargingLimit, ClearedChargingLimit (`notice`)
    CALL of the CSMS ──own_answers──> answer             Limited ──> the newest is what is told

One CALL of ours is open at a time; one without an answer is given up after CALL_TIMEOUT_MS. Nothing that happens here
touches a station: what fails is counted and, while it still holds, told later. Dialling and back-off are the shell's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from dgm.api.ocpp.v1 import ocpp_pb2
from dgm.api.ocpp.v1.ocpp_pb2 import LinkState
from dgm.machine import Now, Tick
from dgm.ocpp import frame
from dgm.ocpp.frame import Kind, Payload, Unreadable
from dgm.ocpp.notice import CALL_TIMEOUT_MS, SIGNIFICANCE_PERCENT, Limited, Notice, Notices
from dgm.ocpp.own_answers import TRIGGERS, answer

INTERVAL_MIN_S, INTERVAL_MAX_S = 10, 86_400
"""Bounds of the interval that a CSMS may ask for; 0 leaves it to us (B01.FR.04)."""

HEARTBEAT_DEFAULT_S, BOOT_RETRY_DEFAULT_S = 300, 60
VENDOR, MODEL = "DGM", "DGM OCPP gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The connection is open."""

    subprotocol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """It is closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A text message of the CSMS."""

    raw: bytes


Event = Opened | Lost | Heard | Limited | Tick


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Write `raw` as one text message."""

    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """For the counters. action: of a CALL of ours or the CSMS's; outcome: "done", "error", "silence" or "garbage"."""

    action: str
    outcome: str


Effect = Say | Told


class OwnIdentity:
    """See the module. ids: a fresh id for every CALL of ours. firmware: the version of DGM."""

    def __init__(
        self,
        *,
        cpo_id: str,
        identity: str,
        ids: Callable[[], str],
        firmware: str,
        significance_percent: int = SIGNIFICANCE_PERCENT,
    ) -> None:
        self.cpo_id, self.identity = cpo_id, identity
        self._ids, self._firmware = ids, firmware
        self._notices = Notices(significance_percent=significance_percent)
        self._subprotocol = ""
        self._is_open = self._is_accepted = False
        self._call: tuple[str, str, int] | None = None
        self._wanted: list[str] = []
        self._boot_ms = self._beat_ms = 0
        self._beat_interval_ms = HEARTBEAT_DEFAULT_S * 1000

    def wake_time(self) -> int | None:
        """Monotonic ms at which a Tick is wanted."""
        if not self._is_open:
            return None
        if self._call is not None:
            return self._call[2] + CALL_TIMEOUT_MS
        if not self._is_accepted:
            return self._boot_ms
        notice_ms = self._notices.wake_time()
        return self._beat_ms if notice_ms is None else min(self._beat_ms, notice_ms)

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """Take one event; the effects are to be carried out in order."""
        effects: list[Effect] = []
        match event:
            case Opened():
                self._opened(event.subprotocol, now)
            case Lost():
                self._lost()
            case Heard():
                effects = self._heard(event.raw, now)
            case Limited():
                self._notices.put(event)
            case Tick():
                effects = self._given_up(now)
            case _:
                assert_never(event)
        return effects + self._next(now)

    def _opened(self, subprotocol: str, now: Now) -> None:
        self._is_open, self._subprotocol = True, subprotocol
        self._boot_ms = now.mono_ms
        self._beat_ms = min(self._beat_ms, now.mono_ms + self._beat_interval_ms)
        self._notices.connected()

    def _lost(self) -> None:
        self._is_open, self._call = False, None
        self._wanted.clear()

    # What we say.

    def _next(self, now: Now) -> list[Effect]:
        """The CALL whose turn it is: what was asked for, the boot, then notices before heartbeats."""
        if not self._is_open or self._call is not None:
            return []
        if self._wanted:
            return self._ask(self._wanted.pop(0), now)
        if not self._is_accepted:
            return self._ask("BootNotification", now) if now.mono_ms >= self._boot_ms else []
        notice = self._notices.next(now)
        if notice is not None:
            return self._say(notice, now)
        return self._ask("Heartbeat", now) if now.mono_ms >= self._beat_ms else []

    def _ask(self, action: str, now: Now) -> list[Effect]:
        payload: Payload = {}
        if action == "BootNotification":
            # With security profile 3 the serial number is the certificate's name (B01.FR.11).
            station = {"vendorName": VENDOR, "model": MODEL, "serialNumber": self.identity[:25]}
            station["firmwareVersion"] = self._firmware[:50]
            payload = {"reason": "PowerUp", "chargingStation": station}
        return self._say(Notice(action=action, payload=payload), now)

    def _say(self, notice: Notice, now: Now) -> list[Effect]:
        message_id = self._ids()
        self._call = (message_id, notice.action, now.mono_ms)
        # Any traffic shows that we live, so a heartbeat counts from the newest CALL (2.x part 4, 5.2).
        self._beat_ms = now.mono_ms + self._beat_interval_ms
        return [Say(raw=frame.call(message_id, notice.action, notice.payload))]

    def _given_up(self, now: Now) -> list[Effect]:
        call = self._call
        if call is None or now.mono_ms < call[2] + CALL_TIMEOUT_MS:
            return []
        self._call = None
        self._failed(call[1], now)
        return [Told(action=call[1], outcome="silence")]

    def _failed(self, action: str, now: Now) -> None:
        if action == "BootNotification":
            self._boot_ms = now.mono_ms + BOOT_RETRY_DEFAULT_S * 1000
        elif action != "Heartbeat":
            self._notices.answered(accepted=False)

    # What the CSMS says.

    def _heard(self, raw: bytes, now: Now) -> list[Effect]:
        head = frame.scan(raw)
        if isinstance(head, Unreadable):
            return [Told(action="", outcome="garbage")]
        match head.kind:
            case Kind.CALL:
                return self._asked(head.id, head.action, frame.payload_of(raw))
            case Kind.RESULT | Kind.ERROR if self._call is not None and self._call[0] == head.id:
                return self._answered(self._call[1], raw, now, is_error=head.kind is Kind.ERROR)
            case Kind.RESULT | Kind.ERROR | Kind.SEND | Kind.RESULT_ERROR:
                return []  # an answer that came too late, or what asks for none
            case _:
                assert_never(head.kind)

    def _asked(self, message_id: str, action: str, payload: Payload | None) -> list[Effect]:
        found = answer(action, payload)
        if found.code:
            raw = frame.error(message_id, code=found.code, description=found.text[:255])
            return [Say(raw=raw), Told(action=action, outcome="error")]
        if action == "TriggerMessage" and payload is not None and found.payload["status"] == "Accepted":
            self._want(payload["requestedMessage"])
        return [Say(raw=frame.result(message_id, found.payload)), Told(action=action, outcome="done")]

    def _want(self, action: str) -> None:
        # A bounded list: each of them once.
        if action in TRIGGERS and action not in self._wanted:
            self._wanted.append(action)

    def _answered(self, action: str, raw: bytes, now: Now, *, is_error: bool) -> list[Effect]:
        self._call = None
        payload = None if is_error else frame.payload_of(raw)
        if payload is None:
            if is_error and frame.error_text(raw).startswith("SecurityError"):
                # It does not know us any more: boot again (B01.FR.10).
                self._is_accepted = False
                self._boot_ms = now.mono_ms + BOOT_RETRY_DEFAULT_S * 1000
            self._failed(action, now)
            return [Told(action=action, outcome="error")]
        if action == "BootNotification":
            self._booted(payload, now)
        elif action != "Heartbeat":
            self._notices.answered(accepted=True)
        return [Told(action=action, outcome="done")]

    def _booted(self, payload: Payload, now: Now) -> None:
        self._is_accepted = payload.get("status") == "Accepted"
        found = payload.get("interval")
        default_s = HEARTBEAT_DEFAULT_S if self._is_accepted else BOOT_RETRY_DEFAULT_S
        asked_s = found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else default_s
        interval_ms = max(INTERVAL_MIN_S, min(asked_s, INTERVAL_MAX_S)) * 1000
        if self._is_accepted:
            self._beat_interval_ms, self._beat_ms = interval_ms, now.mono_ms + interval_ms
        else:
            self._boot_ms = now.mono_ms + interval_ms

    @property
    def is_accepted(self) -> bool:
        """The CSMS has accepted our boot, on this connection or an earlier one: it is not repeated (part 4, 5.3)."""
        return self._is_accepted

    def describe(self) -> ocpp_pb2.OwnIdentity:
        """The connection as the OCPP service shows it."""
        return ocpp_pb2.OwnIdentity(
            cpo_id=self.cpo_id,
            id=self.identity,
            link=LinkState.LINK_STATE_UP if self._is_open else LinkState.LINK_STATE_DOWN,
            subprotocol=self._subprotocol,
            accepted=self._is_accepted,
            told_limit_w=self._notices.told_w,
        )
