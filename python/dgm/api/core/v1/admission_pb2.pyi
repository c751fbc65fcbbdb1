from dgm.api.core.v1 import device_pb2 as _device_pb2
from dgm.api.core.v1 import registers_pb2 as _registers_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DeviceUseRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEVICE_USE_ROLE_UNSPECIFIED: _ClassVar[DeviceUseRole]
    DEVICE_USE_ROLE_METER: _ClassVar[DeviceUseRole]
    DEVICE_USE_ROLE_PV: _ClassVar[DeviceUseRole]
    DEVICE_USE_ROLE_BATTERY: _ClassVar[DeviceUseRole]
DEVICE_USE_ROLE_UNSPECIFIED: DeviceUseRole
DEVICE_USE_ROLE_METER: DeviceUseRole
DEVICE_USE_ROLE_PV: DeviceUseRole
DEVICE_USE_ROLE_BATTERY: DeviceUseRole

class AdmissionQuestion(_message.Message):
    __slots__ = ("lines",)
    LINES_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedCompositeFieldContainer[AdmissionLine]
    def __init__(self, lines: _Optional[_Iterable[_Union[AdmissionLine, _Mapping]]] = ...) -> None: ...

class AdmissionLine(_message.Message):
    __slots__ = ("name", "baud", "bits_per_character", "round_trip_us", "write_latency_us", "devices")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BAUD_FIELD_NUMBER: _ClassVar[int]
    BITS_PER_CHARACTER_FIELD_NUMBER: _ClassVar[int]
    ROUND_TRIP_US_FIELD_NUMBER: _ClassVar[int]
    WRITE_LATENCY_US_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    name: str
    baud: int
    bits_per_character: int
    round_trip_us: int
    write_latency_us: int
    devices: _containers.RepeatedCompositeFieldContainer[AdmissionDevice]
    def __init__(self, name: _Optional[str] = ..., baud: _Optional[int] = ..., bits_per_character: _Optional[int] = ..., round_trip_us: _Optional[int] = ..., write_latency_us: _Optional[int] = ..., devices: _Optional[_Iterable[_Union[AdmissionDevice, _Mapping]]] = ...) -> None: ...

class AdmissionDevice(_message.Message):
    __slots__ = ("name", "needs", "read_registers_max", "setpoints", "look", "beat", "search_registers", "timeout_us")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    READ_REGISTERS_MAX_FIELD_NUMBER: _ClassVar[int]
    SETPOINTS_FIELD_NUMBER: _ClassVar[int]
    LOOK_FIELD_NUMBER: _ClassVar[int]
    BEAT_FIELD_NUMBER: _ClassVar[int]
    SEARCH_REGISTERS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_US_FIELD_NUMBER: _ClassVar[int]
    name: str
    needs: _containers.RepeatedCompositeFieldContainer[AdmissionNeed]
    read_registers_max: int
    setpoints: _containers.RepeatedCompositeFieldContainer[AdmissionSetpoint]
    look: AdmissionLook
    beat: AdmissionBeat
    search_registers: int
    timeout_us: int
    def __init__(self, name: _Optional[str] = ..., needs: _Optional[_Iterable[_Union[AdmissionNeed, _Mapping]]] = ..., read_registers_max: _Optional[int] = ..., setpoints: _Optional[_Iterable[_Union[AdmissionSetpoint, _Mapping]]] = ..., look: _Optional[_Union[AdmissionLook, _Mapping]] = ..., beat: _Optional[_Union[AdmissionBeat, _Mapping]] = ..., search_registers: _Optional[int] = ..., timeout_us: _Optional[int] = ...) -> None: ...

class DeviceUseQuestion(_message.Message):
    __slots__ = ("table", "role", "period_us", "timeout_us", "revert_after_us", "rating_w")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PERIOD_US_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_US_FIELD_NUMBER: _ClassVar[int]
    REVERT_AFTER_US_FIELD_NUMBER: _ClassVar[int]
    RATING_W_FIELD_NUMBER: _ClassVar[int]
    table: _device_pb2.DeviceTable
    role: DeviceUseRole
    period_us: int
    timeout_us: int
    revert_after_us: int
    rating_w: int
    def __init__(self, table: _Optional[_Union[_device_pb2.DeviceTable, _Mapping]] = ..., role: _Optional[_Union[DeviceUseRole, str]] = ..., period_us: _Optional[int] = ..., timeout_us: _Optional[int] = ..., revert_after_us: _Optional[int] = ..., rating_w: _Optional[int] = ...) -> None: ...

class AdmissionNeed(_message.Message):
    __slots__ = ("name", "table", "address", "count", "group", "period_us", "deadline_us")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    PERIOD_US_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_US_FIELD_NUMBER: _ClassVar[int]
    name: str
    table: _registers_pb2.RegisterTable
    address: int
    count: int
    group: int
    period_us: int
    deadline_us: int
    def __init__(self, name: _Optional[str] = ..., table: _Optional[_Union[_registers_pb2.RegisterTable, str]] = ..., address: _Optional[int] = ..., count: _Optional[int] = ..., group: _Optional[int] = ..., period_us: _Optional[int] = ..., deadline_us: _Optional[int] = ...) -> None: ...

class AdmissionSetpoint(_message.Message):
    __slots__ = ("write_registers", "proof_registers", "interval_us")
    WRITE_REGISTERS_FIELD_NUMBER: _ClassVar[int]
    PROOF_REGISTERS_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_US_FIELD_NUMBER: _ClassVar[int]
    write_registers: _containers.RepeatedScalarFieldContainer[int]
    proof_registers: _containers.RepeatedScalarFieldContainer[int]
    interval_us: int
    def __init__(self, write_registers: _Optional[_Iterable[int]] = ..., proof_registers: _Optional[_Iterable[int]] = ..., interval_us: _Optional[int] = ...) -> None: ...

class AdmissionLook(_message.Message):
    __slots__ = ("registers", "interval_us", "deadline_us")
    REGISTERS_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_US_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_US_FIELD_NUMBER: _ClassVar[int]
    registers: _containers.RepeatedScalarFieldContainer[int]
    interval_us: int
    deadline_us: int
    def __init__(self, registers: _Optional[_Iterable[int]] = ..., interval_us: _Optional[int] = ..., deadline_us: _Optional[int] = ...) -> None: ...

class AdmissionBeat(_message.Message):
    __slots__ = ("registers", "interval_us", "deadline_us")
    REGISTERS_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_US_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_US_FIELD_NUMBER: _ClassVar[int]
    registers: int
    interval_us: int
    deadline_us: int
    def __init__(self, registers: _Optional[int] = ..., interval_us: _Optional[int] = ..., deadline_us: _Optional[int] = ...) -> None: ...

class AdmissionAnswer(_message.Message):
    __slots__ = ("lines",)
    LINES_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedCompositeFieldContainer[AdmissionRow]
    def __init__(self, lines: _Optional[_Iterable[_Union[AdmissionRow, _Mapping]]] = ...) -> None: ...

class AdmissionRow(_message.Message):
    __slots__ = ("name", "holds", "reads_per_s_milli", "load_permille", "write_wait_us", "write_latency_us", "over_permille", "over_us", "window_us", "unproved", "stretch_permille", "reads", "gaps", "look_first_us", "silence_us", "silence_late_us", "blocking_us")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    READS_PER_S_MILLI_FIELD_NUMBER: _ClassVar[int]
    LOAD_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    WRITE_WAIT_US_FIELD_NUMBER: _ClassVar[int]
    WRITE_LATENCY_US_FIELD_NUMBER: _ClassVar[int]
    OVER_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    OVER_US_FIELD_NUMBER: _ClassVar[int]
    WINDOW_US_FIELD_NUMBER: _ClassVar[int]
    UNPROVED_FIELD_NUMBER: _ClassVar[int]
    STRETCH_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    READS_FIELD_NUMBER: _ClassVar[int]
    GAPS_FIELD_NUMBER: _ClassVar[int]
    LOOK_FIRST_US_FIELD_NUMBER: _ClassVar[int]
    SILENCE_US_FIELD_NUMBER: _ClassVar[int]
    SILENCE_LATE_US_FIELD_NUMBER: _ClassVar[int]
    BLOCKING_US_FIELD_NUMBER: _ClassVar[int]
    name: str
    holds: bool
    reads_per_s_milli: int
    load_permille: int
    write_wait_us: int
    write_latency_us: int
    over_permille: int
    over_us: int
    window_us: int
    unproved: bool
    stretch_permille: int
    reads: _containers.RepeatedCompositeFieldContainer[AdmissionRead]
    gaps: _containers.RepeatedCompositeFieldContainer[AdmissionGap]
    look_first_us: int
    silence_us: int
    silence_late_us: int
    blocking_us: int
    def __init__(self, name: _Optional[str] = ..., holds: _Optional[bool] = ..., reads_per_s_milli: _Optional[int] = ..., load_permille: _Optional[int] = ..., write_wait_us: _Optional[int] = ..., write_latency_us: _Optional[int] = ..., over_permille: _Optional[int] = ..., over_us: _Optional[int] = ..., window_us: _Optional[int] = ..., unproved: _Optional[bool] = ..., stretch_permille: _Optional[int] = ..., reads: _Optional[_Iterable[_Union[AdmissionRead, _Mapping]]] = ..., gaps: _Optional[_Iterable[_Union[AdmissionGap, _Mapping]]] = ..., look_first_us: _Optional[int] = ..., silence_us: _Optional[int] = ..., silence_late_us: _Optional[int] = ..., blocking_us: _Optional[int] = ...) -> None: ...

class AdmissionRead(_message.Message):
    __slots__ = ("device", "table", "address", "count", "period_us", "cost_us")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    PERIOD_US_FIELD_NUMBER: _ClassVar[int]
    COST_US_FIELD_NUMBER: _ClassVar[int]
    device: int
    table: _registers_pb2.RegisterTable
    address: int
    count: int
    period_us: int
    cost_us: int
    def __init__(self, device: _Optional[int] = ..., table: _Optional[_Union[_registers_pb2.RegisterTable, str]] = ..., address: _Optional[int] = ..., count: _Optional[int] = ..., period_us: _Optional[int] = ..., cost_us: _Optional[int] = ...) -> None: ...

class AdmissionGap(_message.Message):
    __slots__ = ("device", "need", "registers_max", "cost_us")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    NEED_FIELD_NUMBER: _ClassVar[int]
    REGISTERS_MAX_FIELD_NUMBER: _ClassVar[int]
    COST_US_FIELD_NUMBER: _ClassVar[int]
    device: int
    need: int
    registers_max: int
    cost_us: int
    def __init__(self, device: _Optional[int] = ..., need: _Optional[int] = ..., registers_max: _Optional[int] = ..., cost_us: _Optional[int] = ...) -> None: ...
