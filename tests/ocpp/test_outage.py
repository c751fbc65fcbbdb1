"""While the CSMS is away: nothing of a transaction is lost, invented or booked twice, and no answer is made up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from outage_driver import Bench, parse

from dgm.ocpp import frame
from dgm.ocpp.books import MAX_MESSAGES, Books, Message, PutMessage
from dgm.ocpp.outage import FAILURES_MAX, HANG_UP_MS, Outage
from dgm.ocpp.outage_rules import Policy, Stage

START = {"connectorId": 1, "idTag": "ANNA", "meterStart": 0}
STEPS = (
    "start", "meter", "stop", "send", "save", "answer", "csms up", "csms down", "csms books and dies",
    "station up", "station down", "kill", "wait", "disk full",
)  # fmt: skip


def tell(bench: Bench, step: str) -> None:
    """The next chapter of the station's story; every message holds the time of what it tells."""
    station = bench.station
    station.started += 1
    at = {"timestamp": station.started}
    match step:
        case "start":
            station.tell("StartTransaction", {**START, **at})
        case "meter":
            station.tell("MeterValues", {"connectorId": 1, **at})
        case _:
            station.tell("StopTransaction", {"meterStop": 5, **at})


def act(bench: Bench, step: str) -> None:
    """One step of a run."""
    match step:
        case "start" | "meter" | "stop":
            tell(bench, step)
        case "send":
            bench.send()
        case "save":
            bench.save()
        case "answer" if bench.north and bench.csms_up:
            bench.csms_answers()
        case "csms up":
            bench.connect_csms()
        case "csms down":
            bench.lose_csms()
        case "csms books and dies":
            bench.csms_takes_and_dies()
        case "station up":
            bench.connect_station()
        case "station down":
            bench.drop_station()
        case "kill":
            bench.kill()
        case "wait":
            bench.pass_time(31_000)
        case "disk full":
            bench.fail()


def booked_story(bench: Bench) -> list[tuple[str, dict[str, Any]]]:
    """What the CSMS booked, in the station's words; a transaction id must be the one that the CSMS gave last."""
    story, given_id = [], None
    for action, payload in bench.csms.booked:
        payload = dict(payload)
        if action == "StartTransaction":
            given_id = payload.pop("given")
        else:
            assert payload.pop("transactionId") == given_id, f"{action} names a transaction that the CSMS never gave"
        story.append((action, payload))
    return story


@settings(max_examples=400, deadline=None)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=60))
@example(steps=["csms up", "station up", "start", "send", "csms books and dies", "save", "kill", "station up", "send"])
@example(steps=["station up", "start", "send", "save", "kill", "csms up", "answer", "station up", "send", "answer"])
@example(steps=["station up", "start", "meter", "send", "save", "send", "kill", "station up", "send", "save", "kill"])
def test_every_billing_message_is_booked_once_and_in_order(steps: list[str]) -> None:
    bench = Bench()
    tell(bench, "start")
    for step in steps:
        act(bench, step)
    bench.heal()
    assert bench.station.queue == []
    assert booked_story(bench) == bench.station.told
    assert bench.outage.stage is Stage.LIVE
    assert bench.disk.messages == {}


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=50))
def test_in_island_the_station_keeps_its_messages_and_nobody_books_twice(steps: list[str]) -> None:
    bench = Bench(Policy.ISLAND)
    tell(bench, "start")
    for step in steps:
        act(bench, step)
    assert bench.disk.messages == {}
    bench.heal()
    assert booked_story(bench) == bench.station.told


def away(policy: Policy = Policy.STORE) -> Bench:
    """The station is there, the CSMS is not."""
    bench = Bench(policy)
    bench.connect_station()
    return bench


def ask(bench: Bench, action: str, payload: dict[str, Any], message_id: str = "q") -> Any:
    """What the station is answered to a CALL; None: nothing."""
    answers: list[Any] = []
    bench.station.hear = lambda raw: answers.append(parse(raw)[1])  # type: ignore[method-assign]
    bench.call(frame.call(message_id, action, payload))
    while bench.unsaved:
        assert answers == [], "answered before it was on disk"
        bench.save()
    return answers[0] if answers else None


def learn(bench: Bench, tag: str) -> None:
    """The CSMS accepts a tag, then goes away."""
    bench.connect_csms()
    bench.call(frame.call(f"a-{tag}", "Authorize", {"idTag": tag}))
    bench.settle()
    bench.lose_csms()


def test_a_known_driver_may_start_and_an_unknown_one_may_not() -> None:
    bench = away()
    learn(bench, "ANNA")
    assert ask(bench, "Authorize", {"idTag": "ANNA"}) == {"idTagInfo": {"status": "Accepted"}}
    assert ask(bench, "Authorize", {"idTag": "BERT"}) == {"idTagInfo": {"status": "Invalid"}}
    first = ask(bench, "StartTransaction", {**START, "timestamp": 1})
    other = ask(bench, "StartTransaction", {**START, "idTag": "BERT", "timestamp": 2}, "r")
    assert (first["idTagInfo"], other["idTagInfo"]) == ({"status": "Accepted"}, {"status": "Invalid"})
    assert first["transactionId"] != other["transactionId"]
    assert len(bench.disk.messages) == 2, "both are billing messages, whoever may charge"


def test_an_expired_tag_is_not_known_any_more() -> None:
    bench = away()
    bench.csms.answers["a"] = frame.result(
        "a", {"idTagInfo": {"status": "Accepted", "expiryDate": "2026-09-21T14:13:30Z"}}
    )
    bench.connect_csms()
    bench.call(frame.call("a", "Authorize", {"idTag": "ANNA"}))
    bench.settle()
    bench.lose_csms()
    expiry_ms = int(bench.disk.facts["tag:ANNA"])
    bench.mono_ms += expiry_ms - bench.now.utc_ms - 1
    assert ask(bench, "Authorize", {"idTag": "ANNA"})["idTagInfo"]["status"] == "Accepted"
    bench.mono_ms += 1
    assert ask(bench, "Authorize", {"idTag": "ANNA"})["idTagInfo"]["status"] == "Invalid"


def test_a_boot_is_accepted_in_store_with_the_interval_of_the_csms_and_pending_in_island() -> None:
    bench = away()
    bench.connect_csms()
    bench.call(frame.call("b", "BootNotification", {"chargePointModel": "M", "chargePointVendor": "V"}))
    bench.settle()
    bench.lose_csms()
    answer = ask(bench, "BootNotification", {"chargePointModel": "M", "chargePointVendor": "V"})
    assert (answer["status"], answer["interval"]) == ("Accepted", 60)
    assert ask(away(Policy.ISLAND), "BootNotification", {})["status"] == "Pending"


def test_on_return_the_csms_hears_boot_and_newest_states_before_the_messages() -> None:
    bench = away()
    ask(bench, "BootNotification", {"chargePointModel": "M"}, "b")
    for status in ("Preparing", "Charging"):
        ask(bench, "StatusNotification", {"connectorId": 1, "status": status}, status)
    ask(bench, "StartTransaction", {**START, "timestamp": 1}, "t")
    bench.connect_csms()
    seen = []
    while bench.north or bench.unsaved:
        if bench.unsaved:
            bench.save()
            continue
        seen.append(json.loads(bench.north[0]))
        bench.csms_answers()
    assert [call[2] for call in seen] == ["BootNotification", "StatusNotification", "StartTransaction"]
    assert seen[1][3]["status"] == "Charging"
    assert seen[0][1] != "b", "a boot that is told again is a new message"
    assert bench.outage.stage is Stage.LIVE


def test_a_csms_that_does_not_accept_the_boot_gets_nothing_until_it_does() -> None:
    bench = away()
    ask(bench, "BootNotification", {"chargePointModel": "M"}, "b")
    ask(bench, "StartTransaction", {**START, "timestamp": 1}, "t")
    bench.csms.boot_status = "Pending"
    bench.connect_csms()
    bench.settle()
    assert (bench.csms.booked, bench.outage.stage) == ([], Stage.HELD)
    bench.csms.boot_status = "Accepted"
    bench.pass_time(60_000)
    bench.settle()
    assert len(bench.csms.booked) == 1
    assert bench.outage.stage is Stage.LIVE


def test_only_the_csms_can_answer_a_data_transfer() -> None:
    bench = away()
    assert ask(bench, "DataTransfer", {"vendorId": "x"}) is None
    assert bench.unanswered == ["DataTransfer"]
    assert bench.station_up


def test_in_island_a_billing_message_closes_the_connection_and_control_goes_on() -> None:
    bench = away(Policy.ISLAND)
    assert ask(bench, "Heartbeat", {})["currentTime"].endswith("Z")
    assert ask(bench, "StatusNotification", {"connectorId": 1, "status": "Available"}) == {}
    assert ask(bench, "MeterValues", {"connectorId": 1}) is None
    bench.pass_time(HANG_UP_MS - 1)
    assert bench.station_up, "time to write a limit"
    bench.pass_time(1)
    assert (bench.station_up, len(bench.hung_up)) == (False, 1)


def test_a_transaction_begun_in_the_outage_keeps_its_id_on_each_side() -> None:
    bench = away()
    provisional = ask(bench, "StartTransaction", {**START, "timestamp": 1}, "t")["transactionId"]
    bench.connect_csms()
    bench.settle()
    real = bench.csms.next_id
    stop = frame.call("r", "RemoteStopTransaction", {"transactionId": real})
    assert parse(bench.outage.ledger.to_station("RemoteStopTransaction", stop))[1] == {"transactionId": provisional}
    profile = frame.call("p", "SetChargingProfile", {"csChargingProfiles": {"transactionId": real, "stackLevel": 1}})
    changed = parse(bench.outage.ledger.to_station("SetChargingProfile", profile))[1]
    assert changed["csChargingProfiles"]["transactionId"] == provisional
    bench.kill()
    values = frame.call("m", "MeterValues", {"transactionId": provisional})
    assert parse(bench.outage.ledger.to_csms("MeterValues", values))[1] == {"transactionId": real}
    other = frame.call("m", "MeterValues", {"transactionId": real + 1})
    assert bench.outage.ledger.to_csms("MeterValues", other) is other


def test_a_message_that_the_csms_keeps_refusing_is_set_aside_and_those_behind_it_go_on() -> None:
    bench = away()
    ask(bench, "MeterValues", {"connectorId": 1, "timestamp": 1}, "m")
    ask(bench, "StopTransaction", {"transactionId": 3, "timestamp": 2}, "s")
    bench.csms.refuse = {"MeterValues"}
    bench.connect_csms()
    for _ in range(FAILURES_MAX):
        bench.csms.answers.clear()
        bench.settle()
        bench.pass_time(FAILURES_MAX * 60_000)
    bench.settle()
    assert bench.refused == ["MeterValues"]
    assert [action for action, _ in bench.csms.booked] == ["StopTransaction"]


def test_a_message_that_is_not_answered_is_sent_again_under_its_id() -> None:
    bench = away()
    ask(bench, "StopTransaction", {"transactionId": 3, "timestamp": 2}, "s")
    bench.connect_csms()
    lost = bench.north.pop()
    bench.pass_time(30_000)
    assert bench.north == [lost]


def test_a_message_that_was_answered_and_booked_is_not_booked_again_when_the_station_did_not_hear_it() -> None:
    bench = away()
    told = ask(bench, "StopTransaction", {"transactionId": 3, "timestamp": 2}, "s")
    bench.connect_csms()
    bench.settle()
    bench.kill()
    bench.connect_station()
    bench.connect_csms()
    assert ask(bench, "StopTransaction", {"transactionId": 3, "timestamp": 2}, "another id") == told
    assert [action for action, _ in bench.csms.booked] == ["StopTransaction"]


def test_full_books_take_no_more_and_the_station_keeps_the_message() -> None:
    bench = away()
    filler = Message(sequence=1, message_id="x", action="MeterValues", raw=b"", digest=b"", answer=b"{}")
    for sequence in range(1, MAX_MESSAGES + 1):
        bench.outage.books.messages[sequence] = filler
    assert ask(bench, "MeterValues", {"connectorId": 1}) is None
    assert bench.unanswered == ["MeterValues"]


def test_two_messages_of_the_same_id_are_told_apart_at_the_csms() -> None:
    bench = away()
    ask(bench, "MeterValues", {"timestamp": 1}, "1")
    ask(bench, "MeterValues", {"timestamp": 2}, "1")
    assert len({message.message_id for message in bench.disk.messages.values()}) == 2


@pytest.mark.parametrize("raw", [b'[2,"1","StartTransaction",7]', b'[2,"1","Authorize",{"idTag":{}}]'])
def test_nonsense_of_a_station_is_borne(raw: bytes) -> None:
    bench = away()
    bench.call(raw)
    bench.settle()
    assert isinstance(bench.outage, Outage)
    assert all(isinstance(change, PutMessage) or change for _, changes in bench.unsaved for change in changes)


def test_what_the_disk_does_not_take_is_not_answered_and_the_station_keeps_it() -> None:
    bench = away()
    tell(bench, "start")
    bench.send()
    bench.fail()
    assert (bench.station_up, bench.disk.messages, bench.outage.books.messages) == (False, {}, {})
    bench.connect_station()
    assert not bench.outage.does_store
    assert ask(bench, "BootNotification", {})["status"] == "Pending", "as in island"
    bench.pass_time(10_000)
    bench.save()
    assert bench.outage.does_store


def test_with_no_disk_at_all_store_is_island() -> None:
    bench = away()
    bench.outage = Outage(Policy.STORE, Books(), lambda: "g", has_disk=False)
    assert ask(bench, "BootNotification", {})["status"] == "Pending"
    assert ask(bench, "StatusNotification", {"connectorId": 1}) == {}
    assert ask(bench, "StartTransaction", START) is None
    assert bench.unsaved == []


def test_an_event_of_a_time_without_the_csms_says_so_and_is_otherwise_as_the_station_wrote_it() -> None:
    bench = away()
    raw = '[2, "1", "TransactionEvent", {"eventType":"Started", "seqNo": 0, "meterValue":[ 1.50 ], "offline": false}]'
    bench.call(raw.encode())
    bench.call(b'[2,"2","TransactionEvent",{}]')
    while bench.unsaved:
        bench.save()
    kept = [message.raw for message in bench.disk.messages.values()]
    assert kept == [raw.replace("false", "true").encode(), b'[2,"2","TransactionEvent",{"offline":true}]']


def test_a_driver_of_2x_is_judged_by_what_the_csms_said_of_the_token() -> None:
    bench = away()
    token = {"idToken": "ANNA", "type": "ISO14443"}
    bench.connect_csms()
    bench.csms.answers["a"] = frame.result("a", {"idTokenInfo": {"status": "Accepted"}})
    bench.call(frame.call("a", "Authorize", {"idToken": token}))
    bench.settle()
    bench.lose_csms()
    accepted, unknown = {"idTokenInfo": {"status": "Accepted"}}, {"idTokenInfo": {"status": "Unknown"}}
    assert ask(bench, "Authorize", {"idToken": token}) == accepted
    assert ask(bench, "TransactionEvent", {"seqNo": 0, "idToken": token}, "t") == accepted
    assert ask(bench, "TransactionEvent", {"seqNo": 0, "idToken": {**token, "idToken": "BERT"}}, "u") == unknown
    assert ask(bench, "TransactionEvent", {"seqNo": 1}, "v") == {}, "nobody asked about a driver"


def test_the_rest_of_a_transaction_that_the_csms_refused_names_none() -> None:
    bench = away()
    provisional = ask(bench, "StartTransaction", {**START, "timestamp": 1}, "t")["transactionId"]
    ask(bench, "StopTransaction", {"transactionId": provisional, "timestamp": 2}, "s")
    bench.csms.refuse = {"StartTransaction"}
    bench.connect_csms()
    for _ in range(FAILURES_MAX):
        bench.csms.answers.clear()
        bench.settle()
        bench.pass_time(FAILURES_MAX * 60_000)
    bench.settle()
    assert bench.csms.booked == [("StopTransaction", {"transactionId": -1, "timestamp": 2})]


def test_a_station_that_shows_that_it_heard_is_passed_on_at_a_glance_again() -> None:
    bench = away()
    ask(bench, "MeterValues", {"timestamp": 1}, "1")
    bench.connect_csms()
    bench.settle()
    assert (bench.outage.stage, bench.outage.is_plain) == (Stage.LIVE, False), "it may not have heard"
    bench.mono_ms += 2000
    bench.call(frame.call("2", "MeterValues", {"timestamp": 2}))
    assert bench.outage.is_plain
    bench.settle()
    assert not any(name.startswith("told:") for name in bench.disk.facts)


def test_an_answer_that_comes_late_is_still_ours_and_the_message_is_sent_once_more() -> None:
    bench = away()
    ask(bench, "BootNotification", {"chargePointModel": "M"}, "b")
    bench.connect_csms()
    late = parse(bench.north.pop())[0].id
    bench.pass_time(30_000)
    assert parse(bench.north[0])[0].id != late
    assert bench.outage.is_ours(late)
    bench.settle()
    assert bench.outage.stage is Stage.LIVE


def test_a_status_told_while_the_csms_is_greeted_is_the_one_that_it_hears_last() -> None:
    bench = away()
    ask(bench, "BootNotification", {"chargePointModel": "M"}, "b")
    ask(bench, "StatusNotification", {"connectorId": 1, "status": "Preparing"}, "p")
    bench.connect_csms()
    ask(bench, "StatusNotification", {"connectorId": 1, "status": "Charging"}, "c")
    seen = []
    while bench.north or bench.unsaved:
        if bench.unsaved:
            bench.save()
            continue
        seen.append(parse(bench.north[0])[1].get("status", "boot"))
        bench.csms_answers()
    assert seen == ["boot", "Charging"]
    assert not any(name.startswith("status:") for name in bench.disk.facts)


def test_a_driver_in_island_is_judged_by_the_station_which_goes_offline_for_it() -> None:
    bench = away(Policy.ISLAND)
    assert ask(bench, "Authorize", {"idTag": "ANNA"}) is None
    assert not bench.station_up


def test_a_station_told_to_boot_again_is_passed_on_when_it_does_and_sent_away_when_it_does_not() -> None:
    for boots in (True, False):
        bench = away(Policy.ISLAND)
        ask(bench, "BootNotification", {}, "b")
        bench.connect_csms()
        assert bench.north == []
        assert ask(bench, "Heartbeat", {}, "h") is not None
        if boots:
            bench.call(frame.call("c", "BootNotification", {}))
            bench.settle()
        bench.pass_time(90_000)
        assert (bench.station_up, bench.outage.stage is Stage.LIVE) == (boots, boots)
