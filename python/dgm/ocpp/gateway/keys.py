"""The stations' passwords for our own check of Basic authentication (security profiles 1 and 2).

    passwords file (site.yaml) ──────────────┐
    PasswordTaken (rotated through us) ──────┴─> Keys ──> does this Authorization header open this station's door?

Where nothing is known of a station, its CSMS alone judges the header, which is passed on to it in any case. What was
rotated is kept over restarts as a salted hash; passwords of OCPP are long random strings, so a fast hash is enough.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from pathlib import Path

from dgm.log import logger

FILE_NAME = "ocpp-keys.json"
SALT_BYTES = 16
MAX_HEADER_CHARS = 512


class Keys:
    """Salted hashes by station; a rotated password replaces the one of the passwords file."""

    def __init__(self, state_dir: Path, passwords: Mapping[str, str]) -> None:
        self._path = state_dir / FILE_NAME
        self._rotated: dict[str, str] = self._load()
        self._known = {station: _hashed(password) for station, password in passwords.items()}

    def knows(self, station_id: str) -> bool:
        """Whether we can judge this station's password ourselves."""
        return station_id in self._rotated or station_id in self._known

    def opens(self, station_id: str, header: str | None) -> bool:
        """Whether the header carries the station's user and password (user = identity, OCPP-J 1.6 security, 3)."""
        wanted = self._rotated.get(station_id) or self._known.get(station_id)
        given = basic(header)
        if wanted is None or given is None:
            return wanted is None
        user, password = given
        salt = bytes.fromhex(wanted.split(":", 1)[0])
        return user == station_id and hmac.compare_digest(_hashed(password, salt), wanted)

    def rotate(self, station_id: str, password: str) -> None:
        """The station took a new password: from now on the old one opens nothing, after a restart too."""
        self._rotated[station_id] = _hashed(password)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._path.with_suffix(".new")
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(self._rotated, file)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as error:
            reason = error.strerror or str(error)
            logger("ocpp").error("a rotated password is not kept over a restart", path=str(self._path), error=reason)

    def _load(self) -> dict[str, str]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            logger("ocpp").error("rotated passwords cannot be read", path=str(self._path), error=str(error))
            return {}
        return {str(station): str(value) for station, value in found.items()} if isinstance(found, dict) else {}


def basic(header: str | None) -> tuple[str, str] | None:
    """User and password of a Basic Authorization header; None: it is none."""
    if header is None or len(header) > MAX_HEADER_CHARS or header[:6].lower() != "basic ":
        return None
    try:
        user, colon, password = base64.b64decode(header[6:].strip(), validate=True).decode("utf-8").partition(":")
    except ValueError:
        return None
    return (user, password) if colon else None


def basic_header(user: str, password: str) -> str:
    """The Authorization header that shows this user and password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def parse_passwords(text: str) -> dict[str, str]:
    """`station-id:password` a line; blank lines and those beginning with # are passed over. ValueError names a line."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        station, colon, password = line.strip().partition(":")
        if not colon or not station or not password:
            raise ValueError(f"line {number}: expected station-id:password")
        found[station] = password
    return found


def _hashed(password: str, salt: bytes | None = None) -> str:
    salt = os.urandom(SALT_BYTES) if salt is None else salt
    return f"{salt.hex()}:{hashlib.sha256(salt + password.encode()).hexdigest()}"
