"""DERStatus: what the plant is doing, in the numbers of the standard (S18 10.10, DERStatus and its types).

    PlantSeen (samples of PV and batteries, what bounds them) ──der_status()──> DERStatus ──carried()──> its stamps

A part that is not known is absent. A device that answers with errors is a fault, one that is silent is not known. Not
told: inverterStatus of batteries at work (the standard has no such state), test mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dgm.api.der.v1.profile_pb2 import Edition
from dgm.api.site.v1.site_pb2 import Sample
from dgm.der import resource as r

CONNECTED, AVAILABLE, OPERATING, FAULT = 0b00001, 0b00010, 0b00100, 0b10000
ENERGIZED = 0b010
"""Of connectStatus (2023), beside CONNECTED."""
MODE_OFF, MODE_OPERATIONAL, MODE_DRM_0 = 1, 2, 100
"""Of operationalModeStatus; CSIP-AUS adds 100 to 108 for the demand response modes 0 to 8 of AS/NZS 4755."""
LOCAL_CONTROL, REMOTE_CONTROL = 0, 1
CHARGING, DISCHARGING, HOLDING = 0, 1, 2
OFF, SLEEPING, TRACKING, REDUCED, SHUTTING_DOWN, FAULTED, STANDBY = 1, 2, 4, 5, 6, 7, 8
"""Of inverterStatus."""
STANDBY_W = 100
DEAD_MV = 10_000
"""Less than this is a standby draw or noise."""
FINE, NO_METER, NO_DEVICE, SHORT = "OK", "NOMETR", "NODEV", "SHORT"
"""manufacturerStatus, at most 6 octets: the connection point's meter, or a device of the plant, is not seen; a limit in
force cannot be met."""
STAMPED = (
    "connect",
    "gen_connect",
    "inverter",
    "local_control_mode",
    "manufacturer",
    "operational_mode",
    "state_of_charge",
    "storage_mode",
    "stor_connect",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """PV, batteries or both: the good samples of its devices; samples None: one of them is silent, or none is good.

    has_fault: one of them answers with errors.
    """

    samples: tuple[Sample, ...] | None
    has_fault: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantSeen:
    """What DERStatus is made from. is_curtailed: a limit keeps PV at what it gives. is_short: a limit is not met."""

    everything: Group
    pv: Group
    batteries: Group
    is_seen: bool
    is_curtailed: bool
    is_meter_lost: bool
    is_short: bool


def der_status(
    seen: PlantSeen,
    time_s: int,
    *,
    is_stopped: bool = False,
    is_remote: bool = False,
    alarms: int = 0,
    demand_response: int | None = None,
) -> r.DERStatus:
    """DERStatus at a time. The charge in whole percent: it changes rarely.

    is_stopped: a control says Energize or Connect false; the plant is off once nothing of it puts out power. is_remote:
    a control of the utility rules something. alarms: bitmap of `alarms.Alarm`. demand_response: the mode of AS/NZS 4755
    that is in force, told in place of the operational mode; None: no such mode, or no such device.
    """
    if not seen.is_seen:
        return r.DERStatus(reading_s=time_s)
    everything, batteries = seen.everything, seen.batteries
    soc = _soc_permyriad(batteries.samples)
    manufacturer = _manufacturer(seen)
    operational = _operational(everything, is_stopped=is_stopped)
    return r.DERStatus(
        alarms=alarms,
        connect=_stamp(_connected(everything, is_stopped=is_stopped), time_s),
        gen_connect=_stamp(_connect(everything, is_stopped=is_stopped), time_s),
        inverter=_stamp(_inverter(seen, is_stopped=is_stopped), time_s),
        local_control_mode=_stamp(REMOTE_CONTROL if is_remote else LOCAL_CONTROL, time_s),
        manufacturer=r.StampedText(time_s=time_s, value=manufacturer),
        operational_mode=_stamp(operational if demand_response is None else MODE_DRM_0 + demand_response, time_s),
        reading_s=time_s,
        state_of_charge=_stamp(soc, time_s),
        storage_mode=_stamp(_storage_mode(batteries.samples), time_s),
        stor_connect=_stamp(_connect(batteries, is_stopped=is_stopped), time_s),
    )


def of_edition(status: r.DERStatus, edition: Edition) -> r.DERStatus:
    """What an edition says of the connection: 2023 forbids the two of 2018 (S23 DERStatus)."""
    if edition == Edition.EDITION_S23:
        return replace(status, gen_connect=None, stor_connect=None)
    return replace(status, connect=None)


def carried(before: r.DERStatus | None, status: r.DERStatus) -> r.DERStatus:
    """The same status, each part stamped with when it came to be so: a state that lasts keeps its time."""
    if before is None:
        return status
    kept = {name: _older(getattr(before, name), getattr(status, name)) for name in STAMPED}
    return replace(status, **kept)


def _older(before: Any, part: Any) -> Any:
    return before if before is not None and part is not None and before.value == part.value else part


def _connect(group: Group, *, is_stopped: bool) -> int | None:
    if group.samples is None:
        return None
    fault = FAULT if group.has_fault else 0
    if (is_stopped and not _puts_out(group.samples)) or _is_dead(group.samples):
        return fault
    running = any(sample.HasField("power_w") and sample.power_w != 0 for sample in group.samples)
    return CONNECTED | (0 if is_stopped else AVAILABLE) | (OPERATING if running else 0) | fault


def _connected(group: Group, *, is_stopped: bool) -> int | None:
    """connectStatus of 2023, which replaces the two of 2018."""
    if group.samples is None:
        return None
    is_off = (is_stopped and not _puts_out(group.samples)) or _is_dead(group.samples)
    return 0 if is_off else CONNECTED | ENERGIZED


def _operational(group: Group, *, is_stopped: bool) -> int | None:
    if group.samples is None:
        return None
    if is_stopped:
        return MODE_OPERATIONAL if _puts_out(group.samples) else MODE_OFF
    return MODE_OPERATIONAL if _is_at_work(group.samples) else MODE_OFF


def _inverter(seen: PlantSeen, *, is_stopped: bool) -> int | None:
    """The inverters as one: PV where there is any, else the batteries."""
    group = seen.everything
    if group.samples is None:
        return None
    if group.has_fault:
        return FAULTED
    if is_stopped:
        return SHUTTING_DOWN if _puts_out(group.samples) else OFF
    if seen.pv.samples is None:
        return None if _is_at_work(group.samples) else STANDBY
    if not _puts_out(seen.pv.samples):
        return REDUCED if seen.is_curtailed else SLEEPING
    return REDUCED if seen.is_curtailed else TRACKING


def _storage_mode(batteries: Sequence[Sample] | None) -> int | None:
    if batteries is None or not all(sample.HasField("power_w") for sample in batteries):
        return None
    power_w = sum(sample.power_w for sample in batteries)
    if abs(power_w) <= STANDBY_W:
        return HOLDING
    return CHARGING if power_w > 0 else DISCHARGING


def _manufacturer(seen: PlantSeen) -> str:
    if seen.is_meter_lost:
        return NO_METER
    if seen.is_short:
        return SHORT
    return NO_DEVICE if seen.everything.samples is None or seen.everything.has_fault else FINE


def _is_dead(samples: Sequence[Sample]) -> bool:
    """No voltage anywhere at the terminals: somebody has opened the switch."""
    voltages = [
        int(getattr(sample.voltage_mv, phase))
        for sample in samples
        for phase in ("l1", "l2", "l3")
        if sample.voltage_mv.HasField(phase)
    ]
    return bool(voltages) and max(voltages) < DEAD_MV


def _puts_out(samples: Sequence[Sample]) -> bool:
    """What is not measured may be putting out."""
    return any(not sample.HasField("power_w") or sample.power_w < -STANDBY_W for sample in samples)


def _is_at_work(samples: Sequence[Sample]) -> bool:
    return any(not sample.HasField("power_w") or abs(sample.power_w) > STANDBY_W for sample in samples)


def _soc_permyriad(samples: Sequence[Sample] | None) -> int | None:
    found = [int(sample.soc_permille) for sample in samples or () if sample.HasField("soc_permille")]
    return round(sum(found) / len(found)) // 10 * 100 if found else None


def _stamp(value: int | None, time_s: int) -> r.StampedValue | None:
    return None if value is None else r.StampedValue(time_s=time_s, value=value)
