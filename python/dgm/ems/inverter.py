"""One inverter's grid-code settings: surveyed, stored before the first write, held, restored when nothing wants them.

    survey ──> able     want ──read──> Store (durable) ──> Ask to write ──read back──> held, written again in time
                        no want ──read──> Ask to write what was stored ──read back──> Store None

One transaction at a time. What was stored stays stored until the inverter shows it again, whole: a restore that failed,
or that a restart has cut off, is tried again. A stored setting of another device is not written to this one. What fails
is tried again later and told once. Pure: `Ask` is answered once by `take`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from dgm.api.core.v1.field_pb2 import ModelAnswer, ModelFailure
from dgm.api.ems.v1.field_pb2 import SetpointVerdict
from dgm.api.ems.v1.grid_pb2 import GridFunction, GridSetting, GridState
from dgm.ems.grid_plan import InverterFacts, Wants
from dgm.ems.grid_wants import AC_CONTROLS, MODELS, REACTIVE, ModelWant
from dgm.ems.inverter_models import REVERT_S, Step, Unable, apply, can_do, restore
from dgm.ems.inverter_points import Number, Points, points_of, scaled

RENEW_MS = REVERT_S * 1000 // 3
WRITE_MS_MIN = 2000
"""A value that changes all the time is written no more often."""
GRACE_MS = 15_000
"""After a start sources have this long to put their modes again before what is stored is restored."""
RETRY_MS, RETRY_MS_MAX = 5000, 60_000
COMMON, CAPACITY = 1, 702
OF_Q = frozenset(MODELS[function] for function in REACTIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Read a model (0: the chain of models), or change it by steps."""

    asset_id: str
    model: int
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Keep the own settings of a model durably before anything that follows; None: forget them."""

    asset_id: str
    model: int
    stored: Stored | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """For the audit: what became of a change. setting: for people."""

    asset_id: str
    model: int
    setting: str
    verdict: SetpointVerdict
    answer: ModelAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A model as the inverter's owner left it: its registers, and those of the device's common model."""

    identity: bytes
    registers: bytes


Effect = Ask | Store | Told


class Purpose(Enum):
    """Why an Ask was made."""

    SURVEY = "survey"
    OWN = "own"
    LOOK = "look"
    APPLY = "apply"
    RESTORE = "restore"


@dataclass(slots=True, kw_only=True)
class _Model:
    """What is known of one model."""

    points: Points = field(default_factory=dict)
    stored: Stored | None = None
    own: Points = field(default_factory=dict)
    held: ModelWant | None = None
    held_ms: int = 0
    idle: ModelWant | None = None
    """A want that the own settings meet: nothing is stored for it."""
    looked: bool = False
    failures: int = 0
    retry_ms: int = 0
    why: str = ""


class Inverter:
    """The machine of one inverter. permitted: functions of site.yaml. stored: by model, of an earlier start."""

    def __init__(
        self, asset_id: str, permitted: frozenset[int], stored: Mapping[int, Stored], *, rated_w: int, start_ms: int
    ) -> None:
        self.asset_id = asset_id
        self.able: frozenset[int] = permitted
        self.is_surveyed = False
        self.why = ""
        self._permitted = permitted
        self._rated_w = rated_w
        self._restore_from_ms = start_ms + GRACE_MS
        self._models: dict[int, _Model] = {}
        for model, kept in stored.items():
            self._models[model] = _Model(stored=kept, own=points_of(model, kept.registers))
        self._chain: list[int] = []
        self._unread: list[int] = [0]
        self._identity = b""
        self._survey_ms = 0
        self._survey_failures = 0
        self._asked: tuple[Purpose, int, ModelWant | None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether an Ask waits for its answer."""
        return self._asked is not None

    def facts(self, power_w: int | None) -> InverterFacts:
        """What the plan needs to know; what 702 does not say is bounded by the rating."""
        capacity = self._models[CAPACITY].points if CAPACITY in self._models else {}
        apparent = scaled(capacity, "VAMax") or self._rated_w
        inject, absorb = (scaled(capacity, name) for name in ("VarMaxInj", "VarMaxAbs"))
        controls = self._models[AC_CONTROLS].points if AC_CONTROLS in self._models else {}
        return InverterFacts(
            asset_id=self.asset_id,
            able=self.able if self._chain else frozenset(),
            apparent_va=apparent,
            absorb_var=apparent if absorb is None else absorb,
            inject_var=apparent if inject is None else inject,
            max_w=scaled(capacity, "WMax") or self._rated_w,
            power_w=power_w,
            is_reactive_first=controls.get("VarSetPri") == Number(raw=1, exponent=0),
        )

    def settings(self, wants: Wants) -> list[GridSetting]:
        """Models that are not as the inverter's owner left them, or shall not be."""
        found = []
        for number, model in sorted(self._models.items()):
            want = wants.get(number)
            if model.stored is None and (want is None or model.idle == want):
                continue
            found.append(GridSetting(model=number, state=_state(model, want), why=model.why))
        return found

    def declines(self, wants: Wants) -> str | None:
        """Why this inverter, as it was last read, could not be told something; None: it could."""
        for number, want in wants.items():
            points = self._of(number).points
            try:
                apply(number, self._of(number).own or points, points, want)
            except Unable as error:
                return str(error)
        return None

    # -- what to do next ---------------------------------------------------------------------------------------------

    def next(self, wants: Wants, now_ms: int) -> list[Effect]:
        """The next transaction, if one is due and none is in flight; before it what has to be stored."""
        if self._asked is not None:
            return []
        if not self.is_surveyed:
            return self._survey(now_ms)
        is_free = True
        for number in self._in_order(wants):
            want = wants.get(number)
            is_on = want is not None and want.switches_on
            if number in OF_Q and is_on and not is_free:
                continue
            effects = self._advance(number, want, now_ms)
            if effects:
                return effects
            is_free = is_free and (number not in OF_Q or is_on or self._has_left(number, want))
        return []

    def _has_left(self, number: int, want: ModelWant | None) -> bool:
        """Whether a model that shall be off, or its owner's, is so: before that no other mode of Q is switched on."""
        model = self._of(number)
        return model.stored is None or (want is not None and model.held == want)

    def _in_order(self, wants: Wants) -> list[int]:
        """What is to be left or switched off goes first: two modes of Q are not on together."""
        numbers = [number for number in self._chain if number in wants or self._of(number).stored is not None]
        return sorted(numbers, key=lambda number: (number in wants and wants[number].switches_on, number))

    def _survey(self, now_ms: int) -> list[Effect]:
        if now_ms < self._survey_ms:
            return []
        return [self._ask(Purpose.SURVEY, self._unread[0], None)]

    def _advance(self, number: int, want: ModelWant | None, now_ms: int) -> list[Effect]:
        model = self._of(number)
        if now_ms < model.retry_ms:
            return []
        if want is None:
            model.idle = None
            return self._leave(number, model, now_ms)
        if model.stored is None:
            return [] if model.idle == want else [self._ask(Purpose.OWN, number, want)]
        since_ms = now_ms - model.held_ms
        pause_ms = RENEW_MS if model.held == want else WRITE_MS_MIN if want.switches_on else 0
        if model.held is not None and since_ms < pause_ms:
            return []
        return self._write(number, model, want, now_ms)

    def _write(self, number: int, model: _Model, want: ModelWant, now_ms: int) -> list[Effect]:
        try:
            steps = apply(number, model.own, model.points, want)
        except Unable as error:
            # What it was told before is over, so its own settings are what is left.
            told = self._told(number, str(error), SetpointVerdict.SETPOINT_VERDICT_REFUSED, ModelAnswer())
            is_news, model.why = model.why != str(error), str(error)
            return [*([told] if is_news else []), *self._leave(number, model, now_ms)]
        model.looked = False
        if not steps:
            model.held, model.held_ms = want, now_ms
            return []
        return [self._ask(Purpose.APPLY, number, want, steps)]

    def _leave(self, number: int, model: _Model, now_ms: int) -> list[Effect]:
        if model.stored is None or (model.held is None and now_ms < self._restore_from_ms):
            return []
        if not model.looked:
            return [self._ask(Purpose.LOOK, number, None)]
        steps = restore(number, model.own, model.points)
        if steps:
            model.looked = False
            return [self._ask(Purpose.RESTORE, number, None, steps)]
        model.stored, model.own, model.held, model.looked = None, {}, None, False
        answer = ModelAnswer()
        verdict = SetpointVerdict.SETPOINT_VERDICT_CONFIRMED
        told = Told(asset_id=self.asset_id, model=number, setting="own settings stand", verdict=verdict, answer=answer)
        return [Store(asset_id=self.asset_id, model=number, stored=None), told]

    def _ask(self, purpose: Purpose, number: int, want: ModelWant | None, steps: list[Step] | None = None) -> Ask:
        self._asked = (purpose, number, want)
        return Ask(asset_id=self.asset_id, model=number, steps=tuple(steps or ()))

    # -- what came of it ---------------------------------------------------------------------------------------------

    def take(self, answer: ModelAnswer, now_ms: int) -> list[Effect]:
        """The answer to the newest Ask."""
        assert self._asked is not None, "an Ask is answered once"
        (purpose, number, want), self._asked = self._asked, None
        if purpose is Purpose.SURVEY:
            return list(self._surveyed(number, answer, now_ms))
        model = self._of(number)
        if answer.failure != ModelFailure.MODEL_FAILURE_UNSPECIFIED:
            if answer.failure not in VERDICTS:
                self._look_who_it_is()
            why = f"model {number}: {ModelFailure.Name(answer.failure).removeprefix('MODEL_FAILURE_').lower()}"
            return self._fail(number, model, why, now_ms, VERDICTS.get(answer.failure, SILENT), answer, want)
        model.points = points_of(number, answer.registers)
        model.failures, model.retry_ms, model.why = 0, 0, ""
        match purpose:
            case Purpose.OWN:
                return self._take_own(number, model, want, answer, now_ms)
            case Purpose.LOOK | Purpose.SURVEY:
                model.looked = True
                return []
            case Purpose.APPLY | Purpose.RESTORE:
                return self._took(number, model, want, answer, now_ms)

    def _take_own(
        self, number: int, model: _Model, want: ModelWant | None, answer: ModelAnswer, now_ms: int
    ) -> list[Effect]:
        assert want is not None, "the own settings are read for a want"
        try:
            is_needed = bool(apply(number, model.points, model.points, want))
        except Unable as error:
            return self._fail(number, model, str(error), now_ms, SetpointVerdict.SETPOINT_VERDICT_REFUSED)
        if not is_needed:
            model.idle = want
            return []
        model.stored = Stored(identity=self._identity, registers=answer.registers)
        model.own, model.held = model.points, None
        return [Store(asset_id=self.asset_id, model=number, stored=model.stored)]

    def _took(
        self, number: int, model: _Model, want: ModelWant | None, answer: ModelAnswer, now_ms: int
    ) -> list[Effect]:
        effects: list[Effect] = []
        setting = "own settings" if want is None else want.words()
        if want is not None and want == model.held and not _stood(number, model, want, answer):
            effects.append(self._told(number, setting, SetpointVerdict.SETPOINT_VERDICT_OVERWRITTEN, answer))
        model.held, model.held_ms, model.looked = want, now_ms, want is None
        return [*effects, self._told(number, setting, SetpointVerdict.SETPOINT_VERDICT_CONFIRMED, answer)]

    def _told(self, number: int, setting: str, verdict: SetpointVerdict, answer: ModelAnswer) -> Told:
        return Told(asset_id=self.asset_id, model=number, setting=setting, verdict=verdict, answer=answer)

    def _fail(
        self,
        number: int,
        model: _Model,
        why: str,
        now_ms: int,
        verdict: SetpointVerdict,
        answer: ModelAnswer | None = None,
        want: ModelWant | None = None,
    ) -> list[Effect]:
        is_news, model.why = why != model.why, why
        model.retry_ms = now_ms + min(RETRY_MS << min(model.failures, 8), RETRY_MS_MAX)
        model.failures += 1
        model.looked = False
        if not is_news:
            return []
        setting = f"{'own settings' if want is None else want.words()}: {why}"
        return [self._told(number, setting, verdict, answer or ModelAnswer())]

    def not_stored(self, number: int, why: str, now_ms: int) -> None:
        """The own settings could not be stored: nothing is written, and it is tried again later."""
        model = self._of(number)
        model.stored, model.own = None, {}
        model.why, model.retry_ms = why, now_ms + RETRY_MS_MAX

    # -- survey ------------------------------------------------------------------------------------------------------

    def _surveyed(self, number: int, answer: ModelAnswer, now_ms: int) -> Iterator[Effect]:
        if answer.failure != ModelFailure.MODEL_FAILURE_UNSPECIFIED:
            self.why = f"survey: {ModelFailure.Name(answer.failure).removeprefix('MODEL_FAILURE_').lower()}"
            self._survey_ms = now_ms + min(RETRY_MS << min(self._survey_failures, 8), RETRY_MS_MAX)
            self._survey_failures += 1
            return
        self._unread.pop(0)
        if number == 0:
            self._chain = sorted({model.id for model in answer.models})
            wanted = {COMMON, CAPACITY, *(MODELS[function] for function in self._relevant())}
            self._unread = [model for model in self._chain if model in wanted]
        elif number == COMMON:
            self._identity = answer.registers
            yield from self._forget_others()
        else:
            self._of(number).points = points_of(number, answer.registers)
        if not self._unread:
            self._finish_survey()

    def _look_who_it_is(self) -> None:
        """A device that was away may be another one: before anything is written to it, it is looked at anew."""
        self.is_surveyed, self._unread = False, [0]

    def _relevant(self) -> Iterator[GridFunction]:
        """What is permitted, and every mode of Q where one of them is: it may have to give way."""
        has_reactive = any(function in self._permitted for function in REACTIVE)
        for function in MODELS:
            if function in self._permitted or (has_reactive and function in REACTIVE):
                yield function

    def _forget_others(self) -> Iterator[Effect]:
        for number, model in self._models.items():
            if model.stored is not None and model.stored.identity != self._identity:
                why = "the device is another one than the one whose settings were stored; they are forgotten"
                model.stored, model.own = None, {}
                yield Store(asset_id=self.asset_id, model=number, stored=None)
                yield self._told(number, why, SetpointVerdict.SETPOINT_VERDICT_REFUSED, ModelAnswer())

    def _finish_survey(self) -> None:
        capacity = self._models.get(CAPACITY, _Model()).points
        modes = capacity["CtrlModes"].raw if "CtrlModes" in capacity else None
        able = set()
        for function in MODELS:
            points = self._models.get(MODELS[function], _Model()).points
            if function in self._permitted and points and can_do(function, points, modes):
                able.add(function)
        self.able, self.is_surveyed, self.why = frozenset(able), True, ""

    def _of(self, number: int) -> _Model:
        return self._models.setdefault(number, _Model())


SILENT = SetpointVerdict.SETPOINT_VERDICT_SILENT
VERDICTS = {
    ModelFailure.MODEL_FAILURE_MISMATCH: SetpointVerdict.SETPOINT_VERDICT_MISMATCH,
    ModelFailure.MODEL_FAILURE_REFUSED: SetpointVerdict.SETPOINT_VERDICT_REFUSED,
    ModelFailure.MODEL_FAILURE_NO_POINT: SetpointVerdict.SETPOINT_VERDICT_REFUSED,
    ModelFailure.MODEL_FAILURE_NO_MODEL: SetpointVerdict.SETPOINT_VERDICT_REFUSED,
}


def _state(model: _Model, want: ModelWant | None) -> GridState:
    if model.why:
        return GridState.GRID_STATE_FAILED
    if want is None:
        return GridState.GRID_STATE_RESTORING
    return GridState.GRID_STATE_HELD if model.held == want else GridState.GRID_STATE_WRITING


def _stood(number: int, model: _Model, want: ModelWant, answer: ModelAnswer) -> bool:
    """Whether what was written before still stood when it was written again."""
    before = points_of(number, answer.before)
    steps = apply(number, model.own, before, want)
    last = {path: raw for step in steps for path, raw in step.writes}
    return all(before[path].raw == raw for path, raw in last.items() if path in before and not _moves(path))


def _moves(path: str) -> bool:
    return path.startswith("Adpt")
