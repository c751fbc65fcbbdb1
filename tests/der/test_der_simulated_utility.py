"""The scripted utility without sockets: what it can play, that it serves valid documents, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from der_documents import faults
from der_joined import LFDI, ZERO_MS, joined

from dgm.cli.utility import read_script
from dgm.der import resource as r
from dgm.der.codec import Dialect, decode, encode
from dgm.der.xml import AUS_13_BETA_NS, AUS_13_NS, AUS_NS
from dgm.errors import ConfigError, PeerError
from dgm.sim.utility import judge
from dgm.sim.utility.actions import ACTIONS
from dgm.sim.utility.documents import Listing, build
from dgm.sim.utility.records import Exchange, Received, Records, Reply
from dgm.sim.utility.script import Director, ScriptError, steps_of
from dgm.sim.utility.server import Server
from dgm.sim.utility.state import Rates, State, mrid_of
from dgm.sim.utility.xml import LIMITS, MODES

CURVE, POWER_FACTOR = "/curve", {"displacement": 950, "excitation": True, "multiplier": -3}
VALUES: dict[str, Any] = {
    "switch": False,
    "number": -2500,
    "power": -40_000,
    "curve": CURVE,
    "power factor": POWER_FACTOR,
    "var": {"refType": 2, "value": -100},
    "droop": {"dBOF": 36, "dBUF": 36, "kOF": 5, "kUF": 5, "openLoopTms": 500},
}
REFERENCE = Path(__file__).resolve().parents[2] / "deploy" / "examples" / "utility_reference.yaml"
EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "examples" / "utility.yaml"
PROGRAM = {"program": {"name": "1"}}
MRID = "0600ABCD000000000000000100037244"


def server_of(*actions: dict[str, Any], **state: Any) -> Server:
    made = State(start_s=ZERO_MS // 1000, devices={LFDI: 111115}, rates=Rates(), **state)
    return Server(made, ZERO_MS, director=Director(steps_of([{"do": list(actions)}])))


def ask(server: Server, method: str, path: str, body: bytes = b"", **query: str) -> Reply:
    return server.handle(Received(method=method, path=path, query=query, body=body, lfdi=LFDI), ZERO_MS + 1000)


def control(**changes: Any) -> dict[str, Any]:
    return {"control": {"name": "c", "program": "1", "duration_s": 60, "modes": {"opModExpLimW": 0}, **changes}}


@pytest.mark.parametrize("namespace", [AUS_NS, AUS_13_NS, AUS_13_BETA_NS])
def test_every_document_with_every_mode_is_valid_in_every_namespace(namespace: str) -> None:
    modes = {name: VALUES[kind] for name, kind in MODES.items()} | {"opModMaxLimW": 5000}
    limits = LIMITS if namespace != AUS_NS else LIMITS[:4]
    modes |= dict.fromkeys(limits, 12_000)
    server = server_of(
        PROGRAM,
        {"set": {"aus": namespace, "subscribable": True}},
        {"default": {"program": "1", "modes": modes, "grad": 27}},
        control(modes=modes, randomize_start_s=-5, randomize_duration_s=7, ramp_tms=100),
    )
    view = server.view(LFDI)
    for name in ("dcap", "tm", "edev", "rg", "fsa", "derp 1", "derc 1", "dderc 1", "der", "mup", "sub", "lel", "frq"):
        made = build(name, view)
        assert made is not None, name
        body = server.page(made, {"l": "9"}) if isinstance(made, Listing) else made
        assert faults(body, Dialect(aus_namespace=namespace)) == [], name


SETS = [
    {"set": {"listed": ["tp", "drp", "msg"], "reserves": True, "response_sets": True, "subscribable": True}},
    {"curve": {"program": "1", "name": "vv", "type": 11, "points": [[9200, 4400], [10_000, 0]], "open_loop_tms": 500}},
    control(modes={"opModVoltVar": "vv"}),
    {"tariff": {"name": "t", "primacy": 0, "power_of_ten": -6}},
    {"component": {"tariff": "t", "name": "import"}},
    {"component": {"tariff": "t", "name": "export", "flow_direction": 19, "power_of_ten": 3}},
    {
        "price": {
            "tariff": "t",
            "component": "import",
            "name": "p",
            "duration_s": 300,
            "blocks": [{"price": 4}, {"start": 100, "price": 5}],
        }
    },
    {"load_program": {"name": "l", "primacy": 1}},
    {
        "load": {
            "program": "l",
            "name": "shed",
            "duration_s": 300,
            "randomize_start_s": 60,
            "action": {
                "category": "00040000",
                "mandatory": True,
                "appliance": 0,
                "duty_percent": 50,
                "offset": {"cooling": 3, "heating": 2, "load_percent": 2500},
                "override_s": 60,
                "set_point": {"cooling": 2400, "heating": 1800},
                "reduction": {"unit": 1, "value": 20},
            },
        }
    },
    {"message_program": {"name": "m"}},
    {"message": {"program": "m", "name": "hello", "duration_s": 60, "text": "hot & dry", "originator": "grid"}},
]
NAMES = ("tp 1", "rc t", "tti t import", "cti p", "rt t export", "drp 1", "edc l", "msg 1", "txt m", "frp", "dc 1")
"""Documents of the function sets beside DER; those of 1.3 come on top."""


@pytest.mark.parametrize("namespace", [AUS_NS, AUS_13_NS])
def test_every_document_of_the_other_function_sets_is_valid(namespace: str) -> None:
    server = server_of(PROGRAM, {"set": {"aus": namespace}}, *SETS)
    server.state.requests.append(MRID)
    ACTIONS["grant"](server.state, ZERO_MS, {"name": "g", "duration_s": 60, "power_w": 50_000, "energy_wh": 9000})
    view = server.view(LFDI)
    names = (*NAMES, "dcap", "edev", "fsa", "derp 1", "derc 1", "curve 1 vv", "rsps")
    for name in names if namespace == AUS_NS else (*names, "ctti t"):
        made = build(name, view)
        assert made is not None, name
        body = server.page(made, {"l": "9"}) if isinstance(made, Listing) else made
        assert faults(body, Dialect(aus_namespace=namespace)) == [], name
        if name not in ("rt t export", "rsps"):
            assert decode(body), name


@pytest.mark.parametrize(
    ("name", "response"),
    [("p", r.PriceResponse), ("shed", r.DrResponse), ("hello", r.TextResponse), ("c", r.DERControlResponse)],
)
def test_an_event_is_answered_by_the_response_of_its_kind_and_no_other(name: str, response: Any) -> None:
    server = server_of(PROGRAM, *SETS)
    mrid = mrid_of("control", name)
    kinds = (r.PriceResponse, r.DrResponse, r.TextResponse, r.DERControlResponse)
    stated: dict[str, Any] = {"created_s": 1, "lfdi": LFDI, "status": 1, "subject": mrid}
    codes = [ask(server, "POST", server.href("rsp"), encode(kind(**stated))).status for kind in kinds]
    assert codes == [201 if kind is response else 400 for kind in kinds]
    assert [(item["mrid"], item["status"]) for item in server.records.responses] == [(mrid, 1)]
    listed = ask(server, "GET", server.href("rsp"))
    assert faults(listed.body, Dialect()) == []


def test_an_event_of_any_set_is_cancelled_and_removed_by_its_name() -> None:
    server = server_of(PROGRAM, *SETS, {"cancel": {"control": "p"}}, {"remove": {"control": "shed"}})
    assert server.state.control("p").status(server.now_s) == 2
    assert server.state.groups["l"].events == {}
    ACTIONS["remove"](server.state, ZERO_MS, {"component": "import"})
    assert server.state.groups["t"].events == {}


def test_the_annotated_reference_shows_every_action_and_can_be_played() -> None:
    document = read_script(REFERENCE)
    shown = {name for step in document["steps"] for action in step.get("do", ()) for name in action}
    assert shown == set(ACTIONS)
    world = joined(document["steps"], rate_s=10).run(300)
    assert world.server.director.done == len(document["steps"]) - 1, "it asks for no reservation by itself"
    assert [fault for fault in world.xml_faults if "not well-formed" not in fault] == [], (
        "but the one truncated on purpose"
    )
    judged = {item["type"] for item in world.server.records.responses}
    assert judged == {"DERControlResponse", "PriceResponse", "DrResponse", "TextResponse"}


def test_a_grant_answers_the_reservation_that_was_asked_for() -> None:
    server = server_of(PROGRAM, {"set": {"reserves": True}})
    with pytest.raises(ValueError, match="no reservation was asked for"):
        ACTIONS["grant"](server.state, ZERO_MS, {"name": "g", "duration_s": 60, "power_w": 1, "energy_wh": 1})
    wish = r.FlowReservationRequest(
        mrid=MRID,
        creation_s=1,
        energy_wh=9000,
        window=r.Interval(start_s=1, duration_s=2),
        power_w=5000,
        status=r.RequestStatus(changed_s=1, state=r.RequestState.REQUESTED),
    )
    reply = ask(server, "POST", server.href("frq"), encode(wish))
    assert reply.status == 201
    assert ask(server, "PUT", reply.headers["Location"], encode(wish)).status == 204
    ACTIONS["grant"](server.state, ZERO_MS, {"name": "g", "duration_s": 60, "power_w": 4000, "energy_wh": 8000})
    found = decode(ask(server, "GET", server.href("frp"), l="9").body)
    assert isinstance(found, r.FlowReservationResponseList)
    assert [(item.subject, item.power_w, item.energy_wh) for item in found.items] == [(MRID, 4000, 8000)]


@pytest.mark.parametrize("body", ["garbage", "truncated", "namespace", "empty"])
def test_an_answer_can_be_damaged_for_a_while(body: str) -> None:
    server = server_of(PROGRAM, {"fault": {"body": body, "for_s": 5, "resource": "derp 1"}})
    reply = ask(server, "GET", server.href("derp 1"))
    assert reply.status == 200
    with pytest.raises(PeerError):
        decode(reply.body)
    later = Received(method="GET", path=server.href("derp 1"), lfdi=LFDI)
    assert decode(server.handle(later, ZERO_MS + 6000).body)


def test_what_csip_aus_1_3_asks_of_the_media_type_is_asked_here_too() -> None:
    server = server_of(PROGRAM, {"set": {"aus": AUS_13_NS}})
    asked: dict[str, Any] = {"method": "GET", "path": "/dcap", "lfdi": LFDI}
    codes = [
        server.handle(Received(**asked, accept=accept), ZERO_MS).status
        for accept in ("application/sep+xml", "application/sep+xml; csipaus=1.3")
    ]
    assert codes == [406, 200]


def test_a_subscription_with_a_condition_is_refused_for_its_condition() -> None:
    server = server_of(PROGRAM, {"set": {"subscribable": True}})
    wish = r.Subscription(
        subscribed=server.href("derc 1"), encoding=0, level="+S1", limit=5, notification_uri="https://c.example/n"
    )
    condition = b"<Condition><attributeIdentifier>0</attributeIdentifier><lowerThreshold>1</lowerThreshold>"
    body = encode(wish).replace(b"<encoding>", condition + b"<upperThreshold>2</upperThreshold></Condition><encoding>")
    reply = ask(server, "POST", server.href("sub"), body)
    assert (reply.status, b"<reasonCode>3<" in reply.body) == (400, True)


def test_a_change_is_pushed_to_who_subscribed_and_to_nobody_else() -> None:
    server = server_of(PROGRAM, {"set": {"subscribable": True}})
    wish = r.Subscription(
        subscribed=server.href("derc 1"), encoding=0, level="+S1", limit=5, notification_uri="https://c.example/n"
    )
    assert ask(server, "POST", server.href("sub"), encode(wish)).status == 201
    assert server.pushes() == [], "nothing has changed yet"
    ACTIONS["control"](server.state, ZERO_MS, control()["control"])
    server.advance(ZERO_MS + 2000)
    (push,) = server.pushes()
    assert push.uri == "https://c.example/n"
    assert faults(push.body, Dialect()) == []
    told = decode(push.body)
    assert isinstance(told, r.Notification)
    assert isinstance(told.resource, r.DERControlList)
    assert [item.mrid for item in told.resource.items] == [mrid_of("control", "c")]
    server.advance(ZERO_MS + 3000)
    assert server.pushes() == [], "the same is not told twice"
    ACTIONS["remove"](server.state, ZERO_MS, {"program": "1"})
    server.advance(ZERO_MS + 4000)
    (last,) = server.pushes()
    gone = decode(last.body)
    assert isinstance(gone, r.Notification)
    assert gone.status is r.NotificationState.DELETED


def test_a_subscription_is_refused_where_there_is_none_to_have() -> None:
    server = server_of(PROGRAM)
    wish = r.Subscription(
        subscribed=server.href("derc 1"), encoding=0, level="+S1", limit=5, notification_uri="https://c.example/n"
    )
    assert ask(server, "POST", server.href("sub"), encode(wish)).status == 400


def test_a_list_is_paged_as_asked_and_by_one_where_no_length_is_asked_for() -> None:
    server = server_of(*({"program": {"name": str(number)}} for number in range(25)))
    counts = []
    for query in ({}, {"l": "10"}, {"l": "255"}, {"s": "20", "l": "255"}, {"s": "99"}):
        listed = decode(ask(server, "GET", server.href("derp 1"), **query).body)
        assert isinstance(listed, r.DERProgramList)
        assert listed.all == 25
        counts.append(listed.results)
    assert counts == [1, 10, 20, 5, 0]


def test_what_has_moved_is_gone_or_redirects_as_the_script_says() -> None:
    server = server_of(PROGRAM)
    old = server.href("derp 1")
    ACTIONS["move"](server.state, ZERO_MS, {"resource": "derp 1"})
    assert server.href("derp 1") != old
    assert ask(server, "GET", old).status == 404
    assert judge.untouched(server.records, "derp") == ["GET of gone derp 1, 1 times"]
    ACTIONS["move"](server.state, ZERO_MS, {"resource": "derp 1", "redirect": True})
    answer = ask(server, "GET", server.href("derp 1"))
    assert answer.status == 301
    assert ask(server, "GET", answer.headers["Location"]).status == 200


def test_the_gateway_follows_a_redirect_and_a_list_that_moves() -> None:
    steps: list[dict[str, Any]] = [
        {"do": [PROGRAM, {"move": {"resource": "derp 1", "redirect": True}}]},
        {"when": {"get": "derc 1"}, "do": [{"move": {"resource": "derc 1"}}]},
        {"when": {"get": "derc 1", "after_s": 1}, "do": [control(duration_s=30)]},
        {"when": {"response": {"control": "c", "status": 3}}},
    ]
    world = joined(steps).run(200)
    assert world.server.director.is_over
    assert world.xml_faults == []


def test_a_utility_that_takes_five_codes_refuses_others() -> None:
    server = server_of(PROGRAM, {"set": {"allowed": [1, 2, 3, 6, 7]}}, control())
    for status, code in ((1, 201), (254, 400)):
        body = r.DERControlResponse(created_s=1, lfdi=LFDI, status=status, subject=mrid_of("control", "c"))
        assert ask(server, "POST", server.href("rsp"), encode(body)).status == code
    assert "takes [1, 2, 3, 6, 7]" in server.records.faults[0]


def test_the_gateway_under_the_profile_of_such_a_utility_sends_no_other() -> None:
    steps = [
        {"do": [PROGRAM, {"set": {"allowed": [1, 2, 3, 6, 7]}}, control(duration_s=30)]},
        {"when": {"after_s": 90}, "do": [control(name="late", start_in_s=-60, duration_s=30)]},
    ]
    world = joined(steps, utility="sapn").run(200)
    assert judge.responses(world.server.records, {"c": [1, 2, 3]}) == []
    assert world.server.records.faults == []


def test_a_shifted_clock_is_followed_in_starts_and_in_the_stamps_of_responses() -> None:
    world = joined([{"do": [PROGRAM, {"set": {"clock_offset_s": 3600}}, control(start_in_s=30)]}]).run(150)
    stamps = [item["created_s"] - ZERO_MS // 1000 for item in world.server.records.responses]
    assert stamps[1:] == [3630, 3690]


def test_function_sets_of_other_kinds_are_served_as_the_script_has_them() -> None:
    texts = '<TextMessageList all="0" results="0"></TextMessageList>'
    message = f"""<MessagingProgramList all="1" results="1"><MessagingProgram href="/x"><mRID>{"0" * 32}</mRID>
        <locale>en</locale><primacy>1</primacy><TextMessageListLink href="{{href:txt}}" all="0"/></MessagingProgram>
        </MessagingProgramList>"""
    server = server_of(
        PROGRAM,
        {"serve": {"name": "msg", "link": "MessagingProgramListLink", "on": "fsa", "xml": message}},
        {"serve": {"name": "txt", "link": "none", "on": "", "xml": texts}},
    )
    for name in ("fsa", "msg", "txt"):
        body = ask(server, "GET", server.href(name), l="9").body
        assert faults(body, Dialect()) == [], name
    listed = decode(ask(server, "GET", server.href("msg")).body)
    assert isinstance(listed, r.MessagingProgramList)
    assert listed.items[0].text_message_list_link == server.href("txt")


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ([{"wen": {}}], "step 1: found ['wen']"),
        ([{"when": {"got": "x"}}], "step 1: when: found ['got']"),
        ([{"do": [{"explode": {}}]}], "action 'explode'; expected one of cancel"),
        ([{"do": [{"control": {}, "cancel": {}}]}], "expected one action"),
    ],
)
def test_a_script_that_is_wrong_is_refused_with_its_place(steps: list[dict[str, Any]], why: str) -> None:
    with pytest.raises(ScriptError, match=r"step 1") as refused:
        steps_of(steps)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    "action",
    [
        control(program="none"),
        control(modes={"opModDance": 1}),
        {"cancel": {"control": "none"}},
        {"remove": {"fsa": "none"}},
        {"rates": {"none": 1}},
        {"set": {"none": 1}},
    ],
)
def test_an_action_that_cannot_be_done_says_which_step_it_was(action: dict[str, Any]) -> None:
    with pytest.raises(ScriptError, match=f"step 1: {next(iter(action))}"):
        server_of(PROGRAM, action)


def polled(*times_s: int) -> Records:
    records = Records()
    for time_s in times_s:
        records.add(Exchange(at_ms=time_s * 1000, method="GET", path="/x", name="x", is_first_page=True, status=200))
    return records


@pytest.mark.parametrize(
    ("times_s", "is_fine"),
    [
        ((0, 60, 120, 180, 240, 300), True),
        ((5, 70, 118, 181, 240, 299), True),
        ((0, 60, 180, 240, 300), True),
        ((0, 60, 300), False),
        ((0, 30, 60, 90, 120, 180, 240, 300), False),
        ((), False),
    ],
)
def test_the_judge_allows_one_missed_poll_in_five_and_no_over_polling(times_s: tuple[int, ...], is_fine: bool) -> None:
    assert (judge.polls(polled(*times_s), "x", every_s=60, from_ms=0, to_ms=300_000) == []) is is_fine


def test_the_example_script_is_played_to_its_end_by_the_gateway() -> None:
    document = read_script(EXAMPLE)
    world = joined(document["steps"]).run(600)
    assert world.server.director.is_over
    assert judge.responses(world.server.records, {"first": [1, 2, 6]}) == []
    assert world.xml_faults == []


@pytest.mark.parametrize("text", ["", "steps: 3", "stops: []", "steps: [{do: [{explode: 1}]}]", "a: [", "\u0000"])
def test_a_script_file_that_is_wrong_is_bad_input(tmp_path: Path, text: str) -> None:
    path = tmp_path / "script.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"script\.yaml: 1 problem, nothing started"):
        read_script(path)
