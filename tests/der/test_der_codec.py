"""The codec: round trips with everything set and nothing set, order on output, hostile input."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgm.der import resource as r
from dgm.der.codec import Dialect, decode, encode
from dgm.der.codec.leaf import scaled, scaled_down
from dgm.der.xml import MAX_BODY_BYTES
from dgm.errors import PeerError
from dgm.sim.utility.xml import TYPES, check

MRID, LFDI = "0600ABCD000000000000000100037244", "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
SEP, AUS = 'xmlns="urn:ieee:std:2030.5:ns"', "https://csipaus.org/ns"

BASE = r.ControlBase(
    modes=(
        r.ControlMode(name="opModConnect", on=True),
        r.ControlMode(name="opModEnergize", on=False),
        r.ControlMode(name="opModFixedW", permyriad=-2500),
        r.ControlMode(name="opModMaxLimW", permyriad=10000),
        r.ControlMode(name="opModTargetW", power_w=-4000),
        r.ControlMode(name="opModVoltVar", curve_href="/dc/1"),
        r.ControlMode(name="opModImpLimW", power_w=0),
        r.ControlMode(name="opModExpLimW", power_w=123_400),
        r.ControlMode(name="opModGenLimW", power_w=32_767),
        r.ControlMode(name="opModLoadLimW", power_w=1),
    ),
    ramp_ms=1500,
)
CONTROL = r.DERControl(
    href="/c",
    reply_to="/rsp",
    response_required=3,
    mrid=MRID,
    description="all set",
    creation_s=1,
    status=r.EventStatus(current=r.EventState.CANCELLED_RANDOMISED, changed_s=2, potentially_superseded=True),
    interval=r.Interval(duration_s=3, start_s=4),
    randomize_duration_s=-3600,
    randomize_start_s=3600,
    base=BASE,
    device_category=0x00040000,
)
DEFAULT = r.DefaultDERControl(href="/d", mrid=MRID, description="d", base=BASE, set_grad_w_permyriad_s=27)
STAMP = r.StampedValue(time_s=5, value=7)
TYPE = r.ReadingType(
    commodity=1, data_qualifier=2, flow_direction=1, interval_s=300, kind=37, phase=0, power_of_ten=-1, uom=38
)
READING = r.Reading(quality_flags=1, period=r.Interval(duration_s=60, start_s=0), value=-(2**40))
METER = r.MirrorMeterReading(mrid=MRID, description="m", reading=READING, reading_type=TYPE)
MIRROR = r.MirrorUsagePoint(
    href="/m",
    mrid=MRID,
    description="m",
    role_flags=0x49,
    service_category=0,
    status=1,
    device_lfdi=LFDI,
    readings=(METER, METER),
    post_rate_s=60,
)
DEVICE = r.EndDevice(
    href="/e",
    der_list_link="/der",
    lfdi=LFDI,
    sfdi=167261211391,
    changed_s=9,
    enabled=False,
    function_set_assignments_list_link="/fsa",
    post_rate_s=60,
    registration_link="/rg",
    connection_point_link="/cp",
)
ASSIGNMENTS = r.FunctionSetAssignments(href="/f", der_program_list_link="/p", mrid=MRID, description="f")
PROGRAM = r.DERProgram(
    href="/p", mrid=MRID, description="p", default_der_control_link="/d", der_control_list_link="/c", primacy=1
)
DER = r.DER(href="/der", capability_link="/1", settings_link="/2", status_link="/3")
PAGE: dict[str, Any] = {"href": "/l", "all": 3, "results": 1}

ALL_SET: list[r.Resource] = [
    r.DeviceCapability(
        href="/dcap",
        poll_s=60,
        time_link="/tm",
        end_device_list_link="/edev?a=1&b=<",
        mirror_usage_point_list_link="/mup",
    ),
    r.Time(
        href="/tm",
        poll_s=1,
        current_s=1_700_000_000,
        dst_end_s=1,
        dst_offset_s=3600,
        dst_start_s=2,
        quality=3,
        tz_offset_s=-36000,
    ),
    DEVICE,
    r.EndDeviceList(**PAGE, poll_s=300, items=(DEVICE,)),
    r.Registration(href="/rg", poll_s=1, registered_s=3, pin=111115),
    ASSIGNMENTS,
    r.FunctionSetAssignmentsList(**PAGE, poll_s=300, items=(ASSIGNMENTS,)),
    PROGRAM,
    r.DERProgramList(**PAGE, poll_s=300, items=(PROGRAM,)),
    CONTROL,
    r.DERControlList(**PAGE, items=(CONTROL,)),
    DEFAULT,
    r.DERControlResponse(created_s=1, lfdi=LFDI, status=254, subject=MRID),
    DER,
    r.DERList(**PAGE, poll_s=300, items=(DER,)),
    r.DERCapability(
        modes=3, max_charge_rate_w=50_000, max_discharge_rate_w=40_000, max_w=150_000, type=1, doe_modes=15
    ),
    r.DERSettings(
        modes=3,
        set_grad_w_permyriad_s=27,
        max_charge_rate_w=50_000,
        max_discharge_rate_w=40_000,
        max_w=150_000,
        updated_s=1,
        doe_modes=15,
    ),
    r.DERStatus(gen_connect=STAMP, operational_mode=STAMP, reading_s=1, state_of_charge=STAMP, stor_connect=STAMP),
    MIRROR,
    r.MirrorUsagePointList(**PAGE, poll_s=300, items=(MIRROR,)),
    METER,
    r.ConnectionPoint(connection_point_id="NMI & more"),
    r.Error(max_retry_s=3, reason_code=4),
]


def bare(value: Any) -> Any:
    """The same resource with every optional part absent."""
    empty = {field.name: field.default for field in fields(value) if field.default is None or field.default == ()}
    return replace(value, **empty)


def named(value: Any) -> str:
    return type(value).__name__


@pytest.mark.parametrize("value", ALL_SET, ids=named)
def test_a_resource_with_everything_set_comes_back_equal(value: r.Resource) -> None:
    assert decode(encode(value)) == value


@pytest.mark.parametrize("value", ALL_SET, ids=named)
def test_a_resource_with_nothing_optional_comes_back_equal(value: r.Resource) -> None:
    dialect = Dialect(aus_namespace=None if isinstance(value, r.DERCapability) else AUS)
    assert decode(encode(bare(value), dialect)) == bare(value)


def test_csip_aus_demands_its_modes_of_a_capability() -> None:
    with pytest.raises(ValueError, match="DERCapability/csipaus:doeModesSupported: missing"):
        encode(r.DERCapability(modes=0, max_w=1, type=1))


@pytest.mark.parametrize("value", [value for value in ALL_SET if named(value) in TYPES], ids=named)
@pytest.mark.parametrize("form", [lambda value: value, bare], ids=["all set", "bare"])
def test_what_a_client_sends_passes_the_independent_schema_check(value: r.Resource, form: Any) -> None:
    sent = form(value)
    if isinstance(sent, r.DERCapability):
        sent = replace(sent, doe_modes=15)
    if isinstance(sent, r.EndDevice):
        sent = r.EndDevice(lfdi=sent.lfdi, sfdi=sent.sfdi, changed_s=sent.changed_s)
    assert check(encode(sent), named(value))[1] == []


def test_the_schema_check_sees_a_wrong_order() -> None:
    body = encode(r.DERControlResponse(created_s=1, lfdi=LFDI, status=1, subject=MRID)).decode()
    swapped = body.replace("<status>1</status>", "").replace("</subject>", "</subject><status>1</status>")
    assert check(swapped.encode(), "DERControlResponse")[1] == ["DERControlResponse: elements out of schema order"]


def test_limits_come_after_the_ramp_and_in_the_order_of_the_schema() -> None:
    text = encode(DEFAULT).decode()
    names = ("opModVoltVar", "rampTms", "opModImpLimW", "opModExpLimW", "opModGenLimW", "opModLoadLimW", "setGradW")
    places = [text.index(name) for name in names]
    assert places == sorted(places)


def test_a_control_of_another_implementation_is_read_in_our_units_and_signs() -> None:
    body = f"""<x:DERControl xmlns:x="urn:ieee:std:2030.5:ns" xmlns:y="http://csipaus.org/ns" replyTo="/r"
      responseRequired="03" unknown="1"><x:mRID>{MRID.lower()}</x:mRID><x:creationTime>10</x:creationTime><x:Unknown/>
      <x:EventStatus><x:currentStatus>0</x:currentStatus><x:dateTime>10</x:dateTime>
        <x:potentiallySuperseded>0</x:potentiallySuperseded></x:EventStatus>
      <x:interval><x:start>20</x:start><x:duration>30</x:duration></x:interval>
      <x:DERControlBase><y:opModImpLimW><x:multiplier>3</x:multiplier><x:value>150</x:value></y:opModImpLimW>
        <x:opModFixedW>5000</x:opModFixedW><x:rampTms>250</x:rampTms>
        <x:opModImpLimW><x:value>1</x:value></x:opModImpLimW></x:DERControlBase></x:DERControl>"""
    control = decode(body.encode())
    assert isinstance(control, r.DERControl)
    assert (control.mrid, control.reply_to, control.response_required) == (MRID, "/r", 3)
    assert control.interval == r.Interval(start_s=20, duration_s=30)
    assert control.base.ramp_ms == 2500
    assert {mode.name: mode for mode in control.base.modes} == {
        "opModImpLimW": r.ControlMode(name="opModImpLimW", power_w=150_000),
        "opModFixedW": r.ControlMode(name="opModFixedW", permyriad=-5000),
    }


@pytest.mark.parametrize(("value", "multiplier", "watts"), [(25, -1, 2), (-25, -1, -3), (32767, 9, 32767 * 10**9)])
def test_a_limit_is_never_rounded_up(value: int, multiplier: int, watts: int) -> None:
    assert scaled_down(value, multiplier) == watts


@pytest.mark.parametrize(
    ("value", "multiplier", "watts"),
    [(300, 10, 3_000_000_000_000), (0, 127, 0), (32_760, -12, 0), (5, -128, 0), (3, 13, 30_000_000_000_000)],
)
def test_a_power_of_ten_beyond_those_that_have_to_be_understood_is_read_where_it_fits(
    value: int, multiplier: int, watts: int
) -> None:
    limit = f"<multiplier>{multiplier}</multiplier><value>{value}</value>"
    read = decode(
        f'<DefaultDERControl {SEP} xmlns:c="{AUS}"><mRID>{MRID}</mRID><DERControlBase>'
        f"<c:opModImpLimW>{limit}</c:opModImpLimW></DERControlBase></DefaultDERControl>".encode()
    )
    assert isinstance(read, r.DefaultDERControl)
    assert read.base.modes == (r.ControlMode(name="opModImpLimW", power_w=watts),)


@given(st.integers(-(10**12), 10**12))
def test_a_power_fits_int16_and_loses_only_what_does_not_fit(watts: int) -> None:
    multiplier, value = scaled(watts, power_of_ten=0, low=-32768, high=32767)
    assert -32768 <= value <= 32767
    assert 0 <= abs(watts) - abs(value) * 10**multiplier < 10**multiplier


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
HOSTILE = {
    "empty": b"",
    "not xml": b"\x00\xff\xfe",
    "json": b'{"a": 1}',
    "html": b"<html><body>502</body></html>",
    "doctype": f"{BOMB}<Time {SEP}>&b;</Time>".encode(),
    "external entity": f'<!DOCTYPE x SYSTEM "file:///etc/passwd"><Time {SEP}/>'.encode(),
    "utf-16 doctype": f"{BOMB}<Time {SEP}>&b;</Time>".encode("utf-16"),
    "unknown encoding": f'<?xml version="1.0" encoding="UTF-{chr(0x1E)}"?><Time {SEP}/>'.encode(),
    "unknown root": f"<Tariff {SEP}/>".encode(),
    "old namespace": b'<Time xmlns="http://ieee.org/2030.5"><currentTime>1</currentTime><quality>1</quality></Time>',
    "no namespace": b"<Time><currentTime>1</currentTime><quality>1</quality></Time>",
    "missing": f"<Time {SEP}><quality>1</quality></Time>".encode(),
    "not a number": f"<Time {SEP}><currentTime>now</currentTime><quality>1</quality></Time>".encode(),
    "huge number": f"<Time {SEP}><currentTime>{'9' * 5000}</currentTime><quality>1</quality></Time>".encode(),
    "other digits": f"<Time {SEP}><currentTime>١</currentTime><quality>1</quality></Time>".encode(),
    "underscore": f"<Time {SEP}><currentTime>1_0</currentTime><quality>1</quality></Time>".encode(),
    "out of range": f"<Time {SEP}><currentTime>1</currentTime><quality>256</quality></Time>".encode(),
    "deep": b"<a>" * 100_000,
    "deep and closed": f"<Time {SEP}>{'<a>' * 50}{'</a>' * 50}</Time>".encode(),
    "large": b"<a>" + b" " * MAX_BODY_BYTES + b"</a>",
    "no href": f"<DeviceCapability {SEP}><TimeLink/></DeviceCapability>".encode(),
    "given twice": f"<DERControlResponse {SEP}><status>1</status><status>2</status></DERControlResponse>".encode(),
    "mode given twice": (
        f"<DefaultDERControl {SEP}><mRID>01</mRID><DERControlBase><opModFixedW>1</opModFixedW>"
        "<opModFixedW>2</opModFixedW></DERControlBase></DefaultDERControl>"
    ).encode(),
    "not hex": f"<DERControlResponse {SEP}><subject>0G</subject></DERControlResponse>".encode(),
    "too much hex": f"<Response {SEP}><endDeviceLFDI>{'0' * 42}</endDeviceLFDI></Response>".encode(),
    "unknown state": (
        f"<FlowReservationRequest {SEP}><RequestStatus><requestStatus>7</requestStatus></RequestStatus>"
        "</FlowReservationRequest>"
    ).encode(),
    "deep in a list": b"x".join(encode(r.MirrorUsagePointList(**PAGE, items=(MIRROR, MIRROR))).rsplit(b"0049", 1)),
    "list without counts": f"<EndDeviceList {SEP}/>".encode(),
    "power without multiplier": (
        f'<DefaultDERControl {SEP} xmlns:c="{AUS}"><mRID>01</mRID><DERControlBase><c:opModImpLimW><value>1</value>'
        "</c:opModImpLimW></DERControlBase></DefaultDERControl>"
    ).encode(),
    "absurd multiplier": (
        f'<DefaultDERControl {SEP} xmlns:c="{AUS}"><mRID>01</mRID><DERControlBase><c:opModImpLimW>'
        "<multiplier>99</multiplier><value>1</value></c:opModImpLimW></DERControlBase></DefaultDERControl>"
    ).encode(),
}


WHERE = {
    "missing": "Time/currentTime: missing; the type needs it",
    "not a number": "Time/currentTime: 'now'; expected a decimal integer",
    "huge number": "Time/currentTime: '9999",
    "out of range": "Time/quality: 256; expected 0..255",
    "no href": "DeviceCapability/TimeLink: no href; a link needs one",
    "list without counts": "EndDeviceList/@all: missing; the type needs it",
    "power without multiplier": "DefaultDERControl/DERControlBase/opModImpLimW/multiplier: missing",
    "absurd multiplier": "DefaultDERControl/DERControlBase/opModImpLimW: 1 x 10^99; expected -32768..32767 x 10^9",
    "given twice": "DERControlResponse/status: given twice; expected once",
    "mode given twice": "DefaultDERControl/DERControlBase/opModFixedW: given twice; expected once",
    "not hex": "DERControlResponse/subject: '0G'; expected at most 32 hex digits",
    "too much hex": "Response/endDeviceLFDI: '0000",
    "unknown state": "FlowReservationRequest/RequestStatus/requestStatus: 7; expected a RequestState of the standard",
    "deep in a list": "MirrorUsagePointList/MirrorUsagePoint[2]/roleFlags: 'x'; expected at most 4 hex digits",
}


@pytest.mark.parametrize("name", WHERE)
def test_a_refusal_says_where_what_was_found_and_what_was_expected(name: str) -> None:
    with pytest.raises(PeerError) as refused:
        decode(HOSTILE[name])
    assert str(refused.value).startswith(WHERE[name])


@pytest.mark.parametrize(
    ("text", "sent"),
    [("é" * 40, "é" * 16), ("a\x00b\ud800<&>", "a\ufffdb\ufffd<&>"), ("€" * 11, "€" * 10), ("a" * 31 + " b", "a" * 31)],
)
def test_text_for_people_is_cut_by_octets_and_never_breaks_the_document(text: str, sent: str) -> None:
    found = decode(encode(replace(ASSIGNMENTS, description=text)))
    assert isinstance(found, r.FunctionSetAssignments)
    assert found.description == sent


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_documents_are_refused_as_the_peers_fault(name: str) -> None:
    with pytest.raises(PeerError):
        decode(HOSTILE[name])


@pytest.mark.parametrize("value", ALL_SET, ids=named)
def test_a_truncated_document_is_refused(value: r.Resource) -> None:
    body = encode(value)
    for length in range(len(body)):
        with pytest.raises(PeerError):
            decode(body[:length])


@settings(max_examples=200)
@given(st.sampled_from(ALL_SET), st.data())
def test_a_corrupted_document_is_read_or_refused_never_more(value: r.Resource, data: st.DataObject) -> None:
    body = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(body))
    except PeerError:
        return
