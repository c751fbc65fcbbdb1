from dgm.api.ems.v1 import field_pb2 as _field_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

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
