from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FlexibilityPart(_message.Message):
    __slots__ = ("asset_id", "down_w", "down_wh", "up_w", "up_wh", "reason")
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    DOWN_W_FIELD_NUMBER: _ClassVar[int]
    DOWN_WH_FIELD_NUMBER: _ClassVar[int]
    UP_W_FIELD_NUMBER: _ClassVar[int]
    UP_WH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    asset_id: str
    down_w: int
    down_wh: int
    up_w: int
    up_wh: int
    reason: str
    def __init__(self, asset_id: _Optional[str] = ..., down_w: _Optional[int] = ..., down_wh: _Optional[int] = ..., up_w: _Optional[int] = ..., up_wh: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class FlexibilityOffer(_message.Message):
    __slots__ = ("duration_ms", "down_w", "up_w", "down_bound", "up_bound", "down_reason", "up_reason")
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    DOWN_W_FIELD_NUMBER: _ClassVar[int]
    UP_W_FIELD_NUMBER: _ClassVar[int]
    DOWN_BOUND_FIELD_NUMBER: _ClassVar[int]
    UP_BOUND_FIELD_NUMBER: _ClassVar[int]
    DOWN_REASON_FIELD_NUMBER: _ClassVar[int]
    UP_REASON_FIELD_NUMBER: _ClassVar[int]
    duration_ms: int
    down_w: int
    up_w: int
    down_bound: str
    up_bound: str
    down_reason: str
    up_reason: str
    def __init__(self, duration_ms: _Optional[int] = ..., down_w: _Optional[int] = ..., up_w: _Optional[int] = ..., down_bound: _Optional[str] = ..., up_bound: _Optional[str] = ..., down_reason: _Optional[str] = ..., up_reason: _Optional[str] = ...) -> None: ...

class FlexibilityStep(_message.Message):
    __slots__ = ("start_utc_ms", "duration_ms", "import_w", "down_w", "up_w")
    START_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    IMPORT_W_FIELD_NUMBER: _ClassVar[int]
    DOWN_W_FIELD_NUMBER: _ClassVar[int]
    UP_W_FIELD_NUMBER: _ClassVar[int]
    start_utc_ms: int
    duration_ms: int
    import_w: int
    down_w: int
    up_w: int
    def __init__(self, start_utc_ms: _Optional[int] = ..., duration_ms: _Optional[int] = ..., import_w: _Optional[int] = ..., down_w: _Optional[int] = ..., up_w: _Optional[int] = ...) -> None: ...

class GetFlexibilityRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetFlexibilityResponse(_message.Message):
    __slots__ = ("time_utc_ms", "offers", "parts", "steps", "horizon_reason", "import_w")
    TIME_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    HORIZON_REASON_FIELD_NUMBER: _ClassVar[int]
    IMPORT_W_FIELD_NUMBER: _ClassVar[int]
    time_utc_ms: int
    offers: _containers.RepeatedCompositeFieldContainer[FlexibilityOffer]
    parts: _containers.RepeatedCompositeFieldContainer[FlexibilityPart]
    steps: _containers.RepeatedCompositeFieldContainer[FlexibilityStep]
    horizon_reason: str
    import_w: int
    def __init__(self, time_utc_ms: _Optional[int] = ..., offers: _Optional[_Iterable[_Union[FlexibilityOffer, _Mapping]]] = ..., parts: _Optional[_Iterable[_Union[FlexibilityPart, _Mapping]]] = ..., steps: _Optional[_Iterable[_Union[FlexibilityStep, _Mapping]]] = ..., horizon_reason: _Optional[str] = ..., import_w: _Optional[int] = ...) -> None: ...
