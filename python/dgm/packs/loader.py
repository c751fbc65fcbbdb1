"""Regulation packs: YAML to RegulationPack, checked, and what one means for a configuration.

    ems.pack in site.yaml ──> packs/<name>.yaml ──document──> RegulationPack ──> policies for the stack, problems of
    fields

Reads package files and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from dgm import shipped
from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.config.v1.pack_pb2 import PackDemand, RegulationPack
from dgm.ems.policies import registry

PACKAGE = "dgm.packs"
Finding = tuple[str, str, str]


def names() -> tuple[str, ...]:
    """What site.yaml may say in ems.pack."""
    return shipped.names(PACKAGE)


@cache
def load(name: str) -> RegulationPack:
    """A pack that comes with DGM. ConfigError: there is none of this name, or its file is wrong."""
    return shipped.one(PACKAGE, name, parse, key="ems.pack")


def parse(text: str, *, source: str = "regulation pack") -> RegulationPack:
    """A pack from YAML. ConfigError lists all that is wrong."""
    return shipped.parsed(text, RegulationPack(), _problems, source=source)


def fill(config: DgmConfig) -> None:
    """Give the policies that site.yaml lists the parameters of its pack that they do not set themselves."""
    if config.ems.pack not in names():
        return
    for given in load(config.ems.pack).policies:
        for own in (one for one in config.ems.policies if one.name == given.name):
            for key, value in given.parameters.items():
                if key not in own.parameters:
                    own.parameters[key].CopyFrom(value)


def put_first(config: DgmConfig) -> None:
    """Put the policies of the pack that site.yaml does not list itself before those that it does."""
    if config.ems.pack not in names():
        return
    listed = {one.name for one in config.ems.policies}
    missing = [one for one in load(config.ems.pack).policies if one.name not in listed]
    own = [*config.ems.policies]
    del config.ems.policies[:]
    config.ems.policies.extend([*missing, *own])


def findings(config: DgmConfig) -> Iterator[Finding]:
    """What the pack demands and the configuration is not."""
    name = config.ems.pack
    if name and name not in names():
        yield "ems.pack", repr(name), "one of " + ", ".join(names())
    elif name:
        for demand in load(name).demands:
            yield from _unmet(config, demand.path.split("."), "", demand, name)


def _unmet(message: Message, path: list[str], where: str, demand: PackDemand, pack: str) -> Iterator[Finding]:
    field, here = message.DESCRIPTOR.fields_by_name[path[0]], f"{where}{path[0]}"
    if field.message_type is None:
        yield from _judged(message, path[0], here, demand, pack)
    elif field.is_repeated:
        for index, item in enumerate(getattr(message, path[0])):
            yield from _unmet(item, path[1:], f"{here}[{index}].", demand, pack)
    else:
        yield from _unmet(getattr(message, path[0]), path[1:], f"{here}.", demand, pack)


def _judged(message: Message, name: str, where: str, demand: PackDemand, pack: str) -> Iterator[Finding]:
    field, value = message.DESCRIPTOR.fields_by_name[name], getattr(message, name)
    given = message.HasField(name) if field.has_presence else bool(value)
    why = f"{demand.why} (pack {pack})"
    if demand.present and not given and not _is_inner_circuit(message):
        yield where, "nothing", f"a value: {why}"
    if demand.one_of and value not in demand.one_of:
        yield where, repr(value), f"one of {', '.join(demand.one_of)}: {why}"
    if demand.HasField("at_most") and given and value > demand.at_most:
        yield where, str(value), f"at most {demand.at_most}: {why}"
    if demand.HasField("at_least") and value < demand.at_least:
        yield where, str(value), f"at least {demand.at_least}: {why}"


def _is_inner_circuit(message: Message) -> bool:
    """Whether it is a circuit below the connection point: what must be given there need not be given here."""
    return bool(getattr(message, "parent", ""))


def _problems(pack: RegulationPack) -> Iterator[Finding]:
    for name in ("name", "title"):
        if not getattr(pack, name):
            yield name, "nothing", "a text"
    for name in ("sources", "rules"):
        if not len(getattr(pack, name)):
            yield name, "nothing", "at least one"
    for index, demand in enumerate(pack.demands):
        yield from _demand_problems(demand, f"demands[{index}]")
    yield from registry.chosen(pack.policies)[1]


def _demand_problems(demand: PackDemand, path: str) -> Iterator[Finding]:
    if not demand.why:
        yield f"{path}.why", "nothing", "a text"
    ways = (demand.HasField("at_most"), demand.HasField("at_least"), bool(demand.one_of), demand.present)
    if sum(ways) != 1:
        yield path, f"{sum(ways)} of at_most, at_least, one_of, present", "exactly one"
    found: FieldDescriptor | None = None
    for name in demand.path.split("."):
        below = DgmConfig.DESCRIPTOR if found is None else found.message_type
        if below is None or name not in below.fields_by_name:
            yield f"{path}.path", repr(demand.path), "the path of a field of site.yaml"
            return
        found = cast(FieldDescriptor, below.fields_by_name[name])
    if found is not None and found.message_type is not None:
        yield f"{path}.path", repr(demand.path), "the path of one value of site.yaml"
