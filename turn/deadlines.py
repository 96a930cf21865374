"""When things end: one heap for all of them, no timer objects.

Renewing a thing only writes its new end down: its entry in the heap wakes us at the old end, finds it alive
and moves. So a client that refreshes all day costs nothing, and the heap stays as small as what lives.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

SLACK = 8  # entries of the dead that may wait before the heap is swept


class Deadlines(Generic[T]):
    def __init__(self) -> None:
        self._ends: dict[T, float] = {}
        self._waking: dict[T, float] = {}  # when the one heap entry that counts for a thing comes up
        self._heap: list[tuple[float, int, T]] = []
        self._order = count()

    def __len__(self) -> int:
        return len(self._ends)

    def set(self, thing: T, end: float) -> None:
        """From now on `thing` ends at `end`."""
        self._ends[thing] = end
        if self._waking.get(thing, float("inf")) > end:
            self._wake(thing, end)

    def drop(self, thing: T) -> None:
        """`thing` is gone already; nothing happens where it is unknown."""
        if self._ends.pop(thing, None) is not None:
            del self._waking[thing]
            self._sweep()

    def due(self, now: float) -> Iterator[T]:
        """What ends by `now`, the earliest first; each is forgotten as it comes out."""
        while self._heap and self._heap[0][0] <= now:
            when, _, thing = heappop(self._heap)
            if self._waking.get(thing) != when:
                continue
            if self._ends[thing] > now:
                self._wake(thing, self._ends[thing])
                continue
            del self._ends[thing], self._waking[thing]
            yield thing

    def next(self) -> float | None:
        """When to look again, at the latest."""
        while self._heap and self._waking.get(self._heap[0][2]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _wake(self, thing: T, when: float) -> None:
        self._waking[thing] = when
        heappush(self._heap, (when, next(self._order), thing))
        self._sweep()

    def _sweep(self) -> None:
        if len(self._heap) > 2 * len(self._ends) + SLACK:
            self._heap = [entry for entry in self._heap if self._waking.get(entry[2]) == entry[0]]
            heapify(self._heap)
