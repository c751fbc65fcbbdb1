"""The fallback proof counts every device at what it does with nobody alive, in both directions, per row and phase."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from site_documents import THREE, Document, evse, site

from dgm.api.config.v1.config_pb2 import CircuitConfig, DgmConfig
from dgm.site.finding import State
from dgm.site.proof import RowProof, fallback_proof, fallback_rows


def rows(config: DgmConfig) -> dict[tuple[str, str], RowProof]:
    return {(proof.circuit_id, proof.side): proof for proof in fallback_proof(config)}


def root(name: str, value: Any) -> Any:
    return lambda document: document["circuits"][0].__setitem__(name, value)


def test_what_a_v2x_evse_may_give_back_is_part_of_the_export_side() -> None:
    v2x = site(lambda document: document["stations"][0]["evses"][0].__setitem__("discharge_max_ma", 16_000))
    found, without = rows(v2x), rows(site())
    assert found["grid", "export"].total == without["grid", "export"].total + 11_040
    assert ("v2x", 11_040) in found["grid", "export"].parts
    assert found["feeder", "export L2"].total == 16_000
    assert ("feeder", "export L2") not in without
    assert found["grid", "import"].total == without["grid", "import"].total


def rs1(document: Document, *, fallbacks: list[tuple[int, list[str]]]) -> None:
    """100 EVSEs of 32 A at the connection point, with these fallbacks; PV falls back to what may be exported."""
    document["stations"] = [
        evse(number, circuit="grid", phases=phases, current_max_ma=32_000, fallback_ma=fallback_ma)
        for number, (fallback_ma, phases) in enumerate(fallbacks)
    ]


@pytest.mark.parametrize(
    ("fallbacks", "total_w", "holds"),
    [
        ([(32_000, THREE)] * 40, 880_000 + 3_200 + 180_000, False),
        ([(6_000, THREE)] * 100, 414_000 + 180_000, False),
        ([(6_000, THREE)] * 60 + [(0, THREE)] * 40, 248_400 + 180_000, True),
    ],
)
def test_the_fleets_of_the_reference_site_fail_or_pass_as_they_must(
    fallbacks: list[tuple[int, list[str]]], total_w: int, holds: bool
) -> None:
    found = rows(site(lambda document: rs1(document, fallbacks=fallbacks)))["grid", "import"]
    assert (found.total, found.holds) == (total_w, holds)


def test_pv_and_battery_that_fall_back_to_their_nameplate_break_the_export_side() -> None:
    def nameplate(document: Document) -> None:
        document["assets"][2]["revert_w"] = 250_000

    assert rows(site())["grid", "export"].holds
    found = rows(site(nameplate))["grid", "export"]
    assert (found.total, found.bound, found.holds) == (390_000, 150_000, False)


def test_an_evse_whose_fallback_nobody_stated_is_broken_and_counts_at_its_maximum() -> None:
    def unstated(document: Document) -> None:
        document["stations"][3] = evse(3, fallback_ma=None)

    config = site(unstated)
    [unknown] = [row for row in fallback_rows(config) if row.rule == "C10"]
    assert (unknown.state, unknown.where) == (State.BROKEN, "e3")
    assert "16 A" in unknown.found
    assert "fallback_ma" in unknown.action
    assert rows(config)["feeder", "import L1"].total == 11 * 6_000 + 16_000


def test_a_stated_fallback_of_zero_is_known() -> None:
    [row] = [row for row in fallback_rows(site()) if row.rule == "C10"]
    assert row.state is State.HOLDS
    assert "12 EVSEs" in row.found


@pytest.mark.parametrize(
    ("device", "words"), [("victron_gx_battery", "only read"), ("kostal_plenticore_battery", "no revert")]
)
def test_a_battery_without_a_provable_revert_counts_at_nameplate_both_ways(device: str, words: str) -> None:
    def spoil(document: Document) -> None:
        document["assets"][2]["modbus"]["device"] = device

    config = site(spoil)
    [doubt] = [row for row in fallback_rows(config) if row.rule == "C10"]
    assert (doubt.state, doubt.where) == (State.WARNING, "battery")
    assert words in doubt.found
    assert dict(rows(config)["grid", "import"].parts)["battery"] == 250_000
    assert dict(rows(config)["grid", "export"].parts)["pv+battery"] == 450_000


def test_a_device_with_written_reverts_is_known_though_it_is_no_sunspec_device() -> None:
    def table(document: Document) -> None:
        document["assets"][2]["modbus"]["device"] = "dgm_pcs"

    assert [row.state for row in fallback_rows(site(table)) if row.rule == "C10"] == [State.HOLDS]


def test_a_circuit_that_says_nothing_of_its_load_may_carry_all_of_the_load_above_it() -> None:
    def metered(document: Document) -> None:
        feeder = document["circuits"][1]
        feeder.pop("max_uncontrolled_w")
        feeder["meter"] = "m"

    assert dict(rows(site(metered))["feeder", "import L1"].parts)["load"] == 274_600
    assert dict(rows(site())["feeder", "import L1"].parts)["load"] == 0


def test_what_is_stated_below_a_circuit_is_never_less_than_what_is_counted_at_it() -> None:
    def more(document: Document) -> None:
        document["circuits"][1]["max_uncontrolled_w"] = 200_000

    assert dict(rows(site(more))["grid", "import"].parts)["load"] == 200_000


@st.composite
def sites(draw: st.DrawFn) -> DgmConfig:
    """A tree of up to four circuits with EVSEs, PV, batteries and loads anywhere in it."""

    def spoil(document: Document) -> None:
        count = draw(st.integers(1, 4))
        circuits = document["circuits"][:1]
        document["circuits"] = circuits
        for number in range(1, count):
            parent = draw(st.sampled_from([circuit["id"] for circuit in circuits]))
            circuits.append({"id": f"c{number}", "parent": parent, "max_uncontrolled_w": draw(st.integers(0, 90_000))})
            circuits[-1]["min_uncontrolled_w"] = draw(st.integers(0, circuits[-1]["max_uncontrolled_w"]))
        for circuit in circuits:
            circuit["import_limit_w"] = draw(st.integers(0, 400_000))
            circuit["export_limit_w"] = draw(st.integers(0, 300_000))
            circuit["current_limit_ma"] = draw(st.integers(0, 500_000))
        names = st.sampled_from([circuit["id"] for circuit in circuits])
        for asset in document["assets"][1:]:
            asset["circuit"] = draw(names)
            asset["revert_w"] = draw(st.sampled_from([0, 30_000, asset["power_max_w"]]))
            asset["phases"] = draw(st.sampled_from([THREE, ["L1"], ["L3"]]))
        for number in range(draw(st.integers(1, 5))):
            phases = draw(st.sampled_from([THREE, ["L2", "L3", "L1"], ["L1"], ["L2"]]))
            fallback_ma = draw(st.sampled_from([None, 0, 6_000, 16_000]))
            one = evse(number, phases=phases, circuit=draw(names), fallback_ma=fallback_ma)
            one["evses"][0]["discharge_max_ma"] = draw(st.sampled_from([0, 0, 10_000]))
            document["stations"].append(one)

    return site(spoil, evses=0)


class Life:
    """What every device does in one moment with nobody alive, each within its own fallback; mA per phase and W."""

    def __init__(self, config: DgmConfig, draw: Any) -> None:
        self.config = config
        self.power_w: dict[str, float] = {circuit.id: 0.0 for circuit in config.circuits}
        self.current_ma: dict[tuple[str, int], float] = {(c.id, p): 0.0 for c in config.circuits for p in (1, 2, 3)}
        for station in config.stations:
            for one in station.evses:
                most_ma = one.fallback_ma if one.HasField("fallback_ma") else one.current_max_ma
                self._add(one.circuit, list(one.phases), 0.230 * len(one.phases) * draw(-one.discharge_max_ma, most_ma))
        for asset in config.assets[1:]:
            charge_w = min(asset.revert_w, asset.charge_max_w)
            self._add(asset.circuit, list(asset.phases), draw(-asset.revert_w, charge_w))
        self._load(config.circuits[0], draw)

    def _load(self, circuit: CircuitConfig, draw: Any) -> float:
        """The load through a circuit is within what is stated of it, that below it included."""
        below = sum(self._load(child, draw) for child in self.config.circuits if child.parent == circuit.id)
        own = max(0.0, draw(circuit.min_uncontrolled_w, circuit.max_uncontrolled_w) - below)
        self._add(circuit.id, [1, 2, 3], own)
        return below + own

    def _add(self, circuit_id: str, phases: list[int], power_w: float) -> None:
        by_id = {circuit.id: circuit for circuit in self.config.circuits}
        while circuit_id:
            self.power_w[circuit_id] += power_w
            for phase in phases:
                self.current_ma[circuit_id, phase] += power_w / 0.230 / len(phases)
            circuit_id = by_id[circuit_id].parent


@settings(max_examples=60)
@given(config=sites(), data=st.data())
def test_whatever_devices_do_within_their_fallbacks_no_row_that_is_proved_is_exceeded(
    config: DgmConfig, data: st.DataObject
) -> None:
    fraction = st.sampled_from([0.0, 0.5, 1.0])

    def draw(low: float, high: float) -> float:
        return low + (high - low) * data.draw(fraction)

    life = Life(config, draw)
    for (circuit_id, side), proof in rows(config).items():
        direction, _, phase = side.partition(" L")
        seen = life.current_ma[circuit_id, int(phase)] if phase else life.power_w[circuit_id]
        toward = seen if direction == "import" else -seen
        assert toward <= proof.total + 1, (circuit_id, side, proof)
        if proof.holds:
            assert toward <= proof.bound + 1


@settings(max_examples=40)
@given(config=sites())
def test_a_larger_fallback_never_lowers_a_total_and_zero_is_the_least(config: DgmConfig) -> None:
    least, stated, most = DgmConfig(), DgmConfig(), DgmConfig()
    for copy_of in (least, stated, most):
        copy_of.CopyFrom(config)
    for copy_of, share in ((least, 0), (most, 1)):
        for station in copy_of.stations:
            for one in station.evses:
                one.fallback_ma = one.current_max_ma * share
    for lower, higher in pairwise([least, stated, most]):
        totals = rows(higher)
        assert all(proof.total <= totals[key].total for key, proof in rows(lower).items())
