"""When the server may be asked, for each document and as a whole; what failed, and how often.

    fetched ──> due again after its pollRate         failed ──> that document waits, doubling up to its pollRate
    no answer at all, 429, 503 ──> nothing is asked until `hold_until_ms`

Pure bookkeeping for `discovery`; all times are monotonic ms. `draw(n)` gives a uniform integer in 0..n.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dgm.der.nodes import Node

RETRY_DOCUMENT_MS = 5_000
RETRY_SERVER_MS = 1_000
RETRY_SERVER_MS_MAX = 60_000
RETRY_BUSY_MS = 15_000
RETRY_BUSY_MS_MAX = 900_000
RETRY_AFTER_S_MAX = 86_400
LOST_AFTER_FAILURES = 3


@dataclass(slots=True)
class Counters:
    """For metrics and GetConnection."""

    polls: int = 0
    failures: int = 0
    responses_given_up: int = 0
    redirects: int = 0
    holds: int = 0
    malformed: int = 0
    notifications: int = 0


@dataclass(slots=True)
class _Poll:
    """When a document was asked for last with success, and how it has failed since."""

    asked_ms: int | None = None
    failures: int = 0
    not_before_ms: int = 0

    def due_ms(self, poll_s: int) -> int:
        if self.failures:
            return self.not_before_ms
        return 0 if self.asked_ms is None else self.asked_ms + poll_s * 1000


class Pace:
    """Of one conversation with one server. why: what failed last, for people; empty: nothing."""

    def __init__(self, draw: Callable[[int], int]) -> None:
        self._draw = draw
        self._polls: dict[Node, _Poll] = {}
        self._failures = 0
        self._unsuccessful = 0
        self._busy = 0
        self.hold_until_ms = 0
        self.last_success_ms: int | None = None
        self.why = ""
        self.counters = Counters()

    @property
    def is_lost(self) -> bool:
        """Nothing has succeeded for some time."""
        return self._unsuccessful >= LOST_AFTER_FAILURES

    # -- single documents -------------------------------------------------------------------------------------------

    def due_ms(self, node: Node, poll_s: int) -> int:
        """When a document is to be asked for; 0: it never was."""
        poll = self._polls.get(node)
        return 0 if poll is None else poll.due_ms(poll_s)

    def asked_ms(self, node: Node) -> int | None:
        """When a document was asked for last with success."""
        poll = self._polls.get(node)
        return None if poll is None else poll.asked_ms

    def fetched(self, node: Node, asked_ms: int) -> None:
        """It is known as of then."""
        self._polls[node] = _Poll(asked_ms=asked_ms)

    def not_fetched(self, node: Node, *, longest_ms: int, at_ms: int) -> None:
        """It could not be had; it alone waits."""
        self.failed()
        poll = self._polls.setdefault(node, _Poll())
        poll.failures += 1
        poll.not_before_ms = self.later(RETRY_DOCUMENT_MS, poll.failures, longest_ms, at_ms)

    def ask_again(self, node: Node) -> None:
        """A document is due now."""
        self._polls.pop(node, None)

    def ask_all_again(self) -> None:
        """Every document is due now."""
        self._polls.clear()

    def forget(self, node: Node) -> None:
        """A document that is no longer linked has no pace."""
        self._polls.pop(node, None)

    # -- the server as a whole --------------------------------------------------------------------------------------

    def succeeded(self, at_ms: int) -> None:
        """The server did what was asked."""
        self.last_success_ms = at_ms
        self._unsuccessful = 0
        self.why = ""

    def failed(self) -> None:
        """It did not, whatever the reason."""
        self.counters.failures += 1
        self._unsuccessful += 1

    def spoke(self) -> None:
        """It answered, whatever that was."""
        self._failures = 0

    def is_open(self) -> None:
        """It answered something else than that it is busy or in trouble: a 500 between two 503 is no sign of rest."""
        self._busy = 0

    def silent(self, why: str, at_ms: int) -> None:
        """No answer: nothing is asked for a while."""
        self.failed()
        self.why = why or "no answer"
        self._failures += 1
        self.hold_until_ms = self.later(RETRY_SERVER_MS, self._failures, RETRY_SERVER_MS_MAX, at_ms)

    def busy(self, retry_after_s: int | None, at_ms: int) -> None:
        """429 or 503: nothing is asked until the server said, or for a while."""
        self.failed()
        self.why = "the server is busy (HTTP 429 or 503); nothing is asked until it may be"
        self.counters.holds += 1
        self._busy += 1
        if retry_after_s is None:
            self.hold_until_ms = self.later(RETRY_BUSY_MS, self._busy, RETRY_BUSY_MS_MAX, at_ms)
        else:
            # A server that goes on saying "at once" is not taken at its word for ever.
            least_ms = min(RETRY_SERVER_MS << min(self._busy - 1, 16), RETRY_BUSY_MS)
            self.hold_until_ms = at_ms + max(min(retry_after_s, RETRY_AFTER_S_MAX) * 1000, least_ms)

    def later(self, first_ms: int, failures: int, longest_ms: int, at_ms: int) -> int:
        """Exponential back-off with up to a quarter of jitter, so that a fleet does not come back as one."""
        delay_ms = min(first_ms << min(failures - 1, 16), longest_ms)
        return at_ms + delay_ms + self._draw(delay_ms // 4)
