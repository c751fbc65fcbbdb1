"""What is remembered of devices between two starts: kept, forgotten, and never in the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ems_examples import PV1, demo_config

from dgm import _core
from dgm.api.core.v1.field_pb2 import LearntBatch, LearntDevice, LearntNews
from dgm.ems.service.learnt import FILE_NAME, LearntDevices
from dgm.journal import Journal
from dgm.site.topology import Topology

TOPOLOGY = Topology.from_config(demo_config())
KNOWN = LearntDevice(base=40_000, identity=b"\x01" * 128, answers_long_reads=True)


@dataclass
class Core:
    """A field core on paper."""

    known: dict[int, bytes] = field(default_factory=dict)
    refuses: bool = False

    def know(self, asset_index: int, learnt: bytes) -> None:
        if self.refuses:
            raise _core.CoreError("learnt.base: found 7; expected 0, 40000 or 50000")
        self.known[asset_index] = learnt

    def take_learnt(self) -> bytes:
        return b""


def batch(learnt: LearntDevice | None) -> bytes:
    """News of the inverter."""
    return LearntBatch(assets=[LearntNews(asset_index=PV1, learnt=learnt)]).SerializeToString()


def restarted(state_dir: Path, core: Core) -> int:
    """The next start: how many devices the core was told of."""
    devices = LearntDevices(TOPOLOGY, state_dir)
    told = devices.recall(core)
    devices.close()
    return told


def remember(state_dir: Path) -> None:
    devices = LearntDevices(TOPOLOGY, state_dir)
    devices.take(b"")
    devices.take(batch(KNOWN))
    devices.close()


def test_what_was_learnt_is_told_at_the_next_start_until_it_is_forgotten(tmp_path: Path) -> None:
    remember(tmp_path)
    core = Core()
    assert restarted(tmp_path, core) == 1
    assert core.known == {PV1: KNOWN.SerializeToString()}
    devices = LearntDevices(TOPOLOGY, tmp_path)
    devices.take(batch(None))
    devices.close()
    assert restarted(tmp_path, Core()) == 0


@pytest.mark.parametrize("content", [b"no journal at all", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_corrupt_file_is_named_put_aside_and_begun_anew(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    remember(tmp_path)
    assert "device memory put aside" in capsys.readouterr().out
    (aside,) = tmp_path.glob("devices.corrupt-*")
    assert aside.read_bytes() == content
    assert restarted(tmp_path, Core()) == 1


def test_an_entry_that_the_core_refuses_is_named_and_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remember(tmp_path)
    assert restarted(tmp_path, Core(refuses=True)) == 0
    out = capsys.readouterr().out
    assert "asset=pv1" in out
    assert "expected 0, 40000 or 50000" in out
    assert restarted(tmp_path, Core()) == 0


def test_a_file_that_another_process_holds_is_left_alone_and_nothing_is_lost_but_time(tmp_path: Path) -> None:
    remember(tmp_path)
    holder = Journal(tmp_path / FILE_NAME)
    devices = LearntDevices(TOPOLOGY, tmp_path)
    assert devices.recall(Core()) == 0
    devices.take(batch(KNOWN))
    devices.close()
    holder.close()
    assert restarted(tmp_path, Core()) == 1
