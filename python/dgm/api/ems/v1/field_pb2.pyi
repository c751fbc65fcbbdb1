from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SetpointVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SETPOINT_VERDICT_UNSPECIFIED: _ClassVar[SetpointVerdict]
    SETPOINT_VERDICT_CONFIRMED: _ClassVar[SetpointVerdict]
    SETPOINT_VERDICT_MISMATCH: _ClassVar[SetpointVerdict]
    SETPOINT_VERDICT_OVERWRITTEN: _ClassVar[SetpointVerdict]
    SETPOINT_VERDICT_REVERTED: _ClassVar[SetpointVerdict]
    SETPOINT_VERDICT_REFUSED: _ClassVar[SetpointVerdict]
    SETPOINT_VERDICT_SILENT: _ClassVar[SetpointVerdict]
    SETPOINT_VERDICT_STALE: _ClassVar[SetpointVerdict]
    SETPOINT_VERDICT_LOCAL: _ClassVar[SetpointVerdict]
    SETPOINT_VERDICT_STOPPED: _ClassVar[SetpointVerdict]
    SETPOINT_VERDICT_DISOBEYED: _ClassVar[SetpointVerdict]
    SETPOINT_VERDICT_OBEYED: _ClassVar[SetpointVerdict]
SETPOINT_VERDICT_UNSPECIFIED: SetpointVerdict
SETPOINT_VERDICT_CONFIRMED: SetpointVerdict
SETPOINT_VERDICT_MISMATCH: SetpointVerdict
SETPOINT_VERDICT_OVERWRITTEN: SetpointVerdict
SETPOINT_VERDICT_REVERTED: SetpointVerdict
SETPOINT_VERDICT_REFUSED: SetpointVerdict
SETPOINT_VERDICT_SILENT: SetpointVerdict
SETPOINT_VERDICT_STALE: SetpointVerdict
SETPOINT_VERDICT_LOCAL: SetpointVerdict
SETPOINT_VERDICT_STOPPED: SetpointVerdict
SETPOINT_VERDICT_DISOBEYED: SetpointVerdict
SETPOINT_VERDICT_OBEYED: SetpointVerdict

class RegisterBlock(_message.Message):
    __slots__ = ("address", "words")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    address: int
    words: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, address: _Optional[int] = ..., words: _Optional[_Iterable[int]] = ...) -> None: ...

class FieldAuditEntry(_message.Message):
    __slots__ = ("asset_id", "number", "time_utc_ms", "epoch", "power_w", "verdict", "times", "measured_w", "binding_limit_id", "written", "read_back", "model", "setting")
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TIME_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    MEASURED_W_FIELD_NUMBER: _ClassVar[int]
    BINDING_LIMIT_ID_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_FIELD_NUMBER: _ClassVar[int]
    READ_BACK_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SETTING_FIELD_NUMBER: _ClassVar[int]
    asset_id: str
    number: int
    time_utc_ms: int
    epoch: int
    power_w: int
    verdict: SetpointVerdict
    times: int
    measured_w: int
    binding_limit_id: str
    written: _containers.RepeatedCompositeFieldContainer[RegisterBlock]
    read_back: _containers.RepeatedCompositeFieldContainer[RegisterBlock]
    model: int
    setting: str
    def __init__(self, asset_id: _Optional[str] = ..., number: _Optional[int] = ..., time_utc_ms: _Optional[int] = ..., epoch: _Optional[int] = ..., power_w: _Optional[int] = ..., verdict: _Optional[_Union[SetpointVerdict, str]] = ..., times: _Optional[int] = ..., measured_w: _Optional[int] = ..., binding_limit_id: _Optional[str] = ..., written: _Optional[_Iterable[_Union[RegisterBlock, _Mapping]]] = ..., read_back: _Optional[_Iterable[_Union[RegisterBlock, _Mapping]]] = ..., model: _Optional[int] = ..., setting: _Optional[str] = ...) -> None: ...

class SetpointCounts(_message.Message):
    __slots__ = ("asset_id", "sent", "confirmed", "mismatch", "overwritten", "reverted", "refused", "silent", "stale", "local", "stopped", "disobeyed", "obeyed", "lost")
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    MISMATCH_FIELD_NUMBER: _ClassVar[int]
    OVERWRITTEN_FIELD_NUMBER: _ClassVar[int]
    REVERTED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    SILENT_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    LOCAL_FIELD_NUMBER: _ClassVar[int]
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    DISOBEYED_FIELD_NUMBER: _ClassVar[int]
    OBEYED_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    asset_id: str
    sent: int
    confirmed: int
    mismatch: int
    overwritten: int
    reverted: int
    refused: int
    silent: int
    stale: int
    local: int
    stopped: int
    disobeyed: int
    obeyed: int
    lost: int
    def __init__(self, asset_id: _Optional[str] = ..., sent: _Optional[int] = ..., confirmed: _Optional[int] = ..., mismatch: _Optional[int] = ..., overwritten: _Optional[int] = ..., reverted: _Optional[int] = ..., refused: _Optional[int] = ..., silent: _Optional[int] = ..., stale: _Optional[int] = ..., local: _Optional[int] = ..., stopped: _Optional[int] = ..., disobeyed: _Optional[int] = ..., obeyed: _Optional[int] = ..., lost: _Optional[int] = ...) -> None: ...

class ListAuditRequest(_message.Message):
    __slots__ = ("asset_id",)
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    asset_id: str
    def __init__(self, asset_id: _Optional[str] = ...) -> None: ...

class ListAuditResponse(_message.Message):
    __slots__ = ("entries", "counts", "forgotten")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[FieldAuditEntry]
    counts: _containers.RepeatedCompositeFieldContainer[SetpointCounts]
    forgotten: int
    def __init__(self, entries: _Optional[_Iterable[_Union[FieldAuditEntry, _Mapping]]] = ..., counts: _Optional[_Iterable[_Union[SetpointCounts, _Mapping]]] = ..., forgotten: _Optional[int] = ...) -> None: ...

class WatchAuditRequest(_message.Message):
    __slots__ = ("asset_id",)
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    asset_id: str
    def __init__(self, asset_id: _Optional[str] = ...) -> None: ...

class WatchAuditResponse(_message.Message):
    __slots__ = ("entries", "missed")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[FieldAuditEntry]
    missed: int
    def __init__(self, entries: _Optional[_Iterable[_Union[FieldAuditEntry, _Mapping]]] = ..., missed: _Optional[int] = ...) -> None: ...

class SunSpecModel(_message.Message):
    __slots__ = ("id", "address", "length")
    ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    id: int
    address: int
    length: int
    def __init__(self, id: _Optional[int] = ..., address: _Optional[int] = ..., length: _Optional[int] = ...) -> None: ...

class ModelPoint(_message.Message):
    __slots__ = ("name", "unit", "raw", "exponent", "scale_absent", "text")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    EXPONENT_FIELD_NUMBER: _ClassVar[int]
    SCALE_ABSENT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    name: str
    unit: str
    raw: int
    exponent: int
    scale_absent: bool
    text: str
    def __init__(self, name: _Optional[str] = ..., unit: _Optional[str] = ..., raw: _Optional[int] = ..., exponent: _Optional[int] = ..., scale_absent: _Optional[bool] = ..., text: _Optional[str] = ...) -> None: ...

class ModelGroup(_message.Message):
    __slots__ = ("name", "points", "groups")
    NAME_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    name: str
    points: _containers.RepeatedCompositeFieldContainer[ModelPoint]
    groups: _containers.RepeatedCompositeFieldContainer[ModelGroup]
    def __init__(self, name: _Optional[str] = ..., points: _Optional[_Iterable[_Union[ModelPoint, _Mapping]]] = ..., groups: _Optional[_Iterable[_Union[ModelGroup, _Mapping]]] = ...) -> None: ...

class ReadModelRequest(_message.Message):
    __slots__ = ("asset_id", "model", "occurrence", "timeout_ms")
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    OCCURRENCE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    asset_id: str
    model: int
    occurrence: int
    timeout_ms: int
    def __init__(self, asset_id: _Optional[str] = ..., model: _Optional[int] = ..., occurrence: _Optional[int] = ..., timeout_ms: _Optional[int] = ...) -> None: ...

class ReadModelResponse(_message.Message):
    __slots__ = ("models", "content")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[SunSpecModel]
    content: ModelGroup
    def __init__(self, models: _Optional[_Iterable[_Union[SunSpecModel, _Mapping]]] = ..., content: _Optional[_Union[ModelGroup, _Mapping]] = ...) -> None: ...
