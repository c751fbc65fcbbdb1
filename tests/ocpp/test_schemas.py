"""What stations say is held against the published schemas; a breach is counted and the payload read all the same."""

from __future__ import annotations

from typing import Any

import pytest
from ocpp_driver import Driver, ModelStation

from dgm.ocpp import der_control, observe, observe_2x
from dgm.ocpp.gateway import Schemas
from dgm.ocpp.session import Session
from dgm.ocpp.version import Version


@pytest.mark.parametrize("version", Version)
def test_there_is_a_schema_for_every_action_that_is_looked_at(version: Version) -> None:
    schemas = Schemas()
    actions = set(observe_2x.ACTIONS if version.is_2x else observe.ACTIONS)
    if version is Version.V201:
        actions -= set(der_control.TOLD)  # 2.1 brought them
    assert [action for action in actions if schemas.is_valid(version, action, {"surely": "not"})] == []
    assert schemas.is_valid(version, "VendorsOwnAction", {"surely": "not"})


@pytest.mark.parametrize(
    ("payload", "breaches"),
    [
        ({"connectorId": 1, "status": "Charging", "errorCode": "NoError"}, []),
        ({"connectorId": 1, "status": "Charging", "errorCode": "Rain"}, ["StatusNotification"]),
        ({"connectorId": 1, "status": "Charging"}, ["StatusNotification"]),
    ],
)
def test_a_breach_is_counted_and_the_payload_is_used(payload: dict[str, Any], breaches: list[str]) -> None:
    driver = Driver(station=ModelStation())
    driver.session = Session([driver.session.settings], lambda: next(driver.ids), Schemas().is_valid)
    driver.connect(boot=False)
    driver.station_call("StatusNotification", payload)
    assert [found.detail for found in driver.counted if found.name == "schema_breach"] == breaches
    assert len(driver.samples) == 1
    assert len(driver.north_calls("StatusNotification")) == 1
