"""What sessions report, as messages of the shared site model (samples, outcomes, DER control) and of the OCPP service.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from dgm.api.ems.v1 import ems_pb2
from dgm.api.ocpp.v1 import ocpp_pb2
from dgm.api.site.v1 import site_pb2
from dgm.machine import Now
from dgm.ocpp.der_control import Control
from dgm.ocpp.desk import Desk
from dgm.ocpp.events import DerSeen, Outcome, PhaseTriple, Sampled
from dgm.ocpp.store import StationMemory, StationSettings


def sample_message(sample: Sampled, now: Now) -> site_pb2.Sample:
    """site.v1.Sample; quality NEVER where there is a plug state but no reading yet."""
    has_reading = sample.at_mono_ms is not None
    return site_pb2.Sample(
        asset_id=sample.asset_id,
        quality=site_pb2.QUALITY_GOOD if has_reading else site_pb2.QUALITY_NEVER,
        age_ms=max(0, now.mono_ms - sample.at_mono_ms) if sample.at_mono_ms is not None else 0,
        power_w=sample.power_w,
        current_ma=_phases(sample.current_ma),
        voltage_mv=_phases(sample.voltage_mv),
        energy_wh=sample.energy_wh,
        soc_permille=sample.soc_permille,
        plug_state=sample.plug_state,
    )


def outcome_message(outcome: Outcome, now: Now) -> ems_pb2.Outcome:
    """ems.v1.Outcome."""
    return ems_pb2.Outcome(
        asset_id=outcome.asset_id,
        epoch=outcome.epoch,
        sequence=outcome.sequence,
        state=outcome.state,
        current_ma=outcome.current_ma,
        age_ms=max(0, now.mono_ms - outcome.at_mono_ms),
        evidence=outcome.evidence,
        fallback_ma=outcome.fallback_ma,
    )


def der_message(seen: DerSeen) -> site_pb2.EvseDer:
    """site.v1.EvseDer."""
    return site_pb2.EvseDer(
        asset_id=seen.asset_id,
        types=seen.der.types,
        controls=[_control(control) for control in seen.der.controls],
        alarms=[
            site_pb2.DerAlarm(type=alarm.type, fault=alarm.fault, at_utc_ms=alarm.at_utc_ms)
            for alarm in seen.der.alarms
        ],
    )


def _control(control: Control) -> site_pb2.DerControl:
    return site_pb2.DerControl(
        id=control.id,
        type=control.type,
        state=control.state,
        is_default=control.is_default,
        priority=control.priority,
        start_utc_ms=control.start_utc_ms,
        duration_ms=control.duration_ms,
        discharge_max_permille=control.discharge_max_permille,
    )


def _phases(values: PhaseTriple) -> site_pb2.PhaseValues | None:
    if values == (None, None, None):
        return None
    return site_pb2.PhaseValues(l1=values[0], l2=values[1], l3=values[2])


def station_message(
    settings: StationSettings,
    memory: StationMemory,
    desk: Desk,
    *,
    south: bool,
    north: bool,
    evses: Sequence[ocpp_pb2.Evse],
) -> ocpp_pb2.Station:
    """A station as the OCPP service shows it; south, north: the leg is open."""
    states = {True: ocpp_pb2.LINK_STATE_UP, False: ocpp_pb2.LINK_STATE_DOWN}
    return ocpp_pb2.Station(
        id=settings.station_id,
        cpo_id=settings.cpo_id,
        subprotocol=memory.subprotocol,
        south=states[south],
        north=states[north],
        mode=desk.manner.mode.message,
        mode_reason=desk.manner.reason,
        evses=evses,
        frames_north=memory.counters.north,
        frames_south=memory.counters.south,
        frames_excepted=memory.counters.excepted,
        vendor=memory.vendor,
        model=memory.model,
        firmware=memory.firmware,
        quirks=desk.quirks.name,
    )
