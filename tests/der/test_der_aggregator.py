"""Many EndDevices behind one certificate: one conversation, and each device's own schedule, responses and reports."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import pytest
from der_examples import OBSERVED, site
from der_world import HOST, LATENCY_MS, LFDI, PIN, UTC0_MS, DictServer, documents, event, page

from dgm.der import resource as r
from dgm.der.aggregator import Aggregator, AggregatorEffect, KeepFor
from dgm.der.core_events import SiteSeen
from dgm.der.discovery import Answer, Link, NoAnswer, Request
from dgm.der.identity import sfdi_of
from dgm.machine import Now, Tick

A, B = "A" * 40, "B" * 40
IMPORT = "opModImpLimW"


def limited(mrid: str, power_w: int, start_s: int = 20) -> r.DERControl:
    mode = r.ControlMode(name=IMPORT, power_w=power_w)
    interval = r.Interval(start_s=UTC0_MS // 1000 + start_s, duration_s=60)
    return replace(event(mrid), interval=interval, base=r.ControlBase(modes=(mode,)))


def device(lfdi: str, **more: Any) -> r.EndDevice:
    links = {
        "der_list_link": f"/{lfdi}/ders",
        "function_set_assignments_list_link": f"/{lfdi}/fsa",
        "registration_link": f"/{lfdi}/rg",
        "href": f"/{lfdi}",
    }
    return r.EndDevice(**{**links, "lfdi": lfdi, "sfdi": sfdi_of(lfdi), "changed_s": 0, "post_rate_s": 60, **more})


def fleet(*lfdis: str) -> dict[str, Any]:
    """A server with the aggregator, and these devices in one program of one control."""
    served = documents()
    own = device(LFDI, der_list_link=None, function_set_assignments_list_link=None, registration_link="/rg")
    served["/edev"] = page((own, *map(device, lfdis)), r.EndDeviceList, poll_s=300)
    served["/dc"] = page((limited("E0", 40_000),), r.DERControlList)
    for lfdi in lfdis:
        served[f"/{lfdi}/rg"] = served["/rg"]
        served[f"/{lfdi}/fsa"] = replace(served["/fsa"], poll_s=120)
        der = r.DER(capability_link=f"/{lfdi}/cap", settings_link=f"/{lfdi}/set", status_link=f"/{lfdi}/sta")
        served[f"/{lfdi}/ders"] = page((der,), r.DERList, poll_s=300)
    return served


@dataclass
class World:
    """Virtual time around one aggregator and one server."""

    server: DictServer
    lfdis: tuple[str, ...] = (A, B)
    at_ms: int = 0
    stored: dict[str, dict[str, bytes]] = field(default_factory=dict)
    aggregator: Aggregator = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        config = site(HOST + "/dcap")
        config.der.poll_s = 900
        self.aggregator = Aggregator(config, LFDI, dict.fromkeys(self.lfdis, config), lambda most: 0)
        self._run(self.aggregator.restore(self.stored, self.now))

    @property
    def now(self) -> Now:
        return Now(mono_ms=self.at_ms, utc_ms=UTC0_MS + self.at_ms)

    def give(self, lfdi: str, happening: Any) -> None:
        self._run(self.aggregator.give(lfdi, happening, self.now))

    def _run(self, effects: list[AggregatorEffect]) -> None:
        while effects:
            for keep in (effect for effect in effects if isinstance(effect, KeepFor)):
                journal = self.stored.setdefault(keep.lfdi, {})
                for key, value in keep.keep.entries:
                    journal.pop(key, None)
                    if value is not None:
                        journal[key] = value
            requests = [effect for effect in effects if isinstance(effect, Request)]
            assert len(requests) <= 1, "one request in flight at a time"
            effects = []
            for request in requests:
                answer = self.server.answer(request, self.at_ms)
                self.at_ms += LATENCY_MS
                effects = self.aggregator.handle(answer, self.now)

    def run(self, until_s: float) -> World:
        self._run(self.aggregator.handle(Tick(), self.now))
        while (wake := self.aggregator.wake_time()) is not None and wake <= until_s * 1000:
            self.at_ms = max(self.at_ms, wake)
            self._run(self.aggregator.handle(Tick(), self.now))
        self.at_ms = max(self.at_ms, int(until_s * 1000))
        self._run(self.aggregator.handle(Tick(), self.now))
        return self

    def bound_w(self, lfdi: str) -> int | None:
        bound = self.aggregator.cores[lfdi].bounds(self.now).get(IMPORT)
        return None if bound is None else bound.power_w

    def responses(self) -> list[tuple[str, str, int]]:
        return [
            (body.lfdi[0], body.subject, body.status)
            for _, path, body in self.server.bodies
            if path == "/rsp" and isinstance(body, r.DERControlResponse)
        ]


def test_two_devices_that_share_a_control_both_follow_it_and_each_answers_for_itself() -> None:
    world = World(DictServer(fleet(A, B))).run(30)
    assert {lfdi: world.bound_w(lfdi) for lfdi in (A, B)} == {A: 40_000, B: 40_000}
    world.run(90)
    assert Counter(world.responses()) == Counter((lfdi, "E0", status) for lfdi in "AB" for status in (1, 2, 3))
    assert {lfdi: world.bound_w(lfdi) for lfdi in (A, B)} == {A: None, B: None}


def test_what_both_are_linked_to_is_asked_for_once() -> None:
    world = World(DictServer(fleet(A, B))).run(599)
    for path, poll_s in (("/dcap", 300), ("/edev", 300), ("/tm", 300), ("/dp", 60), (f"/{A}/fsa", 120)):
        firsts = [at_ms for at_ms, _, url in world.server.asked if url == path or url.startswith(f"{path}?s=0")]
        assert len(firsts) == 600 // poll_s, path
        gaps = [later - earlier for earlier, later in pairwise(firsts)]
        assert all(poll_s * 1000 <= gap < poll_s * 1000 + 2500 for gap in gaps), path


def test_a_program_of_one_device_rules_that_device_alone() -> None:
    served = fleet(A, B)
    program = r.DERProgram(mrid="D1", der_control_list_link="/dc-b", primacy=0)
    served["/dp-b"] = page((program,), r.DERProgramList, poll_s=60)
    served["/dc-b"] = page((limited("E1", 25_000),), r.DERControlList)
    both = (served["/fsa"].items[0], r.FunctionSetAssignments(mrid="FB", der_program_list_link="/dp-b"))
    served[f"/{B}/fsa"] = page(both, r.FunctionSetAssignmentsList, poll_s=120)
    world = World(DictServer(served)).run(30)
    assert {lfdi: world.bound_w(lfdi) for lfdi in (A, B)} == {A: 40_000, B: 25_000}
    world.run(100)
    assert ("B", "E0", 7) in world.responses()
    assert ("A", "E0", 3) in world.responses()
    assert not [found for found in world.responses() if found[:2] == ("A", "E1")]


def test_a_wrong_pin_or_a_device_that_is_not_listed_concerns_that_device_alone() -> None:
    served = fleet(A, B)
    served[f"/{A}/rg"] = replace(served["/rg"], pin=PIN + 1)
    world = World(DictServer(served), lfdis=(A, B, "C" * 40)).run(30)
    assert (world.bound_w(A), world.bound_w(B), world.bound_w("C" * 40)) == (None, 40_000, None)
    links = {lfdi[0]: core.discovery.link for lfdi, core in world.aggregator.cores.items()}
    assert links == {"A": Link.REGISTERED, "B": Link.READY, "C": Link.CONNECTING}
    assert "wrong PIN" in world.aggregator.cores[A].discovery.why
    assert "does not hold LFDI CCC" in world.aggregator.cores["C" * 40].discovery.why
    assert f"/{A}/fsa" not in {urlsplit(url).path for _, _, url in world.server.asked}


def test_status_mirrors_and_readings_are_posted_for_each_device() -> None:
    world = World(DictServer(fleet(A, B)))
    for lfdi in (A, B):
        world.give(lfdi, SiteSeen(update=OBSERVED))
    for second in range(5, 650, 5):
        world.run(second)
        for lfdi in (A, B):
            world.give(lfdi, SiteSeen(update=OBSERVED))
    sent = world.server.bodies
    puts = {path for method, path, _ in sent if method == "PUT"}
    assert {f"/{lfdi}/{name}" for lfdi in (A, B) for name in ("cap", "set", "sta")} <= puts
    mirrors = [body for _, path, body in sent if path == "/mup" and isinstance(body, r.MirrorUsagePoint)]
    assert Counter(mirror.device_lfdi for mirror in mirrors).keys() == {A, B}
    assert len({mirror.mrid for mirror in mirrors}) == len(mirrors)
    made = [at_ms for at_ms, method, url in world.server.asked if method == "POST" and url == "/mup"]
    since_ms, until_ms = made[0], made[-1]
    looked = [at_ms for at_ms, method, url in world.server.asked if method == "GET" and url.startswith("/mup?s=0")]
    assert len([at_ms for at_ms in looked if since_ms <= at_ms <= until_ms + 1000]) == 1, "once for all mirrors"
    readings = Counter(path for method, path, _ in sent if path.startswith("/mup/"))
    assert len(mirrors) == 2 * 6
    assert len(readings) == 2 * 5, "the voltage of the DER is not measured here"


def test_a_shared_control_that_is_cancelled_is_cancelled_for_all() -> None:
    served = fleet(A, B)
    world = World(DictServer(served)).run(30)
    gone = replace(served["/dc"].items[0], status=r.EventStatus(current=r.EventState.CANCELLED, changed_s=0))
    served["/dc"] = page((gone,), r.DERControlList)
    world.run(100)
    assert Counter(world.responses()) == Counter((lfdi, "E0", status) for lfdi in "AB" for status in (1, 2, 6))


def test_a_device_that_is_taken_off_the_list_is_let_go_of_and_the_others_stay() -> None:
    served = fleet(A, B)
    endless = replace(limited("E0", 40_000), interval=r.Interval(start_s=UTC0_MS // 1000, duration_s=10**6))
    served["/dc"] = page((endless,), r.DERControlList)
    world = World(DictServer(served)).run(30)
    served["/edev"] = page(served["/edev"].items[:2], r.EndDeviceList, poll_s=300)
    world.run(400)
    assert (world.bound_w(A), world.bound_w(B)) == (40_000, None)
    asked = len(world.server.times(f"/{B}/fsa"))
    world.run(1000)
    assert len(world.server.times(f"/{B}/fsa")) == asked


def test_the_schedules_survive_a_restart_with_the_server_away_and_what_is_owed_is_said_then() -> None:
    server = DictServer(fleet(A, B))
    world = World(server).run(10)
    server.trouble = lambda method, path, at_ms: NoAnswer(tag=0)
    world.start()
    world.run(40)
    assert {lfdi: world.bound_w(lfdi) for lfdi in (A, B)} == {A: 40_000, B: 40_000}
    server.trouble = lambda method, path, at_ms: None
    world.run(150)
    assert Counter(world.responses()) == Counter((lfdi, "E0", status) for lfdi in "AB" for status in (1, 2, 3))


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_left_alone_by_all_of_them(status: int) -> None:
    server = DictServer(fleet(A, B))
    world = World(server).run(10)
    server.trouble = lambda method, path, at_ms: Answer(tag=0, status=status, retry_after_s=100)
    world.run(30)
    asked = len(server.asked)
    world.run(110)
    assert len(server.asked) == asked


def test_two_hundred_devices_are_followed_and_none_is_asked_for_too_often() -> None:
    lfdis = tuple(f"{number:040X}" for number in range(1, 201))
    server = DictServer(fleet(*lfdis), page_items=50)
    world = World(server, lfdis=lfdis).run(299)
    links = Counter(core.discovery.link for core in world.aggregator.cores.values())
    assert links == {Link.READY: 200}
    counts = Counter(urlsplit(url).path for _, method, url in server.asked if method == "GET")
    assert {counts[f"/{lfdi}/fsa"] for lfdi in lfdis} <= {2, 3}
    assert len([found for found in world.responses() if found[2] == 3]) == 200
