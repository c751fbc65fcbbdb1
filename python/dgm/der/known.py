"""What is known of the server: its documents, how far its clocks are from ours, and what that is for one device.

    document ──put()──> Library ──rewalk()──> Known: what this device wants, ProgramsKnown, SetKnown
    Time ──measure()──> Library (offsets)

Pure bookkeeping for `conversation`. Several devices share one Library, so what two of them are linked to is known once.
"""

from __future__ import annotations

from dataclasses import replace

from dgm.der import resource as r
from dgm.der.exchange import DiscoveryEffect, SetKnown
from dgm.der.groups import FunctionSet, Sources
from dgm.der.nodes import Document, Node
from dgm.der.scheduler import ProgramsKnown
from dgm.der.walk import Identity, Walk, walk
from dgm.machine import Now


class Library:
    """Documents by node, and offsets of the clocks. offset_ms: the server's clock less ours."""

    def __init__(self) -> None:
        self.documents: dict[Node, Document] = {}
        self.offsets_ms: dict[Node, int] = {}
        self.offset_ms = 0

    def has_news(self, node: Node, document: Document) -> bool:
        """A document says another thing than the one that is known."""
        return _content(self.documents.get(node)) != _content(document)

    def put(self, node: Node, document: Document) -> bool:
        """A document as it is now. True: something in it may lead elsewhere, or be of interest, than before."""
        before, self.documents[node] = self.documents.get(node), document
        if isinstance(document, r.Time) and isinstance(before, r.Time):
            return document.poll_s != before.poll_s
        return before != document

    def completed(self, node: Node, sent: object) -> Document:
        """What a notification carries, with the pollRate and the like of the document before where it states none."""
        return _as_document(sent, self.documents.get(node))

    def forget(self, node: Node) -> None:
        """It is linked nowhere."""
        self.documents.pop(node, None)
        self.offsets_ms.pop(node, None)

    def measure(self, node: Node, time: r.Time, *, asked: Now, now: Now) -> bool:
        """Narrow an offset to what this answer allows: at some moment in flight the server's second was current_s.

        True: it is another one. An offset that already fits is kept, so whole seconds on the wire do not make the clock
        jump about.
        """
        lowest_ms = time.current_s * 1000 - now.utc_ms
        highest_ms = time.current_s * 1000 + 999 - asked.utc_ms
        before_ms = self.offsets_ms.get(node, self.offset_ms)
        offset_ms = min(max(before_ms, lowest_ms), max(highest_ms, lowest_ms))
        is_news = self.offsets_ms.get(node) != offset_ms
        self.offsets_ms[node] = offset_ms
        return is_news


class Known:
    """What the documents add up to for one device. `walk` is that of the last rewalk()."""

    def __init__(self, identity: Identity, library: Library) -> None:
        self._identity = identity
        self._library = library
        self._sets: dict[FunctionSet, Sources] = {}
        self.walk: Walk = walk(identity, library.documents)

    def rewalk(self) -> None:
        """Follow the links as they are now."""
        self.walk = walk(self._identity, self._library.documents)

    def effects(self) -> list[DiscoveryEffect]:
        """All programs, if they are known completely, with how far the clocks of their groups are from the server's."""
        offsets_ms, server_ms = self._library.offsets_ms, self._library.offset_ms
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


def _content(document: Document | None) -> object:
    """What a document says; how a list was cut into pages is no part of it."""
    return document.items if isinstance(document, r.ListResource) else document


def _as_document(sent: object, before: Document | None) -> Document:
    document: Document = sent  # type: ignore[assignment]  # the caller has looked at its class
    kept = {
        name: getattr(before, name)
        for name in ("href", "poll_s", "subscribable")
        if getattr(document, name, 0) is None and getattr(before, name, None) is not None
    }
    return replace(document, **kept) if kept else document
