"""Simulated inverters behind a core on paper: transactions are answered at once, under test time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dgm.api.config.v1.config_pb2 import AssetConfig, DgmConfig, ModbusConfig
from dgm.api.core.v1.field_pb2 import ModelAnswer, ModelFailure
from dgm.api.ems.v1.field_pb2 import RegisterBlock, SunSpecModel
from dgm.api.ems.v1.grid_pb2 import GridFunction, GridMode, PutModeRequest, PutModeResponse
from dgm.api.site.v1.site_pb2 import AssetType
from dgm.ems.grid import GridDesk, entry
from dgm.ems.inverter import Ask, Effect, Store, Told
from dgm.ems.inverter_models import Step
from dgm.machine import Now
from dgm.sim.devices import InverterDevice
from dgm.sim.plant import Inverter
from dgm.sim.sunspec import BASE_ADDRESS, Image

RATED_W = 50_000
ALL = tuple(number for number in GridFunction.values() if number)


class Paper:
    """One inverter: its registers, and what was done to them. fail: failures that come before the next answers."""

    def __init__(self, serial: int = 0) -> None:
        self.inverter = Inverter(RATED_W)
        self.device = InverterDevice(self.inverter, index=serial)
        self.fail: list[ModelFailure] = []
        self.fail_after_writes: int | None = None
        self.writes = 0

    @property
    def image(self) -> Image:
        return self.device.image

    def get(self, model: int, name: str) -> int:
        return self.image.get(model, name)

    def settings(self) -> dict[tuple[int, str], int]:
        """All that a master could have changed of the grid code; what an adoption was asked for is no setting."""
        points = self.device.grid_code.writable()
        return {point: self.get(*point) for point in points if not point[1].startswith("Adpt")}

    def curve_in_force(self, model: int) -> list[int]:
        return [self.get(model, name) for name in _names(self, model) if name.startswith("Crv[0]")]

    def answer(self, ask: Ask) -> ModelAnswer:
        """What the core would say."""
        models = [SunSpecModel(id=number, address=at) for number, at, _ in self.chain()]
        if self.fail:
            return ModelAnswer(models=models, failure=self.fail.pop(0))
        if ask.model == 0:
            return ModelAnswer(models=models)
        before, written = self.registers(ask.model), list[RegisterBlock]()
        for step in ask.steps:
            failure = self._carry_out(ask.model, step, written)
            if failure is not None:
                return ModelAnswer(models=models, failure=failure, registers=self.registers(ask.model))
        return ModelAnswer(models=models, registers=self.registers(ask.model), before=before, written=written)

    def _carry_out(self, model: int, step: Step, written: list[RegisterBlock]) -> ModelFailure | None:
        writable = set(self.device.writable)
        for path, raw in step.writes:
            if self.fail_after_writes is not None and self.writes >= self.fail_after_writes:
                self.fail_after_writes = None
                return ModelFailure.MODEL_FAILURE_SILENT
            assert (model, path) in writable, (model, path)
            point = self.image.point(model, path)
            self.image.put(model, path, raw)
            self.device.apply(address=point.address, count=point.width)
            words = [raw >> 16 * at & 0xFFFF for at in reversed(range(point.width))]
            written.append(RegisterBlock(address=point.address, words=words))
            self.writes += 1
        kept = [pair for pair in step.writes if not pair[0].startswith("Adpt")]
        is_shown = all(self.get(model, path) == raw for path, raw in (*kept, *step.expected))
        return None if is_shown else ModelFailure.MODEL_FAILURE_MISMATCH

    def chain(self) -> list[tuple[int, int, int]]:
        """Number, address and length of every model."""
        words, at, found = self.image.words, 2, []
        while words[at] != 0xFFFF:
            found.append((words[at], BASE_ADDRESS + at, words[at + 1]))
            at += 2 + words[at + 1]
        return found

    def registers(self, model: int) -> bytes:
        _, address, length = next(row for row in self.chain() if row[0] == model)
        words = self.image.words[address - BASE_ADDRESS :][: length + 2]
        return b"".join(word.to_bytes(2, "big") for word in words)


class GridWorld:
    """A desk, its inverters, its journal and a clock. start() is a new process with the same journal."""

    def __init__(self, count: int = 1, functions: Iterable[int] = ALL) -> None:
        self.papers = {f"pv{index + 1}": Paper(index) for index in range(count)}
        self.config = DgmConfig()
        for asset_id in self.papers:
            pv = AssetConfig(id=asset_id, type=AssetType.ASSET_TYPE_PV, power_max_w=RATED_W, modbus=ModbusConfig())
            pv.grid_functions.extend(functions)  # type: ignore[arg-type]
            self.config.assets.append(pv)
        self.journal: dict[str, bytes] = {}
        self.told: list[Told] = []
        self.powers: dict[str, int] = dict.fromkeys(self.papers, 0)
        self.now = Now(mono_ms=1_000_000, utc_ms=1_700_000_000_000)
        self.start()

    def start(self) -> None:
        self.desk = GridDesk(self.config, self.journal, self.now)

    @property
    def paper(self) -> Paper:
        return next(iter(self.papers.values()))

    def put(self, mode: GridMode) -> None:
        reply = self.desk.put(PutModeRequest(mode=mode), self.now)
        assert isinstance(reply, PutModeResponse), reply

    def run(self, seconds: float = 0.0, *, most: int = 10_000) -> int:
        """Let time pass in half seconds, and everything happen that is due; at most so many transactions."""
        done = 0
        for _ in range(int(seconds * 2) + 1):
            while done < most and (effects := self.desk.advance(self.powers.get, self.now)):
                done += self._execute(effects)
            if done >= most:
                return done
            self._wait()
        return done

    def _wait(self) -> None:
        self.now = replace(self.now, mono_ms=self.now.mono_ms + 500, utc_ms=self.now.utc_ms + 500)
        for paper in self.papers.values():
            paper.inverter.clock_s += 0.5
            paper.device.grid_code.advance(paper.inverter.clock_s)

    def _execute(self, effects: list[Effect]) -> int:
        done = 0
        for effect in effects:
            match effect:
                case Ask():
                    answer = self.papers[effect.asset_id].answer(effect)
                    done += 1 + self._execute(self.desk.take(effect.asset_id, answer, self.now))
                case Store():
                    key, value = entry(effect)
                    if value is None:
                        del self.journal[key]
                    else:
                        self.journal[key] = value
                case Told():
                    self.told.append(effect)
        return done


def _names(paper: Paper, model: int) -> list[str]:
    return [name for number, name in paper.image.names() if number == model]
