"""The table of rules names tests that exist: a proof that was renamed or dropped is seen here."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("ARBITER.md")


def test_every_test_that_the_table_names_exists() -> None:
    places = [*(ROOT / "dgm_core/src/arbiter").rglob("*.rs"), *Path(__file__).parent.glob("test_*.py")]
    found = {name for place in places for name in re.findall(r"\b(?:fn|def) (\w+)\(", place.read_text("utf-8"))}
    named = re.findall(r"`(\w+)`", "".join(TABLE.read_text("utf-8").splitlines(keepends=True)[6:]))
    assert len(named) > 30
    assert [name for name in named if name not in found] == []


def test_every_rule_of_the_table_has_a_section_and_a_proof() -> None:
    rows = [line.split("|")[1:-1] for line in TABLE.read_text("utf-8").splitlines() if line.startswith("|")][2:]
    for rule, section, proof in rows:
        assert rule.strip()
        assert re.fullmatch(r"[1-6](, [1-6])*", section.strip()), rule
        assert re.match(r" (property|case|oracle) `", proof), rule
