"""Devices of a site as a master meets them: on a serial line, over TCP and over Modbus/TCP Security.

    Plant (one site's physics) ── SunSpecUnit (meter, inverters), PcsUnit (battery by table) ── answer(unit, PDU)
                                                                                                   ^
                          pty: RTU frames ── TCP: MBAP frames ── TLS: the same, client certificate demanded

Plain Python on purpose: nothing of the product answers here. Time moves when somebody looks.
"""

from __future__ import annotations

import contextlib
import os
import pty
import random
import select
import socket
import socketserver
import ssl
import struct
import threading
import time
import tty
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cryptography import x509

from dgm.sim.devices import Device, InverterDevice, MeterDevice
from dgm.sim.live.modbus_pki import ROLE, End
from dgm.sim.plant import NO_EV_LOAD, Battery, Plant, PlantConfig
from dgm.sim.sunspec import BASE_ADDRESS

HOST = "127.0.0.1"
PLANT = PlantConfig(
    building_min_w=2_000,
    building_max_w=5_000,
    pv_rated_w=20_000,
    pv_count=2,
    irradiance_permille=900,
    battery_power_w=20_000,
    battery_energy_wh=40_000,
    soc_permille=500,
    service_ma=200_000,
)
POLL_S = 0.1


class Unit(Protocol):
    """Holding registers of one device."""

    def read(self, address: int, count: int) -> list[int] | None:
        """None: one of them does not exist."""
        ...

    def write(self, address: int, words: list[int]) -> bool:
        """False: one of them does not exist."""
        ...


class LivePlant:
    """The plant under the real clock; whoever looks holds the lock."""

    def __init__(self) -> None:
        self.plant = Plant(PLANT, random.Random(3))
        self._lock = threading.RLock()
        self._last_s = time.monotonic()

    @contextmanager
    def now(self) -> Iterator[Plant]:
        """The plant as it is now."""
        with self._lock:
            now_s = time.monotonic()
            self.plant.step(now_s - self._last_s, NO_EV_LOAD)
            self._last_s = now_s
            yield self.plant


class SunSpecUnit:
    """One of the simulator's SunSpec devices."""

    def __init__(self, live: LivePlant, device: Device) -> None:
        self.device = device
        self.reads: list[tuple[int, int]] = []
        self._live = live

    def read(self, address: int, count: int) -> list[int] | None:
        """As of now."""
        with self._live.now() as plant:
            self.reads.append((address, count))
            self.device.refresh(plant.reading())
            return _part(self.device.image.words, address - BASE_ADDRESS, count)

    def write(self, address: int, words: list[int]) -> bool:
        """Takes effect at once."""
        with self._live.now():
            at = address - BASE_ADDRESS
            if _part(self.device.image.words, at, len(words)) is None:
                return False
            self.device.image.words[at : at + len(words)] = words
            self.device.apply(address=address, count=len(words))
            return True


class PcsUnit:
    """The plant's battery behind the register layout of devices/dgm_pcs.yaml, written down here a second time."""

    STATE, REMOTE, ENABLE, TIMER, REVERT, SETPOINT, HEARTBEAT, END = 9, 10, 100, 101, 102, 104, 106, 107

    def __init__(self, live: LivePlant) -> None:
        self.heartbeats: list[int] = []
        self._live = live
        self._words = [0] * self.END

    def read(self, address: int, count: int) -> list[int] | None:
        """As of now."""
        with self._live.now() as plant:
            self._refresh(plant.battery)
            return _part(self._words, address, count)

    def write(self, address: int, words: list[int]) -> bool:
        """A written setpoint starts the revert timer."""
        with self._live.now() as plant:
            self._refresh(plant.battery)
            if _part(self._words, address, len(words)) is None:
                return False
            self._words[address : address + len(words)] = words
            if address == self.HEARTBEAT:
                self.heartbeats += words
            if address <= self.SETPOINT < address + len(words):
                self._command(plant.battery)
            return True

    def _command(self, battery: Battery) -> None:
        control = battery.setpoint
        control.enabled = control.revert_enabled = self._words[self.ENABLE] == 1
        control.value, control.revert_value = -self._signed(self.SETPOINT), -self._signed(self.REVERT)
        control.revert_s = self._words[self.TIMER]
        control.rewrite()

    def _refresh(self, battery: Battery) -> None:
        self._put(0, round(battery.power_w))
        self._words[4] = round(battery.soc * 1000)
        self._put(5, battery.power_max_w)
        self._put(7, battery.power_max_w)
        self._words[self.STATE], self._words[self.REMOTE] = 2, 1
        self._put(self.SETPOINT, -battery.setpoint.value)

    def _put(self, address: int, value: int) -> None:
        self._words[address : address + 2] = struct.unpack(">HH", struct.pack(">i", value))

    def _signed(self, address: int) -> int:
        return int(struct.unpack(">i", struct.pack(">HH", *self._words[address : address + 2]))[0])


def _part(words: list[int], at: int, count: int) -> list[int] | None:
    return words[at : at + count] if at >= 0 and at + count <= len(words) else None


def answer(unit: Unit, pdu: bytes) -> bytes:
    """The PDU that a device answers: functions 3, 6 and 16, exceptions 1 and 2."""
    function, body = pdu[0], pdu[1:]
    address, value = struct.unpack(">HH", body[:4])
    if function == 3:
        found = unit.read(address, value)
        done = None if found is None else bytes([2 * value]) + struct.pack(f">{value}H", *found)
    elif function in (6, 16):
        words = [value] if function == 6 else list(struct.unpack(f">{value}H", body[5:]))
        done = body[:4] if unit.write(address, words) else None
    else:
        return bytes([function | 0x80, 1])
    return bytes([function | 0x80, 2]) if done is None else bytes([function]) + done


def crc(data: bytes) -> bytes:
    """CRC-16/MODBUS, low byte first."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value.to_bytes(2, "little")


class SerialBus:
    """The devices' end of a pty pair; the master opens `path`."""

    def __init__(self, units: Mapping[int, Unit]) -> None:
        self._units = units
        self._fd, slave = pty.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        self._slave = slave  # held open: else the pair ends when the master closes its end
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="serial bus", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, close the pair."""
        self._stop.set()
        self._thread.join()
        os.close(self._fd)
        os.close(self._slave)

    def _run(self) -> None:
        waiting = b""
        while not self._stop.is_set():
            ready, _, _ = select.select([self._fd], [], [], POLL_S)
            # A silence ends a frame, whole or not.
            waiting = waiting + os.read(self._fd, 256) if ready else b""
            size = _rtu_size(waiting)
            if size is not None and len(waiting) >= size:
                self._answer(waiting[:size])
                waiting = waiting[size:]

    def _answer(self, frame: bytes) -> None:
        unit = self._units.get(frame[0])
        if unit is not None and crc(frame[:-2]) == frame[-2:]:
            reply = frame[:1] + answer(unit, frame[1:-2])
            os.write(self._fd, reply + crc(reply))


def _rtu_size(frame: bytes) -> int | None:
    """Length of the request that begins here, CRC included; None: too short to say."""
    if len(frame) < 7:
        return None
    return 9 + frame[6] if frame[1] == 16 else 8


@dataclass
class TcpDevices:
    """Devices behind one TCP or TLS address. roles: of the clients' certificates, one per connection."""

    units: Mapping[int, Unit]
    end: End | None = None
    roles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        devices = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    devices.serve(self.request)

        self._server = socketserver.ThreadingTCPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_S,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more connections."""
        self._server.shutdown()
        self._server.server_close()

    def serve(self, connection: socket.socket) -> None:
        """Answer one master until it leaves."""
        if self.end is not None:
            secured = context_of(self.end, server=True).wrap_socket(connection, server_side=True)
            self.roles.append(role_of(secured))
            connection = secured
        with connection:
            while head := connection.recv(7, 0 if self.end else socket.MSG_WAITALL):
                while len(head) < 7:
                    head += connection.recv(7 - len(head))
                transaction, _, length, unit = struct.unpack(">HHHB", head)
                pdu = b""
                while len(pdu) < length - 1:
                    pdu += connection.recv(length - 1 - len(pdu))
                reply = answer(self.units[unit], pdu)
                connection.sendall(struct.pack(">HHHB", transaction, 0, len(reply) + 1, unit) + reply)


def context_of(end: End, *, server: bool) -> ssl.SSLContext:
    """Mutual TLS of one end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(end.ca)
    context.load_cert_chain(end.certificate, end.private_key)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def role_of(secured: ssl.SSLSocket) -> str:
    """The Modbus role in the peer's certificate; empty: none."""
    certificate = secured.getpeercert(binary_form=True)
    assert certificate is not None
    for extension in x509.load_der_x509_certificate(certificate).extensions:
        if extension.oid == ROLE and isinstance(extension.value, x509.UnrecognizedExtension):
            return extension.value.value[2:].decode()
    return ""


class FieldWorld:
    """All devices of the site: a meter and an inverter on a serial line, a battery, an inverter behind TLS."""

    def __init__(self, device_end: End) -> None:
        self.live = LivePlant()
        first, second = self.live.plant.inverters
        self.meter = SunSpecUnit(self.live, MeterDevice(service_ma=PLANT.service_ma))
        self.inverters = tuple(
            SunSpecUnit(self.live, InverterDevice(inverter, index=index))
            for index, inverter in enumerate((first, second))
        )
        self.pcs = PcsUnit(self.live)
        self.bus = SerialBus({1: self.meter, 2: self.inverters[0]})
        self.tcp = TcpDevices({7: self.pcs})
        self.tls = TcpDevices({1: self.inverters[1]}, end=device_end)

    def stop(self) -> None:
        """End all threads."""
        for server in (self.bus, self.tcp, self.tls):
            server.stop()


def site_document(world: FieldWorld, *, pki: Path, run_dir: str, ports: list[int]) -> dict[str, object]:
    """site.yaml of this world. ports: OCPP, its facade, metrics (ems, ocpp). pki: folder of `master`, `facade`."""

    def files(name: str) -> dict[str, str]:
        return {"certificate": f"{pki}/{name}.pem", "private_key": f"{pki}/{name}.key", "ca": f"{pki}/{name}.ca.pem"}

    # A pseudo-terminal has no parity, and as fast as this a request has left before anybody can answer it.
    serial = {"path": world.bus.path, "baud": 4_000_000, "parity": "none", "stop_bits": 1}
    pv = {"type": "PV", "circuit": "grid", "power_max_w": PLANT.pv_rated_w, "revert_s": 5}
    return {
        "site": {
            "id": "field",
            "name": "Field",
            "nominal_voltage_mv": 230_000,
            "state_dir": "state",
            "run_dir": run_dir,
        },
        "circuits": [
            {
                "id": "grid",
                "import_limit_w": 100_000,
                "export_limit_w": 60_000,
                "current_limit_ma": 200_000,
                "meter": "meter",
                "max_uncontrolled_w": 10_000,
                "min_uncontrolled_w": 0,
            }
        ],
        "assets": [
            {"id": "meter", "type": "METER", "circuit": "grid", "modbus": {"serial": serial, "unit_id": 1}},
            {**pv, "id": "pv-1", "revert_w": 5_000, "modbus": {"serial": serial, "unit_id": 2}},
            {
                **pv,
                "id": "pv-2",
                "revert_w": 4_000,
                "modbus": {"host": HOST, "port": world.tls.port, "unit_id": 1, "tls": files("master")},
            },
            {
                "id": "battery",
                "type": "BATTERY",
                "circuit": "grid",
                "power_max_w": PLANT.battery_power_w,
                "energy_wh": PLANT.battery_energy_wh,
                "revert_s": 5,
                "modbus": {"host": HOST, "port": world.tcp.port, "unit_id": 7, "device": "dgm_pcs"},
            },
        ],
        "cpos": [{"id": "cpo-a", "url": f"ws://{HOST}:9/ocpp"}],
        "stations": [
            {
                "id": "CP-1",
                "cpo": "cpo-a",
                "evses": [
                    {
                        "id": "evse-1",
                        "connector_id": 1,
                        "circuit": "grid",
                        "phases": ["L1", "L2", "L3"],
                        "current_max_ma": 16_000,
                    }
                ],
            }
        ],
        "ocpp": {
            "host": HOST,
            "port": ports[0],
            "facade": {"host": HOST, "port": ports[1], "write_roles": ["SiteEms"], "tls": files("facade")},
        },
        "api": {"metrics_port_ems": ports[2], "metrics_port_ocpp": ports[3]},
    }
