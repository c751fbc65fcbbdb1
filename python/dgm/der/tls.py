"""The TLS of IEEE 2030.5, on both sides: version 1.2, mutual, the suite that every device must have (S18 ch. 6).

    client_context()    our requests           checks the server's chain and name, resumes sessions
    listener_context()  the server's notifications to us    checks the client's chain; whose it is, `peer_lfdi` says

The suites and their low security level are set on these contexts only; nothing else of the process uses them. Further
suites come from a utility's profile, out of a closed list.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dgm.der.identity import lfdi_of

MANDATORY_SUITE = "ECDHE-ECDSA-AES128-CCM8"
SECURITY_LEVEL = "@SECLEVEL=0"
"""Newer OpenSSL files the mandatory suite under a low level for its 64-bit tag, and offers none without this."""
FURTHER_SUITES = (
    "ECDHE-ECDSA-AES128-CCM",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
)
"""What a profile may add: forward secrecy and authenticated encryption only. The last two are for RSA utilities."""
SESSION_AGE_S_MAX = 3_600
"""A resumed session shows no certificate again, so it is not kept for longer than this."""
SESSIONS_MAX = 8


def suite_problems(further: Sequence[str]) -> list[str]:
    """What is wrong with a list of further suites; empty when every one may be used."""
    return [
        f"{name!r}; expected one of {', '.join(FURTHER_SUITES)}"
        for name in further
        if name not in (MANDATORY_SUITE, *FURTHER_SUITES)
    ]


class ResumingContext(ssl.SSLContext):
    """A client context that offers the last session to the same server.

    asyncio has no parameter for it, but makes each connection with wrap_bio, where a session can be given.
    """

    def __new__(cls) -> ResumingContext:
        """Client side only."""
        context: ResumingContext = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        context._last = {}
        return context

    def __init__(self) -> None:
        self._last: dict[str, ssl.SSLObject]

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """A connection, with the last session of that server where there is one."""
        key = str(server_hostname)
        made = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session or self._session(key))
        if key not in self._last and len(self._last) >= SESSIONS_MAX:
            self._last.clear()
        self._last[key] = made
        return made

    def _session(self, key: str) -> ssl.SSLSession | None:
        try:
            session = self._last[key].session
        except (KeyError, ValueError):
            # ValueError: that handshake came to nothing.
            return None
        if session is None or time.time() - session.time > SESSION_AGE_S_MAX:
            return None
        return session


def client_context(*, ca: Path, certificate: Path, private_key: Path, further: Sequence[str] = ()) -> ssl.SSLContext:
    """The TLS of our requests. OSError, ssl.SSLError for files that cannot be used; ValueError for a suite."""
    context = ResumingContext()
    _restrict(context, further)
    context.load_verify_locations(cafile=ca)
    context.load_cert_chain(certificate, private_key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = True
    return context


def listener_context(*, ca: Path, certificate: Path, private_key: Path, further: Sequence[str] = ()) -> ssl.SSLContext:
    """The TLS of the listener for notifications: who connects must show a certificate that `ca` leads to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _restrict(context, further)
    context.load_verify_locations(cafile=ca)
    context.load_cert_chain(certificate, private_key)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _restrict(context: ssl.SSLContext, further: Sequence[str]) -> None:
    if problems := suite_problems(further):
        raise ValueError(f"TLS suite {problems[0]}")
    suites = dict.fromkeys([MANDATORY_SUITE, *further])
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join([*suites, SECURITY_LEVEL]))
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # The standard's curve, for the key agreement too.
    context.set_ecdh_curve("prime256v1")


def peer_lfdi(connection: Any) -> str | None:
    """LFDI of the certificate that the other end showed (an SSLObject or SSLSocket); None if it showed none."""
    certificate = connection.getpeercert(binary_form=True)
    return None if certificate is None else lfdi_of(certificate)
