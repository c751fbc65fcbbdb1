"""Rule C15: the floors that a running gateway has proved, against those of site.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from dgm.api.config.v1.config_pb2 import DgmConfig, EvseConfig, SiteConfig, StationConfig
from dgm.api.ocpp.v1 import ocpp_pb2, ocpp_pb2_grpc
from dgm.app import run_dir
from dgm.cli.check import installed_floors
from dgm.rpc import socket_path
from dgm.site.finding import State
from dgm.site.installed import installed_rows

STATIONS = [StationConfig(id=f"s{at}", evses=[EvseConfig(id=f"e{at}", fallback_ma=6_000)]) for at in range(3)]


def config(**site: str) -> DgmConfig:
    return DgmConfig(site=SiteConfig(id="home", **site), stations=STATIONS)


def rows(installed: Mapping[str, int | None] | None) -> list[tuple[State, str, str]]:
    return [(row.state, row.where, row.found) for row in installed_rows(config(), installed)]


def test_without_a_running_gateway_nothing_is_proved_and_nothing_is_blamed() -> None:
    assert rows(None) == [(State.UNSTATED, "home", "no gateway of this site runs")]
    assert not list(installed_rows(DgmConfig(), None)), "and a site without stations has no such rule"


def test_floors_as_planned_hold_in_one_row() -> None:
    assert rows({"e0": 6_000, "e1": 6_000, "e2": 6_000}) == [(State.HOLDS, "home", "3 floors proved as planned")]


@pytest.mark.parametrize(("found_ma", "state"), [(16_000, State.BROKEN), (0, State.WARNING)])
def test_a_floor_above_the_plan_breaks_the_fallback_proof_and_one_below_is_told(found_ma: int, state: State) -> None:
    assert rows({"e0": 6_000, "e1": found_ma, "e2": 6_000}) == [(state, "e1", f"{found_ma / 1000:g} A")]


def test_evses_without_a_proved_floor_are_named() -> None:
    assert rows({"e0": None, "e1": 6_000}) == [(State.WARNING, "2 EVSEs", "not proved: e0, e2")]


class Gateway(ocpp_pb2_grpc.OcppServiceServicer):
    """A gateway that has proved the floor of one EVSE."""

    def ListStations(self, request: Any, context: Any) -> ocpp_pb2.ListStationsResponse:
        evses = [ocpp_pb2.Evse(asset_id="e0", fallback_ma=6_000), ocpp_pb2.Evse(asset_id="e1")]
        return ocpp_pb2.ListStationsResponse(stations=[ocpp_pb2.Station(id="s0", evses=evses)])


def test_the_running_gateway_is_asked_over_its_socket(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    made = config(run_dir=str(tmp_path / "run"))
    assert installed_floors(made, site) is None
    address = socket_path(run_dir(made, tmp_path), "ocpp")
    address.parent.mkdir(parents=True, exist_ok=True)
    server = grpc.server(ThreadPoolExecutor(1))
    ocpp_pb2_grpc.add_OcppServiceServicer_to_server(Gateway(), server)
    server.add_insecure_port(f"unix:{address}")
    server.start()
    try:
        assert installed_floors(made, site) == {"e0": 6_000, "e1": None}
    finally:
        server.stop(None).wait()
