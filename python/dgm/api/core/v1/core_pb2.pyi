from dgm.api.ems.v1 import ems_pb2 as _ems_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ActiveLimit(_message.Message):
    __slots__ = ("id", "source", "circuit_index", "asset_index", "quantity", "bound", "ttl_ms", "failsafe_bound", "ends_by_rule", "ramp_ms", "ramp_elapsed_ms", "ramp_from")
    ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CIRCUIT_INDEX_FIELD_NUMBER: _ClassVar[int]
    ASSET_INDEX_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    BOUND_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    FAILSAFE_BOUND_FIELD_NUMBER: _ClassVar[int]
    ENDS_BY_RULE_FIELD_NUMBER: _ClassVar[int]
    RAMP_MS_FIELD_NUMBER: _ClassVar[int]
    RAMP_ELAPSED_MS_FIELD_NUMBER: _ClassVar[int]
    RAMP_FROM_FIELD_NUMBER: _ClassVar[int]
    id: str
    source: str
    circuit_index: int
    asset_index: int
    quantity: _ems_pb2.Quantity
    bound: int
    ttl_ms: int
    failsafe_bound: int
    ends_by_rule: bool
    ramp_ms: int
    ramp_elapsed_ms: int
    ramp_from: int
    def __init__(self, id: _Optional[str] = ..., source: _Optional[str] = ..., circuit_index: _Optional[int] = ..., asset_index: _Optional[int] = ..., quantity: _Optional[_Union[_ems_pb2.Quantity, str]] = ..., bound: _Optional[int] = ..., ttl_ms: _Optional[int] = ..., failsafe_bound: _Optional[int] = ..., ends_by_rule: _Optional[bool] = ..., ramp_ms: _Optional[int] = ..., ramp_elapsed_ms: _Optional[int] = ..., ramp_from: _Optional[int] = ...) -> None: ...

class LimitSet(_message.Message):
    __slots__ = ("epoch", "sequence", "limits")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    sequence: int
    limits: _containers.RepeatedCompositeFieldContainer[ActiveLimit]
    def __init__(self, epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., limits: _Optional[_Iterable[_Union[ActiveLimit, _Mapping]]] = ...) -> None: ...

class Row(_message.Message):
    __slots__ = ("circuit_index", "quantity", "phase", "bound", "limit_id", "uncontrolled", "help", "evse_counted", "shortfall", "measured", "meter_lost")
    CIRCUIT_INDEX_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    BOUND_FIELD_NUMBER: _ClassVar[int]
    LIMIT_ID_FIELD_NUMBER: _ClassVar[int]
    UNCONTROLLED_FIELD_NUMBER: _ClassVar[int]
    HELP_FIELD_NUMBER: _ClassVar[int]
    EVSE_COUNTED_FIELD_NUMBER: _ClassVar[int]
    SHORTFALL_FIELD_NUMBER: _ClassVar[int]
    MEASURED_FIELD_NUMBER: _ClassVar[int]
    METER_LOST_FIELD_NUMBER: _ClassVar[int]
    circuit_index: int
    quantity: _ems_pb2.Quantity
    phase: int
    bound: int
    limit_id: str
    uncontrolled: int
    help: int
    evse_counted: int
    shortfall: int
    measured: int
    meter_lost: bool
    def __init__(self, circuit_index: _Optional[int] = ..., quantity: _Optional[_Union[_ems_pb2.Quantity, str]] = ..., phase: _Optional[int] = ..., bound: _Optional[int] = ..., limit_id: _Optional[str] = ..., uncontrolled: _Optional[int] = ..., help: _Optional[int] = ..., evse_counted: _Optional[int] = ..., shortfall: _Optional[int] = ..., measured: _Optional[int] = ..., meter_lost: _Optional[bool] = ...) -> None: ...

class AssetGrant(_message.Message):
    __slots__ = ("asset_index", "power_w", "current_ma", "counted_ma", "counted_reason", "binding_limit_id", "binding_row", "published", "safety", "sequence")
    ASSET_INDEX_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    CURRENT_MA_FIELD_NUMBER: _ClassVar[int]
    COUNTED_MA_FIELD_NUMBER: _ClassVar[int]
    COUNTED_REASON_FIELD_NUMBER: _ClassVar[int]
    BINDING_LIMIT_ID_FIELD_NUMBER: _ClassVar[int]
    BINDING_ROW_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    SAFETY_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    asset_index: int
    power_w: int
    current_ma: int
    counted_ma: int
    counted_reason: str
    binding_limit_id: str
    binding_row: int
    published: bool
    safety: bool
    sequence: int
    def __init__(self, asset_index: _Optional[int] = ..., power_w: _Optional[int] = ..., current_ma: _Optional[int] = ..., counted_ma: _Optional[int] = ..., counted_reason: _Optional[str] = ..., binding_limit_id: _Optional[str] = ..., binding_row: _Optional[int] = ..., published: _Optional[bool] = ..., safety: _Optional[bool] = ..., sequence: _Optional[int] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("epoch", "sequence", "time_mono_ms", "evse_cycle", "rows", "grants")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_MONO_MS_FIELD_NUMBER: _ClassVar[int]
    EVSE_CYCLE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    GRANTS_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    sequence: int
    time_mono_ms: int
    evse_cycle: bool
    rows: _containers.RepeatedCompositeFieldContainer[Row]
    grants: _containers.RepeatedCompositeFieldContainer[AssetGrant]
    def __init__(self, epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., time_mono_ms: _Optional[int] = ..., evse_cycle: _Optional[bool] = ..., rows: _Optional[_Iterable[_Union[Row, _Mapping]]] = ..., grants: _Optional[_Iterable[_Union[AssetGrant, _Mapping]]] = ...) -> None: ...
