"""What a rule of `dgm check` found at one place: one row of its table.

    rule (C01..), state, where, side ── what was found, what is expected, what to do

States: HOLDS; WARNING: works, look at it; BROKEN: the site must not run so; UNSTATED: site.yaml does not say what the
rule needs, so nothing is proved and nothing is blamed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """How a rule stands at one place."""

    HOLDS = "holds"
    WARNING = "warning"
    BROKEN = "BROKEN"
    UNSTATED = "not stated"


RULES = {
    "C01": "no breaker is larger than the one above it",
    "C02": "continuous EV load is at most 80 % of a branch's breaker",
    "C03": "what nobody can reduce fits the circuit",
    "C04": "single-phase load is spread over the phases",
    "C05": "the import limit fits the service at the least power factor",
    "C06": "no more can be exported than is approved",
    "C07": "what cannot be curtailed fits the export limit",
    "C08": "the batteries hold what demand response was promised",
    "C09": "the minimum of every EVSE fits, or cars take turns",
    "C10": "every fallback is known",
    "C11": "with nobody alive the fallbacks fit",
    "C12": "every fallback holds before the utility counts on it",
    "C13": "what is renewed is renewed twice before its fallback",
    "C14": "the fallbacks were drilled within 90 days",
    "C15": "the floor that is installed in each station is the planned one",
}
"""Rules by number, as a sentence that is true where they hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """One rule at one place. where: circuit or asset id; side: import or export, a phase; action: empty where it holds.

    excess: by how much, in thousandths of the bound; 0 is exactly at it. Orders the phases of a row by tightness.
    """

    rule: str
    state: State
    where: str
    side: str = ""
    found: str
    expected: str
    action: str = ""
    excess: int = 0


def excess(total: int, bound: int) -> int:
    """By how much a total is over its bound, in thousandths of it; negative: under."""
    return (total - bound) * 1000 // max(1, bound)


def kilo(value: int, unit: str) -> str:
    """A figure for people: W and VA in thousands, mA in A."""
    return f"{value / 1000:g} {'A' if unit == 'mA' else 'k' + unit}"
