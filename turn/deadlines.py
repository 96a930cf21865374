"""When things end: one heap for all of them, and no timer objects.

To renew a thing only notes its new end. Its entry in the heap stays, comes up at the old end, and is then
put back with the new one. So a client that refreshes all day costs almost nothing, and the heap stays small.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

SLACK = 8  # entries that no longer count may wait in the heap until it is cleaned


class Deadlines(Generic[T]):
    def __init__(self) -> None:
        self._ends: dict[T, float] = {}
        self._waking: dict[T, float] = {}  # when the one heap entry that counts comes up, for each thing
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
        """Forget `thing`. Nothing happens if it is unknown."""
        if self._ends.pop(thing, None) is not None:
            del self._waking[thing]
            self._sweep()

    def due(self, now: float) -> Iterator[T]:
        """What ends by `now`, the earliest first. Each is forgotten as it is yielded."""
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
        """When to call `due` again, at the latest; None if nothing can end."""
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
