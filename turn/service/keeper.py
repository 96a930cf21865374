"""Between a relay and the file of its allocations: what a client is told stands there before.

To keep allocations may fail, for want of memory: calls go on, and it is tried again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from host.attempts import Attempts
from turn.core.effects import Effect
from turn.core.relay import Relay
from turn.service.allocation_file import AllocationFile
from turn.service.inheritance import Inheritance

log = logging.getLogger("calln.relay")

RENEW_SECONDS = 0.25  # between two looks at what ICE checks have renewed
AT_ONCE = 64  # allocations that are written in one look: 4,000 take 16 seconds, and consents last 30


class NoKeeper:
    """Calls end with this process."""

    def save_changes(self) -> None:
        pass

    def restore(self, apply: Callable[[Sequence[Effect]], None]) -> None:
        pass

    async def run(self) -> None:
        pass

    def forget(self) -> None:
        pass

    def close(self) -> None:
        pass


FORGETFUL = NoKeeper()


class Keeper:
    """Keeps the allocations of this relay, and begins with those of an `inheritance`."""

    def __init__(self, relay: Relay, file: AllocationFile, inheritance: Inheritance) -> None:
        self.relay, self.file, self.inheritance = relay, file, inheritance
        self.is_over = False
        self.saving = Attempts("keeping the allocations for the next process", log)
        relay.keep_allocations()

    def save_changes(self) -> None:
        """To be called before an answer is sent: a client goes by what it was told."""
        changes = self.relay.changes(time.monotonic())
        if changes:
            with self.saving.attempt():
                self.file.save(changes)

    def restore(self, apply: Callable[[Sequence[Effect]], None]) -> None:
        """Take over what the process before had; `apply` does what the core decides."""
        kept, now = self.inheritance.allocations(), time.monotonic()
        apply(self.relay.restore(kept, now))
        apply(self.relay.link_restored(now))
        self.inheritance.close(taken=True)
        if kept:
            restored = self.relay.counts["allocations restored"]
            log.info("%d of %d allocations of the process before go on", restored, len(kept))

    async def run(self) -> None:
        """Write what ICE checks have renewed, now and then, until cancelled."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            if self.relay.has_renewed():
                with self.saving.attempt():
                    self.file.save(self.relay.renewals(AT_ONCE, time.monotonic()))

    def forget(self) -> None:
        """The relay ends for good: no other process goes on with its calls."""
        self.is_over = True

    def close(self) -> None:
        self.inheritance.close(taken=self.is_over)
        self.file.close(remove=self.is_over)
