"""The TLS listener for notifications of the utility server.

    utility ──POST Notification──> mutual TLS, peer names the host of der.url ──decode──> take() ──> 204, or 400

A certificate that leads to the utility's root is not enough: other devices have such a one too. What is not a
Notification, or is of no subscription of ours, is answered 400, which makes the server drop it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

from aiohttp import web

from dgm.der import resource as r
from dgm.der.codec import decode
from dgm.der.xml import MAX_BODY_BYTES
from dgm.errors import PeerError

SHUTDOWN_S = 1.0


class NotificationListener:
    """take: True if the notification is of a subscription of ours. `server_host`: whose certificate may notify."""

    def __init__(self, context: ssl.SSLContext, server_host: str, take: Callable[[r.Notification], bool]) -> None:
        self._context = context
        self._server_host = server_host
        self._take = take
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen. OSError when the port is taken."""
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_post("/{path:.*}", self._post)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, ssl_context=self._context).start()

    @property
    def port(self) -> int:
        """Where it listens; after start."""
        assert self._runner is not None, "started"
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close every connection."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _post(self, request: web.Request) -> web.Response:
        certificate = request.transport.get_extra_info("peercert") if request.transport else None
        names = {value for _, value in (certificate or {}).get("subjectAltName", ())}
        if self._server_host not in names:
            return web.Response(status=403)
        try:
            notification = decode(await request.read())
        except PeerError:
            return web.Response(status=400)
        is_ours = isinstance(notification, r.Notification) and self._take(notification)
        return web.Response(status=204 if is_ours else 400)
