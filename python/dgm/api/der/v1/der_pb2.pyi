from dgm.api.der.v1 import report_pb2 as _report_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConnectionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONNECTION_STATE_UNSPECIFIED: _ClassVar[ConnectionState]
    CONNECTION_STATE_CONNECTING: _ClassVar[ConnectionState]
    CONNECTION_STATE_REGISTERED: _ClassVar[ConnectionState]
    CONNECTION_STATE_READY: _ClassVar[ConnectionState]
    CONNECTION_STATE_LOST: _ClassVar[ConnectionState]

class ControlState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONTROL_STATE_UNSPECIFIED: _ClassVar[ControlState]
    CONTROL_STATE_SCHEDULED: _ClassVar[ControlState]
    CONTROL_STATE_ACTIVE: _ClassVar[ControlState]
    CONTROL_STATE_COMPLETED: _ClassVar[ControlState]
    CONTROL_STATE_CANCELLED: _ClassVar[ControlState]
    CONTROL_STATE_SUPERSEDED: _ClassVar[ControlState]
    CONTROL_STATE_REJECTED: _ClassVar[ControlState]
    CONTROL_STATE_DEFAULT: _ClassVar[ControlState]
CONNECTION_STATE_UNSPECIFIED: ConnectionState
CONNECTION_STATE_CONNECTING: ConnectionState
CONNECTION_STATE_REGISTERED: ConnectionState
CONNECTION_STATE_READY: ConnectionState
CONNECTION_STATE_LOST: ConnectionState
CONTROL_STATE_UNSPECIFIED: ControlState
CONTROL_STATE_SCHEDULED: ControlState
CONTROL_STATE_ACTIVE: ControlState
CONTROL_STATE_COMPLETED: ControlState
CONTROL_STATE_CANCELLED: ControlState
CONTROL_STATE_SUPERSEDED: ControlState
CONTROL_STATE_REJECTED: ControlState
CONTROL_STATE_DEFAULT: ControlState

class Control(_message.Message):
    __slots__ = ("mrid", "program_mrid", "primacy", "state", "start_utc_ms", "duration_ms", "modes", "responses_sent", "description", "superseded_by", "opted_out_modes")
    MRID_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_MRID_FIELD_NUMBER: _ClassVar[int]
    PRIMACY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    START_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    MODES_FIELD_NUMBER: _ClassVar[int]
    RESPONSES_SENT_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED_BY_FIELD_NUMBER: _ClassVar[int]
    OPTED_OUT_MODES_FIELD_NUMBER: _ClassVar[int]
    mrid: str
    program_mrid: str
    primacy: int
    state: ControlState
    start_utc_ms: int
    duration_ms: int
    modes: _containers.RepeatedCompositeFieldContainer[Mode]
    responses_sent: _containers.RepeatedScalarFieldContainer[int]
    description: str
    superseded_by: _containers.RepeatedScalarFieldContainer[str]
    opted_out_modes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, mrid: _Optional[str] = ..., program_mrid: _Optional[str] = ..., primacy: _Optional[int] = ..., state: _Optional[_Union[ControlState, str]] = ..., start_utc_ms: _Optional[int] = ..., duration_ms: _Optional[int] = ..., modes: _Optional[_Iterable[_Union[Mode, _Mapping]]] = ..., responses_sent: _Optional[_Iterable[int]] = ..., description: _Optional[str] = ..., superseded_by: _Optional[_Iterable[str]] = ..., opted_out_modes: _Optional[_Iterable[str]] = ...) -> None: ...

class Mode(_message.Message):
    __slots__ = ("name", "power_w", "permille", "on")
    NAME_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    PERMILLE_FIELD_NUMBER: _ClassVar[int]
    ON_FIELD_NUMBER: _ClassVar[int]
    name: str
    power_w: int
    permille: int
    on: bool
    def __init__(self, name: _Optional[str] = ..., power_w: _Optional[int] = ..., permille: _Optional[int] = ..., on: _Optional[bool] = ...) -> None: ...

class GetConnectionRequest(_message.Message):
    __slots__ = ("lfdi",)
    LFDI_FIELD_NUMBER: _ClassVar[int]
    lfdi: str
    def __init__(self, lfdi: _Optional[str] = ...) -> None: ...

class GetConnectionResponse(_message.Message):
    __slots__ = ("state", "server", "lfdi", "sfdi", "last_success_age_ms", "clock_offset_ms", "polls", "poll_failures", "why")
    STATE_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    LFDI_FIELD_NUMBER: _ClassVar[int]
    SFDI_FIELD_NUMBER: _ClassVar[int]
    LAST_SUCCESS_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    CLOCK_OFFSET_MS_FIELD_NUMBER: _ClassVar[int]
    POLLS_FIELD_NUMBER: _ClassVar[int]
    POLL_FAILURES_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    state: ConnectionState
    server: str
    lfdi: str
    sfdi: str
    last_success_age_ms: int
    clock_offset_ms: int
    polls: int
    poll_failures: int
    why: str
    def __init__(self, state: _Optional[_Union[ConnectionState, str]] = ..., server: _Optional[str] = ..., lfdi: _Optional[str] = ..., sfdi: _Optional[str] = ..., last_success_age_ms: _Optional[int] = ..., clock_offset_ms: _Optional[int] = ..., polls: _Optional[int] = ..., poll_failures: _Optional[int] = ..., why: _Optional[str] = ...) -> None: ...

class ListControlsRequest(_message.Message):
    __slots__ = ("lfdi",)
    LFDI_FIELD_NUMBER: _ClassVar[int]
    lfdi: str
    def __init__(self, lfdi: _Optional[str] = ...) -> None: ...

class ListControlsResponse(_message.Message):
    __slots__ = ("controls",)
    CONTROLS_FIELD_NUMBER: _ClassVar[int]
    controls: _containers.RepeatedCompositeFieldContainer[Control]
    def __init__(self, controls: _Optional[_Iterable[_Union[Control, _Mapping]]] = ...) -> None: ...

class OptOutRequest(_message.Message):
    __slots__ = ("mrid", "modes", "until_utc_ms", "lfdi")
    MRID_FIELD_NUMBER: _ClassVar[int]
    MODES_FIELD_NUMBER: _ClassVar[int]
    UNTIL_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    LFDI_FIELD_NUMBER: _ClassVar[int]
    mrid: str
    modes: _containers.RepeatedScalarFieldContainer[str]
    until_utc_ms: int
    lfdi: str
    def __init__(self, mrid: _Optional[str] = ..., modes: _Optional[_Iterable[str]] = ..., until_utc_ms: _Optional[int] = ..., lfdi: _Optional[str] = ...) -> None: ...

class OptOutResponse(_message.Message):
    __slots__ = ("control",)
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    control: Control
    def __init__(self, control: _Optional[_Union[Control, _Mapping]] = ...) -> None: ...

class OptInRequest(_message.Message):
    __slots__ = ("mrid", "lfdi")
    MRID_FIELD_NUMBER: _ClassVar[int]
    LFDI_FIELD_NUMBER: _ClassVar[int]
    mrid: str
    lfdi: str
    def __init__(self, mrid: _Optional[str] = ..., lfdi: _Optional[str] = ...) -> None: ...

class OptInResponse(_message.Message):
    __slots__ = ("control",)
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    control: Control
    def __init__(self, control: _Optional[_Union[Control, _Mapping]] = ...) -> None: ...

class GetNoticesRequest(_message.Message):
    __slots__ = ("lfdi",)
    LFDI_FIELD_NUMBER: _ClassVar[int]
    lfdi: str
    def __init__(self, lfdi: _Optional[str] = ...) -> None: ...

class GetNoticesResponse(_message.Message):
    __slots__ = ("messages", "prices")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    prices: _containers.RepeatedCompositeFieldContainer[Price]
    def __init__(self, messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., prices: _Optional[_Iterable[_Union[Price, _Mapping]]] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("text", "originator", "priority")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ORIGINATOR_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    text: str
    originator: str
    priority: int
    def __init__(self, text: _Optional[str] = ..., originator: _Optional[str] = ..., priority: _Optional[int] = ...) -> None: ...

class Price(_message.Message):
    __slots__ = ("mrid", "priced", "start_utc_ms", "end_utc_ms", "tier", "blocks", "currency")
    MRID_FIELD_NUMBER: _ClassVar[int]
    PRICED_FIELD_NUMBER: _ClassVar[int]
    START_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    END_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    mrid: str
    priced: str
    start_utc_ms: int
    end_utc_ms: int
    tier: int
    blocks: _containers.RepeatedCompositeFieldContainer[PriceBlock]
    currency: int
    def __init__(self, mrid: _Optional[str] = ..., priced: _Optional[str] = ..., start_utc_ms: _Optional[int] = ..., end_utc_ms: _Optional[int] = ..., tier: _Optional[int] = ..., blocks: _Optional[_Iterable[_Union[PriceBlock, _Mapping]]] = ..., currency: _Optional[int] = ...) -> None: ...

class PriceBlock(_message.Message):
    __slots__ = ("start", "price_micro", "per_mwh")
    START_FIELD_NUMBER: _ClassVar[int]
    PRICE_MICRO_FIELD_NUMBER: _ClassVar[int]
    PER_MWH_FIELD_NUMBER: _ClassVar[int]
    start: int
    price_micro: int
    per_mwh: int
    def __init__(self, start: _Optional[int] = ..., price_micro: _Optional[int] = ..., per_mwh: _Optional[int] = ...) -> None: ...

class WatchControlsRequest(_message.Message):
    __slots__ = ("lfdi",)
    LFDI_FIELD_NUMBER: _ClassVar[int]
    lfdi: str
    def __init__(self, lfdi: _Optional[str] = ...) -> None: ...

class WatchControlsResponse(_message.Message):
    __slots__ = ("controls",)
    CONTROLS_FIELD_NUMBER: _ClassVar[int]
    controls: _containers.RepeatedCompositeFieldContainer[Control]
    def __init__(self, controls: _Optional[_Iterable[_Union[Control, _Mapping]]] = ...) -> None: ...
