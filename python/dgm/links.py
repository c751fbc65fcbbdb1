"""How the site's Modbus devices are reached: over TCP, over Modbus/TCP Security, or on a serial bus.

    modbus of an asset ──> findings (rules of the file) ──> file_problems (before the start) ──> with_base ──> core

The core opens ports and files itself and reads renewed certificates at the next connection; here is only told, all at
once and by its place in site.yaml, what could not work.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

from dgm.api.config.v1.config_pb2 import AssetConfig, DgmConfig, ModbusConfig, ModbusTlsConfig
from dgm.api.site.v1.site_pb2 import AssetType
from dgm.errors import Problem

Finding = tuple[str, str, str]
"""Path in site.yaml, what was found, what was expected."""

FILES = ("certificate", "private_key", "ca")
PARITIES = ("", "even", "odd", "none")
BAUD_MAX = 4_000_000


def findings(asset: AssetConfig, path: str) -> Iterator[Finding]:
    """What is wrong with the way to one device."""
    if not asset.HasField("modbus"):
        if asset.type != AssetType.ASSET_TYPE_LOAD:
            yield f"{path}.modbus", "nothing", "host, port and unit_id of the device"
        return
    modbus, path = asset.modbus, f"{path}.modbus"
    ranges = {"unit_id": (1, 247), "poll_interval_ms": (20, 60_000), "timeout_ms": (50, 10_000)}
    if modbus.HasField("serial"):
        yield from _serial(modbus, path)
    else:
        ranges["port"] = (1, 65_535)
        yield from _network(modbus, path)
    for name, (low, high) in ranges.items():
        value = getattr(modbus, name)
        if not low <= value <= high:
            yield f"{path}.{name}", str(value), f"{low}..{high}"
    if modbus.write_latency_ms and not 1 <= modbus.write_latency_ms <= 10_000:
        yield f"{path}.write_latency_ms", str(modbus.write_latency_ms), "1..10000 ms"
    if modbus.ct_primary_a and not modbus.device:
        yield f"{path}.ct_primary_a", str(modbus.ct_primary_a), "nothing without a device table"
    for name in ("ct_primary_a", "ct_secondary_a"):
        if not 0 <= getattr(modbus, name) <= 10_000:
            yield f"{path}.{name}", str(getattr(modbus, name)), "0..10000 A"


def _serial(modbus: ModbusConfig, path: str) -> Iterator[Finding]:
    serial = modbus.serial
    if modbus.host or modbus.port or modbus.HasField("tls"):
        yield f"{path}.serial", "a serial bus beside host, port or tls", "one of them"
    if not serial.path:
        yield f"{path}.serial.path", "nothing", "a serial port such as /dev/ttyUSB0"
    if not 0 <= serial.baud <= BAUD_MAX:
        yield f"{path}.serial.baud", str(serial.baud), f"1..{BAUD_MAX} (default 9600)"
    if serial.parity not in PARITIES:
        yield f"{path}.serial.parity", repr(serial.parity), "even, odd or none"
    if not 0 <= serial.stop_bits <= 2:
        yield f"{path}.serial.stop_bits", str(serial.stop_bits), "1 or 2"


def _network(modbus: ModbusConfig, path: str) -> Iterator[Finding]:
    if not modbus.host:
        yield f"{path}.host", "nothing", "an address or host name, or serial"
    if modbus.HasField("tls"):
        for name in FILES:
            if not getattr(modbus.tls, name):
                yield f"{path}.tls.{name}", "nothing", "a PEM file"


def bus_findings(config: DgmConfig) -> Iterator[Finding]:
    """Devices on one serial port that do not agree on how it is driven."""
    first: dict[str, tuple[str, tuple[int, str, int]]] = {}
    for index, asset in enumerate(config.assets):
        if not asset.modbus.HasField("serial"):
            continue
        serial, path = asset.modbus.serial, f"assets[{index}].modbus.serial"
        parity = serial.parity or "even"
        stop_bits = serial.stop_bits or (2 if parity == "none" else 1)
        drive = (serial.baud or 9600, parity, stop_bits)
        known_path, known = first.setdefault(serial.path, (path, drive))
        if known != drive:
            found, expected = " ".join(map(str, drive)), " ".join(map(str, known))
            yield path, found, f"{expected}, as {known_path} says of the same port"


def with_base(config: DgmConfig, base_dir: Path) -> DgmConfig:
    """The same with absolute file names; in site.yaml they are relative to its folder."""
    absolute = DgmConfig()
    absolute.CopyFrom(config)
    for asset in absolute.assets:
        if asset.modbus.HasField("tls"):
            for name in FILES:
                setattr(asset.modbus.tls, name, str(base_dir / getattr(asset.modbus.tls, name)))
    return absolute


def file_problems(config: DgmConfig, base_dir: Path) -> Iterator[Problem]:
    """Certificates and ports that could not be used, found before anything starts."""
    for index, asset in enumerate(config.assets):
        path, modbus = f"assets[{index}].modbus", asset.modbus
        if modbus.HasField("tls"):
            yield from _tls_problems(modbus.tls, f"{path}.tls", base_dir)
        if modbus.HasField("serial") and not Path(modbus.serial.path).is_char_device():
            expected = "a serial port of this machine (is the adapter plugged in?)"
            yield Problem(path=f"{path}.serial.path", found=f"{modbus.serial.path}: no such port", expected=expected)


def _tls_problems(tls: ModbusTlsConfig, path: str, base_dir: Path) -> Iterator[Problem]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    certificate, key = base_dir / tls.certificate, base_dir / tls.private_key
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        expected = "a PEM chain, own certificate first, with its private key"
        yield Problem(path=f"{path}.certificate", found=f"{certificate}, {key}: {_why(error)}", expected=expected)
    try:
        context.load_verify_locations(base_dir / tls.ca)
    except (OSError, ValueError) as error:
        expected = "PEM certificates of those who may have signed the device's"
        yield Problem(path=f"{path}.ca", found=f"{base_dir / tls.ca}: {_why(error)}", expected=expected)


def _why(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else None
    return (reason or str(error) or type(error).__name__)[:200]
