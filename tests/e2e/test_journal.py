"""A CPO's system dies while cars charge, and the gateway twice with it: every billing message reaches the CPO once."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from e2e_books import Teller
from e2e_judging import longest_excess_ms
from e2e_live import Live, charges
from e2e_waiting import eventually
from e2e_world import EVENT_W, HOST, STORED, now_utc_ms

READINGS = 8
DELIVERED_S = 90.0
"""The longest wait between two tries to reach a CSMS is a minute."""

EXCESS_MAX_MS = 10_000


@pytest.fixture(scope="module")
def tellers(live: Live) -> Iterator[tuple[Teller, Teller]]:
    """A station of 1.6 and one of 2.0.1, whose drivers the CSMS has accepted before it vanished."""
    port = live.world.document["ocpp"]["port"]
    versions = ("ocpp1.6", "ocpp2.0.1")
    old, new = (
        Teller(url=f"ws://{HOST}:{port}/{name}", subprotocol=version)
        for name, version in zip(STORED, versions, strict=True)
    )
    old.tell("BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})
    assert old.tell("Authorize", {"idTag": "ANNA"})["idTagInfo"]["status"] == "Accepted"
    new.tell("BootNotification", {"reason": "PowerUp", "chargingStation": {"vendorName": "V", "model": "M"}})
    assert new.tell("Authorize", {"idToken": token()})["idTokenInfo"]["status"] == "Accepted"
    yield old, new
    old.hang_up()
    new.hang_up()


def token() -> dict[str, Any]:
    return {"idToken": "ANNA", "type": "ISO14443"}


def stamp(number: int) -> str:
    return f"2026-01-01T00:{number:02d}:00Z"


def event(number: int) -> dict[str, Any]:
    """A TransactionEvent of 2.0.1."""
    kind = "Started" if number == 0 else "Ended" if number == READINGS else "Updated"
    found = {
        "eventType": kind,
        "timestamp": stamp(number),
        "triggerReason": "Authorized" if number == 0 else "MeterValuePeriodic",
        "seqNo": number,
        "transactionInfo": {"transactionId": "tx-1"},
        "evse": {"id": 1, "connectorId": 1},
    }
    return found | ({"idToken": token()} if number == 0 else {})


class Killer:
    """kill -9 of the gateway, a moment after the steps that a seeded draw has chosen."""

    def __init__(self, live: Live, *, steps: int) -> None:
        draw = random.Random(live.product.mode)
        self._live = live
        self._moments = {step: draw.uniform(0.0, 0.03) for step in draw.sample(range(steps), 2)}
        self.kills = 0
        self._thread: threading.Timer | None = None

    def step(self, number: int) -> None:
        """Before a step: perhaps let it happen under a kill."""
        self.wait()
        if number in self._moments:
            self._thread = threading.Timer(self._moments[number], self._kill)
            self._thread.start()

    def wait(self) -> None:
        """Until the gateway is there again."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _kill(self) -> None:
        self._live.product.kill("ocpp")
        self._live.product.restart("ocpp")
        self.kills += 1


def test_every_billing_message_of_an_outage_reaches_the_csms_once_and_in_order(
    live: Live, tellers: tuple[Teller, Teller]
) -> None:
    (old, new), world = tellers, live.world
    began_ms = now_utc_ms()
    world.run(world.booking.vanish())
    killer = Killer(live, steps=READINGS + 1)
    boot = old.tell("BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})
    assert boot["status"] == "Accepted", "a charger may boot in an outage"
    started = {"connectorId": 1, "idTag": "ANNA", "meterStart": 0, "timestamp": stamp(0)}
    provisional_id, told = 0, []
    for number in range(READINGS + 1):
        killer.step(number)
        if number == 0:
            answer = old.tell("StartTransaction", started)
            provisional_id = answer["transactionId"]
            assert answer["idTagInfo"]["status"] == "Accepted", "a driver whom the CSMS knew"
            told.append(("StartTransaction", started))
        elif number < READINGS:
            reading = {"timestamp": stamp(number), "sampledValue": [{"value": str(100 * number)}]}
            payload = {"connectorId": 1, "transactionId": provisional_id, "meterValue": [reading]}
            assert old.tell("MeterValues", payload) == {}
            told.append(("MeterValues", payload))
        else:
            payload = {"transactionId": provisional_id, "meterStop": 900, "timestamp": stamp(number)}
            assert old.tell("StopTransaction", payload) == {}
            told.append(("StopTransaction", payload))
        assert new.tell("TransactionEvent", event(number)).get("idTokenInfo", {}).get("status", "") in ("", "Accepted")
    killer.wait()
    assert killer.kills == 2
    world.run(world.booking.start())
    booked = world.booking.booked
    eventually(
        "the CSMS has all of it",
        lambda: all(len(booked.get(name, [])) > READINGS for name in STORED),
        within_s=DELIVERED_S,
    )
    (given,) = world.booking.given
    assert given != provisional_id
    renamed = [(action, {**one, "transactionId": given} if "transactionId" in one else one) for action, one in told]
    assert booked[STORED[0]] == renamed
    assert booked[STORED[1]] == [
        ("TransactionEvent", {**event(number), "offline": True}) for number in range(READINGS + 1)
    ]
    world.run(world.booking.call(STORED[0], "c1", "RemoteStopTransaction", {"transactionId": given}))
    assert old.hear("RemoteStopTransaction") == {"transactionId": provisional_id}
    late = {"connectorId": 1, "transactionId": provisional_id, "meterValue": []}
    assert old.tell("MeterValues", late) == {}
    eventually("a late reading is passed on", lambda: len(booked[STORED[0]]) == READINGS + 2)
    assert booked[STORED[0]][-1] == ("MeterValues", {**late, "transactionId": given})
    metrics = live.client.metrics("ocpp")
    assert metrics["dgm_ocpp_books_waiting{cpo=cpo-away}"] == 0
    eventually("the fleet charges again", lambda: charges(live), within_s=60.0)
    # The site's limit held all the while: telemetry and enforcement of all other stations went on.
    assert longest_excess_ms(world.trace(), since_utc_ms=began_ms, bound_w=EVENT_W) <= EXCESS_MAX_MS
