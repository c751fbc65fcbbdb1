"""The version document of CSIP-AUS v1.3, `/.well-known/csipaus`: which entry point serves which version.

    {"supportedSchemaVersions": {"https://csipaus.org/ns/v1.3": {"dcap": ["/dcap"]}, ...}}

The path of a version that DGM speaks is used, the newest first; a path of another version, or of one that is not well
formed, is never fetched. A version without a path cannot be used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dgm.der.codec.leaf import URI_CHARS_MAX
from dgm.der.nodes import EntryPoint
from dgm.der.xml import AUS_13_BETA_NS, AUS_13_NS, AUS_NS
from dgm.errors import PeerError

SPOKEN: Mapping[str, str] = {
    AUS_13_NS: AUS_13_NS,
    AUS_13_BETA_NS: AUS_13_BETA_NS,
    "https://csipaus.org/ns/v1.2": AUS_NS,
    AUS_NS: AUS_NS,
}
"""Version as listed -> namespace to send; the most wanted first."""
BYTES_MAX = 100_000


def entry_of(body: bytes) -> EntryPoint | None:
    """The entry point of the newest version that both sides speak; None if there is none. PeerError if unreadable."""
    listed = _versions(body)
    for version, namespace in SPOKEN.items():
        paths = _paths(listed.get(version))
        if paths:
            return EntryPoint(path=paths[0], namespace=namespace)
    return None


def _versions(body: bytes) -> dict[str, Any]:
    if len(body) > BYTES_MAX:
        raise PeerError(f"version document of {len(body)} bytes; expected at most {BYTES_MAX}")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PeerError(f"version document: {error}"[:200]) from error
    versions = document.get("supportedSchemaVersions") if isinstance(document, dict) else None
    if not isinstance(versions, dict):
        raise PeerError("version document: no supportedSchemaVersions; expected an object of versions")
    return versions


def _paths(version: object) -> list[str]:
    listed = version.get("dcap") if isinstance(version, dict) else None
    paths = listed if isinstance(listed, list) else []
    return [path for path in paths if isinstance(path, str) and path.startswith("/") and len(path) <= URI_CHARS_MAX]
