"""The judge: a good run passes every check, and for each check there is a run that fails it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgm.ocpp.events import Reason
from dgm.sim.checks import RunRecord, Verdict, judge
from dgm.sim.fairness import jain, max_min_level
from dgm.sim.limit_checks import LimitStep, compliance_ms, excess_of, limit_steps, permitted_at, sliding_mean
from dgm.sim.records import (
    CarReport,
    CarRow,
    EventFacts,
    ExceptionRow,
    FleetReport,
    FrameRow,
    ResponseRow,
    TraceRow,
    parse_cars,
    parse_exceptions,
    parse_fleet,
    parse_frames,
    parse_responses,
    parse_trace,
)
from dgm.sim.relay_checks import WHERE

START = 1_800_000_000_000
SECONDS = 150
END = START + SECONDS * 1000
EVENT = EventFacts(
    mrid="AB01",
    created_utc_ms=START + 15_000,
    start_utc_ms=START + 30_000,
    end_utc_ms=START + 105_000,
    import_w=60_000,
)
BASE_W = 100_000
BUILDING_W = 20_000
CARS = (("evse-1", "11kW", 3, 16_000), ("evse-2", "11kW", 3, 16_000), ("evse-3", "22kW", 3, 32_000))


def ev_w_at(utc_ms: int) -> int:
    if utc_ms < START + 10_000:
        return 0
    return 12_000 if EVENT.start_utc_ms + 3000 <= utc_ms < EVENT.end_utc_ms else 44_000


def trace_row(utc_ms: int, **changes: int) -> TraceRow:
    building_w = 47_000 if EVENT.start_utc_ms <= utc_ms < EVENT.end_utc_ms else 55_000
    net_w = building_w + ev_w_at(utc_ms)
    amps = net_w * 1000 // 690
    row = TraceRow(
        utc_ms=utc_ms,
        net_w=net_w,
        currents_ma=(amps, amps, amps),
        building_w=building_w,
        pv_w=0,
        battery_w=0,
        ev_w=ev_w_at(utc_ms),
        soc_permille=600,
    )
    return replace(row, **changes)


def car_rows(second: int, powers: tuple[float, ...] | None = None) -> list[CarRow]:
    utc_ms = START + second * 1000
    total_w = ev_w_at(utc_ms)
    level_a = min(16.0, total_w / 3 / 690) if total_w < 33_120 else 16.0
    rest_a = (total_w - 2 * level_a * 690) / 690
    amps = powers or (level_a, level_a, rest_a)
    return [
        CarRow(
            utc_ms=utc_ms,
            evse=evse,
            evse_class=evse_class,
            phases=phases,
            cap_ma=cap_ma,
            current_ma=round(amp * 1000),
            power_w=round(amp * 690),
            is_plugged=True,
        )
        for (evse, evse_class, phases, cap_ma), amp in zip(CARS, amps, strict=True)
    ]


def frame(peer_dir: str, station: str, message_type: int, id: str, action: str = "", **changes: object) -> FrameRow:
    row = FrameRow(
        utc_ms=START + 20_000,
        station=station,
        direction=peer_dir,
        sha256=hashlib.sha256(f"{station}{message_type}{id}{action}".encode()).hexdigest(),
        message_type=message_type,
        id=id,
        action=action,
        cause=None,
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def exception(kind: str, of: FrameRow, direction: str = "local") -> ExceptionRow:
    return ExceptionRow(
        utc_ms=of.utc_ms,
        station=of.station,
        direction=direction,
        kind=kind,
        id=of.id,
        action=of.action,
        sha256=of.sha256,
    )


OWN_CALL = frame("rx", "CP-1", 2, "own-1", "TriggerMessage")
OWN_ANSWER = frame("tx", "CP-1", 3, "own-1", "TriggerMessage")
READING = frame("tx", "CP-1", 2, "17", "MeterValues", cause="own-1")
LOCAL_ANSWER = frame("rx", "CP-1", 3, "17")
EXPIRED = frame("tx", "CP-2", 2, "late", "Reset")
LOCAL_ERROR = frame("rx", "CP-2", 4, "late")
FLEET = [
    frame("tx", "CP-1", 2, "15", "BootNotification"),
    frame("rx", "CP-1", 3, "15"),
    OWN_CALL,
    OWN_ANSWER,
    READING,
    frame("tx", "CP-1", 2, "16", "MeterValues"),
    LOCAL_ANSWER,
    frame("rx", "CP-1", 3, "16"),
    frame("rx", "CP-1", 2, "csms-1", "GetConfiguration"),
    frame("tx", "CP-1", 3, "csms-1", "GetConfiguration"),
    frame("tx", "CP-2", 2, "9", "Heartbeat"),
    frame("rx", "CP-2", 3, "9"),
]
CSMS_A = [
    frame("rx", "CP-1", 2, "15", "BootNotification"),
    frame("tx", "CP-1", 3, "15"),
    frame("tx", "CP-1", 2, "csms-1", "GetConfiguration"),
    frame("rx", "CP-1", 2, "16", "MeterValues"),
    frame("tx", "CP-1", 3, "16"),
    frame("rx", "CP-1", 3, "csms-1"),
]
# The fleet knows the action of its own answers; the bytes, and so the hash, are the same.
CSMS_A[5] = replace(CSMS_A[5], sha256=FLEET[9].sha256)
CSMS_B = [frame("rx", "CP-2", 2, "9", "Heartbeat"), frame("tx", "CP-2", 3, "9"), EXPIRED, LOCAL_ERROR]
EXCEPTIONS = [
    exception("own_call", OWN_CALL, "south"),
    exception("own_answer", OWN_ANSWER),
    exception("triggered_reading", READING),
    exception("local_answer", LOCAL_ANSWER, "south"),
    exception("call_expired", EXPIRED),
    exception("local_error", LOCAL_ERROR, "north"),
]


STORED = [frame("tx", "CP-1", 2, id, action) for id, action in (("21", "StartTransaction"), ("22", "StopTransaction"))]
TAKEN = frame("tx", "CP-1", 2, "20", "MeterValues")
REPLAYED = [replace(one, direction="rx") for one in (TAKEN, *STORED)]


def outage_run(arrived: Sequence[FrameRow] = REPLAYED) -> RunRecord:
    """The CSMS of CP-1 is lost with a reading in its hands, a transaction is kept for it, and it comes back."""
    given = [frame("rx", "CP-1", 3, one.id, sha256=f"given {one.id}") for one in (TAKEN, *STORED)]
    answers = [frame("tx", "CP-1", 3, one.id, sha256=f"answer {one.id}") for one in arrived]
    lost = [replace(TAKEN, direction="rx"), frame("tx", "CP-1", 3, "20", sha256="lost")]
    run = good_run()
    return replace(
        run,
        fleet_frames=[*FLEET, TAKEN, *STORED, *given],
        csms_frames={"a": [*CSMS_A, *lost, *arrived, *answers], "b": CSMS_B},
        exceptions=[
            *EXCEPTIONS,
            exception("taken_over", TAKEN),
            *[exception("stored", one) for one in (TAKEN, *STORED)],
            *[exception("stood_in_answer", one, "south") for one in given],
            *[exception("replayed", one, "north") for one in arrived],
            *[exception("replay_answer", one) for one in answers],
        ],
    )


def test_what_is_kept_for_a_lost_csms_and_replayed_is_no_fault() -> None:
    verdict = judge(outage_run())
    assert failed(verdict) == set()
    (replay,) = [check for check in verdict.checks if check.name == "outages"]
    assert replay.measured == "3 of 3 stored messages replayed"
    assert failed(judge(outage_run(REPLAYED[:2]))) == set(), "the last one may still wait"


def good_run() -> RunRecord:
    return RunRecord(
        trace=[trace_row(START + step * 100) for step in range(SECONDS * 10 + 1)],
        cars=[row for second in range(SECONDS) for row in car_rows(second)],
        fleet=FleetReport(
            cars=tuple(
                CarReport(evse=evse, evse_class=name, plug_utc_ms=START + 10_000, unplug_utc_ms=None, energy_wh=500.0)
                for evse, name, _, _ in CARS
            ),
            stations=2,
            accepted=2,
            schema_violations=0,
        ),
        fleet_frames=FLEET,
        csms_frames={"a": CSMS_A, "b": CSMS_B},
        exceptions=EXCEPTIONS,
        station_cpo={"CP-1": "a", "CP-2": "b"},
        responses=[
            ResponseRow(utc_ms=EVENT.created_utc_ms + 4000, mrid="ab01", status=1),
            ResponseRow(utc_ms=EVENT.start_utc_ms + 400, mrid="ab01", status=2),
            ResponseRow(utc_ms=EVENT.end_utc_ms - 300, mrid="ab01", status=3),
        ],
        events=[EVENT],
        import_w=BASE_W,
        export_w=30_000,
        service_ma=200_000,
        poll_s=5,
        expected_cars=3,
        start_utc_ms=START,
        end_utc_ms=END,
    )


def failed(verdict: Verdict) -> set[str]:
    return {check.name for check in verdict.checks if not check.passed}


def test_a_good_run_passes_every_check() -> None:
    verdict = judge(good_run())
    assert failed(verdict) == set()
    assert verdict.passed
    assert len(verdict.checks) == 22
    assert verdict.summary.compliance_ms == 3900
    assert verdict.summary.bound_seconds > 60
    assert verdict.summary.exceptions["own_call"] == 1


def with_trace(change: Callable[[TraceRow], TraceRow]) -> Callable[[RunRecord], RunRecord]:
    return lambda run: replace(run, trace=[change(row) for row in run.trace])


def between(row: TraceRow, from_s: float, to_s: float, **changes: int) -> TraceRow:
    return replace(row, **changes) if START + from_s * 1000 <= row.utc_ms < START + to_s * 1000 else row


def without_frames(run: RunRecord, station: str, id: str) -> RunRecord:
    kept = {
        cpo: [row for row in frames if (row.station, row.id) != (station, id)]
        for cpo, frames in run.csms_frames.items()
    }
    return replace(run, csms_frames=kept)


def swapped(run: RunRecord) -> RunRecord:
    frames = list(run.fleet_frames)
    first = frames[0]
    second = frames[5]
    frames[0], frames[5] = second, first
    return replace(run, fleet_frames=frames)


def extra(run: RunRecord, cpo: str, row: FrameRow) -> RunRecord:
    return replace(run, csms_frames={**run.csms_frames, cpo: [*run.csms_frames[cpo], row]})


def altered(run: RunRecord) -> RunRecord:
    frames = [replace(CSMS_A[0], sha256="0" * 64), *CSMS_A[1:]]
    return replace(run, csms_frames={**run.csms_frames, "a": frames})


def responses(run: RunRecord, status: int, shift_ms: int | None) -> RunRecord:
    rows = [row for row in run.responses if row.status != status or shift_ms is not None]
    rows = [replace(row, utc_ms=row.utc_ms + (shift_ms or 0)) if row.status == status else row for row in rows]
    return replace(run, responses=rows)


def starved(run: RunRecord, evse: str) -> RunRecord:
    return replace(run, cars=[replace(row, power_w=0) if row.evse == evse else row for row in run.cars])


def fleet(run: RunRecord, **changes: object) -> RunRecord:
    return replace(run, fleet=replace(run.fleet, **changes))  # type: ignore[arg-type]


BROKEN: dict[str, tuple[Callable[[RunRecord], RunRecord], str]] = {
    "over for eleven seconds": (with_trace(lambda row: between(row, 120, 132, net_w=105_000)), "import limit"),
    "over by twelve percent for two seconds": (
        with_trace(lambda row: between(row, 120, 122, net_w=112_000)),
        "import limit",
    ),
    "the event ignored after the grace": (with_trace(lambda row: between(row, 46, 50, net_w=99_000)), "import limit"),
    "the base limit broken within the grace": (
        with_trace(lambda row: between(row, 31, 33, net_w=115_000)),
        "import limit",
    ),
    "too much export": (with_trace(lambda row: between(row, 120, 135, net_w=-31_000)), "export limit"),
    "one phase overloaded": (
        with_trace(lambda row: between(row, 120, 135, currents_ma=(0, 0, 201_000))),  # type: ignore[arg-type]
        "current L3",
    ),
    "late to comply": (with_trace(lambda row: between(row, 30, 46.5, net_w=61_000)), "compliance time"),
    "never complied": (with_trace(lambda row: between(row, 30, 105, net_w=61_000)), "compliance time"),
    "no trace": (lambda run: replace(run, trace=[]), "import limit"),
    "a gap in the trace": (
        lambda run: replace(run, trace=[row for row in run.trace if not 500 < (row.utc_ms - START) / 100 < 520]),
        "trace unbroken",
    ),
    "the trace ends early": (
        lambda run: replace(run, trace=[row for row in run.trace if row.utc_ms < END - 2000]),
        "trace unbroken",
    ),
    "a frame altered on its way north": (altered, "relay north"),
    "a frame lost on its way north": (lambda run: without_frames(run, "CP-1", "16"), "relay north"),
    "frames in another order": (swapped, "relay north"),
    "a frame from nowhere": (lambda run: extra(run, "a", frame("rx", "CP-1", 2, "77", "X")), "relay north"),
    "nothing relayed": (
        lambda run: replace(run, fleet_frames=[], csms_frames={}, exceptions=[]),
        "relay south",
    ),
    "an answer lost on its way south": (
        lambda run: replace(run, fleet_frames=[row for row in FLEET if row is not FLEET[7]]),
        "relay south",
    ),
    "an own CALL that the audit hides": (
        lambda run: replace(run, exceptions=EXCEPTIONS[1:]),
        "relay south",
    ),
    "a kind that is not in the list": (
        lambda run: replace(run, exceptions=[*EXCEPTIONS, exception("dropped", FLEET[0])]),
        "closed list",
    ),
    "an entry for a frame that nobody saw": (
        lambda run: replace(run, exceptions=[*EXCEPTIONS, exception("own_call", frame("rx", "CP-1", 2, "x", "y"))]),
        "closed list",
    ),
    "a periodic reading kept as if triggered": (
        lambda run: replace(
            run,
            exceptions=[*EXCEPTIONS, exception("triggered_reading", FLEET[5])],
            csms_frames={"a": [row for row in CSMS_A if row.id != "16"], "b": CSMS_B},
        ),
        "closed list",
    ),
    "a CPO's answer kept as if ours": (
        lambda run: replace(
            run,
            exceptions=[*EXCEPTIONS, exception("own_answer", FLEET[9])],
            csms_frames={"a": CSMS_A[:-1], "b": CSMS_B},
        ),
        "closed list",
    ),
    "the gateway starts a transaction": (
        lambda run: replace(
            run,
            fleet_frames=[*FLEET, frame("rx", "CP-1", 2, "own-9", "RemoteStartTransaction")],
            exceptions=[
                *EXCEPTIONS,
                exception("own_call", frame("rx", "CP-1", 2, "own-9", "RemoteStartTransaction"), "south"),
            ],
        ),
        "closed list",
    ),
    "a station at the wrong CSMS": (
        lambda run: replace(run, csms_frames={"a": [*CSMS_A, *CSMS_B], "b": []}),
        "closed list",
    ),
    "our id seen by a CSMS": (
        lambda run: extra(run, "a", frame("rx", "CP-1", 3, "own-1")),
        "own ids unseen",
    ),
    "messages replayed in another order": (lambda _: outage_run([REPLAYED[0], REPLAYED[2], REPLAYED[1]]), "outages"),
    "a message replayed twice": (lambda _: outage_run([*REPLAYED, REPLAYED[1]]), "outages"),
    "an answer to nothing that was kept": (
        lambda _: replace(outage_run(), exceptions=[row for row in outage_run().exceptions if row.kind != "stored"]),
        "closed list",
    ),
    "response 1 missing": (lambda run: responses(run, 1, None), "response 1"),
    "response 1 late": (lambda run: responses(run, 1, 7000), "response 1"),
    "response 2 early": (lambda run: responses(run, 2, -1500), "response 2"),
    "response 2 late": (lambda run: responses(run, 2, 2700), "response 2"),
    "response 3 missing": (lambda run: responses(run, 3, None), "response 3"),
    "a response twice": (
        lambda run: replace(run, responses=[*run.responses, run.responses[0]]),
        "response path",
    ),
    "no event": (lambda run: replace(run, events=[]), "responses"),
    "a hungry car": (
        lambda run: fleet(run, cars=(*run.fleet.cars[:2], replace(run.fleet.cars[2], energy_wh=0.0))),
        "every car charged",
    ),
    "one of two cars gets nothing": (lambda run: starved(run, "evse-1"), "fairness 11kW"),
    "the limit never bound": (
        with_trace(lambda row: replace(row, net_w=row.net_w // 5, ev_w=row.ev_w // 5)),
        "limit bound",
    ),
    "no cars in cars.csv": (lambda run: replace(run, cars=[]), "fairness"),
    "a car too few": (lambda run: replace(run, expected_cars=4), "cars came"),
    "a station not accepted": (lambda run: fleet(run, accepted=1), "fleet accepted"),
    "a CALL against the schema": (lambda run: fleet(run, schema_violations=1), "fleet accepted"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_run_fails_the_check_that_watches_for_it(name: str) -> None:
    breaking, expected = BROKEN[name]
    verdict = judge(breaking(good_run()))
    assert expected in failed(verdict)
    assert not verdict.passed


def test_each_check_has_a_run_that_fails_it() -> None:
    base = {check.name for check in judge(good_run()).checks}
    covered = {expected for _, expected in BROKEN.values()}
    assert base - covered == {"current L1", "current L2", "fairness 22kW"}


def test_the_closed_list_is_the_same_in_code_judge_and_architecture() -> None:
    text = (Path(__file__).resolve().parents[2] / "ARCHITECTURE.md").read_text(encoding="utf-8")
    listed = text[text.index("is a closed list") : text.index("are never thinned")]
    assert {reason.value for reason in Reason} == set(WHERE) == set(re.findall(r"`([a-z_]+)`", listed)) - {"merge"}


def test_a_single_class_with_one_car_is_fair_to_itself() -> None:
    checks = {check.name: check for check in judge(starved(good_run(), "evse-1")).checks}
    assert checks["fairness 22kW"].passed


def test_frames_in_flight_at_the_end_are_forgiven_but_not_older_ones() -> None:
    late = frame("tx", "CP-2", 2, "10", "Heartbeat", utc_ms=END - 500)
    old = frame("tx", "CP-2", 2, "10", "Heartbeat", utc_ms=END - 2500)
    run = good_run()
    assert judge(replace(run, fleet_frames=[*FLEET, late])).passed
    assert failed(judge(replace(run, fleet_frames=[*FLEET, old]))) == {"relay north"}


def test_a_short_and_small_excess_is_forgiven() -> None:
    run = with_trace(lambda row: between(row, 120, 128, net_w=108_000))(good_run())
    assert judge(run).passed


def test_the_summary_does_not_take_the_end_of_the_event_for_compliance() -> None:
    run = with_trace(lambda row: between(row, 30, 105, net_w=61_000))(good_run())
    calm = with_trace(lambda row: between(row, 105, 150, net_w=50_000))(run)
    assert judge(calm).summary.compliance_ms is None


def test_answers_may_overtake_calls_but_not_each_other() -> None:
    answers_first = [CSMS_A[5], *CSMS_A[:5]]
    assert judge(replace(good_run(), csms_frames={"a": answers_first, "b": CSMS_B})).passed


def test_the_looser_limit_counts_for_the_grace_on_both_sides_of_an_event() -> None:
    steps = limit_steps(BASE_W, [EVENT])
    at = {second: permitted_at(steps, START + second * 1000) for second in (10, 29, 30, 44, 46, 104, 105, 121)}
    assert at == {
        10: 100_000,
        29: 100_000,
        30: 100_000,
        44: 100_000,
        46: 60_000,
        104: 60_000,
        105: 100_000,
        121: 100_000,
    }


def test_overlapping_events_give_the_least_of_their_limits() -> None:
    other = replace(EVENT, mrid="02", start_utc_ms=START + 60_000, end_utc_ms=START + 120_000, import_w=50_000)
    bounds = [step.bound for step in limit_steps(BASE_W, [EVENT, other])]
    assert bounds == [100_000, 60_000, 50_000, 50_000, 100_000]


def test_compliance_counts_from_the_instant_after_which_it_held_for_five_seconds() -> None:
    means = [(second * 1000, 10.0 if second in (0, 1, 4) else 1.0) for second in range(12)]
    assert compliance_ms(means, start_utc_ms=0, bound=5) == 5000
    assert compliance_ms(means, start_utc_ms=0, bound=20) == 0
    assert compliance_ms(means[:9], start_utc_ms=0, bound=5) is None


def test_an_excess_over_a_limit_of_zero_is_infinite() -> None:
    excess = excess_of([(0, 0.0), (100, 1.0)], [LimitStep(from_utc_ms=0, bound=0)])
    assert excess.worst_percent == float("inf")


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_the_sliding_mean_lies_within_its_second(values: list[float]) -> None:
    means = sliding_mean((index * 100, value) for index, value in enumerate(values))
    for index, (_, mean) in enumerate(means):
        window = values[max(0, index - 9) : index + 1]
        assert min(window) - 1e-6 <= mean <= max(window) + 1e-6


@given(
    st.floats(0, 100_000),
    st.lists(st.tuples(st.floats(6, 32), st.sampled_from([230.0, 690.0])), min_size=1, max_size=30),
)
def test_the_max_min_level_uses_what_there_is_and_lifts_nobody_above_another(
    total_w: float, cars: list[tuple[float, float]]
) -> None:
    level_a = max_min_level(total_w, cars)
    used_w = sum(min(level_a, cap_a) * per_amp for cap_a, per_amp in cars)
    most_w = sum(cap_a * per_amp for cap_a, per_amp in cars)
    assert used_w == pytest.approx(min(total_w, most_w), rel=1e-6, abs=1e-3)


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=20))
def test_jain_lies_between_one_nth_and_one(values: list[float]) -> None:
    assert 1 / len(values) - 1e-9 <= jain(values) <= 1 + 1e-9


def test_jain_of_one_eater_among_four_is_a_quarter() -> None:
    assert jain([1, 0, 0, 0]) == 0.25
    assert jain([2, 2]) == 1.0
    assert jain([]) == 0.0


def test_files_are_read_as_they_are_written() -> None:
    trace = parse_trace(["utc_ms,net_w,...", "1,-2,3,4,5,6,7,-8,9,600", ""])
    assert trace[0].net_w == -2
    assert trace[0].currents_ma == (3, 4, 5)
    cars = parse_cars(["utc_ms,evse,...", "1,evse-1,11kW,3,16000,6000,4140,1,6000,Charging"])
    assert cars[0].is_plugged
    fleet_text = '{"cars": [], "stations": 1, "accepted": 1, "schema_violations": 0}'
    assert parse_fleet(fleet_text).stations == 1
    line = '{"utc_ms": 1, "station": "s", "dir": "tx", "sha256": "h", "type": 2, "id": "i", "action": "a"}'
    assert parse_frames([line])[0].cause is None
    audit = '{"utc_ms":1,"station":"s","direction":"north","kind":"k","id":"i","action":"a","sha256":"h","more":1}'
    assert parse_exceptions([audit])[0].kind == "k"
    log = ['{"utc_ms":1,"kind":"request","path":"/tm"}', '{"utc_ms":1,"kind":"response","mrid":"M","status":2}']
    assert [row.status for row in parse_responses(log)] == [2]


@pytest.mark.parametrize(
    ("parse", "lines"),
    [
        (parse_trace, []),
        (parse_trace, ["utc_ms,net_w", "1,2"]),
        (parse_cars, ["evse"]),
        (parse_frames, ['{"utc_ms": 1}']),
        (parse_exceptions, ["{"]),
        (parse_responses, ["[]"]),
    ],
)
def test_a_file_that_is_cut_or_foreign_is_refused(parse: Callable[[list[str]], object], lines: list[str]) -> None:
    with pytest.raises(ValueError, match=r"row|line"):
        parse(lines)
