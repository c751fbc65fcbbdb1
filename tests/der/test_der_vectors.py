"""One control per edition and namespace, with every mode that it has: what DGM makes of it, in its units and signs."""

from __future__ import annotations

from pathlib import Path

import pytest
from der_documents import faults

from dgm.der import resource as r
from dgm.der.codec import Dialect, Edition, decode, encode
from dgm.der.mode import CURVE_TYPES, MODES, Origin
from dgm.der.xml import AUS_13_BETA_NS, AUS_13_NS, AUS_NS

VECTORS = Path(__file__).parent / "vectors"
DIALECTS = {
    "ieee2030_5-2018": Dialect(aus_namespace=None),
    "ieee2030_5-2023": Dialect(edition=Edition.S23, aus_namespace=None),
    "csipaus-1.2": Dialect(aus_namespace=AUS_NS),
    "csipaus-1.3": Dialect(aus_namespace=AUS_13_NS),
    "csipaus-1.3-beta": Dialect(aus_namespace=AUS_13_BETA_NS),
}
SWITCHES = [r.ControlMode(name="opModConnect", on=True), r.ControlMode(name="opModEnergize", on=False)]
DROOP = r.ControlMode(
    name="opModFreqDroop",
    droop_over_deadband_mhz=36,
    droop_under_deadband_mhz=17,
    droop_over_permille=50,
    droop_under_permille=40,
    droop_response_ms=5_000,
)
S18 = [
    *SWITCHES,
    r.ControlMode(name="opModFixedPFAbsorbW", power_factor_ppm=950_000, is_underexcited=True),
    r.ControlMode(name="opModFixedPFInjectW", power_factor_ppm=987_000, is_underexcited=False),
    r.ControlMode(name="opModFixedVar", permyriad=1_500, reference=2),
    r.ControlMode(name="opModFixedW", permyriad=-2_500),
    DROOP,
    r.ControlMode(name="opModMaxLimW", permyriad=8_000),
    r.ControlMode(name="opModTargetVar", reactive_var=-4_500),
    r.ControlMode(name="opModTargetW", power_w=12_000),
    *(r.ControlMode(name=name, curve_href=f"/dc/{number}") for number, name in enumerate(CURVE_TYPES)),
]
S23 = [
    *(mode for mode in S18 if mode.name not in ("opModFreqDroop", "opModMaxLimW")),
    r.ControlMode(
        **{field: getattr(DROOP, field) for field in DROOP.__slots__ if field != "droop_min_w"}, droop_min_w=500
    ),
    r.ControlMode(name="opModMaxLimW", permyriad=8_000, is_disabled=True),
    r.ControlMode(name="opModDeltaVar", reactive_var=700, bidirectional=2),
    r.ControlMode(name="opModDeltaW", power_w=-250),
    r.ControlMode(name="opModFixedV", permyriad=10_150),
    r.ControlMode(name="opModGridConnectPermit", on=True),
    r.ControlMode(name="opModIslandPermit", on=False),
    r.ControlMode(name="opModMaxLimPctVAAbsorb", permyriad=9_000),
    r.ControlMode(name="opModMaxLimPctVAInject", permyriad=9_100),
    r.ControlMode(name="opModMaxLimPctVarAbsorb", permyriad=4_400, reference=8),
    r.ControlMode(name="opModMaxLimPctVarInject", permyriad=3_300, reference=2),
    r.ControlMode(name="opModMaxLimPctWAbsorb", permyriad=5_000),
    r.ControlMode(name="opModMaxLimVarAbsorb", reactive_var=60_000),
    r.ControlMode(name="opModMaxLimVarInject", reactive_var=60_000),
    r.ControlMode(name="opModMaxLimWAbsorb", power_w=450_000),
    r.ControlMode(name="opModMaxLimWInject", power_w=6_553),
    r.ControlMode(name="opModTargetV", voltage_mv=230_500),
]
AUS_12 = [
    *SWITCHES,
    r.ControlMode(name="opModImpLimW", power_w=150_000),
    r.ControlMode(name="opModExpLimW", power_w=0),
    r.ControlMode(name="opModGenLimW", power_w=9),
    r.ControlMode(name="opModLoadLimW", power_w=100),
]
AUS_13 = [*AUS_12, r.ControlMode(name="opModStorageTargetW", power_w=5_000)]
EXPECTED = {
    "ieee2030_5-2018": S18,
    "ieee2030_5-2023": S23,
    "csipaus-1.1": AUS_12,
    "csipaus-1.2": AUS_12,
    "csipaus-1.3": AUS_13,
    "csipaus-1.3-beta": AUS_13,
}


def control(name: str) -> r.DERControl:
    found = decode((VECTORS / f"{name}.xml").read_bytes())
    assert isinstance(found, r.DERControl)
    return found


def test_every_vector_is_used() -> None:
    assert {path.stem for path in VECTORS.iterdir()} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_every_mode_is_read_in_our_units_and_signs(name: str) -> None:
    found = control(name)
    assert {mode.name: mode for mode in found.base.modes} == {mode.name: mode for mode in EXPECTED[name]}
    assert [mode.name for mode in found.base.modes] == [
        item for item in MODES if item in {m.name for m in EXPECTED[name]}
    ]
    assert found.base.ramp_ms == 2_500


@pytest.mark.parametrize(("name", "origin"), [("ieee2030_5-2018", Origin.S18), ("ieee2030_5-2023", Origin.S23)])
def test_the_vectors_leave_no_mode_out(name: str, origin: Origin) -> None:
    wanted = {mode.name for mode in MODES.values() if mode.origin in (Origin.S18, origin)}
    assert {mode.name for mode in control(name).base.modes} == wanted


@pytest.mark.parametrize("name", DIALECTS)
def test_a_vector_and_what_is_written_of_it_are_valid_in_its_dialect(name: str) -> None:
    served = (VECTORS / f"{name}.xml").read_bytes()
    assert faults(served, DIALECTS[name]) == []
    sent = encode(control(name), DIALECTS[name])
    assert faults(sent, DIALECTS[name]) == []
    assert decode(sent) == control(name)


def test_what_the_dialect_does_not_know_is_not_sent() -> None:
    sent = encode(control("csipaus-1.3"), DIALECTS["csipaus-1.2"])
    assert b"opModLoadLimW" in sent
    assert b"opModStorageTargetW" not in sent
    bare = encode(control("ieee2030_5-2023"), DIALECTS["ieee2030_5-2018"])
    assert faults(bare, DIALECTS["ieee2030_5-2018"]) == []
    assert b"disabled" not in bare


def test_the_top_element_of_2023_states_its_schema_and_that_of_2018_does_not() -> None:
    assert b'schemaVer="2.2"' in encode(control("ieee2030_5-2018"), DIALECTS["ieee2030_5-2023"])
    assert b"schemaVer" not in encode(control("ieee2030_5-2018"), DIALECTS["ieee2030_5-2018"])


def test_a_disabled_mode_needs_no_value() -> None:
    body = (VECTORS / "ieee2030_5-2023.xml").read_text().replace('disabled="true">8000<', 'disabled="true"><')
    found = decode(body.encode())
    assert isinstance(found, r.DERControl)
    assert r.ControlMode(name="opModMaxLimW", is_disabled=True) in found.base.modes


def test_absorbed_vars_are_a_magnitude_here_and_negative_there() -> None:
    settings = r.DERSettings(set_grad_w_permyriad_s=27, max_w=1, max_var=40_000, max_absorbed_var=30_000, updated_s=1)
    sent = encode(settings)
    assert b"<setMaxVarNeg><multiplier>0</multiplier><value>-30000</value></setMaxVarNeg>" in sent
    assert decode(sent) == settings


def test_a_flow_reservation_keeps_its_sign_charging_is_positive_on_both_sides() -> None:
    request = r.FlowReservationRequest(
        mrid="0600ABCD000000000000000100037244",
        creation_s=1,
        duration_s=3_600,
        energy_wh=40_000,
        window=r.Interval(start_s=10, duration_s=28_800),
        power_w=11_000,
        status=r.RequestStatus(changed_s=1, state=r.RequestState.REQUESTED),
    )
    sent = encode(request)
    assert b"<powerRequested><multiplier>0</multiplier><value>11000</value></powerRequested>" in sent
    assert b"<energyRequested><multiplier>0</multiplier><value>40000</value></energyRequested>" in sent
    assert decode(sent) == request


def test_a_notification_carries_its_resource_by_type_and_survives_an_unknown_one() -> None:
    page = r.DERControlList(href="/derp/1/derc", all=1, results=1, items=(control("csipaus-1.2"),))
    notification = r.Notification(
        subscribed="/derp/1/derc", resource=page, status=r.NotificationState.DEFAULT, subscription_uri="/sub/1"
    )
    sent = encode(notification)
    assert decode(sent) == notification
    assert faults(sent, DIALECTS["csipaus-1.2"]) == []
    other = decode(sent.replace(b'xsi:type="DERControlList"', b'xsi:type="x:PrepaymentList"'))
    assert isinstance(other, r.Notification)
    assert other.resource is None


def test_prices_of_csip_aus_1_3_are_read_from_the_summary_inside_the_interval() -> None:
    body = """<TimeTariffInterval xmlns="urn:ieee:std:2030.5:ns" xmlns:c="https://csipaus.org/ns/v1.3" href="/tti/1">
      <mRID>01</mRID><creationTime>1</creationTime><EventStatus><currentStatus>1</currentStatus><dateTime>1</dateTime>
      <potentiallySuperseded>false</potentiallySuperseded></EventStatus><interval><duration>300</duration>
      <start>600</start></interval><ConsumptionTariffIntervalListLink href="/cti" all="1"/><touTier>1</touTier>
      <c:ConsumptionTariffIntervalListSummary all="1" results="1"><ConsumptionTariffInterval>
      <consumptionBlock>0</consumptionBlock><price>3125</price><startValue>0</startValue></ConsumptionTariffInterval>
      </c:ConsumptionTariffIntervalListSummary><RateComponentLink href="/rc/1"/></TimeTariffInterval>"""
    found = decode(body.encode())
    assert isinstance(found, r.TimeTariffInterval)
    assert found.summary is not None
    assert found.summary.items[0].price == 3125
    assert found.rate_component_link == "/rc/1"
