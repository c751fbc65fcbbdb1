"""Device tables: YAML to core.v1.DeviceTable, checked by the core; those that come with DGM, and those of a site.yaml.

    devices/<name>.yaml ──document──> DeviceTable ──core──> problems by path and line
                                           └── fill: put beside the tables of site.yaml, as far as an asset names them

A table travels to the core inside DgmConfig, so that a site's behaviour follows from one message. Reads package files
and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import resources

from dgm import _core, document
from dgm.api.config.v1.config_pb2 import AssetConfig, DgmConfig
from dgm.api.core.v1.device_pb2 import DeviceTable
from dgm.api.site.v1.site_pb2 import AssetType
from dgm.errors import ConfigError, Problem

CONTROLLED = (AssetType.ASSET_TYPE_PV, AssetType.ASSET_TYPE_BATTERY)


@cache
def names() -> tuple[str, ...]:
    """Names of the tables that come with DGM, in order."""
    files = resources.files("dgm.devices").iterdir()
    return tuple(sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml")))


@cache
def load(name: str) -> DeviceTable:
    """A table that comes with DGM. KeyError for a name that none has; ConfigError for one that is wrong."""
    if name not in names():
        raise KeyError(name)
    text = resources.files("dgm.devices").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return parse(text, source=f"{name}.yaml")


def parse(text: str, *, source: str = "device table") -> DeviceTable:
    """A table from YAML. ConfigError lists all that is wrong."""
    table = DeviceTable()
    problems, lines = document.read(text, table)
    if not problems:
        problems = list(problems_of(table, "", lines))
    if problems:
        raise ConfigError(problems, source=source)
    return table


def problems_of(table: DeviceTable, path: str, lines: document.Lines) -> Iterator[Problem]:
    """What is wrong with a table whose fields stand under `path`."""
    if not table.map.name:
        yield _problem(f"{path}map.name", "nothing", "a name for this type of device", lines)
    if not table.types:
        yield _problem(f"{path}types", "nothing", "what it may be: METER, LOAD, PV, BATTERY", lines)
    for place, found, expected in _core.check_device_table(table.SerializeToString()):
        yield _problem(path + place, found, expected, lines)


def fill(config: DgmConfig, lines: document.Lines) -> list[Problem]:
    """Add the tables that assets name and the configuration lacks; what is wrong with tables and with their use."""
    problems: list[Problem] = []
    for index, table in enumerate(config.devices):
        problems += problems_of(table, f"devices[{index}].", lines)
    problems += _twice(config, lines)
    known = {table.map.name: table for table in config.devices}
    for index, asset in enumerate(config.assets):
        name = asset.modbus.device
        if name and name not in known and name in names():
            known[name] = config.devices.add()
            known[name].CopyFrom(load(name))
        if name:
            path = f"assets[{index}].modbus.device"
            problems += [_problem(path, *wrong, lines) for wrong in _misuse(asset, known.get(name))]
    return problems


def _twice(config: DgmConfig, lines: document.Lines) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, table in enumerate(config.devices):
        name = table.map.name
        if name in first:
            found = f"duplicate name {name!r}, first at devices[{first[name]}]"
            yield _problem(f"devices[{index}].map.name", found, "one table of each name", lines)
        first.setdefault(name, index)


def _misuse(asset: AssetConfig, table: DeviceTable | None) -> Iterator[tuple[str, str]]:
    if table is None:
        yield repr(asset.modbus.device), "a table under `devices`, or one of " + ", ".join(names())
    elif asset.type not in table.types:
        kinds = ", ".join(AssetType.Name(kind).removeprefix("ASSET_TYPE_") for kind in table.types)
        yield f"{table.map.name} for an asset of another type", f"an asset of type {kinds}"


def _problem(path: str, found: str, expected: str, lines: document.Lines) -> Problem:
    return Problem(path=path, found=found, expected=expected, line=document.line_of(path, lines))
