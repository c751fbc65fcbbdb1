"""Who was let in by its CSMS, for the time when that CSMS is away and cannot judge.

    CSMS accepts station + Authorization ──> salted hash, kept ──> CSMS away ──> same Authorization? (else 401)

Nobody but the CSMS may know a station's password; without this anyone could come in its name during an outage. A
station that no CSMS has let in yet has shown nothing to compare with, and may come in. Kept hashes as in `keys`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sqlite3
from collections.abc import Callable, Mapping

from dgm.log import logger
from dgm.ocpp.events import Keep
from dgm.ocpp.gateway.keys import SALT_BYTES

ADMISSION = "admission"
"""Name under which a station's hash is kept."""


class Admissions:
    """stored: hashes of an earlier life by station id. keep: stores one under a station's id, durably."""

    def __init__(self, stored: Mapping[str, bytes], keep: Callable[[str, Keep], None]) -> None:
        self._hashes = dict(stored)
        self._keep = keep

    def admitted(self, station_id: str, authorization: str | None) -> None:
        """The CSMS has let the station in."""
        if station_id in self._hashes and self.may_enter(station_id, authorization):
            return
        self._hashes[station_id] = _hashed(authorization, os.urandom(SALT_BYTES))
        try:
            self._keep(station_id, Keep(name=ADMISSION, body=self._hashes[station_id]))
        except sqlite3.Error as error:
            logger("ocpp").error("an admission is not kept over a restart", station=station_id, error=str(error))

    def may_enter(self, station_id: str, authorization: str | None) -> bool:
        """The station shows what it showed when it was last let in."""
        known = self._hashes.get(station_id)
        return known is None or hmac.compare_digest(_hashed(authorization, known[:SALT_BYTES]), known)


def _hashed(authorization: str | None, salt: bytes) -> bytes:
    return salt + hashlib.sha256(salt + (authorization or "").encode("utf-8", "replace")).digest()
