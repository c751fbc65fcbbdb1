from dgm.api.ems.v1 import plan_pb2 as _plan_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Quantity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUANTITY_UNSPECIFIED: _ClassVar[Quantity]
    QUANTITY_NET_IMPORT: _ClassVar[Quantity]
    QUANTITY_NET_EXPORT: _ClassVar[Quantity]
    QUANTITY_GROSS_LOAD: _ClassVar[Quantity]
    QUANTITY_GROSS_GENERATION: _ClassVar[Quantity]
    QUANTITY_CURRENT: _ClassVar[Quantity]
    QUANTITY_DER_OUTPUT: _ClassVar[Quantity]
    QUANTITY_STORAGE_CHARGE: _ClassVar[Quantity]

class LimitState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LIMIT_STATE_UNSPECIFIED: _ClassVar[LimitState]
    LIMIT_STATE_PENDING: _ClassVar[LimitState]
    LIMIT_STATE_ACTIVE: _ClassVar[LimitState]
    LIMIT_STATE_MET: _ClassVar[LimitState]
    LIMIT_STATE_SHORTFALL: _ClassVar[LimitState]
    LIMIT_STATE_ENDED: _ClassVar[LimitState]

class OutcomeState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_STATE_UNSPECIFIED: _ClassVar[OutcomeState]
    OUTCOME_STATE_SENT: _ClassVar[OutcomeState]
    OUTCOME_STATE_ACCEPTED: _ClassVar[OutcomeState]
    OUTCOME_STATE_CONFIRMED: _ClassVar[OutcomeState]
    OUTCOME_STATE_MEASURED: _ClassVar[OutcomeState]
    OUTCOME_STATE_REJECTED: _ClassVar[OutcomeState]
    OUTCOME_STATE_TIMED_OUT: _ClassVar[OutcomeState]
    OUTCOME_STATE_WIPED: _ClassVar[OutcomeState]

class CauseKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CAUSE_KIND_UNSPECIFIED: _ClassVar[CauseKind]
    CAUSE_KIND_GRANT: _ClassVar[CauseKind]
    CAUSE_KIND_WANT: _ClassVar[CauseKind]
    CAUSE_KIND_ROW: _ClassVar[CauseKind]
    CAUSE_KIND_LIMIT: _ClassVar[CauseKind]
    CAUSE_KIND_ORIGIN: _ClassVar[CauseKind]
    CAUSE_KIND_MESSAGE: _ClassVar[CauseKind]
    CAUSE_KIND_PROOF: _ClassVar[CauseKind]
    CAUSE_KIND_EFFECT: _ClassVar[CauseKind]
QUANTITY_UNSPECIFIED: Quantity
QUANTITY_NET_IMPORT: Quantity
QUANTITY_NET_EXPORT: Quantity
QUANTITY_GROSS_LOAD: Quantity
QUANTITY_GROSS_GENERATION: Quantity
QUANTITY_CURRENT: Quantity
QUANTITY_DER_OUTPUT: Quantity
QUANTITY_STORAGE_CHARGE: Quantity
LIMIT_STATE_UNSPECIFIED: LimitState
LIMIT_STATE_PENDING: LimitState
LIMIT_STATE_ACTIVE: LimitState
LIMIT_STATE_MET: LimitState
LIMIT_STATE_SHORTFALL: LimitState
LIMIT_STATE_ENDED: LimitState
OUTCOME_STATE_UNSPECIFIED: OutcomeState
OUTCOME_STATE_SENT: OutcomeState
OUTCOME_STATE_ACCEPTED: OutcomeState
OUTCOME_STATE_CONFIRMED: OutcomeState
OUTCOME_STATE_MEASURED: OutcomeState
OUTCOME_STATE_REJECTED: OutcomeState
OUTCOME_STATE_TIMED_OUT: OutcomeState
OUTCOME_STATE_WIPED: OutcomeState
CAUSE_KIND_UNSPECIFIED: CauseKind
CAUSE_KIND_GRANT: CauseKind
CAUSE_KIND_WANT: CauseKind
CAUSE_KIND_ROW: CauseKind
CAUSE_KIND_LIMIT: CauseKind
CAUSE_KIND_ORIGIN: CauseKind
CAUSE_KIND_MESSAGE: CauseKind
CAUSE_KIND_PROOF: CauseKind
CAUSE_KIND_EFFECT: CauseKind

class Limit(_message.Message):
    __slots__ = ("id", "source", "circuit_id", "asset_id", "quantity", "power_w", "current_ma", "start_utc_ms", "ttl_ms", "failsafe_power_w", "failsafe_current_ma", "ramp_ms", "reason", "each_evse")
    ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CIRCUIT_ID_FIELD_NUMBER: _ClassVar[int]
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    CURRENT_MA_FIELD_NUMBER: _ClassVar[int]
    START_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    FAILSAFE_POWER_W_FIELD_NUMBER: _ClassVar[int]
    FAILSAFE_CURRENT_MA_FIELD_NUMBER: _ClassVar[int]
    RAMP_MS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EACH_EVSE_FIELD_NUMBER: _ClassVar[int]
    id: str
    source: str
    circuit_id: str
    asset_id: str
    quantity: Quantity
    power_w: int
    current_ma: int
    start_utc_ms: int
    ttl_ms: int
    failsafe_power_w: int
    failsafe_current_ma: int
    ramp_ms: int
    reason: str
    each_evse: bool
    def __init__(self, id: _Optional[str] = ..., source: _Optional[str] = ..., circuit_id: _Optional[str] = ..., asset_id: _Optional[str] = ..., quantity: _Optional[_Union[Quantity, str]] = ..., power_w: _Optional[int] = ..., current_ma: _Optional[int] = ..., start_utc_ms: _Optional[int] = ..., ttl_ms: _Optional[int] = ..., failsafe_power_w: _Optional[int] = ..., failsafe_current_ma: _Optional[int] = ..., ramp_ms: _Optional[int] = ..., reason: _Optional[str] = ..., each_evse: _Optional[bool] = ...) -> None: ...

class Target(_message.Message):
    __slots__ = ("id", "source", "asset_id", "want_w", "want_ma", "priority", "ttl_ms", "weight", "keeps_on")
    ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    WANT_W_FIELD_NUMBER: _ClassVar[int]
    WANT_MA_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    KEEPS_ON_FIELD_NUMBER: _ClassVar[int]
    id: str
    source: str
    asset_id: str
    want_w: int
    want_ma: int
    priority: int
    ttl_ms: int
    weight: int
    keeps_on: bool
    def __init__(self, id: _Optional[str] = ..., source: _Optional[str] = ..., asset_id: _Optional[str] = ..., want_w: _Optional[int] = ..., want_ma: _Optional[int] = ..., priority: _Optional[int] = ..., ttl_ms: _Optional[int] = ..., weight: _Optional[int] = ..., keeps_on: _Optional[bool] = ...) -> None: ...

class Setpoint(_message.Message):
    __slots__ = ("asset_id", "epoch", "sequence", "power_w", "current_ma", "binding_limit_id", "ttl_ms", "safety")
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    CURRENT_MA_FIELD_NUMBER: _ClassVar[int]
    BINDING_LIMIT_ID_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    SAFETY_FIELD_NUMBER: _ClassVar[int]
    asset_id: str
    epoch: int
    sequence: int
    power_w: int
    current_ma: int
    binding_limit_id: str
    ttl_ms: int
    safety: bool
    def __init__(self, asset_id: _Optional[str] = ..., epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., power_w: _Optional[int] = ..., current_ma: _Optional[int] = ..., binding_limit_id: _Optional[str] = ..., ttl_ms: _Optional[int] = ..., safety: _Optional[bool] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("asset_id", "sequence", "state", "power_w", "current_ma", "age_ms", "evidence", "fallback_ma", "epoch")
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    CURRENT_MA_FIELD_NUMBER: _ClassVar[int]
    AGE_MS_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_MA_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    asset_id: str
    sequence: int
    state: OutcomeState
    power_w: int
    current_ma: int
    age_ms: int
    evidence: str
    fallback_ma: int
    epoch: int
    def __init__(self, asset_id: _Optional[str] = ..., sequence: _Optional[int] = ..., state: _Optional[_Union[OutcomeState, str]] = ..., power_w: _Optional[int] = ..., current_ma: _Optional[int] = ..., age_ms: _Optional[int] = ..., evidence: _Optional[str] = ..., fallback_ma: _Optional[int] = ..., epoch: _Optional[int] = ...) -> None: ...

class PutLimitRequest(_message.Message):
    __slots__ = ("limit", "request_id")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    limit: Limit
    request_id: str
    def __init__(self, limit: _Optional[_Union[Limit, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class PutLimitResponse(_message.Message):
    __slots__ = ("limit", "clamp_reasons", "end_utc_ms")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CLAMP_REASONS_FIELD_NUMBER: _ClassVar[int]
    END_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    limit: Limit
    clamp_reasons: _containers.RepeatedScalarFieldContainer[str]
    end_utc_ms: int
    def __init__(self, limit: _Optional[_Union[Limit, _Mapping]] = ..., clamp_reasons: _Optional[_Iterable[str]] = ..., end_utc_ms: _Optional[int] = ...) -> None: ...

class DeleteLimitRequest(_message.Message):
    __slots__ = ("id", "source")
    ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    id: str
    source: str
    def __init__(self, id: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class DeleteLimitResponse(_message.Message):
    __slots__ = ("existed",)
    EXISTED_FIELD_NUMBER: _ClassVar[int]
    existed: bool
    def __init__(self, existed: _Optional[bool] = ...) -> None: ...

class ListLimitsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListLimitsResponse(_message.Message):
    __slots__ = ("limits",)
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    limits: _containers.RepeatedCompositeFieldContainer[LimitStatus]
    def __init__(self, limits: _Optional[_Iterable[_Union[LimitStatus, _Mapping]]] = ...) -> None: ...

class PutTargetRequest(_message.Message):
    __slots__ = ("target",)
    TARGET_FIELD_NUMBER: _ClassVar[int]
    target: Target
    def __init__(self, target: _Optional[_Union[Target, _Mapping]] = ...) -> None: ...

class PutTargetResponse(_message.Message):
    __slots__ = ("target", "clamp_reasons")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    CLAMP_REASONS_FIELD_NUMBER: _ClassVar[int]
    target: Target
    clamp_reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, target: _Optional[_Union[Target, _Mapping]] = ..., clamp_reasons: _Optional[_Iterable[str]] = ...) -> None: ...

class DeleteTargetRequest(_message.Message):
    __slots__ = ("id", "source")
    ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    id: str
    source: str
    def __init__(self, id: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class DeleteTargetResponse(_message.Message):
    __slots__ = ("existed",)
    EXISTED_FIELD_NUMBER: _ClassVar[int]
    existed: bool
    def __init__(self, existed: _Optional[bool] = ...) -> None: ...

class WatchSetpointsRequest(_message.Message):
    __slots__ = ("subscriber",)
    SUBSCRIBER_FIELD_NUMBER: _ClassVar[int]
    subscriber: str
    def __init__(self, subscriber: _Optional[str] = ...) -> None: ...

class WatchSetpointsResponse(_message.Message):
    __slots__ = ("epoch", "snapshot", "setpoints")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    SETPOINTS_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    snapshot: bool
    setpoints: _containers.RepeatedCompositeFieldContainer[Setpoint]
    def __init__(self, epoch: _Optional[int] = ..., snapshot: _Optional[bool] = ..., setpoints: _Optional[_Iterable[_Union[Setpoint, _Mapping]]] = ...) -> None: ...

class ReportOutcomesRequest(_message.Message):
    __slots__ = ("source", "sequence", "outcomes")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    source: str
    sequence: int
    outcomes: _containers.RepeatedCompositeFieldContainer[Outcome]
    def __init__(self, source: _Optional[str] = ..., sequence: _Optional[int] = ..., outcomes: _Optional[_Iterable[_Union[Outcome, _Mapping]]] = ...) -> None: ...

class ReportOutcomesResponse(_message.Message):
    __slots__ = ("unknown_asset_ids",)
    UNKNOWN_ASSET_IDS_FIELD_NUMBER: _ClassVar[int]
    unknown_asset_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, unknown_asset_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class LimitStatus(_message.Message):
    __slots__ = ("limit", "state", "shortfall_w", "measured_w", "remaining_ms")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SHORTFALL_W_FIELD_NUMBER: _ClassVar[int]
    MEASURED_W_FIELD_NUMBER: _ClassVar[int]
    REMAINING_MS_FIELD_NUMBER: _ClassVar[int]
    limit: Limit
    state: LimitState
    shortfall_w: int
    measured_w: int
    remaining_ms: int
    def __init__(self, limit: _Optional[_Union[Limit, _Mapping]] = ..., state: _Optional[_Union[LimitState, str]] = ..., shortfall_w: _Optional[int] = ..., measured_w: _Optional[int] = ..., remaining_ms: _Optional[int] = ...) -> None: ...

class WatchLimitsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchLimitsResponse(_message.Message):
    __slots__ = ("limits",)
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    limits: _containers.RepeatedCompositeFieldContainer[LimitStatus]
    def __init__(self, limits: _Optional[_Iterable[_Union[LimitStatus, _Mapping]]] = ...) -> None: ...

class ExplainDecisionRequest(_message.Message):
    __slots__ = ("asset_id",)
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    asset_id: str
    def __init__(self, asset_id: _Optional[str] = ...) -> None: ...

class ExplainDecisionResponse(_message.Message):
    __slots__ = ("setpoint", "summary", "binding_limit", "binding_circuit_id", "rows", "want_ma", "want_w", "want_reason", "counted_ma", "counted_reason", "outcomes", "chain", "effect")
    SETPOINT_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    BINDING_LIMIT_FIELD_NUMBER: _ClassVar[int]
    BINDING_CIRCUIT_ID_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    WANT_MA_FIELD_NUMBER: _ClassVar[int]
    WANT_W_FIELD_NUMBER: _ClassVar[int]
    WANT_REASON_FIELD_NUMBER: _ClassVar[int]
    COUNTED_MA_FIELD_NUMBER: _ClassVar[int]
    COUNTED_REASON_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    setpoint: Setpoint
    summary: str
    binding_limit: Limit
    binding_circuit_id: str
    rows: _containers.RepeatedCompositeFieldContainer[RowExplanation]
    want_ma: int
    want_w: int
    want_reason: str
    counted_ma: int
    counted_reason: str
    outcomes: _containers.RepeatedCompositeFieldContainer[Outcome]
    chain: _containers.RepeatedCompositeFieldContainer[Cause]
    effect: Effect
    def __init__(self, setpoint: _Optional[_Union[Setpoint, _Mapping]] = ..., summary: _Optional[str] = ..., binding_limit: _Optional[_Union[Limit, _Mapping]] = ..., binding_circuit_id: _Optional[str] = ..., rows: _Optional[_Iterable[_Union[RowExplanation, _Mapping]]] = ..., want_ma: _Optional[int] = ..., want_w: _Optional[int] = ..., want_reason: _Optional[str] = ..., counted_ma: _Optional[int] = ..., counted_reason: _Optional[str] = ..., outcomes: _Optional[_Iterable[_Union[Outcome, _Mapping]]] = ..., chain: _Optional[_Iterable[_Union[Cause, _Mapping]]] = ..., effect: _Optional[_Union[Effect, _Mapping]] = ...) -> None: ...

class Cause(_message.Message):
    __slots__ = ("kind", "id", "text", "age_ms")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    AGE_MS_FIELD_NUMBER: _ClassVar[int]
    kind: CauseKind
    id: str
    text: str
    age_ms: int
    def __init__(self, kind: _Optional[_Union[CauseKind, str]] = ..., id: _Optional[str] = ..., text: _Optional[str] = ..., age_ms: _Optional[int] = ...) -> None: ...

class Effect(_message.Message):
    __slots__ = ("age_ms", "goal", "before", "now", "half_ms", "most_ms")
    AGE_MS_FIELD_NUMBER: _ClassVar[int]
    GOAL_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    HALF_MS_FIELD_NUMBER: _ClassVar[int]
    MOST_MS_FIELD_NUMBER: _ClassVar[int]
    age_ms: int
    goal: int
    before: int
    now: int
    half_ms: int
    most_ms: int
    def __init__(self, age_ms: _Optional[int] = ..., goal: _Optional[int] = ..., before: _Optional[int] = ..., now: _Optional[int] = ..., half_ms: _Optional[int] = ..., most_ms: _Optional[int] = ...) -> None: ...

class RowExplanation(_message.Message):
    __slots__ = ("circuit_id", "quantity", "phase", "bound", "limit_id", "uncontrolled", "help", "evse_counted", "room")
    CIRCUIT_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    BOUND_FIELD_NUMBER: _ClassVar[int]
    LIMIT_ID_FIELD_NUMBER: _ClassVar[int]
    UNCONTROLLED_FIELD_NUMBER: _ClassVar[int]
    HELP_FIELD_NUMBER: _ClassVar[int]
    EVSE_COUNTED_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    circuit_id: str
    quantity: Quantity
    phase: str
    bound: int
    limit_id: str
    uncontrolled: int
    help: int
    evse_counted: int
    room: int
    def __init__(self, circuit_id: _Optional[str] = ..., quantity: _Optional[_Union[Quantity, str]] = ..., phase: _Optional[str] = ..., bound: _Optional[int] = ..., limit_id: _Optional[str] = ..., uncontrolled: _Optional[int] = ..., help: _Optional[int] = ..., evse_counted: _Optional[int] = ..., room: _Optional[int] = ...) -> None: ...
