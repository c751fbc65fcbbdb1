from dgm.api.ems.v1 import ems_pb2 as _ems_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PromiseState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROMISE_STATE_UNSPECIFIED: _ClassVar[PromiseState]
    PROMISE_STATE_PROMISED: _ClassVar[PromiseState]
    PROMISE_STATE_AT_RISK: _ClassVar[PromiseState]
    PROMISE_STATE_KEPT: _ClassVar[PromiseState]
    PROMISE_STATE_MISSED: _ClassVar[PromiseState]

class GuardState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GUARD_STATE_UNSPECIFIED: _ClassVar[GuardState]
    GUARD_STATE_INIT: _ClassVar[GuardState]
    GUARD_STATE_CONTROLLED: _ClassVar[GuardState]
    GUARD_STATE_LIMITED: _ClassVar[GuardState]
    GUARD_STATE_FAILSAFE: _ClassVar[GuardState]
    GUARD_STATE_AUTONOMOUS: _ClassVar[GuardState]
PROMISE_STATE_UNSPECIFIED: PromiseState
PROMISE_STATE_PROMISED: PromiseState
PROMISE_STATE_AT_RISK: PromiseState
PROMISE_STATE_KEPT: PromiseState
PROMISE_STATE_MISSED: PromiseState
GUARD_STATE_UNSPECIFIED: GuardState
GUARD_STATE_INIT: GuardState
GUARD_STATE_CONTROLLED: GuardState
GUARD_STATE_LIMITED: GuardState
GUARD_STATE_FAILSAFE: GuardState
GUARD_STATE_AUTONOMOUS: GuardState

class ChargingNeed(_message.Message):
    __slots__ = ("asset_id", "source", "energy_wh", "departure_utc_ms", "power_max_w")
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ENERGY_WH_FIELD_NUMBER: _ClassVar[int]
    DEPARTURE_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    POWER_MAX_W_FIELD_NUMBER: _ClassVar[int]
    asset_id: str
    source: str
    energy_wh: int
    departure_utc_ms: int
    power_max_w: int
    def __init__(self, asset_id: _Optional[str] = ..., source: _Optional[str] = ..., energy_wh: _Optional[int] = ..., departure_utc_ms: _Optional[int] = ..., power_max_w: _Optional[int] = ...) -> None: ...

class ChargingPromise(_message.Message):
    __slots__ = ("need", "state", "delivered_wh", "short_wh", "done_utc_ms", "reason")
    NEED_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_WH_FIELD_NUMBER: _ClassVar[int]
    SHORT_WH_FIELD_NUMBER: _ClassVar[int]
    DONE_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    need: ChargingNeed
    state: PromiseState
    delivered_wh: int
    short_wh: int
    done_utc_ms: int
    reason: str
    def __init__(self, need: _Optional[_Union[ChargingNeed, _Mapping]] = ..., state: _Optional[_Union[PromiseState, str]] = ..., delivered_wh: _Optional[int] = ..., short_wh: _Optional[int] = ..., done_utc_ms: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class SetChargingNeedRequest(_message.Message):
    __slots__ = ("need",)
    NEED_FIELD_NUMBER: _ClassVar[int]
    need: ChargingNeed
    def __init__(self, need: _Optional[_Union[ChargingNeed, _Mapping]] = ...) -> None: ...

class SetChargingNeedResponse(_message.Message):
    __slots__ = ("promise", "clamp_reasons")
    PROMISE_FIELD_NUMBER: _ClassVar[int]
    CLAMP_REASONS_FIELD_NUMBER: _ClassVar[int]
    promise: ChargingPromise
    clamp_reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, promise: _Optional[_Union[ChargingPromise, _Mapping]] = ..., clamp_reasons: _Optional[_Iterable[str]] = ...) -> None: ...

class ClearChargingNeedRequest(_message.Message):
    __slots__ = ("asset_id", "source")
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    asset_id: str
    source: str
    def __init__(self, asset_id: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class ClearChargingNeedResponse(_message.Message):
    __slots__ = ("existed",)
    EXISTED_FIELD_NUMBER: _ClassVar[int]
    existed: bool
    def __init__(self, existed: _Optional[bool] = ...) -> None: ...

class ListChargingNeedsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListChargingNeedsResponse(_message.Message):
    __slots__ = ("promises",)
    PROMISES_FIELD_NUMBER: _ClassVar[int]
    promises: _containers.RepeatedCompositeFieldContainer[ChargingPromise]
    def __init__(self, promises: _Optional[_Iterable[_Union[ChargingPromise, _Mapping]]] = ...) -> None: ...

class GuardStatement(_message.Message):
    __slots__ = ("active", "power_w", "duration_ms")
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    active: bool
    power_w: int
    duration_ms: int
    def __init__(self, active: _Optional[bool] = ..., power_w: _Optional[int] = ..., duration_ms: _Optional[int] = ...) -> None: ...

class ReportGuardRequest(_message.Message):
    __slots__ = ("source", "statement")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    source: str
    statement: GuardStatement
    def __init__(self, source: _Optional[str] = ..., statement: _Optional[_Union[GuardStatement, _Mapping]] = ...) -> None: ...

class ReportGuardResponse(_message.Message):
    __slots__ = ("state", "power_w")
    STATE_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    state: GuardState
    power_w: int
    def __init__(self, state: _Optional[_Union[GuardState, str]] = ..., power_w: _Optional[int] = ...) -> None: ...

class PriceBlock(_message.Message):
    __slots__ = ("start_utc_ms", "duration_ms", "per_mwh")
    START_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    PER_MWH_FIELD_NUMBER: _ClassVar[int]
    start_utc_ms: int
    duration_ms: int
    per_mwh: int
    def __init__(self, start_utc_ms: _Optional[int] = ..., duration_ms: _Optional[int] = ..., per_mwh: _Optional[int] = ...) -> None: ...

class PutPricesRequest(_message.Message):
    __slots__ = ("source", "prices")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    source: str
    prices: _containers.RepeatedCompositeFieldContainer[PriceBlock]
    def __init__(self, source: _Optional[str] = ..., prices: _Optional[_Iterable[_Union[PriceBlock, _Mapping]]] = ...) -> None: ...

class PutPricesResponse(_message.Message):
    __slots__ = ("held",)
    HELD_FIELD_NUMBER: _ClassVar[int]
    held: int
    def __init__(self, held: _Optional[int] = ...) -> None: ...

class FlowBlock(_message.Message):
    __slots__ = ("id", "start_utc_ms", "duration_ms", "power_w", "energy_wh")
    ID_FIELD_NUMBER: _ClassVar[int]
    START_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    ENERGY_WH_FIELD_NUMBER: _ClassVar[int]
    id: str
    start_utc_ms: int
    duration_ms: int
    power_w: int
    energy_wh: int
    def __init__(self, id: _Optional[str] = ..., start_utc_ms: _Optional[int] = ..., duration_ms: _Optional[int] = ..., power_w: _Optional[int] = ..., energy_wh: _Optional[int] = ...) -> None: ...

class PutFlowBlocksRequest(_message.Message):
    __slots__ = ("source", "circuit_id", "blocks")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CIRCUIT_ID_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    source: str
    circuit_id: str
    blocks: _containers.RepeatedCompositeFieldContainer[FlowBlock]
    def __init__(self, source: _Optional[str] = ..., circuit_id: _Optional[str] = ..., blocks: _Optional[_Iterable[_Union[FlowBlock, _Mapping]]] = ...) -> None: ...

class PutFlowBlocksResponse(_message.Message):
    __slots__ = ("held",)
    HELD_FIELD_NUMBER: _ClassVar[int]
    held: int
    def __init__(self, held: _Optional[int] = ...) -> None: ...

class FlowWish(_message.Message):
    __slots__ = ("start_utc_ms", "end_utc_ms", "energy_wh", "power_w", "asset_ids")
    START_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    END_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    ENERGY_WH_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    ASSET_IDS_FIELD_NUMBER: _ClassVar[int]
    start_utc_ms: int
    end_utc_ms: int
    energy_wh: int
    power_w: int
    asset_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, start_utc_ms: _Optional[int] = ..., end_utc_ms: _Optional[int] = ..., energy_wh: _Optional[int] = ..., power_w: _Optional[int] = ..., asset_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ListFlowWishesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListFlowWishesResponse(_message.Message):
    __slots__ = ("wishes", "reason")
    WISHES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    wishes: _containers.RepeatedCompositeFieldContainer[FlowWish]
    reason: str
    def __init__(self, wishes: _Optional[_Iterable[_Union[FlowWish, _Mapping]]] = ..., reason: _Optional[str] = ...) -> None: ...

class PolicyStatus(_message.Message):
    __slots__ = ("name", "title", "parameters", "set_aside", "reason", "lease_ms", "says", "caps")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    SET_ASIDE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    SAYS_FIELD_NUMBER: _ClassVar[int]
    CAPS_FIELD_NUMBER: _ClassVar[int]
    name: str
    title: str
    parameters: _containers.RepeatedScalarFieldContainer[str]
    set_aside: bool
    reason: str
    lease_ms: int
    says: _containers.RepeatedScalarFieldContainer[str]
    caps: _containers.RepeatedCompositeFieldContainer[_ems_pb2.Limit]
    def __init__(self, name: _Optional[str] = ..., title: _Optional[str] = ..., parameters: _Optional[_Iterable[str]] = ..., set_aside: _Optional[bool] = ..., reason: _Optional[str] = ..., lease_ms: _Optional[int] = ..., says: _Optional[_Iterable[str]] = ..., caps: _Optional[_Iterable[_Union[_ems_pb2.Limit, _Mapping]]] = ...) -> None: ...

class ListPoliciesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPoliciesResponse(_message.Message):
    __slots__ = ("policies",)
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    policies: _containers.RepeatedCompositeFieldContainer[PolicyStatus]
    def __init__(self, policies: _Optional[_Iterable[_Union[PolicyStatus, _Mapping]]] = ...) -> None: ...
