"""What the gateway has to tell the server, and whether it is due: responses, reports, errands, mirrors, readings.

    responses (in order, kept) > PUT reports (at start, on change) > errands (kept) > mirrors, readings (oldest drop)

Pure bookkeeping for `discovery`, which sends one letter at a time and says how it was answered. Responses and errands
belong to those who decided them: their journal holds all of them, this only a window of the oldest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from dgm.der import resource as r
from dgm.der.letter import Errand, ErrandDone, Letter, Place
from dgm.der.mirror_queue import MirrorQueue
from dgm.der.status import STAMPED

RESPONSES_MAX = 500
"""Held here; what does not fit stays owed in the journal and comes when there is room."""
TRIES_MAX = 10
"""A response or errand that the server fails to take this often, while it answers other requests, is given up."""
POST_S_DEFAULT = 300
"""Where neither the server nor the utility profile states a postRate."""


AnyResponse = r.DERControlResponse | r.DrResponse | r.PriceResponse | r.TextResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The plant as it is to be told to the server; a part that is None is not sent. errands: the oldest undone ones."""

    capability: r.DERCapability | None = None
    settings: r.DERSettings | None = None
    status: r.DERStatus | None = None
    availability: r.DERAvailability | None = None
    connection_point: r.ConnectionPoint | None = None
    errands: tuple[Errand, ...] = ()


@dataclass(slots=True)
class _Backoff:
    failures: int = 0
    not_before_ms: int = 0


class Outbox:
    """Queues and last-told states. All times are monotonic ms."""

    def __init__(self, mirrors: Iterable[r.MirrorUsagePoint], *, post_s: int = POST_S_DEFAULT) -> None:
        self._post_s = post_s
        self.mirrors = MirrorQueue(mirrors, post_s)
        self._responses: dict[str, tuple[str, AnyResponse]] = {}
        self._report = Report()
        self._told: dict[str, tuple[r.Resource, int]] = {}
        self._backoff: dict[str, _Backoff] = {}
        self._is_overfull = False

    # -- what is to be told -----------------------------------------------------------------------------------------

    def add_response(self, reply_to: str, response: AnyResponse) -> None:
        """Queue a response, unless it is queued already; they are sent in this order."""
        key = _response_key(response)
        if key in self._responses:
            return
        if self._is_overfull or len(self._responses) >= RESPONSES_MAX:
            self._is_overfull = True  # until all that are owed are said again, in their order
            return
        self._responses[key] = (reply_to, response)

    def take_overfull(self) -> bool:
        """Whether responses found no room and half of the window is free again: then say all that are owed. Once."""
        if not self._is_overfull or len(self._responses) > RESPONSES_MAX // 2:
            return False
        self._is_overfull = False
        return True

    def set_report(self, report: Report) -> None:
        """The plant as it is now; what differs from what was told last is told."""
        self._report = report

    @property
    def has_responses(self) -> bool:
        """Some response is still to be taken by the server."""
        return bool(self._responses)

    # -- what the server says ---------------------------------------------------------------------------------------

    def taken(self, letter: Letter, location: str | None, at_ms: int) -> None:
        """The server has accepted a letter."""
        self._backoff.pop(letter.key, None)
        match letter.key.partition(":")[0]:
            case "response":
                self._responses.pop(letter.key, None)
            case "put":
                self._told[letter.href] = (letter.body, at_ms)
            case "errand":
                self._strike(letter)
            case _:
                self.mirrors.taken(letter, location)

    def refused(self, letter: Letter, status: int, not_before_ms: int, *, is_lost: bool = False) -> bool:
        """The server has not accepted it. True: it is given up for good. is_lost: it accepts nothing at all now."""
        kind = letter.key.partition(":")[0]
        if kind in ("mirror", "reading") and self.mirrors.refused(letter, status):
            return True
        is_final = 400 <= status < 500 or (self.failures(letter.key) >= TRIES_MAX and not is_lost)
        if kind in ("response", "errand") and is_final:
            self._responses.pop(letter.key, None)
            self._strike(letter)
            self._backoff.pop(letter.key, None)
            return True
        backoff = self._backoff.setdefault(letter.key, _Backoff())
        backoff.failures += 1
        backoff.not_before_ms = not_before_ms
        return False

    def failures(self, key: str) -> int:
        """How often in a row this was not accepted."""
        return self._backoff[key].failures if key in self._backoff else 0

    def _strike(self, letter: Letter) -> None:
        """Until its owner has heard, an errand that is done is not sent again."""
        left = tuple(errand for errand in self._report.errands if _errand_key(errand) != letter.key)
        if len(left) != len(self._report.errands):
            self._report = replace(self._report, errands=left)

    # -- what to send next ------------------------------------------------------------------------------------------

    def next_response(self, at_ms: int) -> Letter | None:
        """The oldest response, unless it has to wait."""
        for key, (reply_to, response) in self._responses.items():
            return self._ready(Letter(key=key, method="POST", href=reply_to, body=response), at_ms)
        return None

    def next_other(
        self, *, own: r.EndDevice | None, der: r.DER | None, mirrors_href: str | None, at_ms: int
    ) -> Letter | None:
        """The next report, errand, mirror or reading that is due and whose place is known."""
        if own is None:
            return None
        for letter in (*self._puts(own, der, at_ms), *self._errands(own)):
            if self._ready(letter, at_ms):
                return letter
        mirrored = self.mirrors.letters(mirrors_href) if mirrors_href else ()
        return next((letter for letter in mirrored if self._ready(letter, at_ms)), None)

    def wake_ms(self, own: r.EndDevice | None, der: r.DER | None) -> list[int]:
        """When something here becomes due by itself."""
        times = [backoff.not_before_ms for backoff in self._backoff.values()]
        if own and der:
            period_ms = _status_period_ms(own, self._post_s)
            links = (link for link in (der.status_link, der.availability_link) if link in self._told)
            times += [self._told[link][1] + period_ms for link in links if link]
        return times

    def _ready(self, letter: Letter, at_ms: int) -> Letter | None:
        backoff = self._backoff.get(letter.key)
        return None if backoff and at_ms < backoff.not_before_ms else letter

    def _puts(self, own: r.EndDevice, der: r.DER | None, at_ms: int) -> Iterator[Letter]:
        places: list[tuple[str | None, r.Resource | None]] = [
            (own.connection_point_link, self._report.connection_point),
        ]
        if der is not None:
            places += [
                (der.capability_link, self._report.capability),
                (der.settings_link, self._report.settings),
                (der.status_link, self._report.status),
                (der.availability_link, self._report.availability),
            ]
        for href, body in places:
            if href and body is not None and self._is_news(href, body, _status_period_ms(own, self._post_s), at_ms):
                yield Letter(key=f"put:{href}", method="PUT", href=href, body=body)

    def _is_news(self, href: str, body: r.Resource, status_period_ms: int, at_ms: int) -> bool:
        told = self._told.get(href)
        if told is None:
            return True
        if isinstance(body, r.DERStatus | r.DERAvailability) and at_ms >= told[1] + status_period_ms:
            return True
        # What is in reserve changes with every sample: it is told at the post rate alone.
        return not isinstance(body, r.DERAvailability) and _timeless(told[0]) != _timeless(body)

    def _errands(self, own: r.EndDevice) -> Iterator[Letter]:
        lists = {
            Place.LOG_EVENTS: own.log_event_list_link,
            Place.FLOW_REQUESTS: own.flow_reservation_request_list_link,
        }
        for errand in self._report.errands:
            href = lists[errand.to] if isinstance(errand.to, Place) else errand.to
            if href:
                yield Letter(key=_errand_key(errand), method=errand.method, href=href, body=errand.body)


def errand_done(letter: Letter, *, is_taken: bool, status: int, location: str | None) -> ErrandDone | None:
    """What the owner of an errand is to hear; None: the letter was none."""
    kind, _, key = letter.key.partition(":")
    if kind != "errand":
        return None
    return ErrandDone(key=key, is_taken=is_taken, status=status, location=location)


def _errand_key(errand: Errand) -> str:
    return f"errand:{errand.key}"


def _response_key(response: AnyResponse) -> str:
    return f"response:{response.subject}:{response.status}:{response.created_s}"


def _status_period_ms(own: r.EndDevice, post_s: int) -> int:
    return max(own.post_rate_s or post_s, 1) * 1000


def _timeless(body: r.Resource) -> r.Resource:
    """The content without its stamps: a new time alone is no change."""
    match body:
        case r.DERSettings():
            return replace(body, updated_s=0)
        case r.DERStatus():
            found = {name: getattr(body, name) for name in STAMPED}
            stamps = {name: replace(value, time_s=0) for name, value in found.items() if value is not None}
            return replace(body, reading_s=0, **stamps)
        case _:
            return body
