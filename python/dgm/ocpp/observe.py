"""Reads copies of relayed frames: what a station says of its plug, its transaction and its meter. OCPP 1.6.

Runs after the frame has been passed on; a payload that makes no sense is a `Wrong`, counted, never raised. What meters
say is read in `sampled`.

    (action, payload) ──> Metered | Status | Stopped | Booted | Wrong | None (not of interest)

The observations are those of all versions; `observe_2x` makes them of 2.0.1 and 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.api.site.v1.site_pb2 import PlugState
from dgm.ocpp import stamp
from dgm.ocpp.charging_needs import Needed
from dgm.ocpp.frame import Payload
from dgm.ocpp.sampled import Reading, newest

ACTIONS = ("MeterValues", "StatusNotification", "StartTransaction", "StopTransaction", "BootNotification")
STATUS = {
    "Available": PlugState.PLUG_STATE_AVAILABLE,
    "Preparing": PlugState.PLUG_STATE_PREPARING,
    "Charging": PlugState.PLUG_STATE_CHARGING,
    "SuspendedEV": PlugState.PLUG_STATE_SUSPENDED_EV,
    "SuspendedEVSE": PlugState.PLUG_STATE_SUSPENDED_EVSE,
    "Finishing": PlugState.PLUG_STATE_FINISHING,
    "Reserved": PlugState.PLUG_STATE_RESERVED,
    "Unavailable": PlugState.PLUG_STATE_UNAVAILABLE,
    "Faulted": PlugState.PLUG_STATE_FAULTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """A reading of one EVSE (1.6: connector). triggered: every value says that a TriggerMessage caused it."""

    evse_id: int
    reading: Reading
    taken_utc_ms: int | None
    transaction_id: int | str | None
    triggered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A StatusNotification of 1.6."""

    evse_id: int
    plug_state: PlugState


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """The status of one connector of an EVSE in 2.x: Available, Occupied, Reserved, Unavailable or Faulted."""

    evse_id: int
    connector_id: int
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transacted:
    """A TransactionEvent of 2.x. evse_id, plug_state: where it tells them. is_past: it tells what was, not what is."""

    evse_id: int | None
    transaction_id: str
    has_ended: bool
    plug_state: PlugState | None
    is_past: bool
    metered: Metered | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Starting:
    """A StartTransaction; its id comes with the answer."""

    evse_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """A StopTransaction."""

    transaction_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """A BootNotification."""

    vendor: str
    model: str
    firmware: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DerTold:
    """A ReportDERControl, NotifyDERAlarm or NotifyDERStartStop of 2.1; `der_control` reads it."""

    action: str
    payload: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class DerModes:
    """ModesSupported of an EVSE (0: the station) in the device model of 2.1: DERControlEnumType names."""

    evse_id: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """A payload that its action does not allow. what: the action, for the counter."""

    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A payload that breaks the published schema of its action, and was read as far as it makes sense."""

    what: str


Observation = (
    Breach | Metered | Status | Starting | Stopped | Booted | Wrong | Socket | Transacted | DerTold | DerModes | Needed
)


def observe(action: str, payload: Payload | None) -> Observation | None:
    """Read a CALL of the station; None: an action that we have no use for."""
    if action not in ACTIONS:
        return None
    if payload is None:
        return Wrong(what=action)
    connector_id = _int(payload.get("connectorId"))
    match action:
        case "MeterValues":
            return _metered(payload, connector_id)
        case "StatusNotification":
            state = STATUS.get(str(payload.get("status")))
            return (
                Wrong(what=action)
                if state is None or connector_id is None
                else Status(evse_id=connector_id, plug_state=state)
            )
        case "StartTransaction":
            return Wrong(what=action) if connector_id is None else Starting(evse_id=connector_id)
        case "StopTransaction":
            return Stopped(transaction_id=_int(payload.get("transactionId")))
        case _:
            vendor, model = payload.get("chargePointVendor"), payload.get("chargePointModel")
            firmware = _name(payload.get("firmwareVersion"))
            return Booted(vendor=_name(vendor), model=_name(model), firmware=firmware)


def _metered(payload: Payload, connector_id: int | None) -> Metered | Wrong:
    instant = newest(payload.get("meterValue"))
    if connector_id is None or instant is None:
        return Wrong(what="MeterValues")
    return Metered(
        evse_id=connector_id,
        reading=instant.reading,
        taken_utc_ms=stamp.parse(instant.stamp),
        transaction_id=_int(payload.get("transactionId")),
        triggered=instant.triggered,
    )


def _int(found: object) -> int | None:
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _name(found: object) -> str:
    return found[:50] if isinstance(found, str) else ""
