"""Messaging (S18 10.5): programs of text messages for people."""

from __future__ import annotations

from dataclasses import dataclass

from dgm.der.resources.event import EventStatus, Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagingProgram:
    """A source of messages in one language; the lower primacy comes first."""

    href: str | None = None
    mrid: str
    description: str | None = None
    active_text_message_list_link: str | None = None
    locale: str
    primacy: int
    text_message_list_link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagingProgramList:
    """A page of messaging programs."""

    href: str | None = None
    all: int
    results: int
    poll_s: int | None = None
    subscribable: int | None = None
    items: tuple[MessagingProgram, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMessage:
    """An event: text to show. priority: 0 low, 1 normal, 2 high, 3 critical."""

    href: str | None = None
    reply_to: str | None = None
    response_required: int | None = None
    mrid: str
    description: str | None = None
    creation_s: int
    status: EventStatus
    interval: Interval
    originator: str | None = None
    priority: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMessageList:
    """A page of messages."""

    href: str | None = None
    all: int
    results: int
    subscribable: int | None = None
    items: tuple[TextMessage, ...] = ()
