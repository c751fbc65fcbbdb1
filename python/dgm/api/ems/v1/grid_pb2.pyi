from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GridFunction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GRID_FUNCTION_UNSPECIFIED: _ClassVar[GridFunction]
    GRID_FUNCTION_FIXED_PF: _ClassVar[GridFunction]
    GRID_FUNCTION_VAR: _ClassVar[GridFunction]
    GRID_FUNCTION_VOLT_VAR: _ClassVar[GridFunction]
    GRID_FUNCTION_VOLT_WATT: _ClassVar[GridFunction]
    GRID_FUNCTION_LV_TRIP: _ClassVar[GridFunction]
    GRID_FUNCTION_HV_TRIP: _ClassVar[GridFunction]
    GRID_FUNCTION_LF_TRIP: _ClassVar[GridFunction]
    GRID_FUNCTION_HF_TRIP: _ClassVar[GridFunction]
    GRID_FUNCTION_FREQ_DROOP: _ClassVar[GridFunction]
    GRID_FUNCTION_WATT_VAR: _ClassVar[GridFunction]

class GridReference(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GRID_REFERENCE_UNSPECIFIED: _ClassVar[GridReference]
    GRID_REFERENCE_MAX_W: _ClassVar[GridReference]
    GRID_REFERENCE_MAX_VAR: _ClassVar[GridReference]
    GRID_REFERENCE_AVAILABLE_VAR: _ClassVar[GridReference]
    GRID_REFERENCE_MAX_VA: _ClassVar[GridReference]
    GRID_REFERENCE_AVAILABLE_W: _ClassVar[GridReference]

class TripRegion(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRIP_REGION_UNSPECIFIED: _ClassVar[TripRegion]
    TRIP_REGION_MUST_TRIP: _ClassVar[TripRegion]
    TRIP_REGION_MAY_TRIP: _ClassVar[TripRegion]
    TRIP_REGION_MOMENTARY_CESSATION: _ClassVar[TripRegion]

class GridState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GRID_STATE_UNSPECIFIED: _ClassVar[GridState]
    GRID_STATE_WRITING: _ClassVar[GridState]
    GRID_STATE_HELD: _ClassVar[GridState]
    GRID_STATE_RESTORING: _ClassVar[GridState]
    GRID_STATE_FAILED: _ClassVar[GridState]
GRID_FUNCTION_UNSPECIFIED: GridFunction
GRID_FUNCTION_FIXED_PF: GridFunction
GRID_FUNCTION_VAR: GridFunction
GRID_FUNCTION_VOLT_VAR: GridFunction
GRID_FUNCTION_VOLT_WATT: GridFunction
GRID_FUNCTION_LV_TRIP: GridFunction
GRID_FUNCTION_HV_TRIP: GridFunction
GRID_FUNCTION_LF_TRIP: GridFunction
GRID_FUNCTION_HF_TRIP: GridFunction
GRID_FUNCTION_FREQ_DROOP: GridFunction
GRID_FUNCTION_WATT_VAR: GridFunction
GRID_REFERENCE_UNSPECIFIED: GridReference
GRID_REFERENCE_MAX_W: GridReference
GRID_REFERENCE_MAX_VAR: GridReference
GRID_REFERENCE_AVAILABLE_VAR: GridReference
GRID_REFERENCE_MAX_VA: GridReference
GRID_REFERENCE_AVAILABLE_W: GridReference
TRIP_REGION_UNSPECIFIED: TripRegion
TRIP_REGION_MUST_TRIP: TripRegion
TRIP_REGION_MAY_TRIP: TripRegion
TRIP_REGION_MOMENTARY_CESSATION: TripRegion
GRID_STATE_UNSPECIFIED: GridState
GRID_STATE_WRITING: GridState
GRID_STATE_HELD: GridState
GRID_STATE_RESTORING: GridState
GRID_STATE_FAILED: GridState

class PowerFactor(_message.Message):
    __slots__ = ("cos_phi_ppm", "is_underexcited", "is_absorbing_w")
    COS_PHI_PPM_FIELD_NUMBER: _ClassVar[int]
    IS_UNDEREXCITED_FIELD_NUMBER: _ClassVar[int]
    IS_ABSORBING_W_FIELD_NUMBER: _ClassVar[int]
    cos_phi_ppm: int
    is_underexcited: bool
    is_absorbing_w: bool
    def __init__(self, cos_phi_ppm: _Optional[int] = ..., is_underexcited: _Optional[bool] = ..., is_absorbing_w: _Optional[bool] = ...) -> None: ...

class ReactivePower(_message.Message):
    __slots__ = ("reactive_var", "permyriad", "reference")
    REACTIVE_VAR_FIELD_NUMBER: _ClassVar[int]
    PERMYRIAD_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    reactive_var: int
    permyriad: int
    reference: GridReference
    def __init__(self, reactive_var: _Optional[int] = ..., permyriad: _Optional[int] = ..., reference: _Optional[_Union[GridReference, str]] = ...) -> None: ...

class CurvePoint(_message.Message):
    __slots__ = ("x", "y")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    x: int
    y: int
    def __init__(self, x: _Optional[int] = ..., y: _Optional[int] = ...) -> None: ...

class GridCurve(_message.Message):
    __slots__ = ("points", "reference", "region", "response_ms", "v_ref_permyriad")
    POINTS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_MS_FIELD_NUMBER: _ClassVar[int]
    V_REF_PERMYRIAD_FIELD_NUMBER: _ClassVar[int]
    points: _containers.RepeatedCompositeFieldContainer[CurvePoint]
    reference: GridReference
    region: TripRegion
    response_ms: int
    v_ref_permyriad: int
    def __init__(self, points: _Optional[_Iterable[_Union[CurvePoint, _Mapping]]] = ..., reference: _Optional[_Union[GridReference, str]] = ..., region: _Optional[_Union[TripRegion, str]] = ..., response_ms: _Optional[int] = ..., v_ref_permyriad: _Optional[int] = ...) -> None: ...

class FreqDroop(_message.Message):
    __slots__ = ("over_deadband_mhz", "under_deadband_mhz", "over_permille", "under_permille", "response_ms")
    OVER_DEADBAND_MHZ_FIELD_NUMBER: _ClassVar[int]
    UNDER_DEADBAND_MHZ_FIELD_NUMBER: _ClassVar[int]
    OVER_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    UNDER_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_MS_FIELD_NUMBER: _ClassVar[int]
    over_deadband_mhz: int
    under_deadband_mhz: int
    over_permille: int
    under_permille: int
    response_ms: int
    def __init__(self, over_deadband_mhz: _Optional[int] = ..., under_deadband_mhz: _Optional[int] = ..., over_permille: _Optional[int] = ..., under_permille: _Optional[int] = ..., response_ms: _Optional[int] = ...) -> None: ...

class GridMode(_message.Message):
    __slots__ = ("id", "source", "function", "ttl_ms", "ramp_ms", "reason", "power_factor", "reactive", "curve", "droop")
    ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    RAMP_MS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    POWER_FACTOR_FIELD_NUMBER: _ClassVar[int]
    REACTIVE_FIELD_NUMBER: _ClassVar[int]
    CURVE_FIELD_NUMBER: _ClassVar[int]
    DROOP_FIELD_NUMBER: _ClassVar[int]
    id: str
    source: str
    function: GridFunction
    ttl_ms: int
    ramp_ms: int
    reason: str
    power_factor: PowerFactor
    reactive: ReactivePower
    curve: GridCurve
    droop: FreqDroop
    def __init__(self, id: _Optional[str] = ..., source: _Optional[str] = ..., function: _Optional[_Union[GridFunction, str]] = ..., ttl_ms: _Optional[int] = ..., ramp_ms: _Optional[int] = ..., reason: _Optional[str] = ..., power_factor: _Optional[_Union[PowerFactor, _Mapping]] = ..., reactive: _Optional[_Union[ReactivePower, _Mapping]] = ..., curve: _Optional[_Union[GridCurve, _Mapping]] = ..., droop: _Optional[_Union[FreqDroop, _Mapping]] = ...) -> None: ...

class GridSetting(_message.Message):
    __slots__ = ("model", "state", "mode_ids", "why")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MODE_IDS_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    model: int
    state: GridState
    mode_ids: _containers.RepeatedScalarFieldContainer[str]
    why: str
    def __init__(self, model: _Optional[int] = ..., state: _Optional[_Union[GridState, str]] = ..., mode_ids: _Optional[_Iterable[str]] = ..., why: _Optional[str] = ...) -> None: ...

class InverterGrid(_message.Message):
    __slots__ = ("asset_id", "is_surveyed", "able", "settings", "why")
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    IS_SURVEYED_FIELD_NUMBER: _ClassVar[int]
    ABLE_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    asset_id: str
    is_surveyed: bool
    able: _containers.RepeatedScalarFieldContainer[GridFunction]
    settings: _containers.RepeatedCompositeFieldContainer[GridSetting]
    why: str
    def __init__(self, asset_id: _Optional[str] = ..., is_surveyed: _Optional[bool] = ..., able: _Optional[_Iterable[_Union[GridFunction, str]]] = ..., settings: _Optional[_Iterable[_Union[GridSetting, _Mapping]]] = ..., why: _Optional[str] = ...) -> None: ...

class PutModeRequest(_message.Message):
    __slots__ = ("mode",)
    MODE_FIELD_NUMBER: _ClassVar[int]
    mode: GridMode
    def __init__(self, mode: _Optional[_Union[GridMode, _Mapping]] = ...) -> None: ...

class PutModeResponse(_message.Message):
    __slots__ = ("mode",)
    MODE_FIELD_NUMBER: _ClassVar[int]
    mode: GridMode
    def __init__(self, mode: _Optional[_Union[GridMode, _Mapping]] = ...) -> None: ...

class DeleteModeRequest(_message.Message):
    __slots__ = ("id", "source")
    ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    id: str
    source: str
    def __init__(self, id: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class DeleteModeResponse(_message.Message):
    __slots__ = ("existed",)
    EXISTED_FIELD_NUMBER: _ClassVar[int]
    existed: bool
    def __init__(self, existed: _Optional[bool] = ...) -> None: ...

class ListModesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModesResponse(_message.Message):
    __slots__ = ("modes", "inverters")
    MODES_FIELD_NUMBER: _ClassVar[int]
    INVERTERS_FIELD_NUMBER: _ClassVar[int]
    modes: _containers.RepeatedCompositeFieldContainer[GridMode]
    inverters: _containers.RepeatedCompositeFieldContainer[InverterGrid]
    def __init__(self, modes: _Optional[_Iterable[_Union[GridMode, _Mapping]]] = ..., inverters: _Optional[_Iterable[_Union[InverterGrid, _Mapping]]] = ...) -> None: ...

class CheckModeRequest(_message.Message):
    __slots__ = ("mode",)
    MODE_FIELD_NUMBER: _ClassVar[int]
    mode: GridMode
    def __init__(self, mode: _Optional[_Union[GridMode, _Mapping]] = ...) -> None: ...

class CheckModeResponse(_message.Message):
    __slots__ = ("inverters",)
    INVERTERS_FIELD_NUMBER: _ClassVar[int]
    inverters: _containers.RepeatedCompositeFieldContainer[ModeFit]
    def __init__(self, inverters: _Optional[_Iterable[_Union[ModeFit, _Mapping]]] = ...) -> None: ...

class ModeFit(_message.Message):
    __slots__ = ("asset_id", "is_fit", "why")
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    IS_FIT_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    asset_id: str
    is_fit: bool
    why: str
    def __init__(self, asset_id: _Optional[str] = ..., is_fit: _Optional[bool] = ..., why: _Optional[str] = ...) -> None: ...
