"""Hold the codec against other people's models of the same documents: envoy-schema, of the public server.

    PYTHONPATH=python:tests/der python bench/envoy_models.py --python VENV/bin/python [--cases 20]
    what DGM sends in its procedures ──> envoy-schema parses              envoy-schema writes ──> DGM reads

VENV is the user's own, with envoy-schema and assertical from the package index. Prints figures and what differs. Types
that envoy-schema does not have (flow reservation, load control, messaging, curves) cannot be held against it.
"""

from __future__ import annotations

import argparse
import base64
import collections
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

from der_documents import faults
from der_procedures import Procedure, procedures, run

from dgm.der.codec import Dialect, decode, encode
from dgm.der.codec.bindings import SHAPES
from dgm.der.resource import Resource
from dgm.der.xml import AUS_13_NS
from dgm.errors import PeerError

OTHER = """
import base64, importlib, inspect, json, pkgutil, sys
import envoy_schema.server.schema as root
from assertical.fake.generator import generate_class_instance
from pydantic_xml import BaseXmlModel

def models():
    found = {}
    for module in pkgutil.walk_packages(root.__path__, root.__name__ + "."):
        for _, cls in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(cls, BaseXmlModel) and cls.__module__ == module.name:
                names = {getattr(cls, "__xml_tag__", None) or cls.__name__, cls.__name__,
                         cls.__name__.removesuffix("Response").removesuffix("Request")}
                for name in names:
                    found.setdefault(name, []).append(cls)
    return found

known = models()
for line in sys.stdin:
    item = json.loads(line)
    if item["do"] == "parse":
        why = []
        for cls in known.get(item["tag"], []):
            try:
                cls.from_xml(base64.b64decode(item["xml"]))
                why = []
                break
            except Exception as error:
                why.append(f"{cls.__name__}: {str(error)[:300]}")
        print(json.dumps({"tag": item["tag"], "known": item["tag"] in known, "why": why}), flush=True)
    else:
        made = []
        for cls in sorted({cls for classes in known.values() for cls in classes}, key=lambda cls: cls.__name__):
            for seed in range(item["cases"]):
                try:
                    value = generate_class_instance(cls, seed=seed, optional_is_none=bool(seed % 2),
                                                    generate_relationships=bool(seed % 3))
                    xml = value.to_xml(skip_empty=bool(seed % 2), exclude_none=True)
                except Exception:
                    continue
                made.append([cls.__name__, base64.b64encode(xml).decode()])
        print(json.dumps(made), flush=True)
"""


DOCUMENTS = {name for name, shape in SHAPES.items() if shape.cls in get_args(Resource)} | {"ConnectionPoint"}
"""What comes alone; parts of a document are no documents."""


class Other:
    """The other models, in a process of their own venv."""

    def __init__(self, python: Path) -> None:
        pipe = subprocess.PIPE
        command = [str(python), "-W", "ignore", "-c", OTHER]
        self._child = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env={"PATH": "/usr/bin:/bin"})

    def ask(self, **item: object) -> object:
        """One question, one answer."""
        assert self._child.stdin, "a pipe"
        assert self._child.stdout, "a pipe"
        self._child.stdin.write(json.dumps(item) + "\n")
        self._child.stdin.flush()
        answer: object = json.loads(self._child.stdout.readline())
        return answer


def conversation(most: int, dialect: Dialect) -> Iterator[tuple[str, bytes]]:
    """Every different body that the gateway sent while it played procedures, in the dialect that the others speak."""
    seen: set[bytes] = set()
    for item in [item for item in procedures() if not item.not_run and not item.fails][:most]:
        for text in _played(item):
            body = encode(decode(text.encode()), dialect)
            if body not in seen:
                seen.add(body)
                yield ElementTree.fromstring(text).tag.rpartition("}")[2], body


def _played(item: Procedure) -> list[str]:
    return [exchange.body for exchange in run(item).server.records.exchanges if exchange.body]


def report(name: str, total: collections.Counter[str], bad: collections.Counter[str]) -> None:
    """A line of figures and the ten commonest differences."""
    print(f"{name}: {total.total()} documents of {len(total)} types, {bad.total()} refused")
    for why, count in bad.most_common(10):
        print(f"  {count:4d} {why}")


def main() -> int:
    """Both ways; 0 when nothing was refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, required=True, help="of the venv with envoy-schema and assertical")
    parser.add_argument("--namespace", default=AUS_13_NS, help="of CSIP-AUS that this envoy-schema speaks")
    parser.add_argument("--cases", type=int, default=20, help="documents per model of theirs")
    parser.add_argument("--procedures", type=int, default=86, help="how many are played for what is sent")
    options = parser.parse_args()
    other = Other(options.python)
    dialect = Dialect(aus_namespace=options.namespace)
    bad = _ours(other, dialect, options.procedures) + _theirs(other, dialect, options.cases)
    return 1 if bad else 0


def _ours(other: Other, dialect: Dialect, most: int) -> int:
    total: collections.Counter[str] = collections.Counter()
    bad: collections.Counter[str] = collections.Counter()
    for tag, body in conversation(most, dialect):
        answer = other.ask(do="parse", tag=tag, xml=base64.b64encode(body).decode())
        assert isinstance(answer, dict), "one object"
        total[tag] += 1
        if answer["why"] or not answer["known"]:
            bad[f"{tag}: {'; '.join(answer['why'])[:400] or 'no such model'}"] += 1
    report("sent by DGM, parsed by envoy-schema", total, bad)
    return bad.total()


def _theirs(other: Other, dialect: Dialect, cases: int) -> int:
    """Their generator knows no ranges: what the published schema refuses is left out and counted."""
    invalid = 0
    total: collections.Counter[str] = collections.Counter()
    bad: collections.Counter[str] = collections.Counter()
    made = other.ask(do="write", cases=cases)
    assert isinstance(made, list), "a list"
    for model, xml in made:
        body = base64.b64decode(xml)
        tag = ElementTree.fromstring(body).tag.rpartition("}")[2]
        if tag not in DOCUMENTS:
            continue
        if faults(body, dialect):
            invalid += 1
            continue
        total[tag] += 1
        try:
            decode(body)
        except PeerError as error:
            bad[f"{tag} ({model}): {error}"[:300]] += 1
    report(f"written by envoy-schema, read by DGM ({invalid} more are not valid by the XSD)", total, bad)
    return bad.total()


if __name__ == "__main__":
    sys.exit(main())
