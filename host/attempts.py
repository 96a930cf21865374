"""What is tried again and again: an error is said once, with its kind and its place, and ends nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from host.logs import describe

AGAIN_SECONDS = 60.0  # between two lines about the same work: what fails now and then would fill the log


class Attempts:
    """One kind of work that may fail and is tried again: no error leaves `attempt`.

    Args:
        what: the subject of both sentences, such as "the look at this machine's addresses".
        log: where they go.
        clock: monotonic seconds.
    """

    def __init__(self, what: str, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self.what = what
        self.log = log
        self.clock = clock
        self.said = False  # that it is failing now
        self.quiet_until = 0.0

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Try the work once, within."""
        try:
            yield
        except Exception as error:
            self.note_failure(error)
        else:
            self.note_success()

    def note_failure(self, error: Exception) -> None:
        """One line when it begins to fail; its text would quote what must not be logged."""
        if not self.said and self.clock() >= self.quiet_until:
            self.said, self.quiet_until = True, self.clock() + AGAIN_SECONDS
            self.log.error("%s failed: %s; it is tried again", self.what, describe(error))

    def note_success(self) -> None:
        if self.said:
            self.log.info("%s works again", self.what)
        self.said = False

    async def repeat(self, seconds: float, work: Callable[[], object]) -> None:
        """Do the work every so many seconds, until cancelled.

        Args:
            seconds: before each time.
            work: what to do; if it returns an awaitable, that is awaited.
        """
        while True:
            await asyncio.sleep(seconds)
            with self.attempt():
                result = work()
                if asyncio.iscoroutine(result):
                    await result
