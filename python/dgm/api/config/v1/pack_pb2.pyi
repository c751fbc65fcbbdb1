from dgm.api.config.v1 import config_pb2 as _config_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RegulationPack(_message.Message):
    __slots__ = ("name", "title", "sources", "rules", "policies", "demands", "ramps")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    DEMANDS_FIELD_NUMBER: _ClassVar[int]
    RAMPS_FIELD_NUMBER: _ClassVar[int]
    name: str
    title: str
    sources: _containers.RepeatedScalarFieldContainer[str]
    rules: _containers.RepeatedCompositeFieldContainer[PackRule]
    policies: _containers.RepeatedCompositeFieldContainer[_config_pb2.PolicyConfig]
    demands: _containers.RepeatedCompositeFieldContainer[PackDemand]
    ramps: _containers.RepeatedCompositeFieldContainer[PackRamp]
    def __init__(self, name: _Optional[str] = ..., title: _Optional[str] = ..., sources: _Optional[_Iterable[str]] = ..., rules: _Optional[_Iterable[_Union[PackRule, _Mapping]]] = ..., policies: _Optional[_Iterable[_Union[_config_pb2.PolicyConfig, _Mapping]]] = ..., demands: _Optional[_Iterable[_Union[PackDemand, _Mapping]]] = ..., ramps: _Optional[_Iterable[_Union[PackRamp, _Mapping]]] = ...) -> None: ...

class PackRule(_message.Message):
    __slots__ = ("id", "text", "answer")
    ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    id: str
    text: str
    answer: str
    def __init__(self, id: _Optional[str] = ..., text: _Optional[str] = ..., answer: _Optional[str] = ...) -> None: ...

class PackDemand(_message.Message):
    __slots__ = ("path", "at_most", "at_least", "one_of", "present", "why")
    PATH_FIELD_NUMBER: _ClassVar[int]
    AT_MOST_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    ONE_OF_FIELD_NUMBER: _ClassVar[int]
    PRESENT_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    path: str
    at_most: int
    at_least: int
    one_of: _containers.RepeatedScalarFieldContainer[str]
    present: bool
    why: str
    def __init__(self, path: _Optional[str] = ..., at_most: _Optional[int] = ..., at_least: _Optional[int] = ..., one_of: _Optional[_Iterable[str]] = ..., present: _Optional[bool] = ..., why: _Optional[str] = ...) -> None: ...

class PackRamp(_message.Message):
    __slots__ = ("set_grad_w", "change_permille", "duration_ms")
    SET_GRAD_W_FIELD_NUMBER: _ClassVar[int]
    CHANGE_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    set_grad_w: int
    change_permille: int
    duration_ms: int
    def __init__(self, set_grad_w: _Optional[int] = ..., change_permille: _Optional[int] = ..., duration_ms: _Optional[int] = ...) -> None: ...
