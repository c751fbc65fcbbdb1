from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Edition(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EDITION_UNSPECIFIED: _ClassVar[Edition]
    EDITION_S18: _ClassVar[Edition]
    EDITION_S23: _ClassVar[Edition]

class OptOutRule(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPT_OUT_RULE_UNSPECIFIED: _ClassVar[OptOutRule]
    OPT_OUT_RULE_NEVER: _ClassVar[OptOutRule]
    OPT_OUT_RULE_UNPROTECTED: _ClassVar[OptOutRule]
    OPT_OUT_RULE_ANY: _ClassVar[OptOutRule]

class PinRule(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PIN_RULE_UNSPECIFIED: _ClassVar[PinRule]
    PIN_RULE_REQUIRED: _ClassVar[PinRule]
    PIN_RULE_IF_SHOWN: _ClassVar[PinRule]

class LfdiRule(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LFDI_RULE_UNSPECIFIED: _ClassVar[LfdiRule]
    LFDI_RULE_CERTIFICATE: _ClassVar[LfdiRule]
    LFDI_RULE_PEN: _ClassVar[LfdiRule]
EDITION_UNSPECIFIED: Edition
EDITION_S18: Edition
EDITION_S23: Edition
OPT_OUT_RULE_UNSPECIFIED: OptOutRule
OPT_OUT_RULE_NEVER: OptOutRule
OPT_OUT_RULE_UNPROTECTED: OptOutRule
OPT_OUT_RULE_ANY: OptOutRule
PIN_RULE_UNSPECIFIED: PinRule
PIN_RULE_REQUIRED: PinRule
PIN_RULE_IF_SHOWN: PinRule
LFDI_RULE_UNSPECIFIED: LfdiRule
LFDI_RULE_CERTIFICATE: LfdiRule
LFDI_RULE_PEN: LfdiRule

class UtilityProfile(_message.Message):
    __slots__ = ("name", "title", "follows", "edition", "response_codes", "resumes", "lists_modes", "not_applicable_code", "opt_out", "bridge_s", "poll_s", "post_s", "ciphers", "pin", "aggregated_lfdi", "csip_aus_namespace", "vendor_log_events", "stored_energy_readings")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    FOLLOWS_FIELD_NUMBER: _ClassVar[int]
    EDITION_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_CODES_FIELD_NUMBER: _ClassVar[int]
    RESUMES_FIELD_NUMBER: _ClassVar[int]
    LISTS_MODES_FIELD_NUMBER: _ClassVar[int]
    NOT_APPLICABLE_CODE_FIELD_NUMBER: _ClassVar[int]
    OPT_OUT_FIELD_NUMBER: _ClassVar[int]
    BRIDGE_S_FIELD_NUMBER: _ClassVar[int]
    POLL_S_FIELD_NUMBER: _ClassVar[int]
    POST_S_FIELD_NUMBER: _ClassVar[int]
    CIPHERS_FIELD_NUMBER: _ClassVar[int]
    PIN_FIELD_NUMBER: _ClassVar[int]
    AGGREGATED_LFDI_FIELD_NUMBER: _ClassVar[int]
    CSIP_AUS_NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    VENDOR_LOG_EVENTS_FIELD_NUMBER: _ClassVar[int]
    STORED_ENERGY_READINGS_FIELD_NUMBER: _ClassVar[int]
    name: str
    title: str
    follows: _containers.RepeatedScalarFieldContainer[str]
    edition: Edition
    response_codes: _containers.RepeatedScalarFieldContainer[int]
    resumes: bool
    lists_modes: bool
    not_applicable_code: int
    opt_out: OptOutRule
    bridge_s: int
    poll_s: int
    post_s: int
    ciphers: _containers.RepeatedScalarFieldContainer[str]
    pin: PinRule
    aggregated_lfdi: LfdiRule
    csip_aus_namespace: str
    vendor_log_events: bool
    stored_energy_readings: bool
    def __init__(self, name: _Optional[str] = ..., title: _Optional[str] = ..., follows: _Optional[_Iterable[str]] = ..., edition: _Optional[_Union[Edition, str]] = ..., response_codes: _Optional[_Iterable[int]] = ..., resumes: _Optional[bool] = ..., lists_modes: _Optional[bool] = ..., not_applicable_code: _Optional[int] = ..., opt_out: _Optional[_Union[OptOutRule, str]] = ..., bridge_s: _Optional[int] = ..., poll_s: _Optional[int] = ..., post_s: _Optional[int] = ..., ciphers: _Optional[_Iterable[str]] = ..., pin: _Optional[_Union[PinRule, str]] = ..., aggregated_lfdi: _Optional[_Union[LfdiRule, str]] = ..., csip_aus_namespace: _Optional[str] = ..., vendor_log_events: _Optional[bool] = ..., stored_energy_readings: _Optional[bool] = ...) -> None: ...
