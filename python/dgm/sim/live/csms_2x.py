"""The backend of a CPO for stations of OCPP 2.0.1 and 2.1, on the `ocpp` library's ChargePoints; see `csms`.

Everything is accepted; the library validates each frame against the schemas of the version.
"""

from __future__ import annotations

from typing import Any

from ocpp.routing import on

from dgm.sim.live.process import utc_ms
from dgm.sim.stamps import format_time
from ocpp import v21, v201

CALL_TIMEOUT_S = 20.0
HEARTBEAT_S = 300


class Central2x:
    """What the CPO's backend does with one station; `words` is the library's package of the version."""

    words: Any
    call: Any
    counters: dict[str, int]

    @on("BootNotification")  # type: ignore[untyped-decorator]
    def on_boot(self, **_: Any) -> Any:
        """Accept the station."""
        now = format_time(utc_ms())
        return self.words.call_result.BootNotification(current_time=now, interval=HEARTBEAT_S, status="Accepted")

    @on("Heartbeat")  # type: ignore[untyped-decorator]
    def on_heartbeat(self, **_: Any) -> Any:
        """Tell the time."""
        return self.words.call_result.Heartbeat(current_time=format_time(utc_ms()))

    @on("StatusNotification")  # type: ignore[untyped-decorator]
    def on_status(self, **_: Any) -> Any:
        """Take note."""
        return self.words.call_result.StatusNotification()

    @on("Authorize")  # type: ignore[untyped-decorator]
    def on_authorize(self, **_: Any) -> Any:
        """Everybody may charge."""
        return self.words.call_result.Authorize(id_token_info={"status": "Accepted"})

    @on("TransactionEvent")  # type: ignore[untyped-decorator]
    def on_transaction(self, event_type: str, **more: Any) -> Any:
        """Count what begins, goes on and ends."""
        self.counters["started"] += event_type == "Started"
        self.counters["stopped"] += event_type == "Ended"
        self.counters["readings"] += "meter_value" in more
        if "id_token" in more:
            return self.words.call_result.TransactionEvent(id_token_info={"status": "Accepted"})
        return self.words.call_result.TransactionEvent()

    @on("MeterValues")  # type: ignore[untyped-decorator]
    def on_meter_values(self, **_: Any) -> Any:
        """Count a reading."""
        self.counters["readings"] += 1
        return self.words.call_result.MeterValues()

    @on("DataTransfer")  # type: ignore[untyped-decorator]
    def on_data_transfer(self, **_: Any) -> Any:
        """Take the vendor's message."""
        return self.words.call_result.DataTransfer(status="Accepted", data="Grüße ✓")

    def own_call(self, number: int) -> Any:
        """The CPO's own CALLs, in turn."""
        call = self.words.call
        match number % 5:
            case 0:
                asked = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}
                return call.GetVariables(get_variable_data=[asked])
            case 1:
                return call.TriggerMessage(requested_message="StatusNotification", evse={"id": 1, "connector_id": 1})
            case 2:
                return call.SetChargingProfile(evse_id=1, charging_profile=default_profile())
            case 3:
                return call.GetCompositeSchedule(evse_id=1, duration=600)
            case _:
                return call.DataTransfer(vendor_id="org.example.cpo", message_id="Tariff", data="0,49 €/kWh")


class Central201(Central2x, v201.ChargePoint):  # type: ignore[misc]  # the library is untyped
    """A station of 2.0.1."""

    words = v201

    def __init__(self, station: str, tap: Any, counters: dict[str, int]) -> None:
        super().__init__(station, tap, response_timeout=CALL_TIMEOUT_S)
        self.counters = counters


class Central21(Central2x, v21.ChargePoint):  # type: ignore[misc]  # the library is untyped
    """A station of 2.1."""

    words = v21

    def __init__(self, station: str, tap: Any, counters: dict[str, int]) -> None:
        super().__init__(station, tap, response_timeout=CALL_TIMEOUT_S)
        self.counters = counters


CENTRALS: dict[str, type[Any]] = {"ocpp2.1": Central21, "ocpp2.0.1": Central201}


def default_profile() -> dict[str, Any]:
    """The CPO's TxDefaultProfile: 32 A at the lowest level."""
    schedule = {
        "id": 1,
        "start_schedule": "2026-01-01T00:00:00Z",
        "charging_rate_unit": "A",
        "charging_schedule_period": [{"start_period": 0, "limit": 32.0}],
    }
    return {
        "id": 501,
        "stack_level": 0,
        "charging_profile_purpose": "TxDefaultProfile",
        "charging_profile_kind": "Absolute",
        "charging_schedule": [schedule],
    }
