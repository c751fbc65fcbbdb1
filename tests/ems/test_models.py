"""SunSpec models as people read them: points with units, groups that repeat, absence as absence, and every refusal."""

from __future__ import annotations

import asyncio
import struct
from decimal import Decimal

import pytest
from ems_examples import WrittenField, demo_config

from dgm.api.core.v1.field_pb2 import ModelAnswer, ModelBatch, ModelFailure
from dgm.api.ems.v1.field_pb2 import ModelPoint, ReadModelRequest, ReadModelResponse, SunSpecModel
from dgm.cli.field import lines, shown
from dgm.devices.sunspec_units import model_names
from dgm.ems.service.models import FAILURES, ModelDesk, content, reply
from dgm.site.refusal import Reason, Refusal
from dgm.site.topology import Topology

TOPOLOGY = Topology.from_config(demo_config())
ABSENT = 0xFFFF


def registers(*words: int) -> bytes:
    """Big-endian."""
    return struct.pack(f">{len(words)}H", *(word & 0xFFFF for word in words))


def volt_var() -> bytes:
    """Model 705 with one curve of two points."""
    head = (1, 1, 0, 2, 1, 0, 60, ABSENT, ABSENT, ABSENT, -1, -2, 0x8000)
    curve = (2, 1, 1, 1000, ABSENT, 0, 0, 5, 6, 1)
    points = (920, 4400, 1080, -4400)
    body = (*head, *curve, *points)
    return registers(705, len(body), *body)


def test_a_curve_has_its_points_in_groups_with_units_and_absence() -> None:
    group = content(705, volt_var())
    assert group.name == model_names(705).name
    named = {point.name: point for point in group.points}
    assert (named["NPt"].raw, named["RvrtTms"].unit) == (2, "Secs")
    assert not named["RvrtCrv"].HasField("raw")
    assert not named["RvrtCrv"].HasField("text")
    (curve,) = group.groups
    first, second = curve.groups
    assert [(point.name, shown(point)) for point in first.points] == [("V", "92.0 VNomPct"), ("Var", "44.00 DeptRef")]
    assert [shown(point) for point in second.points] == ["108.0 VNomPct", "-44.00 DeptRef"]
    printed = list(lines(group))
    assert "  RvrtCrv = -" in printed
    assert "    Pt[2]" in printed


def test_a_value_is_shown_exactly_and_one_without_its_scale_is_no_value() -> None:
    assert shown(ModelPoint(name="W", raw=-12_345, exponent=-1, unit="W")) == "-1234.5 W"
    assert shown(ModelPoint(name="W", raw=7, exponent=3)) == "7000"
    assert shown(ModelPoint(name="W", raw=0)) == "0"
    assert shown(ModelPoint(name="W", raw=7, scale_absent=True)).startswith("- (raw 7")
    assert shown(ModelPoint(name="Mn", text="Maker")) == "Maker"
    assert Decimal(shown(ModelPoint(name="E", raw=2**62, exponent=-2))) == Decimal(2**62) / 100


def test_the_unit_table_names_every_model_that_the_core_can_decode() -> None:
    assert model_names(103).units["W"] == "W"
    assert model_names(65_000).name == "65000"


@pytest.mark.parametrize("failure", [number for number in ModelFailure.values() if number])
def test_every_failure_of_the_core_is_a_refusal_that_says_what_to_look_at(failure: int) -> None:
    request = ReadModelRequest(asset_id="pv1", model=713)
    chain = [SunSpecModel(id=1), SunSpecModel(id=701)]
    refused = reply(request, ModelAnswer(failure=failure, models=chain, exception=2))  # type: ignore[arg-type]
    assert isinstance(refused, Refusal)
    assert refused.reason == FAILURES[failure][0]
    assert "pv1" in refused.message
    if failure == ModelFailure.MODEL_FAILURE_NO_MODEL:
        assert refused.message == "pv1 has no such model 713; it has 1, 701"


async def test_a_reply_waits_for_the_core_and_goes_to_whoever_asked() -> None:
    field = WrittenField()
    desk = ModelDesk(field, TOPOLOGY)
    asked = asyncio.create_task(desk.read(ReadModelRequest(asset_id="pv1", model=705)))
    await asyncio.sleep(0)
    assert field.newest("model") == (TOPOLOGY.assets[1].index, 705, 0, 10_000)
    other = ModelAnswer(ticket=99, registers=volt_var())
    mine = ModelAnswer(ticket=1, registers=volt_var(), models=[SunSpecModel(id=705, address=40_070, length=27)])
    desk.take(ModelBatch(answers=[other, mine]).SerializeToString())
    found = await asked
    assert isinstance(found, ReadModelResponse)
    assert found.content.groups[0].name == "Crv"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"asset_id": "e1"}, Reason.UNKNOWN_ASSET),
        ({"asset_id": "pv1", "model": 70_000}, Reason.OUT_OF_RANGE),
        ({"asset_id": "pv1", "occurrence": -1}, Reason.OUT_OF_RANGE),
        ({"asset_id": "pv1", "timeout_ms": 999}, Reason.OUT_OF_RANGE),
    ],
)
async def test_a_question_that_makes_no_sense_is_not_asked(fields: dict[str, object], reason: Reason) -> None:
    field = WrittenField()
    refused = await ModelDesk(field, TOPOLOGY).read(ReadModelRequest(**fields))  # type: ignore[arg-type]
    assert isinstance(refused, Refusal)
    assert refused.reason == reason
    assert field.told == []
