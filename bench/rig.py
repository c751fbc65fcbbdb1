"""An Arbiter in the middle of its day, for benchmarks: every car wants all, every grant is proved, the meter moves.

tree.site ──> Arbiter <── image, samples, targets, outcomes of a plant that does as it is told
"""

from __future__ import annotations

from array import array

from dgm import _core
from dgm.api.ems.v1.ems_pb2 import OutcomeState
from dgm.api.site.v1.site_pb2 import PlugState, Quality
from tree import Tree, site, tree

METER, PV, BATTERY, FIRST_EVSE = range(4)
TICK_MS = 100
TICKS_PER_CYCLE = 10
GRANT_WIDTH = len(_core.GRANT_COLUMNS)
NOMINAL_V = 230
SETTLE_S = 60


class Rig:
    """One site with its clock."""

    def __init__(self, evses: int) -> None:
        self.now_ms = 1_000_000
        self.tree: Tree = tree(evses)
        self.arbiter = _core.Arbiter(site(evses).SerializeToString())
        self.targets = self._targets()
        self._ticks = self._drawn_w = self._since_cycle = 0
        for _ in range(SETTLE_S * TICKS_PER_CYCLE):
            self.advance()
            self.decide()

    def advance(self) -> None:
        """One tick later, with a fresh image."""
        self.now_ms += TICK_MS
        self._ticks += 1
        self.arbiter.put_image(self._image(), self.now_ms)

    def decide(self) -> None:
        """One decision; after a cycle the plant follows."""
        self._since_cycle += 1
        if self.arbiter.decide(self.now_ms):
            self._since_cycle = 0
            self.follow()

    def before_cycle(self) -> None:
        """Take note of the cycle just measured and go on until the next tick is one again."""
        self._since_cycle = 0
        self.follow()
        while self._since_cycle < TICKS_PER_CYCLE - 1:
            self.advance()
            self.decide()
        self.advance()

    def before_tick(self) -> None:
        """Take note of the tick just measured and go on; the next one holds the EVSE grants."""
        self._since_cycle += 1
        self.advance()
        while self._since_cycle >= TICKS_PER_CYCLE - 1:
            self.decide()
            self.advance()

    def grants(self) -> memoryview:
        """Newest grants as int64 words."""
        return memoryview(self.arbiter.grants()).cast("q")

    def samples(self) -> array[int]:
        """Every car draws what it is granted, and the meter will show it."""
        grants, words = self.grants(), array("i")
        self._drawn_w = 0
        for index, evse in enumerate(self.tree.evses):
            current_ma = max(0, grants[(FIRST_EVSE + index) * GRANT_WIDTH])
            currents = [current_ma if phase in evse.phases else 0 for phase in range(3)]
            power_w = sum(currents) * NOMINAL_V // 1000
            self._drawn_w += power_w
            plug = PlugState.PLUG_STATE_CHARGING
            words.extend([FIRST_EVSE + index, 0, plug, power_w, *currents, _core.ABSENT32, 1000])
        return words

    def outcomes(self) -> array[int]:
        """Every grant proved."""
        grants, words = self.grants(), array("i")
        for index in range(len(self.tree.evses)):
            value_ma, _, sequence, *_ = grants[(FIRST_EVSE + index) * GRANT_WIDTH :][:3].tolist()
            words.extend([FIRST_EVSE + index, sequence, OutcomeState.OUTCOME_STATE_CONFIRMED, value_ma, 0])
        return words

    def follow(self) -> None:
        """The plant does what was granted and says so; the wants are renewed."""
        self.arbiter.put_link(True, self.now_ms)
        self.arbiter.put_targets(self.targets, 3_000, self.now_ms)
        self.arbiter.put_outcomes(self.outcomes(), self.now_ms)
        self.arbiter.put_samples(self.samples(), self.now_ms)

    def _targets(self) -> array[int]:
        rows = array("i", [_core.ABSENT32] * 5 * FIRST_EVSE)
        for evse in self.tree.evses:
            rows.extend([evse.cap_ma, evse.weight, 1, 0, 0])
        return rows

    def _image(self) -> array[int]:
        width = len(_core.IMAGE_COLUMNS)
        words = array("q", [_core.ABSENT64] * width * (FIRST_EVSE + len(self.tree.evses)))
        load_w = self._drawn_w + 10_000 + 1_000 * (self._ticks % 7)
        for index, power_w in ((METER, load_w), (PV, -10_000), (BATTERY, 0)):
            words[index * width : index * width + 3] = array("q", [Quality.QUALITY_GOOD, 0, power_w])
        words[METER * width + 4 : METER * width + 7] = array("q", [load_w * 1000 // 690] * 3)
        words[BATTERY * width + _core.IMAGE_COLUMNS.index("soc_permille")] = 500
        return words
