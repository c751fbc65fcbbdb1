from dgm.api.ems.v1 import grid_pb2 as _grid_pb2
from dgm.api.core.v1 import device_pb2 as _device_pb2
from dgm.api.site.v1 import site_pb2 as _site_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Winding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WINDING_UNSPECIFIED: _ClassVar[Winding]
    WINDING_DELTA: _ClassVar[Winding]
    WINDING_WYE: _ClassVar[Winding]
WINDING_UNSPECIFIED: Winding
WINDING_DELTA: Winding
WINDING_WYE: Winding

class DgmConfig(_message.Message):
    __slots__ = ("site", "circuits", "assets", "cpos", "stations", "ems", "der", "ocpp", "api", "devices", "stations_csv")
    SITE_FIELD_NUMBER: _ClassVar[int]
    CIRCUITS_FIELD_NUMBER: _ClassVar[int]
    ASSETS_FIELD_NUMBER: _ClassVar[int]
    CPOS_FIELD_NUMBER: _ClassVar[int]
    STATIONS_FIELD_NUMBER: _ClassVar[int]
    EMS_FIELD_NUMBER: _ClassVar[int]
    DER_FIELD_NUMBER: _ClassVar[int]
    OCPP_FIELD_NUMBER: _ClassVar[int]
    API_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    STATIONS_CSV_FIELD_NUMBER: _ClassVar[int]
    site: SiteConfig
    circuits: _containers.RepeatedCompositeFieldContainer[CircuitConfig]
    assets: _containers.RepeatedCompositeFieldContainer[AssetConfig]
    cpos: _containers.RepeatedCompositeFieldContainer[CpoConfig]
    stations: _containers.RepeatedCompositeFieldContainer[StationConfig]
    ems: EmsConfig
    der: DerConfig
    ocpp: OcppConfig
    api: ApiConfig
    devices: _containers.RepeatedCompositeFieldContainer[_device_pb2.DeviceTable]
    stations_csv: str
    def __init__(self, site: _Optional[_Union[SiteConfig, _Mapping]] = ..., circuits: _Optional[_Iterable[_Union[CircuitConfig, _Mapping]]] = ..., assets: _Optional[_Iterable[_Union[AssetConfig, _Mapping]]] = ..., cpos: _Optional[_Iterable[_Union[CpoConfig, _Mapping]]] = ..., stations: _Optional[_Iterable[_Union[StationConfig, _Mapping]]] = ..., ems: _Optional[_Union[EmsConfig, _Mapping]] = ..., der: _Optional[_Union[DerConfig, _Mapping]] = ..., ocpp: _Optional[_Union[OcppConfig, _Mapping]] = ..., api: _Optional[_Union[ApiConfig, _Mapping]] = ..., devices: _Optional[_Iterable[_Union[_device_pb2.DeviceTable, _Mapping]]] = ..., stations_csv: _Optional[str] = ...) -> None: ...

class SiteConfig(_message.Message):
    __slots__ = ("id", "name", "nominal_voltage_mv", "state_dir", "run_dir", "power_factor_floor_permille", "dr_promise", "upstream_failsafe_s", "drilled_on", "latitude_udeg", "longitude_udeg")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NOMINAL_VOLTAGE_MV_FIELD_NUMBER: _ClassVar[int]
    STATE_DIR_FIELD_NUMBER: _ClassVar[int]
    RUN_DIR_FIELD_NUMBER: _ClassVar[int]
    POWER_FACTOR_FLOOR_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    DR_PROMISE_FIELD_NUMBER: _ClassVar[int]
    UPSTREAM_FAILSAFE_S_FIELD_NUMBER: _ClassVar[int]
    DRILLED_ON_FIELD_NUMBER: _ClassVar[int]
    LATITUDE_UDEG_FIELD_NUMBER: _ClassVar[int]
    LONGITUDE_UDEG_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    nominal_voltage_mv: int
    state_dir: str
    run_dir: str
    power_factor_floor_permille: int
    dr_promise: DrPromiseConfig
    upstream_failsafe_s: int
    drilled_on: str
    latitude_udeg: int
    longitude_udeg: int
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., nominal_voltage_mv: _Optional[int] = ..., state_dir: _Optional[str] = ..., run_dir: _Optional[str] = ..., power_factor_floor_permille: _Optional[int] = ..., dr_promise: _Optional[_Union[DrPromiseConfig, _Mapping]] = ..., upstream_failsafe_s: _Optional[int] = ..., drilled_on: _Optional[str] = ..., latitude_udeg: _Optional[int] = ..., longitude_udeg: _Optional[int] = ...) -> None: ...

class DrPromiseConfig(_message.Message):
    __slots__ = ("power_w", "duration_s")
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    power_w: int
    duration_s: int
    def __init__(self, power_w: _Optional[int] = ..., duration_s: _Optional[int] = ...) -> None: ...

class CircuitConfig(_message.Message):
    __slots__ = ("id", "parent", "import_limit_w", "export_limit_w", "current_limit_ma", "meter", "max_uncontrolled_w", "min_uncontrolled_w", "margin_permille", "breaker_ma", "service_va", "approved_export_w", "transformer")
    ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    IMPORT_LIMIT_W_FIELD_NUMBER: _ClassVar[int]
    EXPORT_LIMIT_W_FIELD_NUMBER: _ClassVar[int]
    CURRENT_LIMIT_MA_FIELD_NUMBER: _ClassVar[int]
    METER_FIELD_NUMBER: _ClassVar[int]
    MAX_UNCONTROLLED_W_FIELD_NUMBER: _ClassVar[int]
    MIN_UNCONTROLLED_W_FIELD_NUMBER: _ClassVar[int]
    MARGIN_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    BREAKER_MA_FIELD_NUMBER: _ClassVar[int]
    SERVICE_VA_FIELD_NUMBER: _ClassVar[int]
    APPROVED_EXPORT_W_FIELD_NUMBER: _ClassVar[int]
    TRANSFORMER_FIELD_NUMBER: _ClassVar[int]
    id: str
    parent: str
    import_limit_w: int
    export_limit_w: int
    current_limit_ma: int
    meter: str
    max_uncontrolled_w: int
    min_uncontrolled_w: int
    margin_permille: int
    breaker_ma: int
    service_va: int
    approved_export_w: int
    transformer: TransformerConfig
    def __init__(self, id: _Optional[str] = ..., parent: _Optional[str] = ..., import_limit_w: _Optional[int] = ..., export_limit_w: _Optional[int] = ..., current_limit_ma: _Optional[int] = ..., meter: _Optional[str] = ..., max_uncontrolled_w: _Optional[int] = ..., min_uncontrolled_w: _Optional[int] = ..., margin_permille: _Optional[int] = ..., breaker_ma: _Optional[int] = ..., service_va: _Optional[int] = ..., approved_export_w: _Optional[int] = ..., transformer: _Optional[_Union[TransformerConfig, _Mapping]] = ...) -> None: ...

class TransformerConfig(_message.Message):
    __slots__ = ("supply", "load_limit_ma", "supply_limit_ma", "turns_permille")
    SUPPLY_FIELD_NUMBER: _ClassVar[int]
    LOAD_LIMIT_MA_FIELD_NUMBER: _ClassVar[int]
    SUPPLY_LIMIT_MA_FIELD_NUMBER: _ClassVar[int]
    TURNS_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    supply: Winding
    load_limit_ma: int
    supply_limit_ma: int
    turns_permille: int
    def __init__(self, supply: _Optional[_Union[Winding, str]] = ..., load_limit_ma: _Optional[int] = ..., supply_limit_ma: _Optional[int] = ..., turns_permille: _Optional[int] = ...) -> None: ...

class AssetConfig(_message.Message):
    __slots__ = ("id", "type", "circuit", "phases", "power_max_w", "charge_max_w", "energy_wh", "soc_min_permille", "soc_max_permille", "bridge_reserve_w", "revert_w", "revert_s", "modbus", "grid_functions")
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CIRCUIT_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    POWER_MAX_W_FIELD_NUMBER: _ClassVar[int]
    CHARGE_MAX_W_FIELD_NUMBER: _ClassVar[int]
    ENERGY_WH_FIELD_NUMBER: _ClassVar[int]
    SOC_MIN_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    SOC_MAX_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    BRIDGE_RESERVE_W_FIELD_NUMBER: _ClassVar[int]
    REVERT_W_FIELD_NUMBER: _ClassVar[int]
    REVERT_S_FIELD_NUMBER: _ClassVar[int]
    MODBUS_FIELD_NUMBER: _ClassVar[int]
    GRID_FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    id: str
    type: _site_pb2.AssetType
    circuit: str
    phases: _containers.RepeatedScalarFieldContainer[_site_pb2.Phase]
    power_max_w: int
    charge_max_w: int
    energy_wh: int
    soc_min_permille: int
    soc_max_permille: int
    bridge_reserve_w: int
    revert_w: int
    revert_s: int
    modbus: ModbusConfig
    grid_functions: _containers.RepeatedScalarFieldContainer[_grid_pb2.GridFunction]
    def __init__(self, id: _Optional[str] = ..., type: _Optional[_Union[_site_pb2.AssetType, str]] = ..., circuit: _Optional[str] = ..., phases: _Optional[_Iterable[_Union[_site_pb2.Phase, str]]] = ..., power_max_w: _Optional[int] = ..., charge_max_w: _Optional[int] = ..., energy_wh: _Optional[int] = ..., soc_min_permille: _Optional[int] = ..., soc_max_permille: _Optional[int] = ..., bridge_reserve_w: _Optional[int] = ..., revert_w: _Optional[int] = ..., revert_s: _Optional[int] = ..., modbus: _Optional[_Union[ModbusConfig, _Mapping]] = ..., grid_functions: _Optional[_Iterable[_Union[_grid_pb2.GridFunction, str]]] = ...) -> None: ...

class ModbusConfig(_message.Message):
    __slots__ = ("host", "port", "unit_id", "poll_interval_ms", "timeout_ms", "serial", "tls", "device", "write_latency_ms", "ct_primary_a", "ct_secondary_a")
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    UNIT_ID_FIELD_NUMBER: _ClassVar[int]
    POLL_INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    WRITE_LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CT_PRIMARY_A_FIELD_NUMBER: _ClassVar[int]
    CT_SECONDARY_A_FIELD_NUMBER: _ClassVar[int]
    host: str
    port: int
    unit_id: int
    poll_interval_ms: int
    timeout_ms: int
    serial: SerialConfig
    tls: ModbusTlsConfig
    device: str
    write_latency_ms: int
    ct_primary_a: int
    ct_secondary_a: int
    def __init__(self, host: _Optional[str] = ..., port: _Optional[int] = ..., unit_id: _Optional[int] = ..., poll_interval_ms: _Optional[int] = ..., timeout_ms: _Optional[int] = ..., serial: _Optional[_Union[SerialConfig, _Mapping]] = ..., tls: _Optional[_Union[ModbusTlsConfig, _Mapping]] = ..., device: _Optional[str] = ..., write_latency_ms: _Optional[int] = ..., ct_primary_a: _Optional[int] = ..., ct_secondary_a: _Optional[int] = ...) -> None: ...

class SerialConfig(_message.Message):
    __slots__ = ("path", "baud", "parity", "stop_bits")
    PATH_FIELD_NUMBER: _ClassVar[int]
    BAUD_FIELD_NUMBER: _ClassVar[int]
    PARITY_FIELD_NUMBER: _ClassVar[int]
    STOP_BITS_FIELD_NUMBER: _ClassVar[int]
    path: str
    baud: int
    parity: str
    stop_bits: int
    def __init__(self, path: _Optional[str] = ..., baud: _Optional[int] = ..., parity: _Optional[str] = ..., stop_bits: _Optional[int] = ...) -> None: ...

class ModbusTlsConfig(_message.Message):
    __slots__ = ("certificate", "private_key", "ca", "server_name")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_KEY_FIELD_NUMBER: _ClassVar[int]
    CA_FIELD_NUMBER: _ClassVar[int]
    SERVER_NAME_FIELD_NUMBER: _ClassVar[int]
    certificate: str
    private_key: str
    ca: str
    server_name: str
    def __init__(self, certificate: _Optional[str] = ..., private_key: _Optional[str] = ..., ca: _Optional[str] = ..., server_name: _Optional[str] = ...) -> None: ...

class CpoConfig(_message.Message):
    __slots__ = ("id", "url", "ca", "certificate", "private_key", "outage", "store_agreement", "own")
    ID_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    CA_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_KEY_FIELD_NUMBER: _ClassVar[int]
    OUTAGE_FIELD_NUMBER: _ClassVar[int]
    STORE_AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    OWN_FIELD_NUMBER: _ClassVar[int]
    id: str
    url: str
    ca: str
    certificate: str
    private_key: str
    outage: str
    store_agreement: str
    own: OwnIdentityConfig
    def __init__(self, id: _Optional[str] = ..., url: _Optional[str] = ..., ca: _Optional[str] = ..., certificate: _Optional[str] = ..., private_key: _Optional[str] = ..., outage: _Optional[str] = ..., store_agreement: _Optional[str] = ..., own: _Optional[_Union[OwnIdentityConfig, _Mapping]] = ...) -> None: ...

class OwnIdentityConfig(_message.Message):
    __slots__ = ("id", "url", "password_file", "significance_percent")
    ID_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FILE_FIELD_NUMBER: _ClassVar[int]
    SIGNIFICANCE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    id: str
    url: str
    password_file: str
    significance_percent: int
    def __init__(self, id: _Optional[str] = ..., url: _Optional[str] = ..., password_file: _Optional[str] = ..., significance_percent: _Optional[int] = ...) -> None: ...

class StationConfig(_message.Message):
    __slots__ = ("id", "cpo", "evses", "csms_url", "enforcement", "security_profile", "certificate_name", "csms_password_file", "abort_on_close", "outage", "subprotocol")
    ID_FIELD_NUMBER: _ClassVar[int]
    CPO_FIELD_NUMBER: _ClassVar[int]
    EVSES_FIELD_NUMBER: _ClassVar[int]
    CSMS_URL_FIELD_NUMBER: _ClassVar[int]
    ENFORCEMENT_FIELD_NUMBER: _ClassVar[int]
    SECURITY_PROFILE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_NAME_FIELD_NUMBER: _ClassVar[int]
    CSMS_PASSWORD_FILE_FIELD_NUMBER: _ClassVar[int]
    ABORT_ON_CLOSE_FIELD_NUMBER: _ClassVar[int]
    OUTAGE_FIELD_NUMBER: _ClassVar[int]
    SUBPROTOCOL_FIELD_NUMBER: _ClassVar[int]
    id: str
    cpo: str
    evses: _containers.RepeatedCompositeFieldContainer[EvseConfig]
    csms_url: str
    enforcement: str
    security_profile: int
    certificate_name: str
    csms_password_file: str
    abort_on_close: bool
    outage: str
    subprotocol: str
    def __init__(self, id: _Optional[str] = ..., cpo: _Optional[str] = ..., evses: _Optional[_Iterable[_Union[EvseConfig, _Mapping]]] = ..., csms_url: _Optional[str] = ..., enforcement: _Optional[str] = ..., security_profile: _Optional[int] = ..., certificate_name: _Optional[str] = ..., csms_password_file: _Optional[str] = ..., abort_on_close: _Optional[bool] = ..., outage: _Optional[str] = ..., subprotocol: _Optional[str] = ...) -> None: ...

class EvseConfig(_message.Message):
    __slots__ = ("id", "connector_id", "circuit", "phases", "current_max_ma", "current_min_ma", "current_step_ma", "fallback_ma", "weight", "stratum", "discharge_max_ma")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTOR_ID_FIELD_NUMBER: _ClassVar[int]
    CIRCUIT_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    CURRENT_MAX_MA_FIELD_NUMBER: _ClassVar[int]
    CURRENT_MIN_MA_FIELD_NUMBER: _ClassVar[int]
    CURRENT_STEP_MA_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_MA_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    STRATUM_FIELD_NUMBER: _ClassVar[int]
    DISCHARGE_MAX_MA_FIELD_NUMBER: _ClassVar[int]
    id: str
    connector_id: int
    circuit: str
    phases: _containers.RepeatedScalarFieldContainer[_site_pb2.Phase]
    current_max_ma: int
    current_min_ma: int
    current_step_ma: int
    fallback_ma: int
    weight: int
    stratum: int
    discharge_max_ma: int
    def __init__(self, id: _Optional[str] = ..., connector_id: _Optional[int] = ..., circuit: _Optional[str] = ..., phases: _Optional[_Iterable[_Union[_site_pb2.Phase, str]]] = ..., current_max_ma: _Optional[int] = ..., current_min_ma: _Optional[int] = ..., current_step_ma: _Optional[int] = ..., fallback_ma: _Optional[int] = ..., weight: _Optional[int] = ..., stratum: _Optional[int] = ..., discharge_max_ma: _Optional[int] = ...) -> None: ...

class EmsConfig(_message.Message):
    __slots__ = ("tick_ms", "cycle_ms", "evse_deadband_ma", "evse_up_interval_ms", "sample_max_age_ms", "meter_max_age_ms", "setpoint_ttl_ms", "rotation_ms", "third_party", "policies", "pack", "time_zone")
    TICK_MS_FIELD_NUMBER: _ClassVar[int]
    CYCLE_MS_FIELD_NUMBER: _ClassVar[int]
    EVSE_DEADBAND_MA_FIELD_NUMBER: _ClassVar[int]
    EVSE_UP_INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_MAX_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    METER_MAX_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    SETPOINT_TTL_MS_FIELD_NUMBER: _ClassVar[int]
    ROTATION_MS_FIELD_NUMBER: _ClassVar[int]
    THIRD_PARTY_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    PACK_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    tick_ms: int
    cycle_ms: int
    evse_deadband_ma: int
    evse_up_interval_ms: int
    sample_max_age_ms: int
    meter_max_age_ms: int
    setpoint_ttl_ms: int
    rotation_ms: int
    third_party: bool
    policies: _containers.RepeatedCompositeFieldContainer[PolicyConfig]
    pack: str
    time_zone: str
    def __init__(self, tick_ms: _Optional[int] = ..., cycle_ms: _Optional[int] = ..., evse_deadband_ma: _Optional[int] = ..., evse_up_interval_ms: _Optional[int] = ..., sample_max_age_ms: _Optional[int] = ..., meter_max_age_ms: _Optional[int] = ..., setpoint_ttl_ms: _Optional[int] = ..., rotation_ms: _Optional[int] = ..., third_party: _Optional[bool] = ..., policies: _Optional[_Iterable[_Union[PolicyConfig, _Mapping]]] = ..., pack: _Optional[str] = ..., time_zone: _Optional[str] = ...) -> None: ...

class PolicyConfig(_message.Message):
    __slots__ = ("name", "parameters")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: PolicyParameter
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[PolicyParameter, _Mapping]] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    parameters: _containers.MessageMap[str, PolicyParameter]
    def __init__(self, name: _Optional[str] = ..., parameters: _Optional[_Mapping[str, PolicyParameter]] = ...) -> None: ...

class PolicyParameter(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class DerConfig(_message.Message):
    __slots__ = ("url", "certificate", "private_key", "ca", "pin", "in_band_registration", "poll_s", "site_rating_w", "battery_charge_rating_w", "pen", "nmi", "facade", "notify", "profile", "discovery", "discovery_domain", "discovery_server", "site_rating_va", "site_rating_var", "min_power_factor_permille", "demand_response_modes", "end_devices")
    URL_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_KEY_FIELD_NUMBER: _ClassVar[int]
    CA_FIELD_NUMBER: _ClassVar[int]
    PIN_FIELD_NUMBER: _ClassVar[int]
    IN_BAND_REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    POLL_S_FIELD_NUMBER: _ClassVar[int]
    SITE_RATING_W_FIELD_NUMBER: _ClassVar[int]
    BATTERY_CHARGE_RATING_W_FIELD_NUMBER: _ClassVar[int]
    PEN_FIELD_NUMBER: _ClassVar[int]
    NMI_FIELD_NUMBER: _ClassVar[int]
    FACADE_FIELD_NUMBER: _ClassVar[int]
    NOTIFY_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    DISCOVERY_FIELD_NUMBER: _ClassVar[int]
    DISCOVERY_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    DISCOVERY_SERVER_FIELD_NUMBER: _ClassVar[int]
    SITE_RATING_VA_FIELD_NUMBER: _ClassVar[int]
    SITE_RATING_VAR_FIELD_NUMBER: _ClassVar[int]
    MIN_POWER_FACTOR_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    DEMAND_RESPONSE_MODES_FIELD_NUMBER: _ClassVar[int]
    END_DEVICES_FIELD_NUMBER: _ClassVar[int]
    url: str
    certificate: str
    private_key: str
    ca: str
    pin: str
    in_band_registration: bool
    poll_s: int
    site_rating_w: int
    battery_charge_rating_w: int
    pen: int
    nmi: str
    facade: FacadeConfig
    notify: NotifyConfig
    profile: str
    discovery: str
    discovery_domain: str
    discovery_server: str
    site_rating_va: int
    site_rating_var: int
    min_power_factor_permille: int
    demand_response_modes: bool
    end_devices: _containers.RepeatedCompositeFieldContainer[EndDeviceConfig]
    def __init__(self, url: _Optional[str] = ..., certificate: _Optional[str] = ..., private_key: _Optional[str] = ..., ca: _Optional[str] = ..., pin: _Optional[str] = ..., in_band_registration: _Optional[bool] = ..., poll_s: _Optional[int] = ..., site_rating_w: _Optional[int] = ..., battery_charge_rating_w: _Optional[int] = ..., pen: _Optional[int] = ..., nmi: _Optional[str] = ..., facade: _Optional[_Union[FacadeConfig, _Mapping]] = ..., notify: _Optional[_Union[NotifyConfig, _Mapping]] = ..., profile: _Optional[str] = ..., discovery: _Optional[str] = ..., discovery_domain: _Optional[str] = ..., discovery_server: _Optional[str] = ..., site_rating_va: _Optional[int] = ..., site_rating_var: _Optional[int] = ..., min_power_factor_permille: _Optional[int] = ..., demand_response_modes: _Optional[bool] = ..., end_devices: _Optional[_Iterable[_Union[EndDeviceConfig, _Mapping]]] = ...) -> None: ...

class EndDeviceConfig(_message.Message):
    __slots__ = ("lfdi", "pin", "site", "ems", "site_rating_w", "battery_charge_rating_w", "nmi", "in_band_registration")
    LFDI_FIELD_NUMBER: _ClassVar[int]
    PIN_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    EMS_FIELD_NUMBER: _ClassVar[int]
    SITE_RATING_W_FIELD_NUMBER: _ClassVar[int]
    BATTERY_CHARGE_RATING_W_FIELD_NUMBER: _ClassVar[int]
    NMI_FIELD_NUMBER: _ClassVar[int]
    IN_BAND_REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    lfdi: str
    pin: str
    site: str
    ems: str
    site_rating_w: int
    battery_charge_rating_w: int
    nmi: str
    in_band_registration: bool
    def __init__(self, lfdi: _Optional[str] = ..., pin: _Optional[str] = ..., site: _Optional[str] = ..., ems: _Optional[str] = ..., site_rating_w: _Optional[int] = ..., battery_charge_rating_w: _Optional[int] = ..., nmi: _Optional[str] = ..., in_band_registration: _Optional[bool] = ...) -> None: ...

class NotifyConfig(_message.Message):
    __slots__ = ("host", "port", "url")
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    host: str
    port: int
    url: str
    def __init__(self, host: _Optional[str] = ..., port: _Optional[int] = ..., url: _Optional[str] = ...) -> None: ...

class OcppConfig(_message.Message):
    __slots__ = ("host", "port", "profile_lease_s", "max_stack_level", "trigger_interval_s", "call_timeout_s", "facade", "tls", "passwords_file", "compression", "ping_interval_s")
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    PROFILE_LEASE_S_FIELD_NUMBER: _ClassVar[int]
    MAX_STACK_LEVEL_FIELD_NUMBER: _ClassVar[int]
    TRIGGER_INTERVAL_S_FIELD_NUMBER: _ClassVar[int]
    CALL_TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    FACADE_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    PASSWORDS_FILE_FIELD_NUMBER: _ClassVar[int]
    COMPRESSION_FIELD_NUMBER: _ClassVar[int]
    PING_INTERVAL_S_FIELD_NUMBER: _ClassVar[int]
    host: str
    port: int
    profile_lease_s: int
    max_stack_level: int
    trigger_interval_s: int
    call_timeout_s: int
    facade: FacadeConfig
    tls: StationTlsConfig
    passwords_file: str
    compression: bool
    ping_interval_s: int
    def __init__(self, host: _Optional[str] = ..., port: _Optional[int] = ..., profile_lease_s: _Optional[int] = ..., max_stack_level: _Optional[int] = ..., trigger_interval_s: _Optional[int] = ..., call_timeout_s: _Optional[int] = ..., facade: _Optional[_Union[FacadeConfig, _Mapping]] = ..., tls: _Optional[_Union[StationTlsConfig, _Mapping]] = ..., passwords_file: _Optional[str] = ..., compression: _Optional[bool] = ..., ping_interval_s: _Optional[int] = ...) -> None: ...

class StationTlsConfig(_message.Message):
    __slots__ = ("port", "certificate", "private_key", "client_ca", "client_crl")
    PORT_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_KEY_FIELD_NUMBER: _ClassVar[int]
    CLIENT_CA_FIELD_NUMBER: _ClassVar[int]
    CLIENT_CRL_FIELD_NUMBER: _ClassVar[int]
    port: int
    certificate: str
    private_key: str
    client_ca: str
    client_crl: str
    def __init__(self, port: _Optional[int] = ..., certificate: _Optional[str] = ..., private_key: _Optional[str] = ..., client_ca: _Optional[str] = ..., client_crl: _Optional[str] = ...) -> None: ...

class FacadeConfig(_message.Message):
    __slots__ = ("host", "port", "tls", "write_roles")
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    WRITE_ROLES_FIELD_NUMBER: _ClassVar[int]
    host: str
    port: int
    tls: ModbusTlsConfig
    write_roles: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, host: _Optional[str] = ..., port: _Optional[int] = ..., tls: _Optional[_Union[ModbusTlsConfig, _Mapping]] = ..., write_roles: _Optional[_Iterable[str]] = ...) -> None: ...

class ApiConfig(_message.Message):
    __slots__ = ("host", "port", "certificate", "private_key", "client_ca", "metrics_host", "metrics_port_ems", "metrics_port_der", "metrics_port_ocpp")
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_KEY_FIELD_NUMBER: _ClassVar[int]
    CLIENT_CA_FIELD_NUMBER: _ClassVar[int]
    METRICS_HOST_FIELD_NUMBER: _ClassVar[int]
    METRICS_PORT_EMS_FIELD_NUMBER: _ClassVar[int]
    METRICS_PORT_DER_FIELD_NUMBER: _ClassVar[int]
    METRICS_PORT_OCPP_FIELD_NUMBER: _ClassVar[int]
    host: str
    port: int
    certificate: str
    private_key: str
    client_ca: str
    metrics_host: str
    metrics_port_ems: int
    metrics_port_der: int
    metrics_port_ocpp: int
    def __init__(self, host: _Optional[str] = ..., port: _Optional[int] = ..., certificate: _Optional[str] = ..., private_key: _Optional[str] = ..., client_ca: _Optional[str] = ..., metrics_host: _Optional[str] = ..., metrics_port_ems: _Optional[int] = ..., metrics_port_der: _Optional[int] = ..., metrics_port_ocpp: _Optional[int] = ...) -> None: ...
