from dgm.api.config.v1 import config_pb2 as _config_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MeterFaultKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METER_FAULT_KIND_UNSPECIFIED: _ClassVar[MeterFaultKind]
    METER_FAULT_KIND_SILENT: _ClassVar[MeterFaultKind]
    METER_FAULT_KIND_FROZEN: _ClassVar[MeterFaultKind]
    METER_FAULT_KIND_FLIPPED: _ClassVar[MeterFaultKind]
    METER_FAULT_KIND_PHASE_LOST: _ClassVar[MeterFaultKind]

class DeviceFaultKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEVICE_FAULT_KIND_UNSPECIFIED: _ClassVar[DeviceFaultKind]
    DEVICE_FAULT_KIND_TRIP: _ClassVar[DeviceFaultKind]
    DEVICE_FAULT_KIND_CUT: _ClassVar[DeviceFaultKind]

class StationManner(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATION_MANNER_UNSPECIFIED: _ClassVar[StationManner]
    STATION_MANNER_HONEST: _ClassVar[StationManner]
    STATION_MANNER_DEAF: _ClassVar[StationManner]
    STATION_MANNER_REJECTING: _ClassVar[StationManner]
    STATION_MANNER_LATE: _ClassVar[StationManner]
METER_FAULT_KIND_UNSPECIFIED: MeterFaultKind
METER_FAULT_KIND_SILENT: MeterFaultKind
METER_FAULT_KIND_FROZEN: MeterFaultKind
METER_FAULT_KIND_FLIPPED: MeterFaultKind
METER_FAULT_KIND_PHASE_LOST: MeterFaultKind
DEVICE_FAULT_KIND_UNSPECIFIED: DeviceFaultKind
DEVICE_FAULT_KIND_TRIP: DeviceFaultKind
DEVICE_FAULT_KIND_CUT: DeviceFaultKind
STATION_MANNER_UNSPECIFIED: StationManner
STATION_MANNER_HONEST: StationManner
STATION_MANNER_DEAF: StationManner
STATION_MANNER_REJECTING: StationManner
STATION_MANNER_LATE: StationManner

class Scenario(_message.Message):
    __slots__ = ("name", "number", "title", "why", "not_built", "runner", "world", "timeline", "marks", "runs")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    NOT_BUILT_FIELD_NUMBER: _ClassVar[int]
    RUNNER_FIELD_NUMBER: _ClassVar[int]
    WORLD_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    name: str
    number: int
    title: str
    why: str
    not_built: str
    runner: str
    world: ScenarioWorld
    timeline: _containers.RepeatedCompositeFieldContainer[ScenarioStep]
    marks: _containers.RepeatedCompositeFieldContainer[ScenarioMark]
    runs: _containers.RepeatedCompositeFieldContainer[ScenarioRun]
    def __init__(self, name: _Optional[str] = ..., number: _Optional[int] = ..., title: _Optional[str] = ..., why: _Optional[str] = ..., not_built: _Optional[str] = ..., runner: _Optional[str] = ..., world: _Optional[_Union[ScenarioWorld, _Mapping]] = ..., timeline: _Optional[_Iterable[_Union[ScenarioStep, _Mapping]]] = ..., marks: _Optional[_Iterable[_Union[ScenarioMark, _Mapping]]] = ..., runs: _Optional[_Iterable[_Union[ScenarioRun, _Mapping]]] = ...) -> None: ...

class ScenarioRun(_message.Message):
    __slots__ = ("name", "world", "timeline", "marks")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WORLD_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    name: str
    world: ScenarioWorld
    timeline: _containers.RepeatedCompositeFieldContainer[ScenarioStep]
    marks: _containers.RepeatedCompositeFieldContainer[ScenarioMark]
    def __init__(self, name: _Optional[str] = ..., world: _Optional[_Union[ScenarioWorld, _Mapping]] = ..., timeline: _Optional[_Iterable[_Union[ScenarioStep, _Mapping]]] = ..., marks: _Optional[_Iterable[_Union[ScenarioMark, _Mapping]]] = ...) -> None: ...

class ScenarioWorld(_message.Message):
    __slots__ = ("site", "length_s", "seed", "building_w", "sun_w", "soc_permille", "ems", "evses", "poll_s", "export_limit_w", "full_length_s", "wrong_phase_maps")
    SITE_FIELD_NUMBER: _ClassVar[int]
    LENGTH_S_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    BUILDING_W_FIELD_NUMBER: _ClassVar[int]
    SUN_W_FIELD_NUMBER: _ClassVar[int]
    SOC_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    EMS_FIELD_NUMBER: _ClassVar[int]
    EVSES_FIELD_NUMBER: _ClassVar[int]
    POLL_S_FIELD_NUMBER: _ClassVar[int]
    EXPORT_LIMIT_W_FIELD_NUMBER: _ClassVar[int]
    FULL_LENGTH_S_FIELD_NUMBER: _ClassVar[int]
    WRONG_PHASE_MAPS_FIELD_NUMBER: _ClassVar[int]
    site: str
    length_s: int
    seed: int
    building_w: int
    sun_w: int
    soc_permille: int
    ems: _config_pb2.EmsConfig
    evses: int
    poll_s: int
    export_limit_w: int
    full_length_s: int
    wrong_phase_maps: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, site: _Optional[str] = ..., length_s: _Optional[int] = ..., seed: _Optional[int] = ..., building_w: _Optional[int] = ..., sun_w: _Optional[int] = ..., soc_permille: _Optional[int] = ..., ems: _Optional[_Union[_config_pb2.EmsConfig, _Mapping]] = ..., evses: _Optional[int] = ..., poll_s: _Optional[int] = ..., export_limit_w: _Optional[int] = ..., full_length_s: _Optional[int] = ..., wrong_phase_maps: _Optional[_Iterable[str]] = ...) -> None: ...

class ScenarioStep(_message.Message):
    __slots__ = ("at_s", "cars", "leave", "building", "sun", "battery", "control", "default", "cancel", "meter", "device", "kill", "stations", "cut")
    AT_S_FIELD_NUMBER: _ClassVar[int]
    CARS_FIELD_NUMBER: _ClassVar[int]
    LEAVE_FIELD_NUMBER: _ClassVar[int]
    BUILDING_FIELD_NUMBER: _ClassVar[int]
    SUN_FIELD_NUMBER: _ClassVar[int]
    BATTERY_FIELD_NUMBER: _ClassVar[int]
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    METER_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    KILL_FIELD_NUMBER: _ClassVar[int]
    STATIONS_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    at_s: int
    cars: CarsArrive
    leave: CarsLeave
    building: LoadStep
    sun: LoadStep
    battery: BatterySet
    control: UtilityControl
    default: UtilityDefault
    cancel: UtilityCancel
    meter: MeterFault
    device: DeviceFault
    kill: RoleDeath
    stations: StationBehaviour
    cut: LinkCut
    def __init__(self, at_s: _Optional[int] = ..., cars: _Optional[_Union[CarsArrive, _Mapping]] = ..., leave: _Optional[_Union[CarsLeave, _Mapping]] = ..., building: _Optional[_Union[LoadStep, _Mapping]] = ..., sun: _Optional[_Union[LoadStep, _Mapping]] = ..., battery: _Optional[_Union[BatterySet, _Mapping]] = ..., control: _Optional[_Union[UtilityControl, _Mapping]] = ..., default: _Optional[_Union[UtilityDefault, _Mapping]] = ..., cancel: _Optional[_Union[UtilityCancel, _Mapping]] = ..., meter: _Optional[_Union[MeterFault, _Mapping]] = ..., device: _Optional[_Union[DeviceFault, _Mapping]] = ..., kill: _Optional[_Union[RoleDeath, _Mapping]] = ..., stations: _Optional[_Union[StationBehaviour, _Mapping]] = ..., cut: _Optional[_Union[LinkCut, _Mapping]] = ...) -> None: ...

class EvseChoice(_message.Message):
    __slots__ = ("ids", "kind", "first", "count")
    IDS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    kind: str
    first: int
    count: int
    def __init__(self, ids: _Optional[_Iterable[str]] = ..., kind: _Optional[str] = ..., first: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class CarsArrive(_message.Message):
    __slots__ = ("at", "over_s", "phases", "current_max_ma", "need_wh", "delay_ms", "ramp_ma_per_s", "departure_s")
    AT_FIELD_NUMBER: _ClassVar[int]
    OVER_S_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    CURRENT_MAX_MA_FIELD_NUMBER: _ClassVar[int]
    NEED_WH_FIELD_NUMBER: _ClassVar[int]
    DELAY_MS_FIELD_NUMBER: _ClassVar[int]
    RAMP_MA_PER_S_FIELD_NUMBER: _ClassVar[int]
    DEPARTURE_S_FIELD_NUMBER: _ClassVar[int]
    at: EvseChoice
    over_s: int
    phases: int
    current_max_ma: int
    need_wh: int
    delay_ms: int
    ramp_ma_per_s: int
    departure_s: int
    def __init__(self, at: _Optional[_Union[EvseChoice, _Mapping]] = ..., over_s: _Optional[int] = ..., phases: _Optional[int] = ..., current_max_ma: _Optional[int] = ..., need_wh: _Optional[int] = ..., delay_ms: _Optional[int] = ..., ramp_ma_per_s: _Optional[int] = ..., departure_s: _Optional[int] = ...) -> None: ...

class CarsLeave(_message.Message):
    __slots__ = ("at",)
    AT_FIELD_NUMBER: _ClassVar[int]
    at: EvseChoice
    def __init__(self, at: _Optional[_Union[EvseChoice, _Mapping]] = ...) -> None: ...

class LoadStep(_message.Message):
    __slots__ = ("power_w", "over_s", "phases_permille")
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    OVER_S_FIELD_NUMBER: _ClassVar[int]
    PHASES_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    power_w: int
    over_s: int
    phases_permille: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, power_w: _Optional[int] = ..., over_s: _Optional[int] = ..., phases_permille: _Optional[_Iterable[int]] = ...) -> None: ...

class BatterySet(_message.Message):
    __slots__ = ("soc_permille",)
    SOC_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    soc_permille: int
    def __init__(self, soc_permille: _Optional[int] = ...) -> None: ...

class UtilityControl(_message.Message):
    __slots__ = ("id", "mode", "power_w", "percent_hundredths", "flag", "start_s", "duration_s", "primacy", "ramp_cs")
    ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    PERCENT_HUNDREDTHS_FIELD_NUMBER: _ClassVar[int]
    FLAG_FIELD_NUMBER: _ClassVar[int]
    START_S_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    PRIMACY_FIELD_NUMBER: _ClassVar[int]
    RAMP_CS_FIELD_NUMBER: _ClassVar[int]
    id: str
    mode: str
    power_w: int
    percent_hundredths: int
    flag: bool
    start_s: int
    duration_s: int
    primacy: int
    ramp_cs: int
    def __init__(self, id: _Optional[str] = ..., mode: _Optional[str] = ..., power_w: _Optional[int] = ..., percent_hundredths: _Optional[int] = ..., flag: _Optional[bool] = ..., start_s: _Optional[int] = ..., duration_s: _Optional[int] = ..., primacy: _Optional[int] = ..., ramp_cs: _Optional[int] = ...) -> None: ...

class UtilityDefault(_message.Message):
    __slots__ = ("mode", "power_w", "percent_hundredths", "set_grad_w")
    MODE_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    PERCENT_HUNDREDTHS_FIELD_NUMBER: _ClassVar[int]
    SET_GRAD_W_FIELD_NUMBER: _ClassVar[int]
    mode: str
    power_w: int
    percent_hundredths: int
    set_grad_w: int
    def __init__(self, mode: _Optional[str] = ..., power_w: _Optional[int] = ..., percent_hundredths: _Optional[int] = ..., set_grad_w: _Optional[int] = ...) -> None: ...

class UtilityCancel(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class MeterFault(_message.Message):
    __slots__ = ("fault", "for_s", "phase")
    FAULT_FIELD_NUMBER: _ClassVar[int]
    FOR_S_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    fault: MeterFaultKind
    for_s: int
    phase: int
    def __init__(self, fault: _Optional[_Union[MeterFaultKind, str]] = ..., for_s: _Optional[int] = ..., phase: _Optional[int] = ...) -> None: ...

class DeviceFault(_message.Message):
    __slots__ = ("id", "fault", "for_s")
    ID_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    FOR_S_FIELD_NUMBER: _ClassVar[int]
    id: str
    fault: DeviceFaultKind
    for_s: int
    def __init__(self, id: _Optional[str] = ..., fault: _Optional[_Union[DeviceFaultKind, str]] = ..., for_s: _Optional[int] = ...) -> None: ...

class RoleDeath(_message.Message):
    __slots__ = ("role", "for_s")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    FOR_S_FIELD_NUMBER: _ClassVar[int]
    role: str
    for_s: int
    def __init__(self, role: _Optional[str] = ..., for_s: _Optional[int] = ...) -> None: ...

class StationBehaviour(_message.Message):
    __slots__ = ("at", "manner", "late_ms")
    AT_FIELD_NUMBER: _ClassVar[int]
    MANNER_FIELD_NUMBER: _ClassVar[int]
    LATE_MS_FIELD_NUMBER: _ClassVar[int]
    at: EvseChoice
    manner: StationManner
    late_ms: int
    def __init__(self, at: _Optional[_Union[EvseChoice, _Mapping]] = ..., manner: _Optional[_Union[StationManner, str]] = ..., late_ms: _Optional[int] = ...) -> None: ...

class LinkCut(_message.Message):
    __slots__ = ("of", "at", "for_s")
    OF_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    FOR_S_FIELD_NUMBER: _ClassVar[int]
    of: str
    at: EvseChoice
    for_s: int
    def __init__(self, of: _Optional[str] = ..., at: _Optional[_Union[EvseChoice, _Mapping]] = ..., for_s: _Optional[int] = ...) -> None: ...

class ScenarioMark(_message.Message):
    __slots__ = ("name", "expected", "measure", "of", "per", "from_s", "to_s", "bound", "window_s", "at_least", "at_most", "unit", "live", "not_built")
    NAME_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    OF_FIELD_NUMBER: _ClassVar[int]
    PER_FIELD_NUMBER: _ClassVar[int]
    FROM_S_FIELD_NUMBER: _ClassVar[int]
    TO_S_FIELD_NUMBER: _ClassVar[int]
    BOUND_FIELD_NUMBER: _ClassVar[int]
    WINDOW_S_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    AT_MOST_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    NOT_BUILT_FIELD_NUMBER: _ClassVar[int]
    name: str
    expected: str
    measure: str
    of: str
    per: str
    from_s: int
    to_s: int
    bound: str
    window_s: int
    at_least: str
    at_most: str
    unit: str
    live: bool
    not_built: str
    def __init__(self, name: _Optional[str] = ..., expected: _Optional[str] = ..., measure: _Optional[str] = ..., of: _Optional[str] = ..., per: _Optional[str] = ..., from_s: _Optional[int] = ..., to_s: _Optional[int] = ..., bound: _Optional[str] = ..., window_s: _Optional[int] = ..., at_least: _Optional[str] = ..., at_most: _Optional[str] = ..., unit: _Optional[str] = ..., live: _Optional[bool] = ..., not_built: _Optional[str] = ...) -> None: ...
