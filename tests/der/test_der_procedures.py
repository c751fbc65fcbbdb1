"""The public CACTUS client procedures as vectors of our own, in virtual time, and their table."""

from __future__ import annotations

import pytest
from der_procedures import IDS, TABLE, Procedure, by_runner, procedures, run, table, verdict

COMMAND = "PYTHONPATH=python:tests/der python tests/der/der_procedures.py"


def marks(item: Procedure) -> list[pytest.MarkDecorator]:
    """A vector for something that is missing has to fail, and for that it may only fail its judgement."""
    return [pytest.mark.xfail(reason=item.fails, strict=True, raises=AssertionError)] if item.fails else []


VECTORS = [pytest.param(item, id=item.name, marks=marks(item)) for item in procedures() if not item.not_run]


@pytest.mark.parametrize("procedure", VECTORS)
def test_the_gateway_passes(procedure: Procedure) -> None:
    world = run(procedure)
    assert verdict(procedure, world) == []


def test_every_public_procedure_has_its_row() -> None:
    assert len(procedures()) == IDS


def test_what_the_public_runner_said_is_of_procedures_that_there_are() -> None:
    said = by_runner()
    assert not (said["passed"].keys() | said["failed"].keys()) - {item.name for item in procedures()}
    assert not said["passed"].keys() & said["failed"].keys()
    assert set(said["passed"].values()) <= set(said["runs"])


def test_the_table_is_that_of_the_vectors() -> None:
    assert TABLE.read_text(encoding="utf-8") == table(), (
        "run `PYTHONPATH=python:tests/der python tests/der/der_procedures.py`"
    )
