"""What is due next, among many: a heap whose older entries are skipped when they come up.

    set(item, due, order) ──> first() ──> the item that has been due for longest; among equals the first in order

Pure; all times are monotonic ms.
"""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heappop, heappush
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT", bound=Hashable)


class Agenda(Generic[ItemT]):
    """Each item is due once, at the time set last."""

    def __init__(self) -> None:
        self._due: dict[ItemT, tuple[int, int, int]] = {}
        self._heap: list[tuple[int, int, int, ItemT]] = []
        self._serial = 0

    def set(self, item: ItemT, due_ms: int, order: int = 0) -> None:
        """It is due then, and not at the time set before."""
        held = self._due.get(item)
        if held is not None and held[:2] == (due_ms, order):
            return
        self._serial += 1
        self._due[item] = (due_ms, order, self._serial)
        heappush(self._heap, (due_ms, order, self._serial, item))

    def drop(self, item: ItemT) -> None:
        """It is not due any more."""
        self._due.pop(item, None)

    def first(self) -> tuple[int, ItemT] | None:
        """What comes first, with its time; it stays."""
        while self._heap:
            due_ms, order, serial, item = self._heap[0]
            if self._due.get(item) == (due_ms, order, serial):
                return due_ms, item
            heappop(self._heap)
        return None

    def take_until(self, at_ms: int) -> list[ItemT]:
        """Everything that is due by then; it is due no more."""
        found = []
        while (first := self.first()) is not None and first[0] <= at_ms:
            found.append(first[1])
            self.drop(first[1])
        return found
