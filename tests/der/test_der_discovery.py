"""The conversation with the server under virtual time, against a server that is a dict of documents."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from urllib.parse import urlsplit

import pytest
from der_world import LATENCY_MS, LFDI, MIRROR, DictServer, World, documents, event, mrids, page
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dgm.der import resource as r
from dgm.der.discovery import (
    Answer,
    Link,
    NoAnswer,
    SendReadings,
    SendResponse,
)
from dgm.der.identity import sfdi_of
from dgm.der.nodes import VERSIONS_PATH, EntryPoint
from dgm.der.outbox import Report
from dgm.der.scheduler import ResponseTaken


def test_the_walk_reaches_every_event_by_links_from_dcap_alone() -> None:
    world = World(DictServer(documents())).run(5)
    assert mrids(world) == ["E0"]
    assert world.programs[-1][0].default is not None
    assert world.discovery.link is Link.READY
    linked = {"/dcap", "/tm", "/edev", "/rg", "/fsa", "/dp", "/dc", "/dd", "/ders", "/mup"}
    assert {urlsplit(url).path for _, how, url in world.server.asked if how == "GET"} == linked


def test_a_long_list_is_fetched_page_by_page_and_taken_as_a_whole() -> None:
    served = documents()
    served["/dc"] = page(tuple(event(f"E{index}") for index in range(7)), r.DERControlList)
    world = World(DictServer(served)).run(5)
    assert mrids(world) == [f"E{index}" for index in range(7)]


def test_a_page_that_fails_does_not_shorten_the_list() -> None:
    served = documents()
    served["/dc"] = page(tuple(event(f"E{index}") for index in range(7)), r.DERControlList)
    server = DictServer(served)
    world = World(server).run(30)
    server.trouble = lambda method, path, at_ms: (
        Answer(tag=0, status=500) if path == "/dc" and "s=4" in server.asked[-1][2] else None
    )
    world.run(200)
    assert len(mrids(world)) == 7


def test_a_list_that_promises_more_than_it_has_is_not_taken() -> None:
    served = documents()
    world = World(DictServer(served)).run(5)
    served["/dc"] = replace(served["/dc"], all=5)
    world.run(300)
    assert mrids(world) == ["E0"]


def test_a_server_that_repeats_the_first_page_for_ever_is_not_believed() -> None:
    served = documents()
    server = DictServer(served)
    world = World(server).run(5)
    stuck = page((event("E1"), event("E2")), r.DERControlList)
    server.trouble = lambda method, path, at_ms: (
        Answer(tag=0, status=200, resource=replace(stuck, results=1, items=stuck.items[:1])) if path == "/dc" else None
    )
    world.run(300)
    assert mrids(world) == ["E0"]


def test_polls_follow_the_poll_rate_and_its_changes() -> None:
    served = documents()
    world = World(DictServer(served)).run(500)
    before = world.server.times("/dp")
    assert all(59 < later - earlier < 63 for earlier, later in pairwise(before))
    served["/dp"] = replace(served["/dp"], poll_s=10)
    world.run(1000)
    after = [time for time in world.server.times("/dc") if time > 570]
    assert all(9 < later - earlier < 13 for earlier, later in pairwise(after))


def test_without_a_poll_rate_the_configured_one_rules() -> None:
    served = documents()
    served["/fsa"] = replace(served["/fsa"], poll_s=None)
    world = World(DictServer(served)).run(2000)
    assert len(world.server.times("/fsa")) == 3


def test_an_empty_list_is_polled_on_and_what_fills_it_later_is_found() -> None:
    served = documents()
    full, served["/fsa"] = served["/fsa"], page((), r.FunctionSetAssignmentsList, poll_s=60)
    world = World(DictServer(served)).run(100)
    assert world.programs[-1] == ()
    served["/fsa"] = full
    world.run(200)
    assert mrids(world) == ["E0"]


def test_a_program_that_moves_is_found_again_without_touching_its_old_place() -> None:
    served = documents()
    world = World(DictServer(served)).run(100)
    moved = replace(served["/dp"].items[0], der_control_list_link="/new")
    served["/dp"] = page((moved,), r.DERProgramList, poll_s=60)
    served["/new"] = page((event("E1"),), r.DERControlList)
    del served["/dc"]
    world.run(130)
    touched = len(world.server.times("/dc"))
    world.run(600)
    assert mrids(world) == ["E1"]
    assert len(world.server.times("/dc")) == touched


def test_a_program_that_is_unlinked_is_dropped() -> None:
    served = documents()
    world = World(DictServer(served)).run(100)
    served["/fsa"] = page((), r.FunctionSetAssignmentsList, poll_s=60)
    world.run(200)
    assert world.programs[-1] == ()


def test_the_own_device_is_found_by_sfdi_where_no_lfdi_is_served() -> None:
    served = documents()
    other = r.EndDevice(lfdi="00" * 20, sfdi=sfdi_of(LFDI), changed_s=0)
    served["/edev"] = page((other, replace(served["/edev"].items[0], lfdi=None)), r.EndDeviceList, poll_s=300)
    assert mrids(World(DictServer(served)).run(5)) == ["E0"]


def test_with_a_wrong_pin_no_control_is_even_asked_for() -> None:
    world = World(DictServer(documents()), pin=222220).run(2000)
    assert world.programs[-1] == ()
    assert world.discovery.wrong_pin
    assert world.server.times("/fsa") == []
    assert world.discovery.link is Link.REGISTERED


def test_without_a_registration_link_the_walk_carries_on() -> None:
    served = documents()
    served["/edev"] = page((replace(served["/edev"].items[0], registration_link=None),), r.EndDeviceList, poll_s=300)
    assert mrids(World(DictServer(served)).run(5)) == ["E0"]


def test_a_pin_that_cannot_be_fetched_keeps_the_walk_waiting() -> None:
    served = documents()
    registration = served.pop("/rg")
    world = World(DictServer(served)).run(100)
    assert world.programs == []
    served["/rg"] = registration
    world.run(300)
    assert mrids(world) == ["E0"]


def test_a_disabled_device_takes_no_controls() -> None:
    served = documents()
    served["/edev"] = page((replace(served["/edev"].items[0], enabled=False),), r.EndDeviceList, poll_s=300)
    assert World(DictServer(served)).run(100).programs[-1] == ()


def test_an_unknown_device_registers_itself_once_per_list_and_is_then_found() -> None:
    served = documents()
    full, served["/edev"] = served["/edev"], page((), r.EndDeviceList, poll_s=300)
    server = DictServer(served)
    server.trouble = lambda method, path, at_ms: Answer(tag=0, status=403) if method == "POST" else None
    world = World(server, in_band=True).run(950)
    assert len(server.times("/edev", "POST")) == 4, "a refusal is repeated with the next poll, not faster"
    server.trouble = lambda method, path, at_ms: served.update({"/edev": full}) if method == "POST" else None
    world.run(1300)
    assert mrids(world) == ["E0"]
    sent = next(body for method, path, body in server.bodies if path == "/edev")
    assert (sent.lfdi, sent.sfdi) == (LFDI, sfdi_of(LFDI))


def test_without_leave_to_register_nothing_is_posted() -> None:
    served = documents()
    served["/edev"] = page((), r.EndDeviceList, poll_s=300)
    world = World(DictServer(served)).run(1000)
    assert world.server.bodies == []
    assert world.discovery.link is Link.CONNECTING


def test_a_permanent_redirect_is_followed_and_a_loop_is_not() -> None:
    served = documents()
    server = DictServer(served)
    server.trouble = lambda method, path, at_ms: (
        Answer(tag=0, status=301, location="/moved") if path == "/dcap" else None
    )
    served["/moved"] = served["/dcap"]
    assert mrids(World(server).run(5)) == ["E0"]
    loop = DictServer(documents())
    loop.trouble = lambda method, path, at_ms: Answer(tag=0, status=301, location=path)
    world = World(loop).run(60)
    assert world.programs == []
    assert len(loop.asked) < 60


def test_a_place_that_moved_for_good_is_not_asked_again_and_one_that_moved_for_now_is() -> None:
    served = documents()
    server = DictServer(served, page_items=1)
    served["/dc"] = page((event("E0"), event("E1"), event("E2")), r.DERControlList)
    served["/new"] = served["/dc"]
    moved = {"/dc": 301, "/fsa": 302}
    served["/fsa-now"] = served["/fsa"]
    places = {"/dc": "/new?v=2", "/fsa": "/fsa-now"}
    server.trouble = lambda method, path, at_ms: (
        Answer(tag=0, status=moved[path], location=places[path]) if path in moved else None
    )
    world = World(server).run(600)
    assert mrids(world) == ["E0", "E1", "E2"]
    assert len(server.times("/dc")) == 1
    assert len(server.times("/fsa")) > 5
    assert {url for _, _, url in server.asked if url.startswith("/new")} == {
        f"/new?v=2&s={start}&l=50" for start in range(3)
    }


def test_a_place_that_moved_and_is_gone_there_is_looked_for_where_it_was() -> None:
    served = documents()
    server = DictServer(served)
    served["/new"] = served["/dc"]
    server.trouble = lambda method, path, at_ms: Answer(tag=0, status=308, location="/new") if path == "/dc" else None
    world = World(server).run(100)
    del served["/new"]
    server.trouble = lambda method, path, at_ms: None
    served["/dc"] = page((event("E9"),), r.DERControlList)
    world.run(300)
    assert mrids(world) == ["E9"]


def test_the_entry_point_of_the_version_document_is_followed_wherever_it_moves() -> None:
    served = documents()
    served["/v13/dcap"] = served.pop("/dcap")
    served[VERSIONS_PATH] = EntryPoint(path="/v13/dcap", namespace="https://csipaus.org/ns/v1.3")
    world = World(DictServer(served), path=VERSIONS_PATH).run(100)
    assert mrids(world) == ["E0"]
    served["/v14/dcap"] = replace(served.pop("/v13/dcap"))
    served[VERSIONS_PATH] = EntryPoint(path="/v14/dcap", namespace="https://csipaus.org/ns/v1.3")
    world.run(2000)
    assert world.server.times("/v14/dcap") != []
    assert world.discovery.link is Link.READY


def test_without_a_usable_version_nothing_else_is_asked_for() -> None:
    served = documents()
    server = DictServer(served)
    server.trouble = lambda method, path, at_ms: Answer(tag=0, status=200) if path == VERSIONS_PATH else None
    world = World(server, path=VERSIONS_PATH).run(2000)
    assert {url for _, _, url in server.asked} == {VERSIONS_PATH}
    assert "no readable EntryPoint" in world.discovery.why


def test_a_group_with_a_clock_of_its_own_has_its_programs_on_that_clock() -> None:
    served = documents()
    group = replace(served["/fsa"].items[0], time_link="/tm-group")
    served["/fsa"] = page((group,), r.FunctionSetAssignmentsList, poll_s=60)
    served["/tm-group"] = replace(served["/tm"], current_s=served["/tm"].current_s + 120)
    world = World(DictServer(served)).run(5)
    assert abs(world.apart[-1]["D0"] - 120_000) <= 1000 + LATENCY_MS
    assert all(abs(offset_ms) < 1000 + LATENCY_MS for offset_ms in world.offsets), "the server's clock stays its own"
    served["/tm-group"] = replace(served["/tm-group"], current_s=served["/tm"].current_s + 300)
    world.run(400)
    assert abs(world.apart[-1]["D0"] - 300_000) <= 1000 + LATENCY_MS


def test_a_group_that_names_the_clock_of_the_server_is_on_that() -> None:
    served = documents()
    group = replace(served["/fsa"].items[0], time_link="/tm")
    served["/fsa"] = page((group,), r.FunctionSetAssignmentsList, poll_s=60)
    assert World(DictServer(served), utc_ahead_ms=50_000).run(5).apart[-1] == {}


def test_a_profile_that_requires_a_pin_takes_no_control_where_none_is_shown() -> None:
    served = documents()
    served["/edev"] = page((replace(served["/edev"].items[0], registration_link=None),), r.EndDeviceList, poll_s=300)
    world = World(DictServer(served), is_pin_required=True).run(100)
    assert world.programs[-1] == ()
    assert "requires its PIN" in world.discovery.why


def test_why_controls_are_not_followed_is_told_until_they_are() -> None:
    served = documents()
    server = DictServer(served)
    server.trouble = lambda method, path, at_ms: NoAnswer(tag=0, why="connection refused")
    world = World(server).run(1)
    assert world.discovery.why == "connection refused"
    server.trouble = lambda method, path, at_ms: Answer(tag=0, status=500) if path == "/edev" else None
    world.run(10)
    assert world.discovery.link is Link.CONNECTING
    assert world.discovery.why == "GET /edev: HTTP 500"
    server.trouble = lambda method, path, at_ms: None
    world.run(900)
    assert (world.discovery.link, world.discovery.why) == (Link.READY, "")


def test_a_redirect_to_plain_http_is_not_followed() -> None:
    server = DictServer(documents())
    server.trouble = lambda method, path, at_ms: Answer(tag=0, status=301, location="http://utility.example/dcap")
    World(server).run(100)
    assert all(url == "/dcap" for _, _, url in server.asked)


def test_retry_after_silences_the_client_for_exactly_that_long() -> None:
    server = DictServer(documents())
    world = World(server).run(200)
    server.trouble = lambda method, path, at_ms: Answer(tag=0, status=503, retry_after_s=180)
    world.run(260)
    refused_s = server.asked[-1][0] / 1000
    server.trouble = lambda method, path, at_ms: None
    world.run(1000)
    following = [at_ms / 1000 for at_ms, _, _ in server.asked if at_ms / 1000 > refused_s]
    assert 180 <= following[0] - refused_s < 181


def test_too_many_requests_without_retry_after_slows_the_client_down() -> None:
    server = DictServer(documents())
    server.trouble = lambda method, path, at_ms: Answer(tag=0, status=429)
    World(server).run(210)
    assert 2 <= len(server.asked) <= 9
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(server.asked)]
    assert gaps == sorted(gaps)


def test_a_silent_server_is_asked_less_and_less_and_found_again() -> None:
    server = DictServer(documents())
    world = World(server).run(100)
    server.trouble = lambda method, path, at_ms: NoAnswer(tag=0)
    asked = len(server.asked)
    world.run(100 + 720)
    assert len(server.asked) - asked < 20
    assert world.discovery.link is Link.LOST
    server.trouble = lambda method, path, at_ms: None
    world.run(100 + 720 + 70)
    assert world.discovery.link is Link.READY


def test_one_document_that_fails_does_not_hold_up_the_others() -> None:
    server = DictServer(documents())
    server.trouble = lambda method, path, at_ms: Answer(tag=0, status=500) if path in ("/tm", "/ders") else None
    world = World(server).run(1000)
    assert mrids(world) == ["E0"]
    assert 5 <= len(server.times("/tm")) < 15


def test_a_storm_of_server_errors_costs_no_response_however_long_it_is() -> None:
    server = DictServer(documents())
    world = World(server).run(100)
    server.trouble = lambda method, path, at_ms: Answer(tag=0, status=500)
    response = r.DERControlResponse(created_s=0, lfdi=LFDI, status=1, subject="E0")
    world.give(SendResponse(reply_to="/rsp", response=response))
    world.run(6 * 3600)
    assert world.taken == []
    server.trouble = lambda method, path, at_ms: None
    world.run(7 * 3600)
    assert world.taken == [ResponseTaken(mrid="E0", status=1)]
    assert len(server.times("/rsp", "POST")) < 60


def test_an_answer_of_another_kind_is_counted_and_not_taken() -> None:
    served = documents()
    served["/dc"] = served["/tm"]
    world = World(DictServer(served)).run(100)
    assert mrids(world) == []
    assert world.programs[-1][0].controls is None
    assert world.discovery.counters.malformed > 0


def test_an_answer_to_nothing_is_ignored() -> None:
    world = World(DictServer(documents())).run(5)
    world.give(Answer(tag=10**6, status=200, resource=documents()["/dcap"]))
    world.give(NoAnswer(tag=10**6))
    assert mrids(world) == ["E0"]


@settings(max_examples=25, deadline=None)
@given(st.integers(-100_000, 100_000))
def test_the_clock_of_the_server_is_known_to_a_second_and_does_not_jump_about(ahead_ms: int) -> None:
    world = World(DictServer(documents()), utc_ahead_ms=ahead_ms).run(2000)
    offset_ms = world.offsets[-1] if world.offsets else 0
    # Our clock is ahead by ahead_ms, so the server's clock less ours is -ahead_ms.
    assert abs(offset_ms + ahead_ms) <= 1000 + LATENCY_MS
    assert len(world.offsets) <= 3
    assert ahead_ms != 0 or world.offsets == [], "two clocks that agree need no correction"


def test_reports_are_put_at_start_and_on_change_and_the_status_at_the_post_rate() -> None:
    world = World(DictServer(documents()))
    status = r.DERStatus(reading_s=1)
    report = Report(
        capability=r.DERCapability(modes=3, max_w=1, type=1, doe_modes=15),
        settings=r.DERSettings(set_grad_w_permyriad_s=0, max_w=1, updated_s=1),
        status=status,
    )
    world.give(report)
    world.run(30)
    assert sorted(path for method, path, _ in world.server.bodies if method == "PUT") == ["/cap", "/set", "/sta"]
    world.give(replace(report, status=replace(status, reading_s=31)))
    assert len(world.server.times("/sta", "PUT")) == 1, "a new time alone is no change"
    changed = replace(report, settings=replace(report.settings, set_grad_w_permyriad_s=27))
    world.give(changed)
    assert len(world.server.times("/set", "PUT")) == 2
    for second in range(60, 200, 10):
        world.run(second)
        world.give(changed)
    puts = world.server.times("/sta", "PUT")
    assert len(puts) == 4
    assert len(world.server.times("/set", "PUT")) == 2


def test_mirrors_are_made_once_and_readings_posted_to_where_the_server_says() -> None:
    served = documents()
    world = World(DictServer(served)).run(10)
    assert [path for _, path, _ in world.server.bodies] == ["/mup"]
    served["/mup"] = page((replace(MIRROR, href="/m1", post_rate_s=120),), r.MirrorUsagePointList, poll_s=300)
    assert world.discovery.post_rate_s(MIRROR.mrid) == 300
    world.run(400)
    assert world.discovery.post_rate_s(MIRROR.mrid) == 120
    world.give(SendReadings(readings=((MIRROR.mrid, r.MirrorMeterReading(mrid="01")),)))
    assert world.server.bodies[-1][1] == "/m1"
    assert [path for _, path, _ in world.server.bodies].count("/mup") == 1


def test_a_mirror_that_the_server_lost_is_made_again() -> None:
    server = DictServer(documents())
    world = World(server).run(10)
    server.trouble = lambda method, path, at_ms: Answer(tag=0, status=404) if path.startswith("/mup/") else None
    world.give(SendReadings(readings=((MIRROR.mrid, r.MirrorMeterReading(mrid="01")),)))
    world.run(20)
    assert len(server.times("/mup", "POST")) == 2


def response(status: int) -> SendResponse:
    body = r.DERControlResponse(created_s=1, lfdi=LFDI, status=status, subject="E0")
    return SendResponse(reply_to="/rsp", response=body)


def test_responses_are_posted_in_order_and_kept_until_the_server_takes_them() -> None:
    server = DictServer(documents())
    world = World(server).run(10)
    server.trouble = lambda method, path, at_ms: Answer(tag=0, status=500) if path == "/rsp" else None
    for status in (1, 2, 3):
        world.give(response(status))
    world.run(100)
    assert world.taken == []
    server.trouble = lambda method, path, at_ms: None
    world.run(300)
    assert [body.status for _, path, body in server.bodies if path == "/rsp"] == [1, 2, 3]
    assert [item.status for item in world.taken] == [1, 2, 3]


def test_a_response_that_the_server_refuses_is_given_up_and_does_not_block_the_next() -> None:
    server = DictServer(documents())
    world = World(server).run(10)
    server.trouble = lambda method, path, at_ms: Answer(tag=0, status=404) if path == "/rsp" else None
    world.give(response(1))
    world.give(response(2))
    assert [item.status for item in world.taken] == [1, 2]
    assert world.discovery.counters.responses_given_up == 2


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_whatever_the_server_answers_the_client_neither_fails_nor_spins_and_recovers(data: st.DataObject) -> None:
    server = DictServer(documents())
    kinds = list(documents().values())

    def any_answer(method: str, path: str, at_ms: int) -> Answer | NoAnswer | None:
        if at_ms > 300_000 or not data.draw(st.booleans()):
            return None
        if data.draw(st.booleans()):
            return NoAnswer(tag=0)
        return Answer(
            tag=0,
            status=data.draw(st.sampled_from((200, 204, 301, 400, 404, 429, 500, 503))),
            resource=data.draw(st.sampled_from([None, *kinds])),
            location=data.draw(st.sampled_from((None, "", "/edev", "//x", "http://[", "ftp://a/b"))),
            retry_after_s=data.draw(st.sampled_from((None, 0, 5))),
        )

    server.trouble = any_answer
    world = World(server).run(300)
    assert len(server.asked) < 1500
    world.run(300 + 3000)
    assert mrids(world) == ["E0"]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.sampled_from((429, 500, 502, 503, None)), min_size=1, max_size=6), st.sampled_from((None, 0, 30)))
@example([429, 429, 429, 500], 0)
def test_a_mixed_storm_is_met_with_few_requests_and_everything_is_followed_after_it(
    mix: list[int | None], retry_after_s: int | None
) -> None:
    server, turn = DictServer(documents()), iter(range(10**6))

    def trouble(method: str, path: str, at_ms: int) -> Answer | NoAnswer | None:
        status = mix[next(turn) % len(mix)]
        return NoAnswer(tag=0) if status is None else Answer(tag=0, status=status, retry_after_s=retry_after_s)

    world = World(server).run(200)
    server.trouble = trouble
    response = r.DERControlResponse(created_s=0, lfdi=LFDI, status=1, subject="E0")
    world.give(SendResponse(reply_to="/rsp", response=response))
    before = len(server.asked)
    world.run(1200)
    # Ten documents, each five times at first and then every minute or more, and no more than one refusal before each.
    assert len(server.asked) - before <= 2 * 10 * (5 + 1000 / 60)
    server.trouble = lambda method, path, at_ms: None
    world.run(1200 + 1200)
    assert world.taken == [ResponseTaken(mrid="E0", status=1)]
    assert (world.discovery.link, mrids(world)) == (Link.READY, ["E0"])


@pytest.mark.parametrize("jump_s", [-86_400, -90, 90, 86_400])
def test_a_clock_of_the_server_that_jumps_is_followed_and_no_poll_is_early_or_missed(jump_s: int) -> None:
    served = documents()
    world = World(DictServer(served)).run(400)
    served["/tm"] = replace(served["/tm"], current_s=served["/tm"].current_s + jump_s)
    world.run(1500)
    assert abs(world.offsets[-1] - jump_s * 1000) <= 1000 + LATENCY_MS
    gaps = [later - earlier for earlier, later in pairwise(world.server.times("/fsa"))]
    assert all(60 <= round(gap, 3) < 65 for gap in gaps)


@pytest.mark.parametrize("jump_s", [-86_400, 86_400])
def test_our_own_clock_that_is_set_moves_the_offset_and_no_poll(jump_s: int) -> None:
    world = World(DictServer(documents())).run(400)
    world._ahead_ms = jump_s * 1000
    world.run(1500)
    assert abs(world.offsets[-1] + jump_s * 1000) <= 1000 + LATENCY_MS
    gaps = [later - earlier for earlier, later in pairwise(world.server.times("/fsa"))]
    assert all(60 <= round(gap, 3) < 65 for gap in gaps)
