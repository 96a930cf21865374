"""Numbered messages, one each `pause` seconds, and which of them came back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

LATE = 30.0  # seconds that the last messages get to come back, on a busy machine, too


async def numbers(count: int, pause: float) -> AsyncIterator[int]:
    """0 to count - 1, each at its time."""
    begun = asyncio.get_running_loop().time()
    for number in range(count):
        await asyncio.sleep(begun + number * pause - asyncio.get_running_loop().time())
        yield number


class Returned:
    """Which of the messages 0 to count - 1 have come back."""

    def __init__(self, count: int) -> None:
        self.count, self.missing = count, set(range(count))
        self.complete = asyncio.Event()

    def add(self, number: int) -> None:
        self.missing.discard(number)
        if not self.missing:
            self.complete.set()

    async def wait(self) -> None:
        """Until all are back, or no more can be hoped for."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.complete.wait(), LATE)

    def report(self, kinds: set[str]) -> str:
        lost = f"lost: {' '.join(map(str, sorted(self.missing)))}\n" if self.missing else ""
        return f"{lost}heard {self.count - len(self.missing)} through {' '.join(sorted(kinds))}"
