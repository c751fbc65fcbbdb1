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

class PlanStep(_message.Message):
    __slots__ = ("start_utc_ms", "duration_ms", "load_w", "solar_w", "curtailed_w", "battery_w", "soc_wh", "cars_w", "import_w", "import_max_w", "over_w", "price_per_mwh", "gross_max_w", "phase_w")
    START_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    LOAD_W_FIELD_NUMBER: _ClassVar[int]
    SOLAR_W_FIELD_NUMBER: _ClassVar[int]
    CURTAILED_W_FIELD_NUMBER: _ClassVar[int]
    BATTERY_W_FIELD_NUMBER: _ClassVar[int]
    SOC_WH_FIELD_NUMBER: _ClassVar[int]
    CARS_W_FIELD_NUMBER: _ClassVar[int]
    IMPORT_W_FIELD_NUMBER: _ClassVar[int]
    IMPORT_MAX_W_FIELD_NUMBER: _ClassVar[int]
    OVER_W_FIELD_NUMBER: _ClassVar[int]
    PRICE_PER_MWH_FIELD_NUMBER: _ClassVar[int]
    GROSS_MAX_W_FIELD_NUMBER: _ClassVar[int]
    PHASE_W_FIELD_NUMBER: _ClassVar[int]
    start_utc_ms: int
    duration_ms: int
    load_w: int
    solar_w: int
    curtailed_w: int
    battery_w: int
    soc_wh: int
    cars_w: int
    import_w: int
    import_max_w: int
    over_w: int
    price_per_mwh: int
    gross_max_w: int
    phase_w: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, start_utc_ms: _Optional[int] = ..., duration_ms: _Optional[int] = ..., load_w: _Optional[int] = ..., solar_w: _Optional[int] = ..., curtailed_w: _Optional[int] = ..., battery_w: _Optional[int] = ..., soc_wh: _Optional[int] = ..., cars_w: _Optional[int] = ..., import_w: _Optional[int] = ..., import_max_w: _Optional[int] = ..., over_w: _Optional[int] = ..., price_per_mwh: _Optional[int] = ..., gross_max_w: _Optional[int] = ..., phase_w: _Optional[_Iterable[int]] = ...) -> None: ...

class PlannedCar(_message.Message):
    __slots__ = ("asset_id", "due_wh", "departure_utc_ms", "short_wh", "now_w", "min_w", "short_reason")
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    DUE_WH_FIELD_NUMBER: _ClassVar[int]
    DEPARTURE_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    SHORT_WH_FIELD_NUMBER: _ClassVar[int]
    NOW_W_FIELD_NUMBER: _ClassVar[int]
    MIN_W_FIELD_NUMBER: _ClassVar[int]
    SHORT_REASON_FIELD_NUMBER: _ClassVar[int]
    asset_id: str
    due_wh: int
    departure_utc_ms: int
    short_wh: int
    now_w: int
    min_w: int
    short_reason: str
    def __init__(self, asset_id: _Optional[str] = ..., due_wh: _Optional[int] = ..., departure_utc_ms: _Optional[int] = ..., short_wh: _Optional[int] = ..., now_w: _Optional[int] = ..., min_w: _Optional[int] = ..., short_reason: _Optional[str] = ...) -> None: ...

class GetPlanRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetPlanResponse(_message.Message):
    __slots__ = ("in_force", "reason", "made_utc_ms", "age_ms", "lease_ms", "solve_us", "steps", "cars", "inputs")
    IN_FORCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MADE_UTC_MS_FIELD_NUMBER: _ClassVar[int]
    AGE_MS_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    SOLVE_US_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    CARS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    in_force: bool
    reason: str
    made_utc_ms: int
    age_ms: int
    lease_ms: int
    solve_us: int
    steps: _containers.RepeatedCompositeFieldContainer[PlanStep]
    cars: _containers.RepeatedCompositeFieldContainer[PlannedCar]
    inputs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, in_force: _Optional[bool] = ..., reason: _Optional[str] = ..., made_utc_ms: _Optional[int] = ..., age_ms: _Optional[int] = ..., lease_ms: _Optional[int] = ..., solve_us: _Optional[int] = ..., steps: _Optional[_Iterable[_Union[PlanStep, _Mapping]]] = ..., cars: _Optional[_Iterable[_Union[PlannedCar, _Mapping]]] = ..., inputs: _Optional[_Iterable[str]] = ...) -> None: ...
