from dgm.api.core.v1 import registers_pb2 as _registers_pb2
from dgm.api.site.v1 import site_pb2 as _site_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Metric(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METRIC_UNSPECIFIED: _ClassVar[Metric]
    POWER: _ClassVar[Metric]
    REACTIVE: _ClassVar[Metric]
    CURRENT_L1: _ClassVar[Metric]
    CURRENT_L2: _ClassVar[Metric]
    CURRENT_L3: _ClassVar[Metric]
    VOLTAGE_L1: _ClassVar[Metric]
    VOLTAGE_L2: _ClassVar[Metric]
    VOLTAGE_L3: _ClassVar[Metric]
    FREQUENCY: _ClassVar[Metric]
    ENERGY: _ClassVar[Metric]
    SOC: _ClassVar[Metric]
    CHARGE_MAX: _ClassVar[Metric]
    DISCHARGE_MAX: _ClassVar[Metric]

class PowerUnit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POWER_UNIT_UNSPECIFIED: _ClassVar[PowerUnit]
    WATTS: _ClassVar[PowerUnit]
    PERCENT: _ClassVar[PowerUnit]

class HeartbeatKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HEARTBEAT_KIND_UNSPECIFIED: _ClassVar[HeartbeatKind]
    INCREMENT: _ClassVar[HeartbeatKind]
    TOGGLE: _ClassVar[HeartbeatKind]
    CONSTANT: _ClassVar[HeartbeatKind]
METRIC_UNSPECIFIED: Metric
POWER: Metric
REACTIVE: Metric
CURRENT_L1: Metric
CURRENT_L2: Metric
CURRENT_L3: Metric
VOLTAGE_L1: Metric
VOLTAGE_L2: Metric
VOLTAGE_L3: Metric
FREQUENCY: Metric
ENERGY: Metric
SOC: Metric
CHARGE_MAX: Metric
DISCHARGE_MAX: Metric
POWER_UNIT_UNSPECIFIED: PowerUnit
WATTS: PowerUnit
PERCENT: PowerUnit
HEARTBEAT_KIND_UNSPECIFIED: HeartbeatKind
INCREMENT: HeartbeatKind
TOGGLE: HeartbeatKind
CONSTANT: HeartbeatKind

class Measurement(_message.Message):
    __slots__ = ("metric", "point", "output_positive", "ct_scaled")
    METRIC_FIELD_NUMBER: _ClassVar[int]
    POINT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_POSITIVE_FIELD_NUMBER: _ClassVar[int]
    CT_SCALED_FIELD_NUMBER: _ClassVar[int]
    metric: Metric
    point: str
    output_positive: bool
    ct_scaled: bool
    def __init__(self, metric: _Optional[_Union[Metric, str]] = ..., point: _Optional[str] = ..., output_positive: _Optional[bool] = ..., ct_scaled: _Optional[bool] = ...) -> None: ...

class RegisterValue(_message.Message):
    __slots__ = ("point", "value")
    POINT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    point: str
    value: int
    def __init__(self, point: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...

class RegisterState(_message.Message):
    __slots__ = ("point", "values")
    POINT_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    point: str
    values: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, point: _Optional[str] = ..., values: _Optional[_Iterable[int]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("point", "period_ms", "kind", "value")
    POINT_FIELD_NUMBER: _ClassVar[int]
    PERIOD_MS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    point: str
    period_ms: int
    kind: HeartbeatKind
    value: int
    def __init__(self, point: _Optional[str] = ..., period_ms: _Optional[int] = ..., kind: _Optional[_Union[HeartbeatKind, str]] = ..., value: _Optional[int] = ...) -> None: ...

class DeviceControl(_message.Message):
    __slots__ = ("power", "unit", "output_positive", "rating_point", "before", "after", "remote", "running", "heartbeat", "revert_power", "revert_timer", "reverts_to_w", "reverts_after_s")
    POWER_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_POSITIVE_FIELD_NUMBER: _ClassVar[int]
    RATING_POINT_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    REMOTE_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    REVERT_POWER_FIELD_NUMBER: _ClassVar[int]
    REVERT_TIMER_FIELD_NUMBER: _ClassVar[int]
    REVERTS_TO_W_FIELD_NUMBER: _ClassVar[int]
    REVERTS_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    power: str
    unit: PowerUnit
    output_positive: bool
    rating_point: str
    before: _containers.RepeatedCompositeFieldContainer[RegisterValue]
    after: _containers.RepeatedCompositeFieldContainer[RegisterValue]
    remote: _containers.RepeatedCompositeFieldContainer[RegisterState]
    running: _containers.RepeatedCompositeFieldContainer[RegisterState]
    heartbeat: Heartbeat
    revert_power: str
    revert_timer: str
    reverts_to_w: int
    reverts_after_s: int
    def __init__(self, power: _Optional[str] = ..., unit: _Optional[_Union[PowerUnit, str]] = ..., output_positive: _Optional[bool] = ..., rating_point: _Optional[str] = ..., before: _Optional[_Iterable[_Union[RegisterValue, _Mapping]]] = ..., after: _Optional[_Iterable[_Union[RegisterValue, _Mapping]]] = ..., remote: _Optional[_Iterable[_Union[RegisterState, _Mapping]]] = ..., running: _Optional[_Iterable[_Union[RegisterState, _Mapping]]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., revert_power: _Optional[str] = ..., revert_timer: _Optional[str] = ..., reverts_to_w: _Optional[int] = ..., reverts_after_s: _Optional[int] = ...) -> None: ...

class DeviceTable(_message.Message):
    __slots__ = ("map", "title", "source", "unverified", "types", "measurements", "control")
    MAP_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    UNVERIFIED_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    MEASUREMENTS_FIELD_NUMBER: _ClassVar[int]
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    map: _registers_pb2.RegisterMap
    title: str
    source: str
    unverified: bool
    types: _containers.RepeatedScalarFieldContainer[_site_pb2.AssetType]
    measurements: _containers.RepeatedCompositeFieldContainer[Measurement]
    control: DeviceControl
    def __init__(self, map: _Optional[_Union[_registers_pb2.RegisterMap, _Mapping]] = ..., title: _Optional[str] = ..., source: _Optional[str] = ..., unverified: _Optional[bool] = ..., types: _Optional[_Iterable[_Union[_site_pb2.AssetType, str]]] = ..., measurements: _Optional[_Iterable[_Union[Measurement, _Mapping]]] = ..., control: _Optional[_Union[DeviceControl, _Mapping]] = ...) -> None: ...
