"""An EMS that is not DGM's, in a page: it controls a site through the EVSE facade with nothing but pymodbus.

    every second: read the site and every EVSE ──> share a total evenly among the cars ──> heartbeat, total, caps

Needs pymodbus and the two model files of deploy/map, which say where each value stands. It reads the grid limit at the
connection point from the facade, keeps a margin, and gives every EVSE with a car the same current. Stop it with Ctrl-C:
it releases the site. Kill it: what it wrote ends by itself, and every EVSE goes to its fallback.

    python third_party_ems.py --port 1502 --total-kw 60
"""

from __future__ import annotations

import argparse
import json
import ssl
import time
from pathlib import Path
from typing import Any

from pymodbus.client import ModbusTcpClient, ModbusTlsClient
from pymodbus.exceptions import ModbusException

MODELS_AT = 40_070
SITE_UNIT, FIRST_EVSE_UNIT = 1, 2
NOT_ASKED_16, NOT_ASKED_32 = 0xFFFF, 0xFFFF_FFFF
WITH_CAR = (1, 2, 3, 4, 5)
WORDS = {"uint16": 1, "enum16": 1, "bitfield16": 1, "uint32": 2, "int32": 2}


class Model:
    """A SunSpec model definition: where the points are and what their registers mean."""

    def __init__(self, file: Path) -> None:
        self.points: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["group"]["points"]
        self.size = sum(point["size"] for point in self.points)

    def address(self, name: str) -> int:
        """Of a point in the first model of a unit."""
        names = [point["name"] for point in self.points]
        return MODELS_AT + sum(point["size"] for point in self.points[: names.index(name)])

    def values(self, registers: list[int]) -> dict[str, float | None]:
        """Numbers in their units by name; None: not known."""
        found, at = {}, 0
        for point in self.points:
            own, at = registers[at : at + point["size"]], at + point["size"]
            if point["type"] in WORDS:
                found[point["name"]] = _number(own, point)
        return found


def _number(words: list[int], point: dict[str, Any]) -> float | None:
    raw = int.from_bytes(b"".join(word.to_bytes(2, "big") for word in words), "big")
    top = 1 << (16 * len(words) - 1)
    if point["type"] == "int32":
        raw, unknown = raw - 2 * top * (raw >= top), -top
    else:
        unknown = 2 * top - 1
    return None if raw == unknown else float(raw) * 10.0 ** point.get("sf", 0)


class Ems:
    """Reads, shares, writes. valid_s: how long what it writes holds without it."""

    def __init__(self, client: ModbusTcpClient, models: Path, *, valid_s: int) -> None:
        self._client, self._valid_s = client, valid_s
        self._site, self._evse = Model(models / "model_64910.json"), Model(models / "model_64911.json")
        self._beats = 0

    def read_site(self) -> dict[str, float | None]:
        """The site model."""
        return self._read(self._site, SITE_UNIT)

    def read_evses(self, count: int) -> list[dict[str, float | None]]:
        """Every EVSE's model."""
        return [self._read(self._evse, FIRST_EVSE_UNIT + index) for index in range(count)]

    def _read(self, model: Model, unit: int) -> dict[str, float | None]:
        answer = self._client.read_holding_registers(MODELS_AT, count=model.size, device_id=unit)
        if answer.isError():
            raise ConnectionError(f"unit {unit}: {answer}")
        return model.values(answer.registers)

    def beat(self) -> None:
        """Say that we live."""
        self._beats = (self._beats + 1) % 0xFFFF
        self._write(SITE_UNIT, self._site.address("Hb"), [self._beats, self._valid_s])

    def cap_total(self, total_w: int, newest: float | None) -> None:
        """Cap all EVSEs together. newest: the sequence in force."""
        words = [_next(newest), total_w >> 16, total_w & 0xFFFF, self._valid_s]
        self._write(SITE_UNIT, self._site.address("TotSeq"), words)

    def cap_evse(self, index: int, cap_a: float, newest: float | None) -> None:
        """Cap one EVSE, mA per phase; nothing is asked in W, and neither a priority nor that it may not pause."""
        cap_ma = int(cap_a * 1000)
        words = [_next(newest), cap_ma >> 16, cap_ma & 0xFFFF, NOT_ASKED_32 >> 16, NOT_ASKED_32 & 0xFFFF]
        words += [NOT_ASKED_16, NOT_ASKED_16, self._valid_s]
        self._write(FIRST_EVSE_UNIT + index, self._evse.address("CapSeq"), words)

    def release(self) -> None:
        """Give the control back."""
        self._write(SITE_UNIT, self._site.address("Rel"), [1])

    def _write(self, unit: int, address: int, words: list[int]) -> None:
        answer = self._client.write_registers(address, words, device_id=unit)
        if answer.isError():
            print(f"unit {unit} refused {words} at {address}: {answer}", flush=True)


def _next(newest: float | None) -> int:
    return 1 if newest is None else (int(newest) + 1) % 0xFFFF


def share(evses: list[dict[str, float | None]], total_w: float) -> list[float]:
    """A per phase for every EVSE: the same for each conductor of a car, nothing below 6 A, nothing above the rating."""
    with_car = [evse for evse in evses if evse["St"] in WITH_CAR]
    conductors = sum(int(evse["Ph"] or 0).bit_count() for evse in with_car)
    each_a = total_w / 230 / conductors if conductors else 0.0
    return [float(int(each_a)) if evse["St"] in WITH_CAR and each_a >= 6 else 0.0 for evse in evses]


def step(ems: Ems, total_w: int) -> None:
    """One second's work."""
    ems.beat()
    site = ems.read_site()
    evses = ems.read_evses(int(site["Evses"] or 0))
    ems.cap_total(total_w, site["TotSeqIf"])
    caps = share(evses, total_w)
    for index, (evse, cap_a) in enumerate(zip(evses, caps, strict=True)):
        ems.cap_evse(index, min(cap_a, 16.0), evse["CapSeqIf"])
    print(
        f"control {site['Ctl']:.0f}  import {_kw(site['W'])} of {_kw(site['WImpLim'])}  cars {_kw(site['WEvse'])}"
        f"  caps {' '.join(f'{cap:.0f}' for cap in caps)}",
        flush=True,
    )


def _kw(value: float | None) -> str:
    return "-" if value is None else f"{value / 1000:.1f} kW"


def connected(options: argparse.Namespace) -> ModbusTcpClient:
    """Plain, or with the certificate whose role may write (Modbus/TCP Security)."""
    if not options.certificate:
        client = ModbusTcpClient(options.host, port=options.port, timeout=3)
    else:
        context = ssl.create_default_context(cafile=options.ca)
        context.load_cert_chain(options.certificate, options.key)
        client = ModbusTlsClient(options.host, port=options.port, sslctx=context, timeout=3)
    if not client.connect():
        raise ConnectionError(f"{options.host}:{options.port}: no connection")
    return client


def main() -> None:
    """Run until stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1502)
    parser.add_argument("--total-kw", type=float, required=True, help="for all cars together")
    parser.add_argument("--valid-s", type=int, default=10, help="how long what is written holds without us")
    parser.add_argument("--models", type=Path, default=Path(__file__).resolve().parents[1] / "map")
    parser.add_argument("--certificate", help="PEM; with --key and --ca: Modbus/TCP Security")
    parser.add_argument("--key")
    parser.add_argument("--ca")
    options = parser.parse_args()
    ems = Ems(connected(options), options.models, valid_s=options.valid_s)
    try:
        while True:
            try:
                step(ems, int(options.total_kw * 1000))
            except (ConnectionError, ModbusException) as error:
                print(f"not now: {error}", flush=True)  # a gateway that restarts is back in seconds
            time.sleep(1.0)
    except KeyboardInterrupt:
        ems.release()


if __name__ == "__main__":
    main()
