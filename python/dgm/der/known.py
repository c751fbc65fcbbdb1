"""What is known of the server: its documents, what they add up to, and how far its clocks are from ours.

    document ──take()──> documents ──walk──> what is wanted
                                   └───────> ProgramsKnown, SetKnown          Time ──measure()──> ClockMeasured

Pure bookkeeping for `discovery`. What is no longer linked is forgotten.
"""

from __future__ import annotations

from dataclasses import replace

from dgm.der import resource as r
from dgm.der.exchange import ClockMeasured, DiscoveryEffect, SetKnown
from dgm.der.groups import FunctionSet, Sources
from dgm.der.nodes import Document, Node
from dgm.der.scheduler import ProgramsKnown
from dgm.der.walk import Identity, Walk, walk
from dgm.machine import Now


class Known:
    """Of one device. `walk` is always that of the documents there are; offset_ms: the server's clock less ours."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._offsets_ms: dict[Node, int] = {}
        self._sets: dict[FunctionSet, Sources] = {}
        self.documents: dict[Node, Document] = {}
        self.walk: Walk = walk(identity, {})
        self.offset_ms = 0

    def has_changed(self, node: Node, document: Document) -> bool:
        """A document says another thing than the one that is known."""
        return _content(self.documents.get(node)) != _content(document)

    def take(self, node: Node, document: Document) -> None:
        """A document as it is now, and with it what is linked now."""
        self.documents[node] = document
        self.walk = walk(self._identity, self.documents)
        for gone in self.documents.keys() - self.walk.wanted.keys():
            del self.documents[gone]
        for clock in self._offsets_ms.keys() - self.walk.wanted.keys():
            del self._offsets_ms[clock]

    def take_sent(self, node: Node, document: object) -> None:
        """What a notification carries; it need not repeat the pollRate and the like."""
        self.take(node, _as_document(document, self.documents.get(node)))

    def effects(self) -> list[DiscoveryEffect]:
        """All programs, if they are known completely, with how far the clocks of their groups are from the server's."""
        offsets_ms, server_ms = self._offsets_ms, self.offset_ms
        apart = {mrid: offsets_ms[node] - server_ms for mrid, node in self.walk.clocks.items() if node in offsets_ms}
        programs, effects = self.walk.programs, list[DiscoveryEffect]()
        if programs is not None:
            of_programs = {item.mrid: apart[item.mrid] for item in programs if item.mrid in apart}
            effects.append(ProgramsKnown(programs=programs, offsets_ms=of_programs))
        for name, found in self.walk.sets.items():
            sources = tuple(replace(item, clock_offset_ms=apart.get(item.mrid, 0)) for item in found)
            if self._sets.get(name) != sources:
                self._sets[name] = sources
                effects.append(SetKnown(function_set=name, sources=sources))
        return effects

    def measure(self, node: Node, time: r.Time, *, asked: Now, now: Now) -> list[DiscoveryEffect]:
        """Narrow the offset to what this answer allows: at some moment in flight the server's second was current_s.

        The first Time that is linked is the server's; a group (FSA) may have one of its own. An offset that already
        fits is kept, so whole seconds on the wire do not make the clock jump about.
        """
        lowest_ms = time.current_s * 1000 - now.utc_ms
        highest_ms = time.current_s * 1000 + 999 - asked.utc_ms
        before_ms = self._offsets_ms.get(node, self.offset_ms)
        offset_ms = min(max(before_ms, lowest_ms), max(highest_ms, lowest_ms))
        is_news = self._offsets_ms.get(node) != offset_ms
        self._offsets_ms[node] = offset_ms
        effects: list[DiscoveryEffect] = []
        if node == self.walk.clock and offset_ms != self.offset_ms:
            self.offset_ms = offset_ms
            effects.append(ClockMeasured(offset_ms=offset_ms))
        return [*effects, *self.effects()] if is_news and self.walk.clocks else effects


def _content(document: Document | None) -> object:
    """What a document says; how a list was cut into pages is no part of it."""
    return document.items if isinstance(document, r.ListResource) else document


def _as_document(sent: object, before: Document | None) -> Document:
    """What a notification carries, with the pollRate and the like of the document before where it states none."""
    document: Document = sent  # type: ignore[assignment]  # the caller has looked at its class
    kept = {
        name: getattr(before, name)
        for name in ("href", "poll_s", "subscribable")
        if getattr(document, name, 0) is None and getattr(before, name, None) is not None
    }
    return replace(document, **kept) if kept else document
