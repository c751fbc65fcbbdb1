from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FlowState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FLOW_STATE_UNSPECIFIED: _ClassVar[FlowState]
    FLOW_STATE_WAITING: _ClassVar[FlowState]
    FLOW_STATE_REQUESTED: _ClassVar[FlowState]
    FLOW_STATE_GRANTED: _ClassVar[FlowState]
    FLOW_STATE_CANCELLED: _ClassVar[FlowState]
    FLOW_STATE_REFUSED: _ClassVar[FlowState]
    FLOW_STATE_OVER: _ClassVar[FlowState]
FLOW_STATE_UNSPECIFIED: FlowState
FLOW_STATE_WAITING: FlowState
FLOW_STATE_REQUESTED: FlowState
FLOW_STATE_GRANTED: FlowState
FLOW_STATE_CANCELLED: FlowState
FLOW_STATE_REFUSED: FlowState
FLOW_STATE_OVER: FlowState

class EventReport(_message.Message):
    __slots__ = ("mrid", "mode", "limit_w", "start_utc_ms", "planned_end_utc_ms", "end_utc_ms", "observed_ms", "settled_ms", "out_of_limit_ms", "worst_excess_w", "worst_utc_ms", "energy_wh", "excess_wh", "kept")
    MRID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_W_FIELD_NUMBER: _ClassVar[int]
    START_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    PLANNED_END_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    END_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_MS_FIELD_NUMBER: _ClassVar[int]
    SETTLED_MS_FIELD_NUMBER: _ClassVar[int]
    OUT_OF_LIMIT_MS_FIELD_NUMBER: _ClassVar[int]
    WORST_EXCESS_W_FIELD_NUMBER: _ClassVar[int]
    WORST_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    ENERGY_WH_FIELD_NUMBER: _ClassVar[int]
    EXCESS_WH_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    mrid: str
    mode: str
    limit_w: int
    start_utc_ms: int
    planned_end_utc_ms: int
    end_utc_ms: int
    observed_ms: int
    settled_ms: int
    out_of_limit_ms: int
    worst_excess_w: int
    worst_utc_ms: int
    energy_wh: int
    excess_wh: int
    kept: bool
    def __init__(self, mrid: _Optional[str] = ..., mode: _Optional[str] = ..., limit_w: _Optional[int] = ..., start_utc_ms: _Optional[int] = ..., planned_end_utc_ms: _Optional[int] = ..., end_utc_ms: _Optional[int] = ..., observed_ms: _Optional[int] = ..., settled_ms: _Optional[int] = ..., out_of_limit_ms: _Optional[int] = ..., worst_excess_w: _Optional[int] = ..., worst_utc_ms: _Optional[int] = ..., energy_wh: _Optional[int] = ..., excess_wh: _Optional[int] = ..., kept: _Optional[bool] = ...) -> None: ...

class ListEventReportsRequest(_message.Message):
    __slots__ = ("lfdi",)
    LFDI_FIELD_NUMBER: _ClassVar[int]
    lfdi: str
    def __init__(self, lfdi: _Optional[str] = ...) -> None: ...

class ListEventReportsResponse(_message.Message):
    __slots__ = ("reports", "alarms", "log_events_waiting", "log_events_dropped")
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    LOG_EVENTS_WAITING_FIELD_NUMBER: _ClassVar[int]
    LOG_EVENTS_DROPPED_FIELD_NUMBER: _ClassVar[int]
    reports: _containers.RepeatedCompositeFieldContainer[EventReport]
    alarms: _containers.RepeatedScalarFieldContainer[str]
    log_events_waiting: int
    log_events_dropped: int
    def __init__(self, reports: _Optional[_Iterable[_Union[EventReport, _Mapping]]] = ..., alarms: _Optional[_Iterable[str]] = ..., log_events_waiting: _Optional[int] = ..., log_events_dropped: _Optional[int] = ...) -> None: ...

class FlowPlan(_message.Message):
    __slots__ = ("grant_mrid", "start_utc_ms", "end_utc_ms", "power_w", "energy_wh", "active")
    GRANT_MRID_FIELD_NUMBER: _ClassVar[int]
    START_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    END_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    ENERGY_WH_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    grant_mrid: str
    start_utc_ms: int
    end_utc_ms: int
    power_w: int
    energy_wh: int
    active: bool
    def __init__(self, grant_mrid: _Optional[str] = ..., start_utc_ms: _Optional[int] = ..., end_utc_ms: _Optional[int] = ..., power_w: _Optional[int] = ..., energy_wh: _Optional[int] = ..., active: _Optional[bool] = ...) -> None: ...

class FlowRequest(_message.Message):
    __slots__ = ("mrid", "state", "energy_wh", "power_w", "start_utc_ms", "end_utc_ms", "evse_ids", "why", "plans")
    MRID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ENERGY_WH_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    START_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    END_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    EVSE_IDS_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    PLANS_FIELD_NUMBER: _ClassVar[int]
    mrid: str
    state: FlowState
    energy_wh: int
    power_w: int
    start_utc_ms: int
    end_utc_ms: int
    evse_ids: _containers.RepeatedScalarFieldContainer[str]
    why: str
    plans: _containers.RepeatedCompositeFieldContainer[FlowPlan]
    def __init__(self, mrid: _Optional[str] = ..., state: _Optional[_Union[FlowState, str]] = ..., energy_wh: _Optional[int] = ..., power_w: _Optional[int] = ..., start_utc_ms: _Optional[int] = ..., end_utc_ms: _Optional[int] = ..., evse_ids: _Optional[_Iterable[str]] = ..., why: _Optional[str] = ..., plans: _Optional[_Iterable[_Union[FlowPlan, _Mapping]]] = ...) -> None: ...

class RequestFlowRequest(_message.Message):
    __slots__ = ("energy_wh", "power_w", "start_utc_ms", "end_utc_ms", "lfdi")
    ENERGY_WH_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    START_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    END_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    LFDI_FIELD_NUMBER: _ClassVar[int]
    energy_wh: int
    power_w: int
    start_utc_ms: int
    end_utc_ms: int
    lfdi: str
    def __init__(self, energy_wh: _Optional[int] = ..., power_w: _Optional[int] = ..., start_utc_ms: _Optional[int] = ..., end_utc_ms: _Optional[int] = ..., lfdi: _Optional[str] = ...) -> None: ...

class RequestFlowResponse(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: FlowRequest
    def __init__(self, request: _Optional[_Union[FlowRequest, _Mapping]] = ...) -> None: ...

class CancelFlowRequest(_message.Message):
    __slots__ = ("mrid", "lfdi")
    MRID_FIELD_NUMBER: _ClassVar[int]
    LFDI_FIELD_NUMBER: _ClassVar[int]
    mrid: str
    lfdi: str
    def __init__(self, mrid: _Optional[str] = ..., lfdi: _Optional[str] = ...) -> None: ...

class CancelFlowResponse(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: FlowRequest
    def __init__(self, request: _Optional[_Union[FlowRequest, _Mapping]] = ...) -> None: ...

class ListFlowsRequest(_message.Message):
    __slots__ = ("lfdi",)
    LFDI_FIELD_NUMBER: _ClassVar[int]
    lfdi: str
    def __init__(self, lfdi: _Optional[str] = ...) -> None: ...

class ListFlowsResponse(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[FlowRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[FlowRequest, _Mapping]]] = ...) -> None: ...
