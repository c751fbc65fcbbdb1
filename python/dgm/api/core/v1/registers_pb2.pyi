from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RegisterTable(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REGISTER_TABLE_UNSPECIFIED: _ClassVar[RegisterTable]
    HOLDING: _ClassVar[RegisterTable]
    INPUT: _ClassVar[RegisterTable]
    COIL: _ClassVar[RegisterTable]
    DISCRETE_INPUT: _ClassVar[RegisterTable]

class PointType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POINT_TYPE_UNSPECIFIED: _ClassVar[PointType]
    U16: _ClassVar[PointType]
    I16: _ClassVar[PointType]
    U32: _ClassVar[PointType]
    I32: _ClassVar[PointType]
    U64: _ClassVar[PointType]
    I64: _ClassVar[PointType]
    F32: _ClassVar[PointType]
    F64: _ClassVar[PointType]
    STRING: _ClassVar[PointType]
    BIT: _ClassVar[PointType]

class WordOrder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORD_ORDER_UNSPECIFIED: _ClassVar[WordOrder]
    HIGH_FIRST: _ClassVar[WordOrder]
    LOW_FIRST: _ClassVar[WordOrder]
REGISTER_TABLE_UNSPECIFIED: RegisterTable
HOLDING: RegisterTable
INPUT: RegisterTable
COIL: RegisterTable
DISCRETE_INPUT: RegisterTable
POINT_TYPE_UNSPECIFIED: PointType
U16: PointType
I16: PointType
U32: PointType
I32: PointType
U64: PointType
I64: PointType
F32: PointType
F64: PointType
STRING: PointType
BIT: PointType
WORD_ORDER_UNSPECIFIED: WordOrder
HIGH_FIRST: WordOrder
LOW_FIRST: WordOrder

class Point(_message.Message):
    __slots__ = ("name", "table", "address", "type", "length", "bit", "word_order", "multiplier", "divisor", "scale_point", "absent", "period_ms", "write", "read_roles")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    BIT_FIELD_NUMBER: _ClassVar[int]
    WORD_ORDER_FIELD_NUMBER: _ClassVar[int]
    MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    DIVISOR_FIELD_NUMBER: _ClassVar[int]
    SCALE_POINT_FIELD_NUMBER: _ClassVar[int]
    ABSENT_FIELD_NUMBER: _ClassVar[int]
    PERIOD_MS_FIELD_NUMBER: _ClassVar[int]
    WRITE_FIELD_NUMBER: _ClassVar[int]
    READ_ROLES_FIELD_NUMBER: _ClassVar[int]
    name: str
    table: RegisterTable
    address: int
    type: PointType
    length: int
    bit: int
    word_order: WordOrder
    multiplier: int
    divisor: int
    scale_point: str
    absent: _containers.RepeatedScalarFieldContainer[int]
    period_ms: int
    write: WriteRule
    read_roles: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., table: _Optional[_Union[RegisterTable, str]] = ..., address: _Optional[int] = ..., type: _Optional[_Union[PointType, str]] = ..., length: _Optional[int] = ..., bit: _Optional[int] = ..., word_order: _Optional[_Union[WordOrder, str]] = ..., multiplier: _Optional[int] = ..., divisor: _Optional[int] = ..., scale_point: _Optional[str] = ..., absent: _Optional[_Iterable[int]] = ..., period_ms: _Optional[int] = ..., write: _Optional[_Union[WriteRule, _Mapping]] = ..., read_roles: _Optional[_Iterable[str]] = ...) -> None: ...

class WriteRule(_message.Message):
    __slots__ = ("low", "high", "lease_ms", "fallback", "roles", "min_interval_ms", "burst", "allow_absent")
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    MIN_INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    ALLOW_ABSENT_FIELD_NUMBER: _ClassVar[int]
    low: int
    high: int
    lease_ms: int
    fallback: int
    roles: _containers.RepeatedScalarFieldContainer[str]
    min_interval_ms: int
    burst: int
    allow_absent: bool
    def __init__(self, low: _Optional[int] = ..., high: _Optional[int] = ..., lease_ms: _Optional[int] = ..., fallback: _Optional[int] = ..., roles: _Optional[_Iterable[str]] = ..., min_interval_ms: _Optional[int] = ..., burst: _Optional[int] = ..., allow_absent: _Optional[bool] = ...) -> None: ...

class WriteGroup(_message.Message):
    __slots__ = ("name", "points", "lease_ms", "lease_point", "lease_unit_ms", "sequence_point")
    NAME_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    LEASE_POINT_FIELD_NUMBER: _ClassVar[int]
    LEASE_UNIT_MS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_POINT_FIELD_NUMBER: _ClassVar[int]
    name: str
    points: _containers.RepeatedScalarFieldContainer[str]
    lease_ms: int
    lease_point: str
    lease_unit_ms: int
    sequence_point: str
    def __init__(self, name: _Optional[str] = ..., points: _Optional[_Iterable[str]] = ..., lease_ms: _Optional[int] = ..., lease_point: _Optional[str] = ..., lease_unit_ms: _Optional[int] = ..., sequence_point: _Optional[str] = ...) -> None: ...

class RegisterMap(_message.Message):
    __slots__ = ("name", "points", "read_registers_max", "write_registers_max", "period_ms", "groups")
    NAME_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    READ_REGISTERS_MAX_FIELD_NUMBER: _ClassVar[int]
    WRITE_REGISTERS_MAX_FIELD_NUMBER: _ClassVar[int]
    PERIOD_MS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    name: str
    points: _containers.RepeatedCompositeFieldContainer[Point]
    read_registers_max: int
    write_registers_max: int
    period_ms: int
    groups: _containers.RepeatedCompositeFieldContainer[WriteGroup]
    def __init__(self, name: _Optional[str] = ..., points: _Optional[_Iterable[_Union[Point, _Mapping]]] = ..., read_registers_max: _Optional[int] = ..., write_registers_max: _Optional[int] = ..., period_ms: _Optional[int] = ..., groups: _Optional[_Iterable[_Union[WriteGroup, _Mapping]]] = ...) -> None: ...
