"""The role's talk with the utility on the wire: requests in order, notifications, and the certificates they run under.

    send(Request) ──queue──> UtilityClient ──> answered(Answer)        utility ──> NotificationListener ──> notified()
    every LOOK_S, between two requests: certificate files that changed ──> new TLS ──> renewed(LFDI before)

Decides nothing: what is asked and what an answer means is the core's. Never raises for a bad peer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from urllib.parse import urlsplit

from dgm import clock
from dgm.api.config.v1.config_pb2 import DerConfig
from dgm.api.der.v1.profile_pb2 import UtilityProfile
from dgm.der import resource as r
from dgm.der.certificates.credentials import LOOK_S, Credentials
from dgm.der.client import UtilityClient, certificate_warnings, dialect_of
from dgm.der.exchange import Answer, NoAnswer, Request
from dgm.der.offers import Offer
from dgm.der.service.finder import find
from dgm.der.service.listener import NotificationListener
from dgm.log import logger
from dgm.role import RoleContext

CLOSE_TIMEOUT_S = 2.0
FIND_AFTER_FAILURES = 5
"""Requests in a row without any answer, after which the server is looked for again."""
FIND_S_MIN, FIND_S_MAX = 1.0, 60.0


class Talk:
    """answered: what came of a request, with its HTTP status or "none". notified: True if it is of ours.

    renewed: other certificates are in use from now on, with the LFDI before. located: the server was found by DNS-SD
    at a URL where it was not before; requests that wait are forgotten.
    """

    def __init__(
        self,
        context: RoleContext,
        profile: UtilityProfile,
        *,
        answered: Callable[[Answer | NoAnswer, str], None],
        notified: Callable[[r.Notification], bool],
        renewed: Callable[[str], None],
        located: Callable[[str], None],
    ) -> None:
        self._context = context
        self._config = context.config.der
        self._answered, self._notified, self._renewed, self._located = answered, notified, renewed, located
        self._url = self._config.url
        self._failures = 0
        self._turn = 0
        self._is_found = False
        self._log = logger("der")
        self._dialect = dialect_of(profile)
        self._requests: asyncio.Queue[Request] = asyncio.Queue()
        self._credentials = Credentials(self._config, context.base_dir, profile.ciphers)
        self._listener = self._new_listener()

    @property
    def lfdi(self) -> str:
        """Of the device certificate in use."""
        return self._credentials.now.lfdi

    @property
    def certificate_ends_s(self) -> dict[str, float]:
        """When each certificate in use ends, UTC seconds, by use."""
        return self._credentials.now.ends_s

    def send(self, request: Request) -> None:
        """Queue a request."""
        self._requests.put_nowait(request)

    def forget(self) -> None:
        """Requests that wait are of a conversation that is no more."""
        while not self._requests.empty():
            self._requests.get_nowait()

    async def start(self) -> None:
        """Listen for notifications, where that is configured. OSError when the port is taken."""
        await self._listen()
        self._warn()

    async def run(self) -> None:
        """Send until cancelled."""
        client = UtilityClient(self._credentials.now.client, self._dialect)
        try:
            await self._converse(client)
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await client.close()

    async def stop(self) -> None:
        """Close the listener."""
        if self._listener is not None:
            await self._listener.stop()

    async def _converse(self, client: UtilityClient) -> None:
        error_told, look_ms = "", 0
        while True:
            if self._config.discovery and self._is_lost:
                await self._find(client)
            if (at_ms := clock.now().mono_ms) >= look_ms:
                await self._renew(client)
                look_ms = at_ms + int(LOOK_S * 1000)
            request = await self._next_request(look_ms - at_ms)
            if request is None:
                continue
            answer = await client.send(request)
            self._failures = 0 if isinstance(answer, Answer) else self._failures + 1
            if client.last_error and client.last_error != error_told:
                self._log.warning("the utility server does not answer", why=client.last_error)
            error_told = client.last_error
            self._answered(answer, str(answer.status) if isinstance(answer, Answer) else "none")

    # -- where the server is ------------------------------------------------------------------------------------------

    @property
    def _is_lost(self) -> bool:
        return not self._is_found or self._failures >= FIND_AFTER_FAILURES

    async def _find(self, client: UtilityClient) -> None:
        """Look for the server until there is an offer; with every look that leads nowhere the next of them is tried.

        Where `url` is stated too, that is tried when nobody answers.
        """
        der, wait_s = self._config, FIND_S_MIN
        only_host = urlsplit(der.url).hostname or "" if der.url else ""
        while not (found := await self._offers(der, only_host)):
            if der.url:
                self._failures, self._is_found = 0, True
                return
            self._log.warning("no utility server found by DNS-SD", domain=der.discovery_domain, again_s=wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, FIND_S_MAX)
        offer = found[self._turn % len(found)]
        self._turn, self._failures, self._is_found = self._turn + 1, 0, True
        client.know(offer.host, offer.addresses)
        if offer.url == self._url:
            return
        self._log.info("utility server found by DNS-SD", url=offer.url, before=self._url, offers=len(found))
        self._url = offer.url
        self.forget()
        if self._listener is not None:
            await self._listener.stop()
            self._listener = self._new_listener()
            await self._listen()
        self._located(offer.url)

    async def _offers(self, der: DerConfig, only_host: str) -> list[Offer]:
        host, _, port = der.discovery_server.rpartition(":")
        try:
            return await find(der.discovery_domain, server=(host, int(port)) if port else None, only_host=only_host)
        except (OSError, ValueError) as error:
            self._log.debug("DNS-SD", why=str(error))
            return []

    async def _next_request(self, within_ms: int) -> Request | None:
        try:
            async with asyncio.timeout(within_ms / 1000):
                return await self._requests.get()
        except TimeoutError:
            return None

    # -- certificates -------------------------------------------------------------------------------------------------

    async def _renew(self, client: UtilityClient) -> None:
        """Take up certificate files that have changed; those that cannot be used are told once, the old ones stay.

        Between two requests only, so that no answer of the old identity reaches the new one.
        """
        before, told = self.lfdi, self._credentials.problem
        is_new = self._credentials.look()
        problem = self._credentials.problem
        if problem and problem != told:
            self._log.error("certificates not renewed, the old ones stay in use", problem=problem)
        if not is_new:
            return
        self._log.info("certificates renewed", lfdi=self.lfdi, before=before)
        await client.use(self._credentials.now.client)
        self._warn()
        if self._listener is not None:
            await self._listener.stop()
            self._listener = self._new_listener()
            await self._listen()
        self._renewed(before)

    def _new_listener(self) -> NotificationListener | None:
        tls, host = self._credentials.now.listener, urlsplit(self._url).hostname or ""
        return None if tls is None else NotificationListener(tls, host, self._notified)

    async def _listen(self) -> None:
        if self._listener is not None:
            await self._listener.start(self._config.notify.host, self._config.notify.port)

    def _warn(self) -> None:
        for warning in certificate_warnings(self._context.config, self._context.base_dir):
            self._log.warning("certificate", finding=warning)
