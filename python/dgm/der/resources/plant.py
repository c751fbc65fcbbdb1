"""The plant as the utility sees it (S18 10.10): nameplate, settings, status and availability.

Ratings are magnitudes. "Absorbed" vars are written negative, as the schema wants them, and magnitudes here.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.der.resources.event import StampedText, StampedValue


@dataclass(frozen=True, slots=True, kw_only=True)
class DER:
    """Where the plant's ratings, settings and status are put."""

    href: str | None = None
    current_program_link: str | None = None
    availability_link: str | None = None
    capability_link: str | None = None
    settings_link: str | None = None
    status_link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DERList:
    """A page of DERs; this gateway reports the plant as one."""

    href: str | None = None
    all: int
    results: int
    poll_s: int | None = None
    items: tuple[DER, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DERCapability:
    """Nameplate. The bitmaps are those of `mode.MODES`; doe_modes is mandatory in CSIP-AUS. type: DERType.

    Categories: IEEE 1547-2018, abnormal 1 I 2 II 3 III, normal 1 A 2 B.
    """

    modes: int
    modes_2: int | None = None
    abnormal_category: int | None = None
    max_ma: int | None = None
    max_mah: int | None = None
    max_charge_rate_va: int | None = None
    max_charge_rate_w: int | None = None
    max_discharge_rate_va: int | None = None
    max_discharge_rate_w: int | None = None
    max_mv: int | None = None
    max_va: int | None = None
    max_var: int | None = None
    max_absorbed_var: int | None = None
    max_w: int
    max_wh: int | None = None
    min_pf_overexcited_ppm: int | None = None
    min_pf_underexcited_ppm: int | None = None
    min_mv: int | None = None
    normal_category: int | None = None
    overexcited_pf_ppm: int | None = None
    overexcited_w: int | None = None
    underexcited_pf_ppm: int | None = None
    underexcited_w: int | None = None
    nominal_mv: int | None = None
    type: int
    doe_modes: int | None = None
    vpp_modes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DERSettings:
    """Settings in force. Gradients in hundredths of a percent of setMaxW per second, 0: no ramp limit.

    es_: enter service; voltages in hundredths of a percent of the reference.
    """

    modes: int | None = None
    modes_2: int | None = None
    es_delay_ms: int | None = None
    es_high_mhz: int | None = None
    es_high_voltage_permyriad: int | None = None
    es_low_mhz: int | None = None
    es_low_voltage_permyriad: int | None = None
    es_ramp_ms: int | None = None
    es_random_delay_ms: int | None = None
    set_grad_w_permyriad_s: int
    max_ma: int | None = None
    max_mah: int | None = None
    max_charge_rate_va: int | None = None
    max_charge_rate_w: int | None = None
    max_discharge_rate_va: int | None = None
    max_discharge_rate_w: int | None = None
    max_mv: int | None = None
    max_va: int | None = None
    max_var: int | None = None
    max_absorbed_var: int | None = None
    max_w: int
    max_wh: int | None = None
    min_pf_overexcited_ppm: int | None = None
    min_pf_underexcited_ppm: int | None = None
    min_mv: int | None = None
    set_soft_grad_w_permyriad_s: int | None = None
    nominal_mv: int | None = None
    reference_mv: int | None = None
    reference_offset_mv: int | None = None
    updated_s: int
    doe_modes: int | None = None
    vpp_modes: int | None = None
    min_wh: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DERStatus:
    """gen_connect, stor_connect (2018): bit 0 connected, 1 available, 2 operating, 3 test, 4 fault.

    connect (2023, instead of both): bit 0 connected, 1 energized. operational_mode: 1 off, 2 operational, 100 and more:
    AS/NZS 4755. alarms: bitmap. inverter, local_control_mode, storage_mode: numbers of the schema. state_of_charge:
    hundredths of a percent.
    """

    alarms: int | None = None
    connect: StampedValue | None = None
    gen_connect: StampedValue | None = None
    inverter: StampedValue | None = None
    local_control_mode: StampedValue | None = None
    manufacturer: StampedText | None = None
    operational_mode: StampedValue | None = None
    reading_s: int
    state_of_charge: StampedValue | None = None
    storage_mode: StampedValue | None = None
    stor_connect: StampedValue | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DERAvailability:
    """What is in reserve now: how long, how much of setMaxChargeRateW and setMaxW, var and W (absorb: 2023)."""

    availability_s: int | None = None
    max_charge_s: int | None = None
    reading_s: int
    reserve_charge_permyriad: int | None = None
    reserve_permyriad: int | None = None
    absorb_available_var: int | None = None
    available_var: int | None = None
    absorb_available_w: int | None = None
    available_w: int | None = None
