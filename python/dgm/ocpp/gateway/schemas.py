"""The published JSON schemas of what we read, compiled: whether a station's payload keeps to them.

    (version, action, payload) ──> is_valid ──> counted by action; the payload is read all the same

Real stations break the schemas in small ways, so a violation only is counted and shown. The schema files are those of
the `ocpp` package; they are read when an action is first seen. Frames that we only pass on are never validated.
"""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema_rs

from dgm.ocpp.frame import Payload
from dgm.ocpp.version import Version

_FOLDERS = {Version.V16: "v16", Version.V201: "v201", Version.V21: "v21"}


class Schemas:
    """Validators by version and action; only the few actions that a session looks at are asked for."""

    def __init__(self) -> None:
        self._validators: dict[tuple[Version, str], jsonschema_rs.Validator | None] = {}

    def is_valid(self, version: Version, action: str, payload: Payload) -> bool:
        """Whether the payload of a CALL keeps to its schema; True where there is no schema for it."""
        key = (version, action)
        if key not in self._validators:
            self._validators[key] = self._load(version, action)
        validator = self._validators[key]
        return validator is None or validator.is_valid(payload)

    def _load(self, version: Version, action: str) -> jsonschema_rs.Validator | None:
        name = f"{action}Request.json" if version.is_2x else f"{action}.json"
        found = files("ocpp").joinpath(_FOLDERS[version], "schemas", name)
        if not found.is_file():
            return None
        return jsonschema_rs.validator_for(json.loads(found.read_text(encoding="utf-8-sig")))
