"""site.yaml to DgmConfig: strict, complete, all problems at once.

    text ──document──> message ──> defaults, device tables ──> rules of the site ──> DgmConfig

The caller reads the file; device tables that come with DGM are read by `devices`, how devices are reached is in
`links`. What a value means is said in proto/dgm/api/config/v1/config.proto; what is checked against files, devices and
ports is checked by the roles before they start.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from dgm import document, links, zone
from dgm.api.config.v1.config_pb2 import (
    AssetConfig,
    CircuitConfig,
    DgmConfig,
    EvseConfig,
    FacadeConfig,
    OwnIdentityConfig,
    SiteConfig,
)
from dgm.api.site.v1.site_pb2 import AssetType, Phase
from dgm.der.profiles import loader as profiles
from dgm.devices import tables
from dgm.ems.policies import parameters, registry
from dgm.errors import ConfigError, Problem
from dgm.stations_csv import StationList, read_stations

LOWEST_PORT = 1024
MAX_EVSES_PER_STATION = 16
MAX_CONNECTOR_ID = 99
ENFORCEMENTS = ("max", "merge", "native")
OUTAGES = ("strict", "island", "store")
SUBPROTOCOLS = ("ocpp1.6", "ocpp2.0.1", "ocpp2.1")
IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._|*=+@-]{0,47}")
"""What an OCPP identity may be (OCPP-J part 4, 3.1.1), for every id: no blanks and no ':' or '/'."""

THREE_PHASES = (Phase.PHASE_L1, Phase.PHASE_L2, Phase.PHASE_L3)


Read = Callable[[str], str]
"""Text of a file that site.yaml names; OSError or UnicodeDecodeError when it cannot be read."""


def parse(text: str, *, source: str = "site.yaml", read: Read | None = None) -> DgmConfig:
    """The configuration with every documented default filled in. ConfigError lists all that is wrong."""
    config, problems = examine(text, read=read)
    if problems:
        raise ConfigError(problems, source=source)
    return config


def examine(text: str, *, read: Read | None = None) -> tuple[DgmConfig, list[Problem]]:
    """The configuration as far as it can be read, defaults filled in, and all that is wrong with it.

    The stations of stations_csv, which only `read` can bring, stand behind those of site.yaml.
    """
    config = DgmConfig()
    problems, lines = document.read(text, config)
    in_yaml = len(config.stations)
    listed = _listed_stations(config, read)
    _fill_defaults(config)
    if not lines:
        return config, problems
    problems += tables.fill(config, lines) + listed.problems + list(_site_problems(config, lines))
    return config, [_in_csv(problem, in_yaml, listed) for problem in problems]


def _listed_stations(config: DgmConfig, read: Read | None) -> StationList:
    if not config.stations_csv:
        return StationList()
    try:
        if read is None:
            raise OSError("no files here")
        listed = read_stations(read(config.stations_csv))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        unread = Problem(path="stations_csv", found=f"{config.stations_csv}: {reason}", expected="a CSV file in UTF-8")
        return StationList(problems=[unread])
    config.stations.extend(listed.stations)
    return listed


def _in_csv(problem: Problem, in_yaml: int, listed: StationList) -> Problem:
    """A rule's finding in a station of the CSV file, told with its line there."""
    match = re.match(r"stations\[(\d+)\](?:\.evses\[(\d+)\])?(.*)", problem.path)
    at = int(match[1]) - in_yaml if match is not None else -1
    if match is None or not 0 <= at < len(listed.lines):
        return problem
    line = listed.lines[at][int(match[2] or 0)]
    return Problem(path="stations_csv" + match[3], found=problem.found, expected=problem.expected, line=line)


def _default(message: Message, **values: int | str | bool) -> None:
    """Fill fields that are absent (or, without presence, zero): config.proto says which default each has."""
    for name, value in values.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        absent = not message.HasField(name) if field.has_presence else not getattr(message, name)
        if absent:
            setattr(message, name, value)


def _fill_defaults(config: DgmConfig) -> None:
    _default(config.site, nominal_voltage_mv=230_000, state_dir="state", run_dir="run")
    for circuit in config.circuits:
        _default(circuit, margin_permille=10)
    for asset in config.assets:
        _fill_asset(asset)
    for cpo in config.cpos:
        _default(cpo, outage="island")
        if cpo.HasField("own"):
            _default(cpo.own, significance_percent=10)
    for station in config.stations:
        _default(station, security_profile=0)
        for evse in station.evses:
            _default(evse, current_min_ma=6000, current_step_ma=1000, weight=1, stratum=1)
    _default(
        config.ems,
        tick_ms=100,
        cycle_ms=1000,
        evse_deadband_ma=1000,
        evse_up_interval_ms=5000,
        sample_max_age_ms=12_000,
        meter_max_age_ms=2000,
        setpoint_ttl_ms=15_000,
        rotation_ms=900_000,
        time_zone=zone.DEFAULT,
    )
    if config.HasField("der"):
        _default(config.der, profile=profiles.DEFAULT)
        if config.der.discovery:
            _default(config.der, discovery_domain="local")
        if config.der.HasField("notify") and not config.der.notify.host:
            config.der.notify.host = "127.0.0.1"
        if config.der.profile in profiles.names():
            _default(config.der, poll_s=profiles.load(config.der.profile).poll_s)
    if config.HasField("ocpp"):
        _default(
            config.ocpp,
            host="127.0.0.1",
            port=9000,
            profile_lease_s=120,
            max_stack_level=8,
            trigger_interval_s=10,
            call_timeout_s=10,
            ping_interval_s=20,
            compression=True,
        )
    for facade in _facades(config):
        _default(facade[1], host="127.0.0.1")
    config.api.SetInParent()
    _default(config.api, metrics_host="127.0.0.1")


def _fill_asset(asset: AssetConfig) -> None:
    if not asset.phases:
        asset.phases.extend(THREE_PHASES)
    if asset.type == AssetType.ASSET_TYPE_BATTERY:
        _default(asset, charge_max_w=asset.power_max_w, soc_min_permille=200, soc_max_permille=900, bridge_reserve_w=0)
        _default(asset, revert_w=0)
    if asset.type in (AssetType.ASSET_TYPE_PV, AssetType.ASSET_TYPE_BATTERY):
        _default(asset, revert_s=30)
    if asset.HasField("modbus"):
        fast = asset.type == AssetType.ASSET_TYPE_METER
        _default(asset.modbus, unit_id=1, poll_interval_ms=100 if fast else 200, timeout_ms=500)
        if asset.modbus.ct_primary_a:
            _default(asset.modbus, ct_secondary_a=5)


def _facades(config: DgmConfig) -> list[tuple[str, FacadeConfig]]:
    found = []
    if config.HasField("der") and config.der.HasField("facade"):
        found.append(("der.facade", config.der.facade))
    if config.HasField("ocpp") and config.ocpp.HasField("facade"):
        found.append(("ocpp.facade", config.ocpp.facade))
    return found


def _site_problems(config: DgmConfig, lines: dict[str, int]) -> Iterator[Problem]:
    """The rules that need more than one field."""
    of_a_site = (_ids, _tree, _circuits, _assets, _stations, _gateways, _policies, _ports)
    rules = (_ids, _aggregator, _gateways, _ports) if config.der.end_devices else of_a_site
    for rule in rules:
        for path, found, expected in rule(config):
            yield Problem(path=path, found=found, expected=expected, line=document.line_of(path, lines))


Finding = tuple[str, str, str]
Rule = Callable[[DgmConfig], Iterator[Finding]]


def _ids(config: DgmConfig) -> Iterator[Finding]:
    named = [("site.id", "site", config.site.id)]
    named += [(f"circuits[{i}].id", "circuit", item.id) for i, item in enumerate(config.circuits)]
    named += [(f"assets[{i}].id", "asset", item.id) for i, item in enumerate(config.assets)]
    named += [(f"cpos[{i}].id", "cpo", item.id) for i, item in enumerate(config.cpos)]
    for i, station in enumerate(config.stations):
        named.append((f"stations[{i}].id", "station", station.id))
        named += [(f"stations[{i}].evses[{j}].id", "asset", evse.id) for j, evse in enumerate(station.evses)]
    first: dict[tuple[str, str], str] = {}
    for path, kind, name in named:
        if not name:
            yield path, "nothing", f"an id for this {kind}"
        elif not IDENTIFIER.fullmatch(name):
            yield path, repr(name), "1 to 48 letters, digits or . _ | * = + @ - (no blank, ':' or '/')"
        elif (kind, name) in first:
            yield path, f"duplicate id {name!r}, first at {first[kind, name]}", f"one {kind} of each id"
        else:
            first[kind, name] = path


def _tree(config: DgmConfig) -> Iterator[Finding]:
    if not config.circuits:
        yield "circuits", "no circuit", "at least the connection point"
        return
    parents = {circuit.id: circuit.parent for circuit in config.circuits}
    roots = [circuit.id for circuit in config.circuits if not circuit.parent]
    if len(roots) != 1:
        yield (
            "circuits",
            f"{len(roots)} circuits without a parent ({', '.join(roots)})",
            "exactly one, the connection point",
        )
    for index, circuit in enumerate(config.circuits):
        path = f"circuits[{index}].parent"
        if circuit.parent and circuit.parent not in parents:
            yield path, f"unknown circuit {circuit.parent!r}", "the id of a circuit in this file"
            continue
        trail, at = [circuit.id], circuit.parent
        while at and at in parents and at not in trail:
            trail.append(at)
            at = parents[at]
        if at == circuit.id:
            yield path, "a cycle " + " > ".join([*trail, at]), "a tree that ends at the connection point"


def _circuits(config: DgmConfig) -> Iterator[Finding]:
    meters = {asset.id for asset in config.assets if asset.type == AssetType.ASSET_TYPE_METER}
    for index, circuit in enumerate(config.circuits):
        path = f"circuits[{index}]"
        yield from _not_negative(circuit, path)
        if circuit.meter and circuit.meter not in meters:
            yield f"{path}.meter", repr(circuit.meter), "the id of an asset of type METER"
        if not circuit.parent:
            yield from _connection_point(circuit, path)
        elif not circuit.meter and not circuit.HasField("max_uncontrolled_w") and _has_limit(circuit):
            expected = "max_uncontrolled_w (W of load that nobody controls, 0 if there is none): no meter can tell"
            yield f"{path}.max_uncontrolled_w", "nothing", expected
        if circuit.margin_permille > 200:
            yield f"{path}.margin_permille", str(circuit.margin_permille), "0..200"
        if circuit.HasField("breaker_ma") and circuit.current_limit_ma > circuit.breaker_ma:
            expected = f"{circuit.breaker_ma} mA at most, the breaker_ma of this circuit"
            yield f"{path}.current_limit_ma", str(circuit.current_limit_ma), expected
    yield from _stated(config.site)


def _stated(site: SiteConfig) -> Iterator[Finding]:
    """What `dgm check` proves the site against."""
    if site.HasField("power_factor_floor_permille") and not 500 <= site.power_factor_floor_permille <= 1000:
        yield "site.power_factor_floor_permille", str(site.power_factor_floor_permille), "500..1000"
    if site.HasField("upstream_failsafe_s") and site.upstream_failsafe_s <= 0:
        yield "site.upstream_failsafe_s", str(site.upstream_failsafe_s), "s, above 0"
    if site.HasField("dr_promise"):
        for name in ("power_w", "duration_s"):
            if getattr(site.dr_promise, name) <= 0:
                yield f"site.dr_promise.{name}", str(getattr(site.dr_promise, name)), "above 0"
    for name, most in (("latitude_udeg", 90_000_000), ("longitude_udeg", 180_000_000)):
        if not -most <= getattr(site, name) <= most:
            yield f"site.{name}", str(getattr(site, name)), f"-{most}..{most} millionths of a degree"
    if site.HasField("latitude_udeg") != site.HasField("longitude_udeg"):
        yield "site.longitude_udeg", "one of latitude_udeg and longitude_udeg", "both, or neither"
    if site.drilled_on:
        try:
            date.fromisoformat(site.drilled_on)
        except ValueError:
            yield "site.drilled_on", repr(site.drilled_on), "a day, YYYY-MM-DD, in quotes"


def _has_limit(circuit: CircuitConfig) -> bool:
    return any(circuit.HasField(name) for name in ("import_limit_w", "export_limit_w", "current_limit_ma"))


def _connection_point(circuit: CircuitConfig, path: str) -> Iterator[Finding]:
    wanted = {
        "import_limit_w": "W, from the connection agreement",
        "current_limit_ma": "mA per phase, the main breaker",
        "max_uncontrolled_w": "W, the most the building can draw: worst case without the meter",
    }
    for name, meaning in wanted.items():
        if not circuit.HasField(name):
            yield f"{path}.{name}", "nothing", meaning
    if not circuit.meter:
        yield f"{path}.meter", "nothing", "the id of the METER asset at the connection point"


def _not_negative(message: Message, path: str) -> Iterator[Finding]:
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_INT64 and not field.is_repeated and value < 0:
            yield f"{path}.{field.name}", str(value), f"0 or more ({document.unit(field.name)})"


def _assets(config: DgmConfig) -> Iterator[Finding]:
    circuits = {circuit.id for circuit in config.circuits}
    allowed = (
        AssetType.ASSET_TYPE_METER,
        AssetType.ASSET_TYPE_PV,
        AssetType.ASSET_TYPE_BATTERY,
        AssetType.ASSET_TYPE_LOAD,
    )
    for index, asset in enumerate(config.assets):
        path = f"assets[{index}]"
        if asset.type not in allowed:
            yield f"{path}.type", AssetType.Name(asset.type), "METER, PV, BATTERY or LOAD (EVSEs stand under stations)"
            continue
        if asset.circuit not in circuits:
            yield f"{path}.circuit", repr(asset.circuit), "the id of a circuit in this file"
        yield from _phases(asset.phases, path)
        yield from _not_negative(asset, path)
        yield from _asset_needs(asset, path)
        yield from links.findings(asset, path)
    yield from links.bus_findings(config)


def _asset_needs(asset: AssetConfig, path: str) -> Iterator[Finding]:
    needs = {
        AssetType.ASSET_TYPE_PV: ["power_max_w", "revert_w"],
        AssetType.ASSET_TYPE_BATTERY: ["power_max_w", "energy_wh"],
    }
    for name in needs.get(asset.type, []):
        if not asset.HasField(name):
            yield f"{path}.{name}", "nothing", f"a number ({document.unit(name)})"
    if asset.type == AssetType.ASSET_TYPE_BATTERY and not asset.soc_min_permille < asset.soc_max_permille <= 1000:
        found = f"{asset.soc_min_permille}..{asset.soc_max_permille}"
        yield f"{path}.soc_max_permille", found, "soc_min_permille < soc_max_permille <= 1000"
    if asset.HasField("revert_s") and not 5 <= asset.revert_s <= 3600:
        yield f"{path}.revert_s", str(asset.revert_s), "5..3600 s"


def _phases(phases: object, path: str) -> Iterator[Finding]:
    names = [Phase.Name(number).removeprefix("PHASE_") for number in phases]  # type: ignore[attr-defined]
    if len(names) not in (1, 3) or len(set(names)) != len(names):
        yield f"{path}.phases", "[" + ", ".join(names) + "]", "one phase, or L1, L2 and L3 in the device's own order"


def _stations(config: DgmConfig) -> Iterator[Finding]:
    cpos = {cpo.id for cpo in config.cpos}
    circuits = {circuit.id for circuit in config.circuits}
    for index, cpo in enumerate(config.cpos):
        yield from _websocket_url(cpo.url, f"cpos[{index}].url")
        if cpo.HasField("own"):
            yield from _own_identity(cpo.own, f"cpos[{index}].own", config)
    yield from _outages(config)
    for index, station in enumerate(config.stations):
        path = f"stations[{index}]"
        if station.cpo not in cpos:
            yield f"{path}.cpo", repr(station.cpo), "the id of a cpo in this file"
        if station.csms_url:
            yield from _websocket_url(station.csms_url, f"{path}.csms_url")
        if station.subprotocol not in ("", *SUBPROTOCOLS):
            yield f"{path}.subprotocol", repr(station.subprotocol), "one of " + ", ".join(SUBPROTOCOLS)
        if station.enforcement not in ("", *ENFORCEMENTS):
            yield f"{path}.enforcement", repr(station.enforcement), "max, merge or native, or no such key"
        if station.enforcement in ("max", "native") and len(station.evses) > 1:
            found = f"{station.enforcement} for {len(station.evses)} EVSEs"
            yield f"{path}.enforcement", found, "merge: a station-wide limit cannot limit each of them"
        if not 1 <= len(station.evses) <= MAX_EVSES_PER_STATION:
            yield f"{path}.evses", f"{len(station.evses)} EVSEs", f"1..{MAX_EVSES_PER_STATION}"
        numbers = [evse.connector_id for evse in station.evses]
        for at, number in enumerate(numbers):
            if number in numbers[:at]:
                yield f"{path}.evses[{at}].connector_id", f"{number} a second time", "each number once in a station"
        for at, evse in enumerate(station.evses):
            yield from _evse(evse, f"{path}.evses[{at}]", circuits)


def _outages(config: DgmConfig) -> Iterator[Finding]:
    """Only a CPO that has agreed may have its messages answered and kept by us."""
    agreed = {cpo.id for cpo in config.cpos if cpo.store_agreement.strip()}
    named = [(f"cpos[{index}]", cpo.id, cpo.outage) for index, cpo in enumerate(config.cpos)]
    named += [(f"stations[{index}]", one.cpo, one.outage) for index, one in enumerate(config.stations) if one.outage]
    for path, cpo_id, outage in named:
        if outage not in OUTAGES:
            yield f"{path}.outage", repr(outage), "strict, island or store"
        elif outage == "store" and cpo_id not in agreed:
            expected = f"store_agreement of the cpo {cpo_id!r} (where it has agreed: contract, date), or island"
            yield f"{path}.outage", "store without the CPO's agreement", expected


def _own_identity(own: OwnIdentityConfig, path: str, config: DgmConfig) -> Iterator[Finding]:
    if not IDENTIFIER.fullmatch(own.id):
        yield f"{path}.id", repr(own.id), "1 to 48 letters, digits or . _ | * = + @ - (no blank, ':' or '/')"
    elif own.id in {station.id for station in config.stations}:
        yield f"{path}.id", f"{own.id!r}, a station's", "an identity of the gateway's own (2.x part 4, 6.2)"
    if own.url:
        yield from _websocket_url(own.url, f"{path}.url")
    if not 1 <= own.significance_percent <= 100:
        yield f"{path}.significance_percent", str(own.significance_percent), "1..100"
    if not config.HasField("ocpp"):
        yield path, "without ocpp", "the OCPP listener: the ocpp role makes this connection"


def _websocket_url(url: str, path: str) -> Iterator[Finding]:
    if not re.fullmatch(r"wss?://[^/\s?#]+(/[^\s?#]*)?", url):
        yield path, repr(url), "ws://host[:port][/path] or wss://..., without query"


def _evse(evse: EvseConfig, path: str, circuits: set[str]) -> Iterator[Finding]:
    if evse.circuit not in circuits:
        yield f"{path}.circuit", repr(evse.circuit), "the id of a circuit in this file"
    if not 1 <= evse.connector_id <= MAX_CONNECTOR_ID:
        yield f"{path}.connector_id", str(evse.connector_id), f"1..{MAX_CONNECTOR_ID}"
    yield from _phases(evse.phases, path)
    low, high, step = evse.current_min_ma, evse.current_max_ma, evse.current_step_ma
    if not 0 < low <= high <= 1_000_000:
        yield f"{path}.current_max_ma", f"min {low} mA, max {high} mA", "0 < current_min_ma <= current_max_ma"
    if not 0 <= evse.discharge_max_ma <= high:
        yield f"{path}.discharge_max_ma", str(evse.discharge_max_ma), "0 (no V2X), up to current_max_ma"
    if not 0 < step <= 10_000 or step % 100:
        yield f"{path}.current_step_ma", str(step), "100..10000 in steps of 100 mA (OCPP carries one decimal)"
    if evse.fallback_ma and not low <= evse.fallback_ma <= high:
        yield f"{path}.fallback_ma", str(evse.fallback_ma), "0, or current_min_ma..current_max_ma"
    if not 1 <= evse.weight <= 1000 or not 1 <= evse.stratum <= 16:
        yield path, f"weight {evse.weight}, stratum {evse.stratum}", "weight 1..1000, stratum 1..16"


def _gateways(config: DgmConfig) -> Iterator[Finding]:
    if config.stations and not config.HasField("ocpp"):
        yield "ocpp", "nothing", "the OCPP listener (host, port): there are stations"
    if config.HasField("ocpp"):
        ocpp = config.ocpp
        ranges = {
            "profile_lease_s": (20, 3600),
            "max_stack_level": (1, 99),
            "trigger_interval_s": (1, 10),
            "call_timeout_s": (1, 10),
            "ping_interval_s": (5, 300),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(ocpp, name) <= high:
                yield f"ocpp.{name}", str(getattr(ocpp, name)), f"{low}..{high}"
        yield from _ocpp_tls(config)
    if config.HasField("der"):
        yield from _der(config)
    for path, facade in _facades(config):
        yield from _facade_security(path, facade)
    if config.api.host and not (config.api.certificate and config.api.private_key and config.api.client_ca):
        yield "api", "host without TLS files", "certificate, private_key and client_ca (or no host: unix socket only)"
    if config.ems.third_party and not (config.HasField("ocpp") and config.ocpp.HasField("facade")):
        yield "ems.third_party", "true without ocpp.facade", "ocpp.facade: the other EMS controls the EVSEs through it"
    yield from _ems_ranges(config)


def _facade_security(path: str, facade: FacadeConfig) -> Iterator[Finding]:
    if facade.HasField("tls"):
        for name in ("certificate", "private_key", "ca"):
            if not getattr(facade.tls, name):
                yield f"{path}.tls.{name}", "nothing", "a PEM file"
        if facade.tls.server_name:
            yield f"{path}.tls.server_name", repr(facade.tls.server_name), "nothing: a facade is the server"
    elif facade.write_roles:
        yield f"{path}.write_roles", ", ".join(facade.write_roles), "tls: without certificates nobody has a role"
    if not all(facade.write_roles):
        yield f"{path}.write_roles", "an empty name", "names of roles"


def _ocpp_tls(config: DgmConfig) -> Iterator[Finding]:
    ocpp = config.ocpp
    if ocpp.HasField("tls"):
        for name in ("certificate", "private_key"):
            if not getattr(ocpp.tls, name):
                yield f"ocpp.tls.{name}", "nothing", "a PEM file"
        if ocpp.tls.client_crl and not ocpp.tls.client_ca:
            yield "ocpp.tls.client_crl", repr(ocpp.tls.client_crl), "client_ca: who has signed the list"
    for index, station in enumerate(config.stations):
        path, profile = f"stations[{index}].security_profile", station.security_profile
        if not 0 <= profile <= 3:
            yield path, str(profile), "0..3"
        elif profile >= 2 and not ocpp.HasField("tls"):
            yield path, str(profile), "ocpp.tls (port, certificate, private_key): the profile needs TLS"
        elif profile == 3 and not ocpp.tls.client_ca:
            yield path, str(profile), "ocpp.tls.client_ca: who signs the certificates of the stations"
    for index, cpo in enumerate(config.cpos):
        if bool(cpo.certificate) != bool(cpo.private_key):
            yield f"cpos[{index}].private_key", "certificate and key not together", "both, or neither"


def _der(config: DgmConfig) -> Iterator[Finding]:
    der = config.der
    if der.discovery not in ("", "dns-sd"):
        yield "der.discovery", repr(der.discovery), "dns-sd, or nothing"
    if der.discovery_server and not re.fullmatch(r"\S+:[0-9]{1,5}", der.discovery_server):
        yield "der.discovery_server", repr(der.discovery_server), "address:port, or nothing"
    if (der.url or not der.discovery) and not re.fullmatch(r"https://[^/\s?#]+/\S*", der.url):
        yield "der.url", repr(der.url), "https://host[:port]/path of the DeviceCapability"
    for name in ("certificate", "private_key", "ca"):
        if not getattr(der, name):
            yield f"der.{name}", "nothing", "a PEM file"
    if der.pin and not re.fullmatch(r"[0-9]{6}", der.pin):
        yield "der.pin", repr(der.pin), "6 digits (5 and a check digit), in quotes"
    if der.profile not in profiles.names():
        yield "der.profile", repr(der.profile), "one of " + ", ".join(profiles.names())
    if der.HasField("notify") and not re.fullmatch(r"https://[^/\s?#]+/\S*", der.notify.url):
        yield "der.notify.url", repr(der.notify.url), "https://host[:port]/path at which the utility reaches us"
    if der.site_rating_w <= 0 and not der.end_devices:
        yield "der.site_rating_w", str(der.site_rating_w), "W, above 0 (setMaxW)"
    for name in ("site_rating_va", "site_rating_var"):
        if getattr(der, name) < 0:
            yield f"der.{name}", str(getattr(der, name)), "0 or above; absent: not told"
    if not 0 <= der.min_power_factor_permille <= 1000:
        yield "der.min_power_factor_permille", str(der.min_power_factor_permille), "1..1000; absent: not told"


def _aggregator(config: DgmConfig) -> Iterator[Finding]:
    """Of an instance that talks for several sites: it has none of its own."""
    for name in ("circuits", "assets", "stations", "cpos"):
        if getattr(config, name):
            yield name, "entries", "none: with der.end_devices this is an aggregator, which has no site of its own"
    if config.HasField("ocpp"):
        yield "ocpp", "an OCPP listener", "none: with der.end_devices this is an aggregator"
    if config.der.HasField("facade"):
        yield "der.facade", "a facade", "none: an aggregator's sites have their own"
    if config.der.discovery:
        yield "der.discovery", repr(config.der.discovery), "nothing: an aggregator talks to der.url alone"
    first: dict[str, int] = {}
    for index, device in enumerate(config.der.end_devices):
        path = f"der.end_devices[{index}]"
        if not re.fullmatch(r"[0-9A-Fa-f]{40}", device.lfdi):
            yield f"{path}.lfdi", repr(device.lfdi), "40 hex digits, in quotes"
        elif first.setdefault(device.lfdi.upper(), index) != index:
            yield f"{path}.lfdi", f"{device.lfdi}, as der.end_devices[{first[device.lfdi.upper()]}]", "one of its own"
        if device.pin and not re.fullmatch(r"[0-9]{6}", device.pin):
            yield f"{path}.pin", repr(device.pin), "6 digits (5 and a check digit), in quotes"
        if not device.site:
            yield f"{path}.site", "nothing", "the site.yaml of that site"
        if device.ems and not re.fullmatch(r"[^\s/]+:[0-9]{1,5}", device.ems):
            yield f"{path}.ems", repr(device.ems), "host:port of the site's ems role, or nothing"
        if device.ems and not (config.api.certificate and config.api.private_key and config.api.client_ca):
            yield (
                "api",
                "no TLS files",
                f"certificate, private_key and client_ca, to reach {path}.ems",
            )
        if device.site_rating_w <= 0:
            yield f"{path}.site_rating_w", str(device.site_rating_w), "W, above 0 (setMaxW)"


def _ems_ranges(config: DgmConfig) -> Iterator[Finding]:
    ranges = {
        "tick_ms": (20, 1000),
        "cycle_ms": (200, 10_000),
        "evse_deadband_ma": (100, 10_000),
        "evse_up_interval_ms": (0, 600_000),
        "sample_max_age_ms": (1000, 60_000),
        "meter_max_age_ms": (200, 5000),
        "setpoint_ttl_ms": (3000, 300_000),
        "rotation_ms": (60_000, 7_200_000),
    }
    for name, (low, high) in ranges.items():
        value = getattr(config.ems, name)
        if not low <= value <= high:
            yield f"ems.{name}", str(value), f"{low}..{high}"


def _policies(config: DgmConfig) -> Iterator[Finding]:
    circuits = {circuit.id for circuit in config.circuits}
    chosen, findings = registry.chosen(config.ems.policies)
    for path, found, expected in findings:
        yield f"ems.{path}", found, expected
    for index, one in enumerate(chosen if not findings else ()):
        for key, circuit in parameters.circuits_named(one.params):
            if circuit not in circuits:
                yield f"ems.policies[{index}].parameters.{key}", repr(circuit), "the id of a circuit in this file"
    if not zone.is_known(config.ems.time_zone):
        yield "ems.time_zone", repr(config.ems.time_zone), "an IANA time zone that this machine knows (tzdata)"


def _ports(config: DgmConfig) -> Iterator[Finding]:
    wanted = [(path, facade.host, facade.port) for path, facade in _facades(config)]
    if config.der.HasField("notify"):
        wanted.append(("der.notify.port", config.der.notify.host, config.der.notify.port))
    if config.HasField("ocpp"):
        wanted.append(("ocpp.port", config.ocpp.host, config.ocpp.port))
        if config.ocpp.HasField("tls"):
            wanted.append(("ocpp.tls.port", config.ocpp.host, config.ocpp.tls.port))
    if config.api.host:
        wanted.append(("api.port", config.api.host, config.api.port))
    metrics = ("metrics_port_ems", "metrics_port_der", "metrics_port_ocpp")
    wanted += [(f"api.{name}", config.api.metrics_host, getattr(config.api, name)) for name in metrics]
    first: dict[tuple[str, int], str] = {}
    for path, host, port in wanted:
        if path.startswith("api.metrics") and port == 0:
            continue
        if not LOWEST_PORT <= port <= 65535:
            yield path, str(port), f"{LOWEST_PORT}..65535"
        elif (host, port) in first:
            yield path, f"{host}:{port}, already used by {first[host, port]}", "a port of its own"
        else:
            first[host, port] = path
