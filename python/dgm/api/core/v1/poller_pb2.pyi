from dgm.api.config.v1 import config_pb2 as _config_pb2
from dgm.api.core.v1 import registers_pb2 as _registers_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PollerConfig(_message.Message):
    __slots__ = ("lines",)
    LINES_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedCompositeFieldContainer[PollerLine]
    def __init__(self, lines: _Optional[_Iterable[_Union[PollerLine, _Mapping]]] = ...) -> None: ...

class PollerLine(_message.Message):
    __slots__ = ("host", "port", "serial", "window_max", "gap_us", "timeout_ms", "devices", "tls")
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    WINDOW_MAX_FIELD_NUMBER: _ClassVar[int]
    GAP_US_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    host: str
    port: int
    serial: _config_pb2.SerialConfig
    window_max: int
    gap_us: int
    timeout_ms: int
    devices: _containers.RepeatedCompositeFieldContainer[PollerDevice]
    tls: _config_pb2.ModbusTlsConfig
    def __init__(self, host: _Optional[str] = ..., port: _Optional[int] = ..., serial: _Optional[_Union[_config_pb2.SerialConfig, _Mapping]] = ..., window_max: _Optional[int] = ..., gap_us: _Optional[int] = ..., timeout_ms: _Optional[int] = ..., devices: _Optional[_Iterable[_Union[PollerDevice, _Mapping]]] = ..., tls: _Optional[_Union[_config_pb2.ModbusTlsConfig, _Mapping]] = ...) -> None: ...

class PollerDevice(_message.Message):
    __slots__ = ("unit_id", "reads", "map")
    UNIT_ID_FIELD_NUMBER: _ClassVar[int]
    READS_FIELD_NUMBER: _ClassVar[int]
    MAP_FIELD_NUMBER: _ClassVar[int]
    unit_id: int
    reads: _containers.RepeatedCompositeFieldContainer[PollerRead]
    map: _registers_pb2.RegisterMap
    def __init__(self, unit_id: _Optional[int] = ..., reads: _Optional[_Iterable[_Union[PollerRead, _Mapping]]] = ..., map: _Optional[_Union[_registers_pb2.RegisterMap, _Mapping]] = ...) -> None: ...

class PollerRead(_message.Message):
    __slots__ = ("table", "address", "count", "period_ms", "phase_ms", "age_max_ms")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    PERIOD_MS_FIELD_NUMBER: _ClassVar[int]
    PHASE_MS_FIELD_NUMBER: _ClassVar[int]
    AGE_MAX_MS_FIELD_NUMBER: _ClassVar[int]
    table: _registers_pb2.RegisterTable
    address: int
    count: int
    period_ms: int
    phase_ms: int
    age_max_ms: int
    def __init__(self, table: _Optional[_Union[_registers_pb2.RegisterTable, str]] = ..., address: _Optional[int] = ..., count: _Optional[int] = ..., period_ms: _Optional[int] = ..., phase_ms: _Optional[int] = ..., age_max_ms: _Optional[int] = ...) -> None: ...
