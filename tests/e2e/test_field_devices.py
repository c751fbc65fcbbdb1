"""`dgm run` before devices of all kinds: serial line, device table, Modbus/TCP Security; a facade with TLS and roles.

One site for all tests; the last one ends it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from e2e_client import CALL_S, CLIENT, SiteClient, recording, watch_site
from e2e_field import HOST, PLANT, FieldWorld, context_of, site_document
from e2e_product import Product
from e2e_waiting import eventually

from dgm.api.ems.v1 import ems_pb2, field_pb2, field_pb2_grpc
from dgm.api.site.v1.site_pb2 import Quality
from dgm.maps.table import BASE
from dgm.ocpp import registers
from dgm.ocpp.models import EVSE_MODEL
from dgm.sim.live.modbus_pki import End, make_end
from dgm.sim.live.pki import Issuer, make_root
from dgm.sim.live.site import free_ports
from dgm.sim.plant import Control

PV = ("pv-1", "pv-2")
COMMANDED = (*PV, "battery")
REVERT_PERMILLE = {"pv-1": 250, "pv-2": 200}
TTL_MS = 60_000
CAP_W = 12_000
CAP_MA = 7_000
U32_ABSENT, U16_ABSENT = 0xFFFFFFFF, 0xFFFF
"""Nothing is asked for in W, of the priority and of pausing."""
WANT_W = 6_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSite:
    """The running site."""

    world: FieldWorld
    product: Product
    client: SiteClient
    issuer: Issuer
    folder: Path
    facade_port: int

    def audit(self, asset_id: str) -> field_pb2.ListAuditResponse:
        """What one device was told."""
        with self.client.channel("ems") as channel:
            stub = field_pb2_grpc.FieldServiceStub(channel)
            answer: field_pb2.ListAuditResponse = stub.ListAudit(
                field_pb2.ListAuditRequest(asset_id=asset_id), timeout=CALL_S
            )
            return answer

    def control(self, asset_id: str) -> Control:
        """The control of the device in the plant, with its revert timer as of now."""
        with self.world.live.now() as plant:
            controls = [inverter.limit for inverter in plant.inverters]
            return dict(zip(PV, controls, strict=True))[asset_id] if asset_id in PV else plant.battery.setpoint

    def end(self, name: str, *roles: str) -> End:
        """A client's certificate."""
        return make_end(self.issuer, self.folder, name, roles=roles)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FieldSite]:
    """A site whose PV and battery are controlled."""
    directory = tmp_path_factory.mktemp("field")
    issuer, ports = make_root("Field root"), free_ports(4)
    for name, roles in (("facade", ()), ("master", ("SiteEms",))):
        make_end(issuer, directory, name, roles=roles)
    world = FieldWorld(make_end(issuer, directory, "device"))
    with tempfile.TemporaryDirectory(prefix="dgm-e2e-") as run_dir:
        document = site_document(world, pki=directory, run_dir=run_dir, ports=ports)
        site_file = directory / "site.yaml"
        site_file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        product = Product("run", site_file)
        client = SiteClient(Path(run_dir), {"ems": ports[2], "der": 0, "ocpp": ports[3]})
        found = FieldSite(
            world=world, product=product, client=client, issuer=issuer, folder=directory, facade_port=ports[1]
        )
        try:
            product.start()
            for role in ("ems", "ocpp"):
                eventually(f"{role} is ready", lambda role=role: client.is_serving(role))  # type: ignore[misc]
            eventually("all devices are controlled", lambda: are_controlled(found))
            yield found
        finally:
            client.close()
            product.stop()
            world.stop()


def are_controlled(site: FieldSite) -> bool:
    """Whether every setpoint is proved."""
    return site.client.metrics("ems").get("dgm_core_devices_controlled") == len(COMMANDED)


def watts(site: FieldSite) -> dict[str, int]:
    """Newest power of every device that is read, W."""
    with recording(site.client, "ems", watch_site) as recorder:
        samples = recorder.streams[0][0].samples
        return {sample.asset_id: sample.power_w for sample in samples if sample.quality == Quality.QUALITY_GOOD}


def test_devices_of_all_kinds_are_read_and_their_values_reach_a_watcher(site: FieldSite) -> None:
    def agree() -> bool:
        found = watts(site)
        with site.world.live.now() as plant:
            reading = plant.reading()
        expected = {"meter": reading.net_w, "pv-1": -reading.pv_w[0], "pv-2": -reading.pv_w[1]}
        expected["battery"] = reading.battery_w
        return found.keys() >= expected.keys() and all(abs(found[name] - expected[name]) < 1_000 for name in expected)

    eventually("what is watched is what the plant does", agree)
    metrics = site.client.metrics("ems")
    assert metrics["dgm_core_devices_serving"] == len(COMMANDED) + 1
    assert metrics["dgm_core_modbus_bad_frames_total"] == 0
    assert site.world.tls.roles == ["SiteEms"]


@pytest.mark.parametrize("asset_id", PV)
def test_a_limit_caps_an_inverter_with_its_revert_and_is_read_back(site: FieldSite, asset_id: str) -> None:
    quantity = ems_pb2.QUANTITY_GROSS_GENERATION
    site.client.put_limit("e2e-generation", circuit_id="grid", quantity=quantity, power_w=CAP_W, ttl_ms=TTL_MS)
    control = site.control(asset_id)
    bound = CAP_W * 1000 // PLANT.pv_rated_w
    eventually("the cap stands on the device", lambda: control.enabled and control.value <= bound)
    assert (control.revert_value, control.revert_enabled, control.revert_s) == (REVERT_PERMILLE[asset_id], True, 5)

    def output_w() -> float:
        with site.world.live.now() as plant:
            return float(sum(plant.reading().pv_w))

    eventually("the roof obeys", lambda: output_w() <= CAP_W)
    eventually("the watcher sees it", lambda: sum(-watts(site)[name] for name in PV) <= CAP_W)
    capped = [entry for entry in site.audit(asset_id).entries if entry.power_w >= -CAP_W]
    assert capped[0].verdict == field_pb2.SETPOINT_VERDICT_CONFIRMED
    assert capped[0].binding_limit_id == "e2e-generation"
    assert list(capped[0].read_back) == list(capped[0].written)
    assert site.client.metrics("ems")[f"dgm_setpoint_outcome_total{{asset={asset_id},outcome=confirmed}}"] > 0


def test_a_target_moves_the_battery_of_a_device_table_with_revert_and_heartbeat(site: FieldSite) -> None:
    target = ems_pb2.Target(id="e2e", source=CLIENT, asset_id="battery", want_w=WANT_W, priority=9, ttl_ms=TTL_MS)
    site.client.ems.PutTarget(ems_pb2.PutTargetRequest(target=target), timeout=CALL_S)
    control = site.control("battery")
    eventually("the setpoint stands on the device", lambda: control.enabled and control.value == -WANT_W)
    assert (control.revert_value, control.revert_enabled, control.revert_s) == (0, True, 5)
    eventually("the watcher sees it", lambda: abs(watts(site)["battery"] - WANT_W) < 200)
    told = [entry for entry in site.audit("battery").entries if entry.power_w == WANT_W]
    assert told[0].verdict == field_pb2.SETPOINT_VERDICT_CONFIRMED
    beats = site.world.pcs.heartbeats
    eventually("its heartbeat counts", lambda: len(set(beats)) >= 2)


def test_another_master_is_found_told_and_written_over(site: FieldSite) -> None:
    control = site.control("battery")
    assert site.world.pcs.write(site.world.pcs.SETPOINT, [0, 100])
    kinds = (field_pb2.SETPOINT_VERDICT_OVERWRITTEN, field_pb2.SETPOINT_VERDICT_MISMATCH)
    eventually("it is in the audit", lambda: any(entry.verdict in kinds for entry in site.audit("battery").entries))
    eventually("the setpoint stands again", lambda: control.value == -WANT_W)
    warnings = [line for line in site.product.events() if line.get("part") == "field" and line["level"] == "warning"]
    assert {"setpoint overwritten", "setpoint mismatch"} & {line["event"] for line in warnings}
    eventually("it is trusted again", lambda: are_controlled(site))


def test_the_command_line_lists_the_audit(site: FieldSite) -> None:
    words = [sys.executable, "-m", "dgm.cli.main", "audit", "battery", "--site", str(site.folder / "site.yaml")]
    plain = subprocess.run(words, capture_output=True, text=True, timeout=20, check=True).stdout
    assert "confirmed" in plain
    assert "battery: " in plain
    listed = json.loads(
        subprocess.run([*words, "--json"], capture_output=True, text=True, timeout=20, check=True).stdout
    )
    assert {entry["assetId"] for entry in listed["entries"]} == {"battery"}


def test_a_whole_model_is_read_between_the_polls(site: FieldSite) -> None:
    words = [sys.executable, "-m", "dgm.cli.main", "device", "read", "--site", str(site.folder / "site.yaml")]

    def read(*arguments: str) -> str:
        return subprocess.run([*words, *arguments], capture_output=True, text=True, timeout=20, check=True).stdout

    assert "704" in read("pv-1")
    found = read("pv-2", "704")
    assert "WMaxLimPctRvrtTms = 5 Secs" in found
    assert "WSet = -" in found, "not implemented"
    refused = subprocess.run([*words, "battery", "704"], capture_output=True, text=True, timeout=20, check=False)
    assert refused.returncode != 0
    assert "battery shows no SunSpec map" in refused.stderr
    assert are_controlled(site)


def exchange(site: FieldSite, end: End, pdu: bytes) -> bytes:
    """One request to the EVSE facade over TLS; the PDU of the answer."""
    context = context_of(end, server=False)
    with (
        socket.create_connection((HOST, site.facade_port), timeout=CALL_S) as raw,
        context.wrap_socket(raw, server_hostname=HOST) as secured,
    ):
        secured.sendall(bytes([0, 1, 0, 0, 0, len(pdu) + 1, registers.FIRST_EVSE_UNIT]) + pdu)
        return secured.recv(300)[7:]


def test_the_facade_takes_caps_from_its_role_only(site: FieldSite) -> None:
    place = registers.evse_place(0, EVSE_MODEL)
    first = place.address + EVSE_MODEL.offsets["sequence"]
    words = struct.pack(">HIIHHH", 1, CAP_MA, U32_ABSENT, U16_ABSENT, U16_ABSENT, 60)
    write = bytes([16, *first.to_bytes(2, "big"), 0, len(words) // 2, len(words), *words])
    read = bytes([3, *BASE.to_bytes(2, "big"), 0, 2])
    operator, viewer = site.end("ems", "SiteEms"), site.end("viewer", "Viewer")
    assert exchange(site, viewer, read) == bytes([3, 4]) + b"SunS"
    assert exchange(site, viewer, write) == bytes([0x90, 1]), "a role without the right"
    assert exchange(site, operator, write) == write[:5]
    limit = eventually("the cap is a limit", lambda: site.client.limits().get("ems-facade:SiteEms:evse-1"))
    assert (limit.limit.source, limit.limit.current_ma) == ("ems-facade:SiteEms", CAP_MA)
    stranger = make_end(make_root("Another root"), site.folder, "stranger", roles=("SiteEms",))
    trusting = End(certificate=stranger.certificate, private_key=stranger.private_key, ca=operator.ca)
    with contextlib.suppress(ssl.SSLError, OSError):  # refused in the handshake, or right after it
        assert exchange(site, trusting, read) == b""


def test_a_killed_ems_comes_back_and_commands_the_devices_again(site: FieldSite) -> None:
    before = site.audit("battery").entries[-1].epoch
    site.product.kill("ems")
    unit = site.world.inverters[1]
    seen = len(unit.reads)
    site.product.restart("ems")
    eventually("the ems is ready", lambda: site.client.is_serving("ems"))
    eventually("all devices are controlled", lambda: are_controlled(site))
    started = [line for line in site.product.events() if line.get("part") == "ems" and line["event"] == "started"]
    assert str(started[-1]["devices_known"]) == "3", "the battery of the device table has nothing to be learnt"
    assert unit.reads[seen : seen + 3] == [(40_000, 68), (40_277, 2), (40_344, 1)], (
        "asked who it is, not walked through"
    )
    assert {entry.epoch for entry in site.audit("pv-1").entries} == {before + 1}
    assert site.client.limits()["e2e-generation"].limit.power_w == CAP_W
    eventually("the cap stands", lambda: site.control("pv-1").value <= CAP_W * 1000 // PLANT.pv_rated_w)


def test_with_nobody_alive_every_device_runs_into_its_revert_value(site: FieldSite) -> None:
    target = ems_pb2.Target(id="e2e", source=CLIENT, asset_id="battery", want_w=WANT_W, priority=9, ttl_ms=TTL_MS)
    site.client.ems.PutTarget(ems_pb2.PutTargetRequest(target=target), timeout=CALL_S)
    eventually("the battery charges", lambda: site.control("battery").value == -WANT_W)
    reverts = {name: site.control(name).reverts for name in COMMANDED}
    site.product.supervisor.kill()
    site.product.supervisor.wait()
    for name in COMMANDED:
        eventually(f"{name} has reverted", lambda name=name: site.control(name).reverts > reverts[name])  # type: ignore[misc]
    assert [site.control(name).value for name in COMMANDED] == [250, 200, 0]
    assert all(site.control(name).enabled for name in PV), "the revert state is a limit"
