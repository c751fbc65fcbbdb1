"""The grid-code desk with a journal on disk and a core that answers in batches."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from grid_world import GridWorld, Paper

from dgm import _core
from dgm.api.core.v1.field_pb2 import ModelAmendment, ModelAnswer, ModelBatch
from dgm.api.ems.v1.field_pb2 import FieldAuditEntry, SetpointVerdict
from dgm.api.ems.v1.grid_pb2 import GridFunction, GridMode, PowerFactor, PutModeRequest
from dgm.ems.grid import JOURNAL_TABLE
from dgm.ems.inverter import Ask
from dgm.ems.inverter_models import Step
from dgm.ems.service.field_audit import line
from dgm.ems.service.grid import GridCollector, GridShell, amendment_of
from dgm.journal import Journal
from dgm.machine import Now
from dgm.site.topology import Topology

MODE = GridMode(
    id="utility:pf",
    source="utility:der",
    function=GridFunction.GRID_FUNCTION_FIXED_PF,
    ttl_ms=60_000,
    power_factor=PowerFactor(cos_phi_ppm=950_000, is_underexcited=True),
)


@dataclass
class Core:
    """Carries out what it is asked on an inverter; its answers wait for the next batch. refuses: as often."""

    paper: Paper
    journal: Journal
    refuses: int = 0
    answers: list[ModelAnswer] = field(default_factory=list)
    stored_before_write: list[bool] = field(default_factory=list)
    tickets: int = 0

    def read_model(self, asset_index: int, model: int, occurrence: int, timeout_ms: int) -> int:
        return self._answer(Ask(asset_id="pv1", model=model))

    def amend_model(self, asset_index: int, model: int, amendment: bytes, timeout_ms: int) -> int:
        self.stored_before_write.append(f"pv1/{model}" in self.journal.items(JOURNAL_TABLE))
        steps = [
            Step(
                writes=tuple((point.path, point.raw) for point in step.writes),
                expected=tuple((point.path, point.raw) for point in step.expected),
            )
            for step in ModelAmendment.FromString(amendment).steps
        ]
        assert amendment_of(steps).SerializeToString() == amendment
        return self._answer(Ask(asset_id="pv1", model=model, steps=tuple(steps)))

    def _answer(self, ask: Ask) -> int:
        if self.refuses:
            self.refuses -= 1
            raise _core.CoreError("too many wait")
        self.tickets += 1
        answer = self.paper.answer(ask)
        answer.ticket = self.tickets
        self.answers.append(answer)
        return self.tickets

    def take_models(self) -> bytes:
        found, self.answers = ModelBatch(answers=[*self.answers, ModelAnswer(ticket=999)]), []
        return found.SerializeToString()


class Shell:
    """One process; start() is the next one with the same file."""

    def __init__(self, tmp_path: Path) -> None:
        self.world = GridWorld()
        self.path = tmp_path / "ems.journal"
        self.journal = Journal(self.path)
        self.core = Core(self.world.paper, self.journal)
        self.told: list[FieldAuditEntry] = []
        self.now = Now(mono_ms=0, utc_ms=0)
        self.start()

    def start(self) -> None:
        self.journal.close()
        self.journal = self.core.journal = Journal(self.path)
        circuit = self.world.config.circuits
        if not circuit:
            circuit.add(id="site")
            self.world.config.assets[0].circuit = "site"
        self.shell = GridShell(
            self.world.config,
            Topology.from_config(self.world.config),
            self.core,
            self.journal,
            epoch=7,
            tell=self.told.append,
            powers=lambda asset_id: 0,
            now=self.now,
        )

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.shell.advance(self.now)
            while self.core.answers:
                self.shell.take(self.core.take_models(), self.now)
            self.now = replace(self.now, mono_ms=self.now.mono_ms + 1000)

    def samples(self) -> dict[str, float]:
        (family,) = GridCollector(lambda: self.shell.desk.listed(self.now)).collect()
        return {sample.labels["state"]: sample.value for sample in family.samples}


def test_own_settings_are_on_disk_before_the_first_write_and_restored_by_the_next_process(tmp_path: Path) -> None:
    site = Shell(tmp_path)
    own = site.world.paper.settings()
    site.shell.desk.put(PutModeRequest(mode=MODE), site.now)
    site.run(5)
    assert site.world.paper.get(704, "PFWInjEna") == 1
    assert site.core.stored_before_write
    assert all(site.core.stored_before_write)
    assert site.samples() == {"writing": 0, "held": 2, "restoring": 0, "failed": 0}
    site.start()
    site.run(30)
    assert site.world.paper.settings() == own
    assert site.journal.items(JOURNAL_TABLE) == {}
    assert set(site.samples().values()) == {0}


def test_what_became_of_it_is_told_with_registers_as_a_setpoint_is(tmp_path: Path) -> None:
    site = Shell(tmp_path)
    site.shell.desk.put(PutModeRequest(mode=MODE), site.now)
    site.run(5)
    found = next(entry for entry in site.told if entry.model == 704)
    assert (found.verdict, found.epoch) == (SetpointVerdict.SETPOINT_VERDICT_CONFIRMED, 7)
    assert "cos phi 0.950 under-excited" in found.setting
    assert [block.address for block in found.read_back] == [block.address for block in found.written]
    assert all(back.words == sent.words for back, sent in zip(found.read_back, found.written, strict=True))
    assert line(found)["setting"] == found.setting


def test_a_core_that_has_no_room_is_asked_again(tmp_path: Path) -> None:
    site = Shell(tmp_path)
    site.core.refuses = 2
    site.shell.desk.put(PutModeRequest(mode=MODE), site.now)
    site.run(20)
    assert site.world.paper.get(704, "PFWInjEna") == 1


def test_what_cannot_be_stored_is_not_written(tmp_path: Path) -> None:
    site = Shell(tmp_path)
    site.journal._db.execute("PRAGMA query_only=ON")
    own = site.world.paper.settings()
    site.shell.desk.put(PutModeRequest(mode=MODE), site.now)
    site.run(5)
    assert site.world.paper.settings() == own
    assert site.samples()["failed"] >= 1
    site.journal._db.execute("PRAGMA query_only=OFF")
    site.shell.desk.put(PutModeRequest(mode=MODE), site.now)
    site.run(50)
    site.shell.desk.put(PutModeRequest(mode=MODE), site.now)
    site.run(20)
    assert site.world.paper.get(704, "PFWInjEna") == 1


def test_settings_put_aside_come_back_where_nothing_is_permitted_any_more(tmp_path: Path) -> None:
    site = Shell(tmp_path)
    own = site.world.paper.settings()
    site.shell.desk.put(PutModeRequest(mode=MODE), site.now)
    site.run(5)
    stored = site.journal.items(JOURNAL_TABLE)["pv1/704"]
    del site.world.config.assets[0].grid_functions[:]
    site.start()
    site.run(30)
    assert site.world.paper.settings() == own
    site.world.config.assets[0].id = "pv2"
    site.journal.put(JOURNAL_TABLE, "pv1/704", stored)
    site.start()
    assert [key for key, _ in site.shell.desk.damaged] == ["pv1"]


@pytest.mark.parametrize("entry", [b"{}", b"\xff", b'{"identity": "", "registers": ""}', b'{"identity": 1}', b"[]"])
def test_a_stored_entry_that_cannot_be_read_is_named_and_stays(tmp_path: Path, entry: bytes) -> None:
    site = Shell(tmp_path)
    site.journal.put(JOURNAL_TABLE, "pv1/704", entry)
    site.start()
    assert [key for key, _ in site.shell.desk.damaged] == ["pv1/704"]
    assert site.journal.items(JOURNAL_TABLE) == {"pv1/704": entry}
