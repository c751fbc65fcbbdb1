"""A garage of 54 EVSEs line to line below a delta-wye transformer, as Caltech's is modelled for the ACN: a whole site.

site.yaml (transformer, two pods of 80 A) ──> dgm.config ──> _core.Arbiter ──> grants
                                                  └──> fallback proof     judged here in complex numbers
"""

from __future__ import annotations

import cmath
import math
import random
from array import array

import pytest

from dgm import _core
from dgm import config as site_config
from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.core.v1.core_pb2 import Decision
from dgm.api.ems.v1.ems_pb2 import OutcomeState
from dgm.api.site.v1.site_pb2 import Quality
from dgm.errors import ConfigError
from dgm.site.proof import fallback_proof

VOLTS, SUPPLY_VOLTS, TURNS = 120, 277, 4
PAIRS = ("L1, L2", "L2, L3", "L3, L1")
EVSES, PODS = 54, {"cc": range(0, 24, 3), "av": range(1, 25, 3)}
"""Each pod is on one pair: every third EVSE is on the same."""
METER, FIRST = 0, 1
WIDTH = len(_core.GRANT_COLUMNS)


def text(capacity_w: int, *, fallback_ma: int = 0, extra: str = "") -> str:
    load_ma, supply_ma = capacity_w * 1_000 // 3 // VOLTS, capacity_w * 1_000 // 3 // SUPPLY_VOLTS
    lines = [
        f"site: {{id: garage, name: Garage, nominal_voltage_mv: {VOLTS * 1_000}}}",
        "circuits:",
        "  - {id: grid, import_limit_w: 1000000, current_limit_ma: 3000000, max_uncontrolled_w: 0, meter: m}",
        "  - {id: garage, parent: grid, max_uncontrolled_w: 0, transformer: {supply: DELTA, "
        f"load_limit_ma: {load_ma}, supply_limit_ma: {supply_ma}, turns_permille: {TURNS * 1_000}}}}}",
        "  - {id: cc, parent: garage, current_limit_ma: 80000, max_uncontrolled_w: 0}",
        "  - {id: av, parent: garage, current_limit_ma: 80000, max_uncontrolled_w: 0}",
        "assets:",
        "  - {id: m, type: METER, circuit: grid, modbus: {host: 127.0.0.1, port: 1502}}",
        extra,
        "cpos: [{id: cpo, url: 'ws://127.0.0.1:9'}]",
        "ocpp: {port: 9000}",
        "stations:",
    ]
    for index in range(EVSES):
        circuit = next((pod for pod, members in PODS.items() if index in members), "garage")
        evse = f"id: e{index}, connector_id: 1, circuit: {circuit}, phases: [{PAIRS[index % 3]}], current_max_ma: 32000"
        lines.append(f"  - {{id: s{index}, cpo: cpo, evses: [{{{evse}, fallback_ma: {fallback_ma}}}]}}")
    return "\n".join(line for line in lines if line)


def line_currents(draws: list[float]) -> tuple[list[float], list[float]]:
    """A towards the circuit and towards the grid, from A per EVSE."""
    pairs = [sum(draws[pair::3]) * cmath.exp(1j * math.radians(angle)) for pair, angle in enumerate((30, -90, 150))]
    lines = [pairs[0] - pairs[2], pairs[1] - pairs[0], pairs[2] - pairs[1]]
    supply = [(lines[0] - lines[2]) / TURNS, (lines[1] - lines[0]) / TURNS, (lines[2] - lines[1]) / TURNS]
    return [abs(line) for line in lines], [abs(line) for line in supply]


class Garage:
    """The core with a plant that draws nothing it shows: what counts is what may be drawn."""

    def __init__(self, capacity_w: int) -> None:
        self.capacity_w, self.now_ms = capacity_w, 1_000_000
        self.config: DgmConfig = site_config.parse(text(capacity_w))
        self.core = _core.Arbiter(self.config.SerializeToString())
        self.core.put_link(True, self.now_ms)

    def run(self, wants_ma: list[int], seconds: int) -> None:
        """Cycles in which everything granted is proved at once."""
        targets = array("i", [_core.ABSENT32] * 5)
        for want_ma in wants_ma:
            targets.extend([want_ma, 1, 1, 0, 0])
        for _ in range(seconds):
            self.now_ms += 1_000
            image = array("q", [_core.ABSENT64] * len(_core.IMAGE_COLUMNS) * (FIRST + EVSES))
            image[:7] = array("q", [Quality.QUALITY_GOOD, 0, 0, 0, 0, 0, 0])
            self.core.put_image(image, self.now_ms)
            self.core.put_targets(targets, 3_000, self.now_ms)
            self.core.decide(self.now_ms)
            self.check()
            self.core.put_outcomes(self.outcomes(), self.now_ms)

    def grants_a(self) -> list[float]:
        return [value_ma / 1_000 for value_ma in memoryview(self.core.grants()).cast("q")[FIRST * WIDTH :: WIDTH]]

    def outcomes(self) -> array[int]:
        rows = array("i")
        grants = memoryview(self.core.grants()).cast("q").tolist()
        for index in range(FIRST, FIRST + EVSES):
            value_ma, _, sequence = grants[index * WIDTH : index * WIDTH + 3]
            rows.extend([index, sequence, OutcomeState.OUTCOME_STATE_CONFIRMED, value_ma, 0])
        return rows

    def check(self) -> None:
        """Every draw below the grants keeps both sides of the transformer and both pods."""
        draw, grants = random.Random(self.now_ms), self.grants_a()
        for share in (1.0, None, None, None):
            drawn = [grant * (draw.random() if share is None else share) for grant in grants]
            load, supply = line_currents(drawn)
            assert max(load) <= self.capacity_w / 3 / VOLTS + 1e-6
            assert max(supply) <= self.capacity_w / 3 / SUPPLY_VOLTS + 1e-6
        for members in PODS.values():
            assert sum(grants[index] for index in members) <= 80.0


@pytest.mark.parametrize("capacity_w", [20_000, 70_000, 150_000])
def test_no_line_of_the_transformer_is_over_at_any_draw_below_the_grants(capacity_w: int) -> None:
    garage, draw = Garage(capacity_w), random.Random(capacity_w)
    for _ in range(4):
        garage.run([draw.choice([0, 8_000, 16_000, 32_000]) for _ in range(EVSES)], seconds=8)
    garage.run([32_000] * EVSES, seconds=60)
    total_kw = sum(garage.grants_a()) * VOLTS * math.sqrt(3) / 1_000
    assert total_kw > 0.85 * capacity_w / 1_000, "and what is left over is little"


def test_the_line_that_binds_is_named() -> None:
    garage = Garage(70_000)
    garage.run([32_000] * EVSES, seconds=30)
    decision = Decision.FromString(garage.core.decision())
    named = {grant.binding_limit_id for grant in decision.grants}
    assert named & {"site:garage:TRANSFORMER_LOAD", "site:garage:TRANSFORMER_SUPPLY"}
    for grant in decision.grants:
        assert grant.binding_limit_id == "" or decision.rows[grant.binding_row].limit_id == grant.binding_limit_id
    lines = [row for row in decision.rows if "TRANSFORMER" in row.limit_id]
    assert [row.phase for row in lines] == [1, 2, 3, 1, 2, 3]
    assert all(0 < row.evse_counted <= row.bound and row.shortfall == 0 for row in lines)


def test_the_fallback_proof_adds_the_floors_by_their_angles() -> None:
    rows = {
        row.side: row for row in fallback_proof(site_config.parse(text(150_000, fallback_ma=6_000))) if row.unit == "mA"
    }
    load, supply = line_currents([6.0] * EVSES)
    for slot, phase in enumerate(("L1", "L2", "L3")):
        assert rows[f"transformer load {phase}"].total == pytest.approx(load[slot] * 1_000, abs=2)
        assert rows[f"transformer supply {phase}"].total == pytest.approx(supply[slot] * 1_000, abs=2)
        assert rows[f"transformer load {phase}"].holds
    tight = fallback_proof(site_config.parse(text(60_000, fallback_ma=6_000)))
    assert not all(row.holds for row in tight)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("supply: DELTA, ", "", "DELTA or WYE"),
        ("phases: [L1, L2]", "phases: [L1]", "line to line"),
        ("turns_permille: 4000", "turns_permille: -1", "1..200000"),
        ("max_uncontrolled_w: 0, transformer", "transformer", "nobody controls"),
        ("fallback_ma: 0}", "fallback_ma: 0, discharge_max_ma: 16000}", "no V2X"),
    ],
)
def test_a_transformer_that_cannot_be_is_refused_with_what_to_do(old: str, new: str, expected: str) -> None:
    with pytest.raises(ConfigError) as raised:
        site_config.parse(text(150_000).replace(old, new, 1))
    assert expected in str(raised.value)
    assert "transformer" in str(raised.value)


def test_two_phases_without_a_transformer_are_refused() -> None:
    found = text(150_000)
    start = found.index(", transformer: {")
    with pytest.raises(ConfigError, match="only below a transformer"):
        site_config.parse(found[:start] + found[found.index("}", start) + 1 :])


def test_a_transformer_without_a_limit_or_with_pv_below_it_is_refused() -> None:
    pv = "  - {id: pv, type: PV, circuit: garage, power_max_w: 9000, modbus: {host: 127.0.0.1, port: 1503}}"
    with pytest.raises(ConfigError, match="no PV and no battery"):
        site_config.parse(text(150_000, extra=pv))
    bare = "transformer: {supply: WYE}"
    found = text(150_000)
    start = found.index("transformer: {")
    with pytest.raises(ConfigError, match="load_limit_ma, supply_limit_ma or both"):
        site_config.parse(found[:start] + bare + found[found.index("}", start) + 1 :])
