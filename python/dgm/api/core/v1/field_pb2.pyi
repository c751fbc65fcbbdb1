from dgm.api.ems.v1 import field_pb2 as _field_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ModelFailure(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_FAILURE_UNSPECIFIED: _ClassVar[ModelFailure]
    MODEL_FAILURE_QUEUE: _ClassVar[ModelFailure]
    MODEL_FAILURE_EXPIRED: _ClassVar[ModelFailure]
    MODEL_FAILURE_DISCONNECTED: _ClassVar[ModelFailure]
    MODEL_FAILURE_SILENT: _ClassVar[ModelFailure]
    MODEL_FAILURE_NO_MAP: _ClassVar[ModelFailure]
    MODEL_FAILURE_NO_MODEL: _ClassVar[ModelFailure]
    MODEL_FAILURE_REFUSED: _ClassVar[ModelFailure]
    MODEL_FAILURE_MALFORMED: _ClassVar[ModelFailure]
    MODEL_FAILURE_NO_POINT: _ClassVar[ModelFailure]
    MODEL_FAILURE_MISMATCH: _ClassVar[ModelFailure]
MODEL_FAILURE_UNSPECIFIED: ModelFailure
MODEL_FAILURE_QUEUE: ModelFailure
MODEL_FAILURE_EXPIRED: ModelFailure
MODEL_FAILURE_DISCONNECTED: ModelFailure
MODEL_FAILURE_SILENT: ModelFailure
MODEL_FAILURE_NO_MAP: ModelFailure
MODEL_FAILURE_NO_MODEL: ModelFailure
MODEL_FAILURE_REFUSED: ModelFailure
MODEL_FAILURE_MALFORMED: ModelFailure
MODEL_FAILURE_NO_POINT: ModelFailure
MODEL_FAILURE_MISMATCH: ModelFailure

class AuditNews(_message.Message):
    __slots__ = ("asset_index", "entries", "lost", "counts")
    ASSET_INDEX_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    asset_index: int
    entries: _containers.RepeatedCompositeFieldContainer[AuditEntry]
    lost: int
    counts: _field_pb2.SetpointCounts
    def __init__(self, asset_index: _Optional[int] = ..., entries: _Optional[_Iterable[_Union[AuditEntry, _Mapping]]] = ..., lost: _Optional[int] = ..., counts: _Optional[_Union[_field_pb2.SetpointCounts, _Mapping]] = ...) -> None: ...

class AuditEntry(_message.Message):
    __slots__ = ("at_mono_ms", "entry")
    AT_MONO_MS_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    at_mono_ms: int
    entry: _field_pb2.FieldAuditEntry
    def __init__(self, at_mono_ms: _Optional[int] = ..., entry: _Optional[_Union[_field_pb2.FieldAuditEntry, _Mapping]] = ...) -> None: ...

class AuditBatch(_message.Message):
    __slots__ = ("assets",)
    ASSETS_FIELD_NUMBER: _ClassVar[int]
    assets: _containers.RepeatedCompositeFieldContainer[AuditNews]
    def __init__(self, assets: _Optional[_Iterable[_Union[AuditNews, _Mapping]]] = ...) -> None: ...

class PointValue(_message.Message):
    __slots__ = ("path", "raw")
    PATH_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    path: str
    raw: int
    def __init__(self, path: _Optional[str] = ..., raw: _Optional[int] = ...) -> None: ...

class AmendmentStep(_message.Message):
    __slots__ = ("writes", "expected")
    WRITES_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    writes: _containers.RepeatedCompositeFieldContainer[PointValue]
    expected: _containers.RepeatedCompositeFieldContainer[PointValue]
    def __init__(self, writes: _Optional[_Iterable[_Union[PointValue, _Mapping]]] = ..., expected: _Optional[_Iterable[_Union[PointValue, _Mapping]]] = ...) -> None: ...

class ModelAmendment(_message.Message):
    __slots__ = ("steps",)
    STEPS_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedCompositeFieldContainer[AmendmentStep]
    def __init__(self, steps: _Optional[_Iterable[_Union[AmendmentStep, _Mapping]]] = ...) -> None: ...

class ModelAnswer(_message.Message):
    __slots__ = ("ticket", "models", "registers", "failure", "exception", "before", "written")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    REGISTERS_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    EXCEPTION_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_FIELD_NUMBER: _ClassVar[int]
    ticket: int
    models: _containers.RepeatedCompositeFieldContainer[_field_pb2.SunSpecModel]
    registers: bytes
    failure: ModelFailure
    exception: int
    before: bytes
    written: _containers.RepeatedCompositeFieldContainer[_field_pb2.RegisterBlock]
    def __init__(self, ticket: _Optional[int] = ..., models: _Optional[_Iterable[_Union[_field_pb2.SunSpecModel, _Mapping]]] = ..., registers: _Optional[bytes] = ..., failure: _Optional[_Union[ModelFailure, str]] = ..., exception: _Optional[int] = ..., before: _Optional[bytes] = ..., written: _Optional[_Iterable[_Union[_field_pb2.RegisterBlock, _Mapping]]] = ...) -> None: ...

class ModelBatch(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[ModelAnswer]
    def __init__(self, answers: _Optional[_Iterable[_Union[ModelAnswer, _Mapping]]] = ...) -> None: ...

class LearntDevice(_message.Message):
    __slots__ = ("base", "identity", "models", "end_address", "answers_long_reads")
    BASE_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    END_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_LONG_READS_FIELD_NUMBER: _ClassVar[int]
    base: int
    identity: bytes
    models: _containers.RepeatedCompositeFieldContainer[_field_pb2.SunSpecModel]
    end_address: int
    answers_long_reads: bool
    def __init__(self, base: _Optional[int] = ..., identity: _Optional[bytes] = ..., models: _Optional[_Iterable[_Union[_field_pb2.SunSpecModel, _Mapping]]] = ..., end_address: _Optional[int] = ..., answers_long_reads: _Optional[bool] = ...) -> None: ...

class LearntNews(_message.Message):
    __slots__ = ("asset_index", "learnt")
    ASSET_INDEX_FIELD_NUMBER: _ClassVar[int]
    LEARNT_FIELD_NUMBER: _ClassVar[int]
    asset_index: int
    learnt: LearntDevice
    def __init__(self, asset_index: _Optional[int] = ..., learnt: _Optional[_Union[LearntDevice, _Mapping]] = ...) -> None: ...

class LearntBatch(_message.Message):
    __slots__ = ("assets",)
    ASSETS_FIELD_NUMBER: _ClassVar[int]
    assets: _containers.RepeatedCompositeFieldContainer[LearntNews]
    def __init__(self, assets: _Optional[_Iterable[_Union[LearntNews, _Mapping]]] = ...) -> None: ...
