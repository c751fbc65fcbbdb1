"""The files of the device's identity as they are used now, and taken up anew when they change, without a restart.

    certificate, private key, roots ──look()──> the same | used anew | not usable: the old ones stay, and it is said why

A renewed chain or root changes only how we connect. A new device certificate is another device to the utility (another
LFDI): `lfdi` says whose it is, and what follows from that is the role's. Files that do not fit together yet, as while
they are being copied, are looked at again with the next look.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dgm.api.config.v1.config_pb2 import DerConfig
from dgm.der.client import certificate_ends, device_lfdi, file_problems, tls_context
from dgm.der.tls import MANDATORY_SUITE, listener_context

LOOK_S = 10.0
"""How often the files are looked at."""

_Stamp = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One set of files that fit together. ends_s: when each certificate ends, UTC seconds, by use."""

    lfdi: str
    client: ssl.SSLContext
    listener: ssl.SSLContext | None
    ends_s: dict[str, float]


class Credentials:
    """`now`: what is in use. suites: those of the utility's profile. OSError, ValueError, ssl.SSLError at the start."""

    def __init__(self, config: DerConfig, base_dir: Path, suites: Sequence[str] = ()) -> None:
        self._config = config
        self._base_dir = base_dir
        self._suites = [suite for suite in suites if suite != MANDATORY_SUITE]
        self._stamp = self._stamped()
        self.now = self._read()
        self.problem = ""
        """Why the files as they are cannot be used; empty: they are in use."""

    def look(self) -> bool:
        """Take up files that have changed. True: `now` is another one."""
        stamp = self._stamped()
        if stamp == self._stamp:
            return False
        try:
            problems = file_problems(self._config, self._base_dir)
            if problems:
                self.problem = "; ".join(
                    f"{item.path}: found {item.found}, expected {item.expected}" for item in problems
                )
                return False
            found = self._read()
        except (OSError, ValueError, ssl.SSLError) as error:
            # A file that changed once more between two of our looks.
            self.problem = str(error) or type(error).__name__
            return False
        self.now, self._stamp, self.problem = found, stamp, ""
        return True

    def _read(self) -> Identity:
        config, base_dir = self._config, self._base_dir
        return Identity(
            lfdi=device_lfdi(config, base_dir),
            client=tls_context(config, base_dir, self._suites),
            listener=self._listener() if config.HasField("notify") else None,
            ends_s=certificate_ends(config, base_dir),
        )

    def _listener(self) -> ssl.SSLContext:
        config, base_dir = self._config, self._base_dir
        return listener_context(
            ca=base_dir / config.ca,
            certificate=base_dir / config.certificate,
            private_key=base_dir / config.private_key,
            further=self._suites,
        )

    def _stamped(self) -> _Stamp:
        """What tells one state of the files from another without reading them; None: not there."""
        names = (self._config.certificate, self._config.private_key, self._config.ca)
        return tuple(_stamp_of(self._base_dir / name) for name in names)


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
