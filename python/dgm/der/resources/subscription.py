"""Subscription and notification (S18 8.9): changes are sent to the client instead of being polled."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class NotificationState(IntEnum):
    """Notification.status: why it was sent. All but DEFAULT: the subscription is gone."""

    DEFAULT = 0
    CANCELLED = 1
    MOVED = 2
    DEFINITION_CHANGED = 3
    DELETED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Notify only when a reading leaves the thresholds, in the reading's unit."""

    attribute: int
    lower: int
    upper: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A wish to be told of changes. encoding: 0 XML. limit: items of a list to send, 0 none (a bare change signal)."""

    href: str | None = None
    subscribed: str
    condition: Condition | None = None
    encoding: int
    level: str
    limit: int
    notification_uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionList:
    """A page of the client's own subscriptions."""

    href: str | None = None
    all: int
    results: int
    poll_s: int | None = None
    items: tuple[Subscription, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A change. resource: the new state (one of resource.Resource) if it was sent and is of a type that is read here.

    subscription_uri: absolute by the schema, relative from some servers.
    """

    href: str | None = None
    subscribed: str
    created_s: int | None = None
    new_uri: str | None = None
    resource: object | None = None
    status: NotificationState
    subscription_uri: str
