"""The walk from the entry point to what applies to this device: capability, time, devices, assignments (S18 8-9)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCapability:
    """Entry of the link walk. poll_s None: 900 s by the standard."""

    href: str | None = None
    poll_s: int | None = None
    demand_response_program_list_link: str | None = None
    der_program_list_link: str | None = None
    messaging_program_list_link: str | None = None
    response_set_list_link: str | None = None
    tariff_profile_list_link: str | None = None
    time_link: str | None = None
    usage_point_list_link: str | None = None
    end_device_list_link: str | None = None
    mirror_usage_point_list_link: str | None = None
    self_device_link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """The server's clock in whole seconds UTC."""

    href: str | None = None
    poll_s: int | None = None
    current_s: int
    dst_end_s: int = 0
    dst_offset_s: int = 0
    dst_start_s: int = 0
    quality: int
    tz_offset_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndDevice:
    """One client as the server knows it; also the body of an in-band registration."""

    href: str | None = None
    subscribable: int | None = None
    configuration_link: str | None = None
    der_list_link: str | None = None
    device_category: int | None = None
    device_information_link: str | None = None
    device_status_link: str | None = None
    lfdi: str | None = None
    log_event_list_link: str | None = None
    power_status_link: str | None = None
    sfdi: int
    changed_s: int
    enabled: bool | None = None
    flow_reservation_request_list_link: str | None = None
    flow_reservation_response_list_link: str | None = None
    function_set_assignments_list_link: str | None = None
    post_rate_s: int | None = None
    registration_link: str | None = None
    subscription_list_link: str | None = None
    connection_point_link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndDeviceList:
    """A page of EndDevices; `all` counts what the server has."""

    href: str | None = None
    all: int
    results: int
    poll_s: int | None = None
    subscribable: int | None = None
    items: tuple[EndDevice, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfDevice:
    """The server itself as a device."""

    href: str | None = None
    poll_s: int | None = None
    der_list_link: str | None = None
    device_category: int | None = None
    device_information_link: str | None = None
    lfdi: str | None = None
    log_event_list_link: str | None = None
    sfdi: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The PIN that proves the server meant this device."""

    href: str | None = None
    poll_s: int | None = None
    registered_s: int
    pin: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSetAssignments:
    """A group that the device belongs to; its programs apply, on the clock behind time_link if it has one."""

    href: str | None = None
    subscribable: int | None = None
    demand_response_program_list_link: str | None = None
    der_program_list_link: str | None = None
    messaging_program_list_link: str | None = None
    response_set_list_link: str | None = None
    tariff_profile_list_link: str | None = None
    time_link: str | None = None
    mrid: str
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSetAssignmentsList:
    """A page of assignments."""

    href: str | None = None
    all: int
    results: int
    poll_s: int | None = None
    subscribable: int | None = None
    items: tuple[FunctionSetAssignments, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionPoint:
    """CSIP-AUS: the identifier of the grid connection, typically the NMI."""

    connection_point_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """The server's reason for a refusal: 0 format, 1 values, 2 resources, 3 condition, 4 too frequent."""

    max_retry_s: int | None = None
    reason_code: int
