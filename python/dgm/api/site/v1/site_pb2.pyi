from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AssetType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ASSET_TYPE_UNSPECIFIED: _ClassVar[AssetType]
    ASSET_TYPE_METER: _ClassVar[AssetType]
    ASSET_TYPE_PV: _ClassVar[AssetType]
    ASSET_TYPE_BATTERY: _ClassVar[AssetType]
    ASSET_TYPE_EVSE: _ClassVar[AssetType]
    ASSET_TYPE_LOAD: _ClassVar[AssetType]

class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHASE_UNSPECIFIED: _ClassVar[Phase]
    PHASE_L1: _ClassVar[Phase]
    PHASE_L2: _ClassVar[Phase]
    PHASE_L3: _ClassVar[Phase]

class Quality(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUALITY_UNSPECIFIED: _ClassVar[Quality]
    QUALITY_GOOD: _ClassVar[Quality]
    QUALITY_STALE: _ClassVar[Quality]
    QUALITY_FAILED: _ClassVar[Quality]
    QUALITY_NEVER: _ClassVar[Quality]

class PlugState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PLUG_STATE_UNSPECIFIED: _ClassVar[PlugState]
    PLUG_STATE_AVAILABLE: _ClassVar[PlugState]
    PLUG_STATE_PREPARING: _ClassVar[PlugState]
    PLUG_STATE_CHARGING: _ClassVar[PlugState]
    PLUG_STATE_SUSPENDED_EV: _ClassVar[PlugState]
    PLUG_STATE_SUSPENDED_EVSE: _ClassVar[PlugState]
    PLUG_STATE_FINISHING: _ClassVar[PlugState]
    PLUG_STATE_RESERVED: _ClassVar[PlugState]
    PLUG_STATE_UNAVAILABLE: _ClassVar[PlugState]
    PLUG_STATE_FAULTED: _ClassVar[PlugState]
    PLUG_STATE_OFFLINE: _ClassVar[PlugState]

class DerControlType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DER_CONTROL_TYPE_UNSPECIFIED: _ClassVar[DerControlType]
    DER_CONTROL_TYPE_ENTER_SERVICE: _ClassVar[DerControlType]
    DER_CONTROL_TYPE_FREQ_DROOP: _ClassVar[DerControlType]
    DER_CONTROL_TYPE_FREQ_WATT: _ClassVar[DerControlType]
    DER_CONTROL_TYPE_FIXED_PF_ABSORB: _ClassVar[DerControlType]
    DER_CONTROL_TYPE_FIXED_PF_INJECT: _ClassVar[DerControlType]
    DER_CONTROL_TYPE_FIXED_VAR: _ClassVar[DerControlType]
    DER_CONTROL_TYPE_GRADIENTS: _ClassVar[DerControlType]
    DER_CONTROL_TYPE_HF_MUST_TRIP: _ClassVar[DerControlType]
    DER_CONTROL_TYPE_HF_MAY_TRIP: _ClassVar[DerControlType]
    DER_CONTROL_TYPE_HV_MUST_TRIP: _ClassVar[DerControlType]
    DER_CONTROL_TYPE_HV_MOM_CESS: _ClassVar[DerControlType]
    DER_CONTROL_TYPE_HV_MAY_TRIP: _ClassVar[DerControlType]
    DER_CONTROL_TYPE_LIMIT_MAX_DISCHARGE: _ClassVar[DerControlType]
    DER_CONTROL_TYPE_LF_MUST_TRIP: _ClassVar[DerControlType]
    DER_CONTROL_TYPE_LV_MUST_TRIP: _ClassVar[DerControlType]
    DER_CONTROL_TYPE_LV_MOM_CESS: _ClassVar[DerControlType]
    DER_CONTROL_TYPE_LV_MAY_TRIP: _ClassVar[DerControlType]
    DER_CONTROL_TYPE_POWER_MONITORING_MUST_TRIP: _ClassVar[DerControlType]
    DER_CONTROL_TYPE_VOLT_VAR: _ClassVar[DerControlType]
    DER_CONTROL_TYPE_VOLT_WATT: _ClassVar[DerControlType]
    DER_CONTROL_TYPE_WATT_PF: _ClassVar[DerControlType]
    DER_CONTROL_TYPE_WATT_VAR: _ClassVar[DerControlType]

class DerControlState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DER_CONTROL_STATE_UNSPECIFIED: _ClassVar[DerControlState]
    DER_CONTROL_STATE_STORED: _ClassVar[DerControlState]
    DER_CONTROL_STATE_ACTIVE: _ClassVar[DerControlState]
    DER_CONTROL_STATE_SUPERSEDED: _ClassVar[DerControlState]
    DER_CONTROL_STATE_ENDED: _ClassVar[DerControlState]

class GridFault(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GRID_FAULT_UNSPECIFIED: _ClassVar[GridFault]
    GRID_FAULT_CURRENT_IMBALANCE: _ClassVar[GridFault]
    GRID_FAULT_LOCAL_EMERGENCY: _ClassVar[GridFault]
    GRID_FAULT_LOW_INPUT_POWER: _ClassVar[GridFault]
    GRID_FAULT_OVER_CURRENT: _ClassVar[GridFault]
    GRID_FAULT_OVER_FREQUENCY: _ClassVar[GridFault]
    GRID_FAULT_OVER_VOLTAGE: _ClassVar[GridFault]
    GRID_FAULT_PHASE_ROTATION: _ClassVar[GridFault]
    GRID_FAULT_REMOTE_EMERGENCY: _ClassVar[GridFault]
    GRID_FAULT_UNDER_FREQUENCY: _ClassVar[GridFault]
    GRID_FAULT_UNDER_VOLTAGE: _ClassVar[GridFault]
    GRID_FAULT_VOLTAGE_IMBALANCE: _ClassVar[GridFault]
ASSET_TYPE_UNSPECIFIED: AssetType
ASSET_TYPE_METER: AssetType
ASSET_TYPE_PV: AssetType
ASSET_TYPE_BATTERY: AssetType
ASSET_TYPE_EVSE: AssetType
ASSET_TYPE_LOAD: AssetType
PHASE_UNSPECIFIED: Phase
PHASE_L1: Phase
PHASE_L2: Phase
PHASE_L3: Phase
QUALITY_UNSPECIFIED: Quality
QUALITY_GOOD: Quality
QUALITY_STALE: Quality
QUALITY_FAILED: Quality
QUALITY_NEVER: Quality
PLUG_STATE_UNSPECIFIED: PlugState
PLUG_STATE_AVAILABLE: PlugState
PLUG_STATE_PREPARING: PlugState
PLUG_STATE_CHARGING: PlugState
PLUG_STATE_SUSPENDED_EV: PlugState
PLUG_STATE_SUSPENDED_EVSE: PlugState
PLUG_STATE_FINISHING: PlugState
PLUG_STATE_RESERVED: PlugState
PLUG_STATE_UNAVAILABLE: PlugState
PLUG_STATE_FAULTED: PlugState
PLUG_STATE_OFFLINE: PlugState
DER_CONTROL_TYPE_UNSPECIFIED: DerControlType
DER_CONTROL_TYPE_ENTER_SERVICE: DerControlType
DER_CONTROL_TYPE_FREQ_DROOP: DerControlType
DER_CONTROL_TYPE_FREQ_WATT: DerControlType
DER_CONTROL_TYPE_FIXED_PF_ABSORB: DerControlType
DER_CONTROL_TYPE_FIXED_PF_INJECT: DerControlType
DER_CONTROL_TYPE_FIXED_VAR: DerControlType
DER_CONTROL_TYPE_GRADIENTS: DerControlType
DER_CONTROL_TYPE_HF_MUST_TRIP: DerControlType
DER_CONTROL_TYPE_HF_MAY_TRIP: DerControlType
DER_CONTROL_TYPE_HV_MUST_TRIP: DerControlType
DER_CONTROL_TYPE_HV_MOM_CESS: DerControlType
DER_CONTROL_TYPE_HV_MAY_TRIP: DerControlType
DER_CONTROL_TYPE_LIMIT_MAX_DISCHARGE: DerControlType
DER_CONTROL_TYPE_LF_MUST_TRIP: DerControlType
DER_CONTROL_TYPE_LV_MUST_TRIP: DerControlType
DER_CONTROL_TYPE_LV_MOM_CESS: DerControlType
DER_CONTROL_TYPE_LV_MAY_TRIP: DerControlType
DER_CONTROL_TYPE_POWER_MONITORING_MUST_TRIP: DerControlType
DER_CONTROL_TYPE_VOLT_VAR: DerControlType
DER_CONTROL_TYPE_VOLT_WATT: DerControlType
DER_CONTROL_TYPE_WATT_PF: DerControlType
DER_CONTROL_TYPE_WATT_VAR: DerControlType
DER_CONTROL_STATE_UNSPECIFIED: DerControlState
DER_CONTROL_STATE_STORED: DerControlState
DER_CONTROL_STATE_ACTIVE: DerControlState
DER_CONTROL_STATE_SUPERSEDED: DerControlState
DER_CONTROL_STATE_ENDED: DerControlState
GRID_FAULT_UNSPECIFIED: GridFault
GRID_FAULT_CURRENT_IMBALANCE: GridFault
GRID_FAULT_LOCAL_EMERGENCY: GridFault
GRID_FAULT_LOW_INPUT_POWER: GridFault
GRID_FAULT_OVER_CURRENT: GridFault
GRID_FAULT_OVER_FREQUENCY: GridFault
GRID_FAULT_OVER_VOLTAGE: GridFault
GRID_FAULT_PHASE_ROTATION: GridFault
GRID_FAULT_REMOTE_EMERGENCY: GridFault
GRID_FAULT_UNDER_FREQUENCY: GridFault
GRID_FAULT_UNDER_VOLTAGE: GridFault
GRID_FAULT_VOLTAGE_IMBALANCE: GridFault

class PhaseValues(_message.Message):
    __slots__ = ("l1", "l2", "l3")
    L1_FIELD_NUMBER: _ClassVar[int]
    L2_FIELD_NUMBER: _ClassVar[int]
    L3_FIELD_NUMBER: _ClassVar[int]
    l1: int
    l2: int
    l3: int
    def __init__(self, l1: _Optional[int] = ..., l2: _Optional[int] = ..., l3: _Optional[int] = ...) -> None: ...

class Sample(_message.Message):
    __slots__ = ("asset_id", "quality", "age_ms", "power_w", "reactive_var", "current_ma", "voltage_mv", "frequency_mhz", "energy_wh", "soc_permille", "plug_state")
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    AGE_MS_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    REACTIVE_VAR_FIELD_NUMBER: _ClassVar[int]
    CURRENT_MA_FIELD_NUMBER: _ClassVar[int]
    VOLTAGE_MV_FIELD_NUMBER: _ClassVar[int]
    FREQUENCY_MHZ_FIELD_NUMBER: _ClassVar[int]
    ENERGY_WH_FIELD_NUMBER: _ClassVar[int]
    SOC_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    PLUG_STATE_FIELD_NUMBER: _ClassVar[int]
    asset_id: str
    quality: Quality
    age_ms: int
    power_w: int
    reactive_var: int
    current_ma: PhaseValues
    voltage_mv: PhaseValues
    frequency_mhz: int
    energy_wh: int
    soc_permille: int
    plug_state: PlugState
    def __init__(self, asset_id: _Optional[str] = ..., quality: _Optional[_Union[Quality, str]] = ..., age_ms: _Optional[int] = ..., power_w: _Optional[int] = ..., reactive_var: _Optional[int] = ..., current_ma: _Optional[_Union[PhaseValues, _Mapping]] = ..., voltage_mv: _Optional[_Union[PhaseValues, _Mapping]] = ..., frequency_mhz: _Optional[int] = ..., energy_wh: _Optional[int] = ..., soc_permille: _Optional[int] = ..., plug_state: _Optional[_Union[PlugState, str]] = ...) -> None: ...

class Circuit(_message.Message):
    __slots__ = ("id", "parent_id", "import_limit_w", "export_limit_w", "current_limit_ma", "meter_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    IMPORT_LIMIT_W_FIELD_NUMBER: _ClassVar[int]
    EXPORT_LIMIT_W_FIELD_NUMBER: _ClassVar[int]
    CURRENT_LIMIT_MA_FIELD_NUMBER: _ClassVar[int]
    METER_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    parent_id: str
    import_limit_w: int
    export_limit_w: int
    current_limit_ma: int
    meter_id: str
    def __init__(self, id: _Optional[str] = ..., parent_id: _Optional[str] = ..., import_limit_w: _Optional[int] = ..., export_limit_w: _Optional[int] = ..., current_limit_ma: _Optional[int] = ..., meter_id: _Optional[str] = ...) -> None: ...

class Asset(_message.Message):
    __slots__ = ("id", "type", "circuit_id", "phases", "power_max_w", "current_max_ma", "station_id", "cpo_id", "discharge_max_ma")
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CIRCUIT_ID_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    POWER_MAX_W_FIELD_NUMBER: _ClassVar[int]
    CURRENT_MAX_MA_FIELD_NUMBER: _ClassVar[int]
    STATION_ID_FIELD_NUMBER: _ClassVar[int]
    CPO_ID_FIELD_NUMBER: _ClassVar[int]
    DISCHARGE_MAX_MA_FIELD_NUMBER: _ClassVar[int]
    id: str
    type: AssetType
    circuit_id: str
    phases: _containers.RepeatedScalarFieldContainer[Phase]
    power_max_w: int
    current_max_ma: int
    station_id: str
    cpo_id: str
    discharge_max_ma: int
    def __init__(self, id: _Optional[str] = ..., type: _Optional[_Union[AssetType, str]] = ..., circuit_id: _Optional[str] = ..., phases: _Optional[_Iterable[_Union[Phase, str]]] = ..., power_max_w: _Optional[int] = ..., current_max_ma: _Optional[int] = ..., station_id: _Optional[str] = ..., cpo_id: _Optional[str] = ..., discharge_max_ma: _Optional[int] = ...) -> None: ...

class Site(_message.Message):
    __slots__ = ("id", "name", "circuits", "assets", "epoch")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CIRCUITS_FIELD_NUMBER: _ClassVar[int]
    ASSETS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    circuits: _containers.RepeatedCompositeFieldContainer[Circuit]
    assets: _containers.RepeatedCompositeFieldContainer[Asset]
    epoch: int
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., circuits: _Optional[_Iterable[_Union[Circuit, _Mapping]]] = ..., assets: _Optional[_Iterable[_Union[Asset, _Mapping]]] = ..., epoch: _Optional[int] = ...) -> None: ...

class CircuitState(_message.Message):
    __slots__ = ("circuit_id", "net_power_w", "current_ma", "import_limit_w", "export_limit_w", "current_limit_ma", "import_limit_id", "uncontrolled_w", "evse_counted_w", "shortfall_w", "meter_lost")
    CIRCUIT_ID_FIELD_NUMBER: _ClassVar[int]
    NET_POWER_W_FIELD_NUMBER: _ClassVar[int]
    CURRENT_MA_FIELD_NUMBER: _ClassVar[int]
    IMPORT_LIMIT_W_FIELD_NUMBER: _ClassVar[int]
    EXPORT_LIMIT_W_FIELD_NUMBER: _ClassVar[int]
    CURRENT_LIMIT_MA_FIELD_NUMBER: _ClassVar[int]
    IMPORT_LIMIT_ID_FIELD_NUMBER: _ClassVar[int]
    UNCONTROLLED_W_FIELD_NUMBER: _ClassVar[int]
    EVSE_COUNTED_W_FIELD_NUMBER: _ClassVar[int]
    SHORTFALL_W_FIELD_NUMBER: _ClassVar[int]
    METER_LOST_FIELD_NUMBER: _ClassVar[int]
    circuit_id: str
    net_power_w: int
    current_ma: PhaseValues
    import_limit_w: int
    export_limit_w: int
    current_limit_ma: int
    import_limit_id: str
    uncontrolled_w: int
    evse_counted_w: int
    shortfall_w: int
    meter_lost: bool
    def __init__(self, circuit_id: _Optional[str] = ..., net_power_w: _Optional[int] = ..., current_ma: _Optional[_Union[PhaseValues, _Mapping]] = ..., import_limit_w: _Optional[int] = ..., export_limit_w: _Optional[int] = ..., current_limit_ma: _Optional[int] = ..., import_limit_id: _Optional[str] = ..., uncontrolled_w: _Optional[int] = ..., evse_counted_w: _Optional[int] = ..., shortfall_w: _Optional[int] = ..., meter_lost: _Optional[bool] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("asset_id", "power_w", "current_ma", "binding_limit_id")
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    CURRENT_MA_FIELD_NUMBER: _ClassVar[int]
    BINDING_LIMIT_ID_FIELD_NUMBER: _ClassVar[int]
    asset_id: str
    power_w: int
    current_ma: int
    binding_limit_id: str
    def __init__(self, asset_id: _Optional[str] = ..., power_w: _Optional[int] = ..., current_ma: _Optional[int] = ..., binding_limit_id: _Optional[str] = ...) -> None: ...

class DerControl(_message.Message):
    __slots__ = ("id", "type", "state", "is_default", "priority", "start_utc_ms", "duration_ms", "discharge_max_permille")
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    IS_DEFAULT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    START_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    DISCHARGE_MAX_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    id: str
    type: DerControlType
    state: DerControlState
    is_default: bool
    priority: int
    start_utc_ms: int
    duration_ms: int
    discharge_max_permille: int
    def __init__(self, id: _Optional[str] = ..., type: _Optional[_Union[DerControlType, str]] = ..., state: _Optional[_Union[DerControlState, str]] = ..., is_default: _Optional[bool] = ..., priority: _Optional[int] = ..., start_utc_ms: _Optional[int] = ..., duration_ms: _Optional[int] = ..., discharge_max_permille: _Optional[int] = ...) -> None: ...

class DerAlarm(_message.Message):
    __slots__ = ("type", "fault", "at_utc_ms")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    AT_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    type: DerControlType
    fault: GridFault
    at_utc_ms: int
    def __init__(self, type: _Optional[_Union[DerControlType, str]] = ..., fault: _Optional[_Union[GridFault, str]] = ..., at_utc_ms: _Optional[int] = ...) -> None: ...

class EvseDer(_message.Message):
    __slots__ = ("asset_id", "types", "controls", "alarms")
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    CONTROLS_FIELD_NUMBER: _ClassVar[int]
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    asset_id: str
    types: _containers.RepeatedScalarFieldContainer[DerControlType]
    controls: _containers.RepeatedCompositeFieldContainer[DerControl]
    alarms: _containers.RepeatedCompositeFieldContainer[DerAlarm]
    def __init__(self, asset_id: _Optional[str] = ..., types: _Optional[_Iterable[_Union[DerControlType, str]]] = ..., controls: _Optional[_Iterable[_Union[DerControl, _Mapping]]] = ..., alarms: _Optional[_Iterable[_Union[DerAlarm, _Mapping]]] = ...) -> None: ...

class GetSiteRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetSiteResponse(_message.Message):
    __slots__ = ("site",)
    SITE_FIELD_NUMBER: _ClassVar[int]
    site: Site
    def __init__(self, site: _Optional[_Union[Site, _Mapping]] = ...) -> None: ...

class WatchSiteRequest(_message.Message):
    __slots__ = ("interval_ms",)
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    interval_ms: int
    def __init__(self, interval_ms: _Optional[int] = ...) -> None: ...

class WatchSiteResponse(_message.Message):
    __slots__ = ("sequence", "snapshot", "time_utc_ms", "samples", "circuits", "grants", "ders")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    TIME_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    CIRCUITS_FIELD_NUMBER: _ClassVar[int]
    GRANTS_FIELD_NUMBER: _ClassVar[int]
    DERS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    snapshot: bool
    time_utc_ms: int
    samples: _containers.RepeatedCompositeFieldContainer[Sample]
    circuits: _containers.RepeatedCompositeFieldContainer[CircuitState]
    grants: _containers.RepeatedCompositeFieldContainer[Grant]
    ders: _containers.RepeatedCompositeFieldContainer[EvseDer]
    def __init__(self, sequence: _Optional[int] = ..., snapshot: _Optional[bool] = ..., time_utc_ms: _Optional[int] = ..., samples: _Optional[_Iterable[_Union[Sample, _Mapping]]] = ..., circuits: _Optional[_Iterable[_Union[CircuitState, _Mapping]]] = ..., grants: _Optional[_Iterable[_Union[Grant, _Mapping]]] = ..., ders: _Optional[_Iterable[_Union[EvseDer, _Mapping]]] = ...) -> None: ...

class ReportSamplesRequest(_message.Message):
    __slots__ = ("source", "sequence", "samples", "ders")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    DERS_FIELD_NUMBER: _ClassVar[int]
    source: str
    sequence: int
    samples: _containers.RepeatedCompositeFieldContainer[Sample]
    ders: _containers.RepeatedCompositeFieldContainer[EvseDer]
    def __init__(self, source: _Optional[str] = ..., sequence: _Optional[int] = ..., samples: _Optional[_Iterable[_Union[Sample, _Mapping]]] = ..., ders: _Optional[_Iterable[_Union[EvseDer, _Mapping]]] = ...) -> None: ...

class ReportSamplesResponse(_message.Message):
    __slots__ = ("unknown_asset_ids",)
    UNKNOWN_ASSET_IDS_FIELD_NUMBER: _ClassVar[int]
    unknown_asset_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, unknown_asset_ids: _Optional[_Iterable[str]] = ...) -> None: ...
