from dgm.api.ocpp.v1 import ocpp_pb2 as _ocpp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ScheduleUnit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCHEDULE_UNIT_UNSPECIFIED: _ClassVar[ScheduleUnit]
    SCHEDULE_UNIT_A: _ClassVar[ScheduleUnit]
    SCHEDULE_UNIT_W: _ClassVar[ScheduleUnit]

class ScheduleKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCHEDULE_KIND_UNSPECIFIED: _ClassVar[ScheduleKind]
    SCHEDULE_KIND_ABSOLUTE: _ClassVar[ScheduleKind]
    SCHEDULE_KIND_RELATIVE: _ClassVar[ScheduleKind]
SCHEDULE_UNIT_UNSPECIFIED: ScheduleUnit
SCHEDULE_UNIT_A: ScheduleUnit
SCHEDULE_UNIT_W: ScheduleUnit
SCHEDULE_KIND_UNSPECIFIED: ScheduleKind
SCHEDULE_KIND_ABSOLUTE: ScheduleKind
SCHEDULE_KIND_RELATIVE: ScheduleKind

class EvseModel(_message.Message):
    __slots__ = ("name", "vendor", "model", "firmware", "seen_in", "modes", "units", "kinds", "max_stack_level", "single_profile", "small_profile_ids", "limit_key", "phases_for_watts", "lease_s", "writes_per_day", "no_read_back", "forgets_profiles", "rewrite_after_pause_s", "waits_for_boot", "no_triggers", "no_key_probe")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VENDOR_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FIRMWARE_FIELD_NUMBER: _ClassVar[int]
    SEEN_IN_FIELD_NUMBER: _ClassVar[int]
    MODES_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    MAX_STACK_LEVEL_FIELD_NUMBER: _ClassVar[int]
    SINGLE_PROFILE_FIELD_NUMBER: _ClassVar[int]
    SMALL_PROFILE_IDS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_KEY_FIELD_NUMBER: _ClassVar[int]
    PHASES_FOR_WATTS_FIELD_NUMBER: _ClassVar[int]
    LEASE_S_FIELD_NUMBER: _ClassVar[int]
    WRITES_PER_DAY_FIELD_NUMBER: _ClassVar[int]
    NO_READ_BACK_FIELD_NUMBER: _ClassVar[int]
    FORGETS_PROFILES_FIELD_NUMBER: _ClassVar[int]
    REWRITE_AFTER_PAUSE_S_FIELD_NUMBER: _ClassVar[int]
    WAITS_FOR_BOOT_FIELD_NUMBER: _ClassVar[int]
    NO_TRIGGERS_FIELD_NUMBER: _ClassVar[int]
    NO_KEY_PROBE_FIELD_NUMBER: _ClassVar[int]
    name: str
    vendor: str
    model: str
    firmware: str
    seen_in: _containers.RepeatedScalarFieldContainer[str]
    modes: _containers.RepeatedScalarFieldContainer[_ocpp_pb2.EnforcementMode]
    units: _containers.RepeatedScalarFieldContainer[ScheduleUnit]
    kinds: _containers.RepeatedScalarFieldContainer[ScheduleKind]
    max_stack_level: int
    single_profile: bool
    small_profile_ids: bool
    limit_key: str
    phases_for_watts: int
    lease_s: int
    writes_per_day: int
    no_read_back: bool
    forgets_profiles: bool
    rewrite_after_pause_s: int
    waits_for_boot: bool
    no_triggers: bool
    no_key_probe: bool
    def __init__(self, name: _Optional[str] = ..., vendor: _Optional[str] = ..., model: _Optional[str] = ..., firmware: _Optional[str] = ..., seen_in: _Optional[_Iterable[str]] = ..., modes: _Optional[_Iterable[_Union[_ocpp_pb2.EnforcementMode, str]]] = ..., units: _Optional[_Iterable[_Union[ScheduleUnit, str]]] = ..., kinds: _Optional[_Iterable[_Union[ScheduleKind, str]]] = ..., max_stack_level: _Optional[int] = ..., single_profile: _Optional[bool] = ..., small_profile_ids: _Optional[bool] = ..., limit_key: _Optional[str] = ..., phases_for_watts: _Optional[int] = ..., lease_s: _Optional[int] = ..., writes_per_day: _Optional[int] = ..., no_read_back: _Optional[bool] = ..., forgets_profiles: _Optional[bool] = ..., rewrite_after_pause_s: _Optional[int] = ..., waits_for_boot: _Optional[bool] = ..., no_triggers: _Optional[bool] = ..., no_key_probe: _Optional[bool] = ...) -> None: ...
