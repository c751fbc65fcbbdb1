"""Subscriptions (S18 8.9): which documents the server tells us about, and since when.

    subscribable document ──POST Subscription──> held ──Notification──> its document, or "fetch it"
                                    renewed each day ──cancelled, moved, gone, lost──> polled again at its pollRate

Pure bookkeeping for `discovery`. A held document is still polled, as a heartbeat: a notification that did not come is
found out by what the poll brings. What is not subscribable, or refused, is polled as ever. After a restart the server's
list says what it tells us still: that is adopted, not made anew. Conditions are of Readings alone (S18 Condition), and
this client reads none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from dgm.der import resource as r
from dgm.der.nodes import Document, Documents, Node, resolve

RENEW_MS = 24 * 3600 * 1000
REFUSED_MS = 3600 * 1000
"""A document whose subscription the server refused is asked for again after this long."""
HEARTBEAT_S = 900
SUBSCRIBABLE = (1, 3)
"""None, plain, conditional, both: we subscribe plainly."""
ENCODING_XML = 0
LEVEL = "-S1"
LIMIT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    url: str
    since_ms: int


class Subscriptions:
    """Of one device. `base`: what hrefs are relative to. notification_url None: never subscribe."""

    def __init__(self, base: str, notification_url: str | None) -> None:
        self._base = base
        self._notification_url = notification_url
        self._held: dict[Node, _Held] = {}
        self._refused_ms: dict[Node, int] = {}
        self._listed: dict[str, str] = {}

    @property
    def is_wanted(self) -> bool:
        """We have a place for notifications."""
        return self._notification_url is not None

    def listed(self, items: Iterable[r.Subscription]) -> None:
        """What the server holds for us: of an earlier start what is as we would ask for it."""
        own = (item for item in items if item.href and self._is_as_ours(item))
        urls = {item.subscribed: resolve(self._base, item.href or "") for item in own}
        self._listed = {_local(path): url for path, url in urls.items() if url is not None}

    def adopt(self, documents: Documents, at_ms: int) -> list[Node]:
        """Documents that the server tells us about already."""
        found = []
        for node, document in documents.items() if self._listed else ():
            path = _path(document, node)
            if path in self._listed and node not in self._held and self._is_due(node, document, at_ms):
                self._held[node] = _Held(url=self._listed.pop(path), since_ms=at_ms)
                found.append(node)
        return found

    def _is_as_ours(self, item: r.Subscription) -> bool:
        is_plain = item.condition is None and item.encoding == ENCODING_XML
        return is_plain and item.notification_uri == self._notification_url

    def __len__(self) -> int:
        return len(self._held)

    def holds(self, node: Node) -> bool:
        """The server tells us about this document."""
        return node in self._held

    def poll_s(self, node: Node, poll_s: int) -> int:
        """How often to poll a document all the same."""
        return max(poll_s, HEARTBEAT_S) if node in self._held else poll_s

    def due(self, documents: Documents, at_ms: int) -> tuple[Node, r.Subscription] | None:
        """The next subscription to ask for or to renew."""
        if self._notification_url is None:
            return None
        for node, document in documents.items():
            if self._is_due(node, document, at_ms):
                return node, r.Subscription(
                    subscribed=_path(document, node),
                    encoding=ENCODING_XML,
                    level=LEVEL,
                    limit=LIMIT,
                    notification_uri=self._notification_url,
                )
        return None

    def _is_due(self, node: Node, document: Document, at_ms: int) -> bool:
        if getattr(document, "subscribable", None) not in SUBSCRIBABLE:
            return False
        held, refused_ms = self._held.get(node), self._refused_ms.get(node)
        if refused_ms is not None and at_ms < refused_ms + REFUSED_MS:
            return False
        return held is None or at_ms >= held.since_ms + RENEW_MS

    def wake_ms(self) -> list[int]:
        """When something becomes due by itself."""
        renewals = [held.since_ms + RENEW_MS for held in self._held.values()]
        return renewals + [refused_ms + REFUSED_MS for refused_ms in self._refused_ms.values()]

    def answered(self, node: Node, location: str | None, at_ms: int, *, ok: bool) -> None:
        """What the server said to a subscription; without a Location its notifications could not be told."""
        url = resolve(self._base, location) if location and ok else None
        if url is None:
            self._held.pop(node, None)
            self._refused_ms[node] = at_ms
            return
        self._refused_ms.pop(node, None)
        self._held[node] = _Held(url=url, since_ms=at_ms)

    def node_of(self, notification: r.Notification) -> Node | None:
        """What a notification is about; None: of no subscription of ours. Its URI may be absolute or relative."""
        url = resolve(self._base, notification.subscription_uri)
        return next((node for node, held in self._held.items() if held.url == url), None)

    def drop(self, node: Node) -> None:
        """The server tells us no longer, or may have ceased to."""
        self._held.pop(node, None)

    def drop_all(self) -> None:
        """The server was away: what it still remembers of us is not known."""
        self._held.clear()
        self._listed.clear()

    def forget(self, node: Node) -> None:
        """A document that is no longer linked needs no subscription."""
        self._held.pop(node, None)
        self._refused_ms.pop(node, None)


def _path(document: Document, node: Node) -> str:
    """The resource as the server names it, without its host: servers refuse an absolute one."""
    href = getattr(document, "href", None)
    return _local(href if isinstance(href, str) else node.url)


def _local(url: str) -> str:
    return urlsplit(url)._replace(scheme="", netloc="").geturl()
