from dgm.api.site.v1 import site_pb2 as _site_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LinkState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LINK_STATE_UNSPECIFIED: _ClassVar[LinkState]
    LINK_STATE_DOWN: _ClassVar[LinkState]
    LINK_STATE_UP: _ClassVar[LinkState]

class EnforcementMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENFORCEMENT_MODE_UNSPECIFIED: _ClassVar[EnforcementMode]
    ENFORCEMENT_MODE_MAX: _ClassVar[EnforcementMode]
    ENFORCEMENT_MODE_MERGE: _ClassVar[EnforcementMode]
    ENFORCEMENT_MODE_NATIVE: _ClassVar[EnforcementMode]
    ENFORCEMENT_MODE_NONE: _ClassVar[EnforcementMode]
LINK_STATE_UNSPECIFIED: LinkState
LINK_STATE_DOWN: LinkState
LINK_STATE_UP: LinkState
ENFORCEMENT_MODE_UNSPECIFIED: EnforcementMode
ENFORCEMENT_MODE_MAX: EnforcementMode
ENFORCEMENT_MODE_MERGE: EnforcementMode
ENFORCEMENT_MODE_NATIVE: EnforcementMode
ENFORCEMENT_MODE_NONE: EnforcementMode

class Station(_message.Message):
    __slots__ = ("id", "cpo_id", "subprotocol", "south", "north", "mode", "evses", "frames_north", "frames_south", "frames_excepted", "vendor", "model", "mode_reason", "firmware", "quirks")
    ID_FIELD_NUMBER: _ClassVar[int]
    CPO_ID_FIELD_NUMBER: _ClassVar[int]
    SUBPROTOCOL_FIELD_NUMBER: _ClassVar[int]
    SOUTH_FIELD_NUMBER: _ClassVar[int]
    NORTH_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    EVSES_FIELD_NUMBER: _ClassVar[int]
    FRAMES_NORTH_FIELD_NUMBER: _ClassVar[int]
    FRAMES_SOUTH_FIELD_NUMBER: _ClassVar[int]
    FRAMES_EXCEPTED_FIELD_NUMBER: _ClassVar[int]
    VENDOR_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODE_REASON_FIELD_NUMBER: _ClassVar[int]
    FIRMWARE_FIELD_NUMBER: _ClassVar[int]
    QUIRKS_FIELD_NUMBER: _ClassVar[int]
    id: str
    cpo_id: str
    subprotocol: str
    south: LinkState
    north: LinkState
    mode: EnforcementMode
    evses: _containers.RepeatedCompositeFieldContainer[Evse]
    frames_north: int
    frames_south: int
    frames_excepted: int
    vendor: str
    model: str
    mode_reason: str
    firmware: str
    quirks: str
    def __init__(self, id: _Optional[str] = ..., cpo_id: _Optional[str] = ..., subprotocol: _Optional[str] = ..., south: _Optional[_Union[LinkState, str]] = ..., north: _Optional[_Union[LinkState, str]] = ..., mode: _Optional[_Union[EnforcementMode, str]] = ..., evses: _Optional[_Iterable[_Union[Evse, _Mapping]]] = ..., frames_north: _Optional[int] = ..., frames_south: _Optional[int] = ..., frames_excepted: _Optional[int] = ..., vendor: _Optional[str] = ..., model: _Optional[str] = ..., mode_reason: _Optional[str] = ..., firmware: _Optional[str] = ..., quirks: _Optional[str] = ...) -> None: ...

class Evse(_message.Message):
    __slots__ = ("asset_id", "connector_id", "plug_state", "limit_ma", "proved_ma", "power_w", "transaction_id", "transaction", "fallback_ma")
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTOR_ID_FIELD_NUMBER: _ClassVar[int]
    PLUG_STATE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_MA_FIELD_NUMBER: _ClassVar[int]
    PROVED_MA_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    TRANSACTION_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_MA_FIELD_NUMBER: _ClassVar[int]
    asset_id: str
    connector_id: int
    plug_state: _site_pb2.PlugState
    limit_ma: int
    proved_ma: int
    power_w: int
    transaction_id: int
    transaction: str
    fallback_ma: int
    def __init__(self, asset_id: _Optional[str] = ..., connector_id: _Optional[int] = ..., plug_state: _Optional[_Union[_site_pb2.PlugState, str]] = ..., limit_ma: _Optional[int] = ..., proved_ma: _Optional[int] = ..., power_w: _Optional[int] = ..., transaction_id: _Optional[int] = ..., transaction: _Optional[str] = ..., fallback_ma: _Optional[int] = ...) -> None: ...

class OwnIdentity(_message.Message):
    __slots__ = ("cpo_id", "id", "link", "subprotocol", "accepted", "told_limit_w")
    CPO_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    SUBPROTOCOL_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    TOLD_LIMIT_W_FIELD_NUMBER: _ClassVar[int]
    cpo_id: str
    id: str
    link: LinkState
    subprotocol: str
    accepted: bool
    told_limit_w: int
    def __init__(self, cpo_id: _Optional[str] = ..., id: _Optional[str] = ..., link: _Optional[_Union[LinkState, str]] = ..., subprotocol: _Optional[str] = ..., accepted: _Optional[bool] = ..., told_limit_w: _Optional[int] = ...) -> None: ...

class ListStationsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListStationsResponse(_message.Message):
    __slots__ = ("stations", "own")
    STATIONS_FIELD_NUMBER: _ClassVar[int]
    OWN_FIELD_NUMBER: _ClassVar[int]
    stations: _containers.RepeatedCompositeFieldContainer[Station]
    own: _containers.RepeatedCompositeFieldContainer[OwnIdentity]
    def __init__(self, stations: _Optional[_Iterable[_Union[Station, _Mapping]]] = ..., own: _Optional[_Iterable[_Union[OwnIdentity, _Mapping]]] = ...) -> None: ...

class WatchStationsRequest(_message.Message):
    __slots__ = ("interval_ms",)
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    interval_ms: int
    def __init__(self, interval_ms: _Optional[int] = ...) -> None: ...

class WatchStationsResponse(_message.Message):
    __slots__ = ("stations",)
    STATIONS_FIELD_NUMBER: _ClassVar[int]
    stations: _containers.RepeatedCompositeFieldContainer[Station]
    def __init__(self, stations: _Optional[_Iterable[_Union[Station, _Mapping]]] = ...) -> None: ...
