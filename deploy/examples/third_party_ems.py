"""An EMS that is not DGM's, in two pages: it controls a site through the two gateways with nothing but pymodbus.

    DER facade  ── limits of the utility, their ends and next steps ──> a total for all cars
    EVSE facade ── the site and every EVSE ──> share the total evenly ──> heartbeats, total, caps, acknowledgements

Needs pymodbus and the model files of deploy/map, which say where each value stands. Every second it reads the limits of
the site, takes what the building draws off them, and gives every EVSE with a car the same current. Stop it with Ctrl-C:
it releases the site. Kill it: what it wrote ends by itself, and every EVSE goes to its fallback.

    python third_party_ems.py --port 1502 --der-port 1503            # both gateways
    python third_party_ems.py --port 1502 --total-kw 60              # the EVSE facade alone
"""

from __future__ import annotations

import argparse
import json
import signal
import ssl
import time
from pathlib import Path
from typing import Any

from pymodbus.client import ModbusTcpClient, ModbusTlsClient
from pymodbus.exceptions import ModbusException

BASE, MODELS_AT = 40_000, 40_070
SITE_UNIT, DER_UNIT, FIRST_EVSE_UNIT = 1, 1, 2
NOT_ASKED_16, NOT_ASKED_32 = 0xFFFF, 0xFFFF_FFFF
WITH_CAR = (1, 2, 3, 4, 5)
IMPORT, LOAD = 0, 3
NOT_LIMITED, RECEIVED, HELD = 1, 1, 2
MARGIN = 0.97
EARLY_S = 5
"""A tighter limit that begins so soon is obeyed already: cars need seconds to follow."""
STALE_S = 10
WORDS = {"uint16": 1, "enum16": 1, "bitfield16": 1, "uint32": 2, "int32": 2}

Values = dict[str, float | None]


class Model:
    """A SunSpec model definition: where the points are and what their registers mean."""

    def __init__(self, file: Path) -> None:
        body = json.loads(file.read_text(encoding="utf-8"))
        self.id: int = body["id"]
        self.points: list[dict[str, Any]] = body["group"]["points"]
        self.size = sum(point["size"] for point in self.points)

    def offset(self, name: str) -> int:
        """Registers from the model's start to a point."""
        names = [point["name"] for point in self.points]
        return sum(point["size"] for point in self.points[: names.index(name)])

    def values(self, registers: list[int]) -> Values:
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


class Facade:
    """One Modbus connection."""

    def __init__(self, client: ModbusTcpClient) -> None:
        self._client = client

    def read(self, model: Model, unit: int, address: int = MODELS_AT) -> Values:
        """A whole model: all values are of one moment."""
        return model.values(self._registers(address, model.size, unit))

    def chain(self, unit: int) -> list[tuple[int, int]]:
        """(model id, address) of every model of a unit, by walking their headers."""
        found, address = [], BASE + 2
        while True:
            model_id, length = self._registers(address, 2, unit)
            if model_id == 0xFFFF:
                return found
            found.append((model_id, address))
            address += 2 + length

    def _registers(self, address: int, count: int, unit: int) -> list[int]:
        answer = self._client.read_holding_registers(address, count=count, device_id=unit)
        if answer.isError():
            raise ConnectionError(f"unit {unit}: {answer}")
        return list(answer.registers)

    def write(self, unit: int, address: int, words: list[int]) -> None:
        """A whole group."""
        answer = self._client.write_registers(address, words, device_id=unit)
        if answer.isError():
            print(f"unit {unit} refused {words} at {address}: {answer}", flush=True)


class Der:
    """The DER gateway: what the utility and the connection agreement allow. valid_s: how long we say that we live."""

    def __init__(self, facade: Facade, models: Path, *, valid_s: int) -> None:
        self._facade, self._valid_s, self._beats = facade, valid_s, 0
        self._gateway, self._limit = Model(models / "model_64912.json"), Model(models / "model_64913.json")
        chain = facade.chain(DER_UNIT)
        self._gateway_at = next(address for model_id, address in chain if model_id == self._gateway.id)
        self._limits_at = [address for model_id, address in chain if model_id == self._limit.id]
        self._seen: tuple[float | None, float] = (None, 0.0)

    def limits(self) -> list[Values]:
        """Every limit, in the order import, export, generation, load, output. ConnectionError: the gateway is gone."""
        updates, now_s = self._facade.read(self._gateway, DER_UNIT, self._gateway_at)["Upd"], time.monotonic()
        if updates != self._seen[0]:
            self._seen = updates, now_s
        elif now_s - self._seen[1] > STALE_S:
            raise ConnectionError("the DER gateway shows nothing new")
        return [self._facade.read(self._limit, DER_UNIT, address) for address in self._limits_at]

    def beat(self) -> None:
        """Say that we live."""
        self._beats = (self._beats + 1) % 0xFFFF
        address = self._gateway_at + self._gateway.offset("Hb")
        self._facade.write(DER_UNIT, address, [self._beats, self._valid_s])

    def acknowledge(self, kind: int, limit: Values, ack: int) -> None:
        """Say of a limit what we do with it, unless that is known: of this one as it stands, by its sequence."""
        if limit["Acked"] != ack:
            address = self._limits_at[kind] + self._limit.offset("AckSeq")
            self._facade.write(DER_UNIT, address, [int(limit["Seq"] or 0), ack])

    def release(self) -> None:
        """Leave by our own will."""
        self._facade.write(DER_UNIT, self._gateway_at + self._gateway.offset("Rel"), [1])


class Evses:
    """The OCPP gateway: reads, caps. valid_s: how long what it writes holds without it."""

    def __init__(self, facade: Facade, models: Path, *, valid_s: int) -> None:
        self._facade, self._valid_s, self._beats = facade, valid_s, 0
        self._site, self._evse = Model(models / "model_64910.json"), Model(models / "model_64911.json")

    def read_site(self) -> Values:
        """The site model."""
        return self._facade.read(self._site, SITE_UNIT)

    def read_evses(self, count: int) -> list[Values]:
        """Every EVSE's model."""
        return [self._facade.read(self._evse, FIRST_EVSE_UNIT + index) for index in range(count)]

    def beat(self) -> None:
        """Say that we live."""
        self._beats = (self._beats + 1) % 0xFFFF
        self._write_site("Hb", [self._beats, self._valid_s])

    def cap_total(self, total_w: int, newest: float | None) -> None:
        """Cap all EVSEs together. newest: the sequence in force."""
        self._write_site("TotSeq", [_next(newest), total_w >> 16, total_w & 0xFFFF, self._valid_s])

    def cap_evse(self, index: int, cap_a: float, newest: float | None) -> None:
        """Cap one EVSE, mA per phase; nothing is asked in W, and neither a priority nor that it may not pause."""
        cap_ma = int(cap_a * 1000)
        words = [_next(newest), cap_ma >> 16, cap_ma & 0xFFFF, NOT_ASKED_32 >> 16, NOT_ASKED_32 & 0xFFFF]
        words += [NOT_ASKED_16, NOT_ASKED_16, self._valid_s]
        self._facade.write(FIRST_EVSE_UNIT + index, MODELS_AT + self._evse.offset("CapSeq"), words)

    def release(self) -> None:
        """Give the control back."""
        self._write_site("Rel", [1])

    def _write_site(self, name: str, words: list[int]) -> None:
        self._facade.write(SITE_UNIT, MODELS_AT + self._site.offset(name), words)


def _next(newest: float | None) -> int:
    return 1 if newest is None else (int(newest) + 1) % 0xFFFF


def held_w(limit: Values) -> float | None:
    """What of a limit is to be held now: a tighter one that begins soon is obeyed already. None: nothing limits."""
    now_w, next_w, next_in_s = limit["WLim"], limit["NxtWLim"], limit["NxtIn"]
    if next_w is None or next_in_s is None or next_in_s > EARLY_S:
        return now_w
    return next_w if now_w is None else min(now_w, next_w)


def total_for_cars(site: Values, limits: list[Values], most_w: float) -> float:
    """W for all cars together: what the limits leave beside the building, and no more than `most_w`."""
    rooms = [most_w]
    import_w, load_w = held_w(limits[IMPORT]), held_w(limits[LOAD])
    if import_w is not None and site["WUnctl"] is not None:
        rooms.append(import_w * MARGIN - site["WUnctl"])
    elif limits[IMPORT]["St"] != NOT_LIMITED:
        rooms.append(0.0)  # what is not known is not free
    if load_w is not None:
        rooms.append(load_w * MARGIN)
    return max(0.0, min(rooms))


def share(evses: list[Values], total_w: float) -> list[float]:
    """A per phase for every EVSE: the same for each conductor of a car, nothing below 6 A, nothing above the rating."""
    with_car = [evse for evse in evses if evse["St"] in WITH_CAR]
    conductors = sum(int(evse["Ph"] or 0).bit_count() for evse in with_car)
    each_a = total_w / 230 / conductors if conductors else 0.0
    return [float(int(each_a)) if evse["St"] in WITH_CAR and each_a >= 6 else 0.0 for evse in evses]


def step(evses: Evses, der: Der | None, most_w: float) -> None:
    """One second's work. ConnectionError: a gateway does not answer; then nothing is renewed, and all of it ends."""
    limits = [] if der is None else der.limits()
    site = evses.read_site()
    total_w = total_for_cars(site, limits, most_w) if limits else most_w
    seen = evses.read_evses(int(site["Evses"] or 0))
    evses.beat()
    evses.cap_total(int(total_w), site["TotSeqIf"])
    caps = share(seen, total_w)
    for index, (evse, cap_a) in enumerate(zip(seen, caps, strict=True)):
        evses.cap_evse(index, min(cap_a, 16.0), evse["CapSeqIf"])
    if der is not None:
        der.beat()
        for kind, seen_w in ((IMPORT, site["W"]), (LOAD, site["WEvse"])):
            limit_w = limits[kind]["WLim"]
            is_held = limit_w is None or (seen_w is not None and seen_w <= limit_w)
            der.acknowledge(kind, limits[kind], HELD if is_held else RECEIVED)
    print(
        f"control {site['Ctl']:.0f}  import {_kw(site['W'])} of {_kw(site['WImpLim'])}  cars {_kw(site['WEvse'])}"
        f" of {_kw(total_w)}  caps {' '.join(f'{cap:.0f}' for cap in caps)}",
        flush=True,
    )


def _kw(value: float | None) -> str:
    return "-" if value is None else f"{value / 1000:.1f} kW"


def connected(options: argparse.Namespace, port: int) -> Facade:
    """Plain, or with the certificate whose role may write (Modbus/TCP Security)."""
    if not options.certificate:
        client = ModbusTcpClient(options.host, port=port, timeout=3)
    else:
        context = ssl.create_default_context(cafile=options.ca)
        context.load_cert_chain(options.certificate, options.key)
        client = ModbusTlsClient(options.host, port=port, sslctx=context, timeout=3)
    if not client.connect():
        raise ConnectionError(f"{options.host}:{port}: no connection")
    return Facade(client)


def gateways(options: argparse.Namespace) -> tuple[Evses, Der | None]:
    """Both of them, or the EVSE facade alone; waits until they are there."""
    while True:
        try:
            evses = Evses(connected(options, options.port), options.models, valid_s=options.valid_s)
            if options.der_port is None:
                return evses, None
            return evses, Der(connected(options, options.der_port), options.models, valid_s=options.valid_s)
        except (ConnectionError, ModbusException) as error:
            print(f"not yet: {error}", flush=True)
            time.sleep(1.0)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1502, help="of the EVSE facade")
    parser.add_argument("--der-port", type=int, help="of the DER facade; without it --total-kw is all there is")
    parser.add_argument("--total-kw", type=float, help="for all cars together, at most")
    parser.add_argument("--valid-s", type=int, default=10, help="how long what is written holds without us")
    parser.add_argument("--models", type=Path, default=Path(__file__).resolve().parents[1] / "map")
    parser.add_argument("--certificate", help="PEM; with --key and --ca: Modbus/TCP Security")
    parser.add_argument("--key")
    parser.add_argument("--ca")
    options = parser.parse_args()
    if options.der_port is None and options.total_kw is None:
        parser.error("without --der-port a limit is needed: --total-kw")
    return options


def main() -> None:
    """Run until stopped, by Ctrl-C or by whoever runs services."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    options = arguments()
    most_w = 1e9 if options.total_kw is None else options.total_kw * 1000
    try:
        evses, der = gateways(options)
    except KeyboardInterrupt:
        return
    try:
        while True:
            try:
                step(evses, der, most_w)
            except (ConnectionError, ModbusException) as error:
                print(f"not now: {error}", flush=True)  # a gateway that restarts is back in seconds
            time.sleep(1.0)
    except KeyboardInterrupt:
        evses.release()
        if der is not None:
            der.release()


if __name__ == "__main__":
    main()
