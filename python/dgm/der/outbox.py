"""What the gateway has to tell the server, and whether it is due: responses, reports, mirrors, readings.

    responses (in order, kept)  >  PUT reports (at start, on change)  >  POST mirrors  >  readings (the oldest drop)

Pure bookkeeping for `discovery`, which sends one letter at a time and says how it was answered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from dgm.der import resource as r

RESPONSES_MAX = 2000
READINGS_MAX = 240
"""Readings waiting for the server; the oldest are dropped."""
TRIES_MAX = 10
"""A response that the server fails to take this often, while it answers other requests, is given up."""
POST_S_DEFAULT = 300
"""Where neither the server nor the utility profile states a postRate."""


AnyResponse = r.DERControlResponse | r.DrResponse | r.PriceResponse | r.TextResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The plant as it is to be told to the server; a part that is None is not sent."""

    capability: r.DERCapability | None = None
    settings: r.DERSettings | None = None
    status: r.DERStatus | None = None
    connection_point: r.ConnectionPoint | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One thing to send. key: what it is about, for the answer and for the back-off."""

    key: str
    method: str
    href: str
    body: r.Resource


@dataclass(slots=True)
class _Backoff:
    failures: int = 0
    not_before_ms: int = 0


class Outbox:
    """Queues and last-told states. All times are monotonic ms."""

    def __init__(self, mirrors: Iterable[r.MirrorUsagePoint], *, post_s: int = POST_S_DEFAULT) -> None:
        self._post_s = post_s
        self._mirrors = {mirror.mrid: mirror for mirror in mirrors}
        self._places: dict[str, str] = {}
        self._rates: dict[str, int] = {}
        self._responses: deque[tuple[str, AnyResponse]] = deque()
        self._readings: deque[tuple[str, r.MirrorMeterReading]] = deque(maxlen=READINGS_MAX)
        self._report = Report()
        self._told: dict[str, tuple[r.Resource, int]] = {}
        self._backoff: dict[str, _Backoff] = {}
        self.readings_dropped = 0

    # -- what is to be told -----------------------------------------------------------------------------------------

    def add_response(self, reply_to: str, response: AnyResponse) -> None:
        """Queue a response; they are sent in this order."""
        if len(self._responses) < RESPONSES_MAX:
            self._responses.append((reply_to, response))

    def add_reading(self, mirror_mrid: str, reading: r.MirrorMeterReading) -> None:
        """Queue a reading for a mirror."""
        self.readings_dropped += len(self._readings) == READINGS_MAX
        self._readings.append((mirror_mrid, reading))

    def set_report(self, report: Report) -> None:
        """The plant as it is now; what differs from what was told last is told."""
        self._report = report

    def post_rate_s(self, mirror_mrid: str) -> int:
        """How often the server wants readings of a mirror."""
        return max(self._rates.get(mirror_mrid, self._post_s), 1)

    @property
    def has_responses(self) -> bool:
        """Some response is still to be taken by the server."""
        return bool(self._responses)

    def is_complete(self) -> bool:
        """Every mirror has its place on the server."""
        return len(self._places) == len(self._mirrors)

    # -- what the server says ---------------------------------------------------------------------------------------

    def learn_mirrors(self, listed: Iterable[r.MirrorUsagePoint]) -> None:
        """Places and rates from the server's own list."""
        for mirror in listed:
            if mirror.mrid in self._mirrors:
                if mirror.href:
                    self._places[mirror.mrid] = mirror.href
                if mirror.post_rate_s is not None:
                    self._rates[mirror.mrid] = mirror.post_rate_s

    def taken(self, letter: Letter, location: str | None, at_ms: int) -> None:
        """The server has accepted a letter."""
        self._backoff.pop(letter.key, None)
        kind, _, name = letter.key.partition(":")
        if kind == "mirror":
            self._places[name] = location or letter.href
        elif kind == "put":
            self._told[letter.href] = (letter.body, at_ms)
        else:
            self._drop_head(kind)

    def refused(self, letter: Letter, status: int, not_before_ms: int, *, is_lost: bool = False) -> bool:
        """The server has not accepted it. True: it is given up for good. is_lost: it accepts nothing at all now."""
        kind, _, name = letter.key.partition(":")
        if kind == "reading" and 400 <= status < 500:
            if status in (404, 410):
                self._places.pop(name, None)  # the mirror is gone: make it again
            self._drop_head(kind)
            return True
        if kind == "response" and (400 <= status < 500 or (self.failures(letter.key) >= TRIES_MAX and not is_lost)):
            self._drop_head(kind)
            self._backoff.pop(letter.key, None)
            return True
        backoff = self._backoff.setdefault(letter.key, _Backoff())
        backoff.failures += 1
        backoff.not_before_ms = not_before_ms
        return False

    def failures(self, key: str) -> int:
        """How often in a row this was not accepted."""
        return self._backoff[key].failures if key in self._backoff else 0

    def _drop_head(self, kind: str) -> None:
        queue: deque[tuple[str, AnyResponse]] | deque[tuple[str, r.MirrorMeterReading]]
        queue = self._responses if kind == "response" else self._readings
        if queue:
            queue.popleft()

    # -- what to send next ------------------------------------------------------------------------------------------

    def next_response(self, at_ms: int) -> Letter | None:
        """The oldest response, unless it has to wait."""
        if not self._responses:
            return None
        reply_to, response = self._responses[0]
        key = f"response:{response.subject}:{response.status}"
        return self._ready(Letter(key=key, method="POST", href=reply_to, body=response), at_ms)

    def next_other(
        self, *, own: r.EndDevice | None, der: r.DER | None, mirrors_href: str | None, at_ms: int
    ) -> Letter | None:
        """The next report, mirror or reading that is due and whose place is known."""
        puts = self._puts(own, der, at_ms) if own else []
        creations = self._creations(mirrors_href) if mirrors_href and own else []
        for letter in (*puts, *creations, *self._next_reading()):
            if self._ready(letter, at_ms):
                return letter
        return None

    def wake_ms(self, own: r.EndDevice | None, der: r.DER | None) -> list[int]:
        """When something here becomes due by itself."""
        times = [backoff.not_before_ms for backoff in self._backoff.values()]
        if own and der and der.status_link and der.status_link in self._told:
            times.append(self._told[der.status_link][1] + _status_period_ms(own, self._post_s))
        return times

    def _ready(self, letter: Letter, at_ms: int) -> Letter | None:
        backoff = self._backoff.get(letter.key)
        return None if backoff and at_ms < backoff.not_before_ms else letter

    def _puts(self, own: r.EndDevice, der: r.DER | None, at_ms: int) -> Iterable[Letter]:
        places: list[tuple[str | None, r.Resource | None]] = [
            (own.connection_point_link, self._report.connection_point),
        ]
        if der is not None:
            places += [
                (der.capability_link, self._report.capability),
                (der.settings_link, self._report.settings),
                (der.status_link, self._report.status),
            ]
        for href, body in places:
            if href and body is not None and self._is_news(href, body, _status_period_ms(own, self._post_s), at_ms):
                yield Letter(key=f"put:{href}", method="PUT", href=href, body=body)

    def _is_news(self, href: str, body: r.Resource, status_period_ms: int, at_ms: int) -> bool:
        told = self._told.get(href)
        if told is None or _timeless(told[0]) != _timeless(body):
            return True
        return isinstance(body, r.DERStatus) and at_ms >= told[1] + status_period_ms

    def _creations(self, mirrors_href: str) -> Iterable[Letter]:
        for mrid, mirror in self._mirrors.items():
            if mrid not in self._places:
                yield Letter(key=f"mirror:{mrid}", method="POST", href=mirrors_href, body=mirror)

    def _next_reading(self) -> Iterable[Letter]:
        if self._readings and self._readings[0][0] in self._places:
            mrid, reading = self._readings[0]
            yield Letter(key=f"reading:{mrid}", method="POST", href=self._places[mrid], body=reading)


def _status_period_ms(own: r.EndDevice, post_s: int) -> int:
    return max(own.post_rate_s or post_s, 1) * 1000


def _timeless(body: r.Resource) -> r.Resource:
    """The content without its stamps: a new time alone is no change."""
    match body:
        case r.DERSettings():
            return replace(body, updated_s=0)
        case r.DERStatus():
            stamps = {
                name: replace(value, time_s=0)
                for name in ("gen_connect", "operational_mode", "state_of_charge", "stor_connect")
                if (value := getattr(body, name)) is not None
            }
            return replace(body, reading_s=0, **stamps)
        case _:
            return body
