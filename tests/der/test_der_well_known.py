"""The version document of CSIP-AUS v1.3: the right path, and never a wrong one."""

from __future__ import annotations

import json

import pytest

from dgm.der.client import media_type
from dgm.der.codec import Dialect
from dgm.der.codec.well_known import entry_of
from dgm.der.nodes import EntryPoint
from dgm.der.xml import AUS_13_NS, AUS_NS
from dgm.errors import PeerError


def document(**versions: object) -> bytes:
    names = {
        "v13": AUS_13_NS,
        "v12": "https://csipaus.org/ns/v1.2",
        "v99": "https://csipaus.org/ns/v99.99",
        "null": "null",
    }
    return json.dumps(
        {"supportedSchemaVersions": {names[name]: {"dcap": paths} for name, paths in versions.items()}}
    ).encode()


def test_the_newest_version_with_a_path_is_chosen_and_unknown_ones_are_not() -> None:
    served = document(v99=["/a"], null=["/b"], v12=[], v13=["/c", "/d"])
    assert entry_of(served) == EntryPoint(path="/c", namespace=AUS_13_NS)


def test_an_older_version_is_taken_when_the_newest_has_no_path() -> None:
    assert entry_of(document(v13=[], v12=["/old"])) == EntryPoint(path="/old", namespace=AUS_NS)


@pytest.mark.parametrize("paths", [None, "/c", [1], ["https://elsewhere.example/dcap"], [["/c"]]])
def test_a_path_that_is_none_is_not_followed(paths: object) -> None:
    assert entry_of(document(v13=paths)) is None


@pytest.mark.parametrize(("namespace", "wanted"), [(AUS_13_NS, "csipaus=1.3"), (AUS_NS, ""), (None, "")])
def test_what_is_asked_for_and_sent_is_of_the_media_type_of_its_version(namespace: str | None, wanted: str) -> None:
    kind, _, parameter = media_type(Dialect(aus_namespace=namespace)).partition("; ")
    assert (kind, parameter) == ("application/sep+xml", wanted)


def test_no_common_version_is_no_entry() -> None:
    assert entry_of(document(v99=["/a"])) is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"supportedSchemaVersions": []}', b"[" * 90_000, b" " * 200_000, b"\xff"]
)
def test_an_unreadable_document_is_the_peers_fault(body: bytes) -> None:
    with pytest.raises(PeerError):
        entry_of(body)
