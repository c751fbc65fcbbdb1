"""Somebody else's EMS controls the site: `serve ocpp` and `serve der` without an ems role, a pymodbus script, CPOs.

The story is one: DGM alone, the script in control, the script killed, the script back, the script gone for good.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest
import yaml
from e2e_client import SiteClient
from e2e_judging import import_mean_w, relay_checks
from e2e_live import Live, charges
from e2e_product import Product
from e2e_waiting import eventually
from e2e_world import EVENT_W, IMPORT_W, World
from pymodbus.client import ModbusTcpClient

from dgm.api.ems.v1 import ems_pb2
from dgm.api.ocpp.v1.ocpp_pb2 import LINK_STATE_UP
from dgm.der.models import GATEWAY_MODEL, KINDS, LIMIT_MODEL
from dgm.der.registers import place
from dgm.der.steps import Origin
from dgm.maps.table import MODEL_AT, Model, Value, decode
from dgm.ocpp.models import EVSE_MODEL, SITE_MODEL
from dgm.sim.live.process import utc_ms
from dgm.sim.utility.script import ACTIONS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "deploy" / "examples" / "third_party_ems.py"
PRESENT = ("ocpp", "der")
TOTAL_W = 30_000
VALID_S = 4
NOTICE_S = 4
"""From the end of a validity to what it does, on a busy machine."""
CARS_W = 32_000
"""What an event leaves for the cars."""
REACTION_S = 30.0
HELD = 2
CONTROL_DGM, CONTROL_EMS, CONTROL_LOST = range(3)


class Facade:
    """What any Modbus client sees."""

    def __init__(self, port: int) -> None:
        self._client = ModbusTcpClient("127.0.0.1", port=port, timeout=3)
        assert self._client.connect()

    def read(self, model: Model, unit: int, address: int = MODEL_AT) -> dict[str, Value]:
        answer = self._client.read_holding_registers(address, count=model.size, device_id=unit)
        assert not answer.isError(), answer
        return decode(model, b"".join(word.to_bytes(2, "big") for word in answer.registers))

    @property
    def site(self) -> dict[str, Value]:
        return self.read(SITE_MODEL, 1)

    def evses(self, count: int) -> list[dict[str, Value]]:
        return [self.read(EVSE_MODEL, 2 + index) for index in range(count)]

    @property
    def gateway(self) -> dict[str, Value]:
        """Of the DER facade."""
        return self.read(GATEWAY_MODEL, 1, place(GATEWAY_MODEL).address)

    @property
    def import_limit(self) -> dict[str, Value]:
        """Of the DER facade."""
        return self.read(LIMIT_MODEL, 1, place(LIMIT_MODEL, KINDS.index("IMPORT")).address)

    def close(self) -> None:
        self._client.close()


class Ems:
    """The script of deploy/examples as a process of its own."""

    def __init__(self, port: int, log: Path, *, der_port: int | None = None) -> None:
        bound = ["--total-kw", TOTAL_W / 1000] if der_port is None else ["--der-port", der_port]
        words = [SCRIPT, "--port", port, *bound, "--valid-s", VALID_S]
        with log.open("ab") as sink:
            self.process = subprocess.Popen([sys.executable, *map(str, words)], stdout=sink, stderr=sink)

    def end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self.process.wait(30)


@pytest.fixture(scope="module")
def third(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The site of the other tests, with `ems.third_party` and the roles that it then has."""
    directory = tmp_path_factory.mktemp("site-third-party")
    with tempfile.TemporaryDirectory(prefix="dgm-e2e-") as run_dir:
        world = World(directory, Path(run_dir))
        product = Product("serve", world.site_file, PRESENT)
        try:
            world.start()
            world.document["ems"]["third_party"] = True
            for asset in world.document["assets"]:
                asset.pop("grid_functions", None)
            world.site_file.write_text(yaml.safe_dump(world.document, sort_keys=False), encoding="utf-8")
            client = SiteClient(Path(run_dir), {role: 0 for role in ("ems", *PRESENT)})
            product.start()
            for role in PRESENT:
                eventually(f"{role} is ready", partial(client.is_serving, role))
            world.start_fleet()
            found = Live(world=world, product=product, client=client)
            eventually("every car charges", partial(charges, found))
            yield found
            client.close()
        finally:
            product.stop()
            world.stop()


@pytest.fixture(scope="module")
def facade(third: Live) -> Iterator[Facade]:
    found = Facade(port_of(third))
    yield found
    found.close()


def publish(world: World, name: str, import_w: int) -> None:
    """A newer event of the utility, at once."""

    async def do() -> None:
        state = world.utility.server.state
        control = {"name": name, "program": next(iter(state.programs)), "duration_s": 600}
        ACTIONS["control"](state, utc_ms(), {**control, "modes": {"opModImpLimW": import_w}})

    world.run(do())


def withdraw(world: World, name: str) -> None:
    """It is cancelled."""

    async def do() -> None:
        ACTIONS["cancel"](world.utility.server.state, utc_ms(), {"control": name})

    world.run(do())


def port_of(live: Live) -> int:
    return int(live.world.document["ocpp"]["facade"]["port"])


def fleet_ma(live: Live) -> dict[str, int]:
    found = live.client.setpoints_ma()
    return {name: found[name] for name in live.world.evse_ids}


def nameplates_ma(live: Live) -> dict[str, int]:
    return {evse.id: evse.current_max_ma for evse in live.world.timeline.evses}


def fallbacks_ma(live: Live) -> dict[str, int]:
    return {evse.id: evse.fallback_ma for evse in live.world.timeline.evses}


def test_without_any_ems_dgm_shares_by_the_declared_limits_and_tells_the_site(third: Live, facade: Facade) -> None:
    eventually("every car has its full current", lambda: fleet_ma(third) == nameplates_ma(third))
    site, evses = facade.site, sum(len(station["evses"]) for station in third.world.document["stations"])
    assert (site["control"], site["evses"], site["meter_lost"]) == (CONTROL_DGM, evses, 0)
    eventually("the utility's limit is told", lambda: facade.site["import_limit_w"] == EVENT_W)
    assert facade.site["import_limit_id"] == "utility:opModImpLimW"
    net_w, measured_w = facade.site["net_power_w"], import_mean_w(third.world.trace())
    assert isinstance(net_w, int)
    assert abs(net_w - measured_w) < 10_000
    assert not third.client.is_serving("ems", "dgm.api.ems.v1.Nobody")


def test_the_script_controls_the_site_and_its_death_takes_every_evse_to_its_fallback(
    third: Live, facade: Facade
) -> None:
    world, log = third.world, third.world.directory / "script.log"
    ems = Ems(port_of(third), log)
    try:
        eventually("the EMS is in control", lambda: facade.site["control"] == CONTROL_EMS)
        within = partial(eventually, "the cars draw no more than the total", lambda: drawn_w(facade) <= TOTAL_W)
        within()
        evse = next(evse for evse in facade.evses(6) if evse["cap_state"] == 1)
        assert evse["cap_valid_s"] == VALID_S
        assert_bound_by_the_facade(third)
        low_w = EVENT_W // 6
        third.client.put_limit(
            "e2e-low", circuit_id="grid", quantity=ems_pb2.QUANTITY_GROSS_LOAD, power_w=low_w, ttl_ms=30_000
        )
        eventually("a tighter limit holds besides", lambda: drawn_w(facade) <= low_w)
        third.client.delete_limit("e2e-low")
    finally:
        ems.end(signal.SIGKILL)
    killed_s = time.monotonic()
    lost = eventually("the heartbeat is lost", lambda: told_lost(facade), within_s=VALID_S + NOTICE_S)
    assert lost["heartbeat_valid_s"] == 0
    eventually("every EVSE has at most its fallback", lambda: at_most_fallbacks(third), within_s=VALID_S + 2 * NOTICE_S)
    assert time.monotonic() - killed_s < VALID_S + 2 * NOTICE_S
    eventually("the cars draw no more", lambda: drawn_w(facade) <= fallback_w(facade))
    assert not world.dead()


def test_a_script_that_comes_back_takes_over_again_and_gives_back_what_it_took(third: Live, facade: Facade) -> None:
    ems = Ems(port_of(third), third.world.directory / "script.log")
    try:
        eventually("the EMS is in control again", lambda: facade.site["control"] == CONTROL_EMS)
        eventually(
            "the cars draw more than their fallbacks", lambda: drawn_w(facade) > int(facade.site["fallback_w"] or 0)
        )
    finally:
        ems.end(signal.SIGINT)
    eventually("DGM is in control", lambda: facade.site["control"] == CONTROL_DGM)
    eventually("every car has its full current", lambda: fleet_ma(third) == nameplates_ma(third))
    assert not [
        name for name, held in third.client.limits().items() if name.startswith("ems-facade:") and held.state != 5
    ]


def test_the_utilitys_event_reaches_the_meter_through_the_facades_and_somebody_elses_ems(
    third: Live, facade: Facade
) -> None:
    """The acceptance scenario of two gateways and no EMS of ours: 30 s from the event to the meter."""
    world, der_port = third.world, int(third.world.document["der"]["facade"]["port"])
    der, ems = Facade(der_port), Ems(port_of(third), world.directory / "script.log", der_port=der_port)
    try:
        eventually(
            "the EMS lives at both facades", lambda: facade.site["control"] == der.gateway["control"] == CONTROL_EMS
        )
        eventually("the EMS says that it holds the event", lambda: der.import_limit["acknowledged"] == HELD)
        assert (der.import_limit["limit_w"], der.import_limit["agreement_w"]) == (EVENT_W, IMPORT_W)
        low_w = (int(facade.site["uncontrolled_w"] or 0) + CARS_W) // 1000 * 1000
        publish(world, "low", low_w)
        began_s = time.monotonic()
        eventually("the DER facade tells it", lambda: der.import_limit["limit_w"] == low_w)
        assert (der.import_limit["origin"], der.import_limit["mode"]) == (Origin.EVENT, "opModImpLimW")
        eventually("the EMS caps the cars by it", lambda: is_capped(facade, low_w))
        eventually("the meter is under the limit", lambda: import_mean_w(world.trace()) <= low_w)
        eventually("the EMS says so", lambda: der.import_limit["acknowledged"] == HELD)
        assert time.monotonic() - began_s < REACTION_S
        assert_bound_by_the_facade(third)
    finally:
        ems.end(signal.SIGKILL)
    eventually("it is lost at the EVSE facade", lambda: told_lost(facade), within_s=VALID_S + NOTICE_S)
    eventually(
        "it is lost at the DER facade", lambda: der.gateway["control"] == CONTROL_LOST, within_s=VALID_S + NOTICE_S
    )
    assert (der.import_limit["acknowledged"], der.import_limit["limit_w"]) == (0, low_w), "the limit goes on"
    eventually("every EVSE has at most its fallback", lambda: at_most_fallbacks(third), within_s=VALID_S + 2 * NOTICE_S)
    eventually("the meter stays under the limit", lambda: import_mean_w(world.trace()) <= low_w)
    withdraw(world, "low")
    der.close()


def test_the_cpos_saw_nothing_of_it(third: Live) -> None:
    failed = [check for check in relay_checks(third.world) if not check.passed]
    assert failed == []
    stations = third.client.stations()
    assert all(stations[name].north == stations[name].south == LINK_STATE_UP for name in third.world.station_ids)


def test_a_killed_gateway_holds_what_was_written_and_the_script_goes_on(third: Live) -> None:
    ems = Ems(port_of(third), third.world.directory / "script.log")
    facade = Facade(port_of(third))
    try:
        eventually("the cars draw no more than the total", lambda: is_within(facade, TOTAL_W))
        facade.close()
        third.product.kill("ocpp")
        third.product.restart("ocpp")
        held = eventually("it tells its limits", lambda: limits_of(third))
        assert any(name.startswith("ems-facade:127.0.0.1:") for name in held)
        facade = eventually("the facade answers", lambda: opened(port_of(third)))
        eventually("the EMS is in control", lambda: is_within(facade, TOTAL_W) and facade.site["connected"] == 6)
    finally:
        ems.end(signal.SIGINT)
        facade.close()


def is_within(facade: Facade, total_w: int) -> bool:
    found = facade.site
    return found["control"] == CONTROL_EMS and drawn_w(facade) <= total_w


def is_capped(facade: Facade, import_w: int) -> bool:
    """Whether the cap of all cars leaves room for what the building draws at this moment."""
    site = facade.site
    cap_w, uncontrolled_w = site["total_cap_w"], site["uncontrolled_w"]
    return cap_w is not None and uncontrolled_w is not None and int(cap_w) + int(uncontrolled_w) <= import_w


def limits_of(live: Live) -> dict[str, ems_pb2.LimitStatus] | None:
    try:
        return live.client.limits()
    except grpc.RpcError:
        return None


def opened(port: int) -> Facade | None:
    try:
        return Facade(port)
    except AssertionError:
        return None


def told_lost(facade: Facade) -> dict[str, Value] | None:
    found = facade.site
    return found if found["control"] == CONTROL_LOST else None


def drawn_w(facade: Facade) -> int:
    found = facade.site["evse_power_w"]
    return 1_000_000 if found is None else int(found)


def fallback_w(facade: Facade) -> int:
    return int(facade.site["fallback_w"] or 0)


def at_most_fallbacks(live: Live) -> bool:
    found, fallbacks = fleet_ma(live), fallbacks_ma(live)
    return all(found[name] <= fallbacks[name] for name in fallbacks)


def assert_bound_by_the_facade(live: Live) -> None:
    def is_bound() -> bool:
        answers = [live.client.explain(name) for name in live.world.evse_ids]
        return any(answer.setpoint.binding_limit_id.startswith("ems-facade:127.0.0.1:") for answer in answers)

    eventually("the decision names the limit of the facade", is_bound)
