"""The place of one worker, seen from the process that starts it: who sits there, and what it has counted."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Iterable
from typing import Any

from turn.workers.merged_metrics import Figure, lasting
from turn.workers.rpc import Line, Refused, Silent
from turn.workers.worker import Start

START_SECONDS = 20.0  # for a fresh interpreter on a busy machine
LAST_SECONDS = 5.0  # from the end of the line to the end of the process
ANSWER_SECONDS = 4.0  # whoever asks through the relay's own socket waits for five
MISSES = 2  # orders without an answer: then it hangs, and is ended


class CannotSit(Exception):
    """A worker that did not start; the text says why, as far as it told."""


class Seat:
    def __init__(self, number: int) -> None:
        self.number = number
        self.process: asyncio.subprocess.Process | None = None
        self.line: Line | None = None
        self.serves = False
        self.since = 0.0
        self.misses = 0
        self.figures: list[Figure] = []  # as they were told last
        self.counted = 0  # the sessions that it told last

    async def sit(self, descriptors: Iterable[int]) -> None:
        """Start a process: a fresh interpreter rather than a copy of this one, which holds an operator's
        connections, and threads that a copy would not have. It finds its modules where this one does, and not
        in the folder that we happen to be in. Raises OSError."""
        self.since, self.misses, self.counted = time.monotonic(), 0, 0
        ours, theirs = socket.socketpair()
        with theirs:
            self.line = await Line.at(ours)
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "turn.workers.worker", str(theirs.fileno())),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), *descriptors),
                start_new_session=True,  # Ctrl-C in a terminal is for the one who asks the others
            )

    async def begin(self, start: Start) -> None:
        """Raises CannotSit."""
        try:
            if self.line is not None:
                await self.line.ask("start", start, seconds=START_SECONDS)
                self.serves = True
        except (Silent, Refused) as problem:
            self.kill()
            raise CannotSit(str(problem) or "it does not answer") from None

    async def ask(self, order: str, *values: object) -> Any:
        """Raises Silent and Refused. One that hangs is ended; one that has not started is not asked."""
        if self.line is None or not self.serves:
            raise Silent
        try:
            answer = await self.line.ask(order, *values, seconds=ANSWER_SECONDS)
        except Silent:
            self.misses += 1
            if self.misses >= MISSES:
                self.kill()
            raise
        self.misses = 0
        return answer

    async def tell(self, order: str, *values: object) -> Any:
        """The same for who can do without an answer: what is wrong is returned."""
        try:
            return await self.ask(order, *values)
        except (Silent, Refused) as wrong:
            return wrong

    async def look(self) -> None:
        """Have it tell its figures; else those that it told last stay."""
        told = await self.tell("figures")
        if not isinstance(told, Silent | Refused):
            self.figures = told

    async def count(self) -> int:
        """Its sessions. While it lives and does not answer, there is one at least."""
        told = await self.tell("count")
        if not isinstance(told, Silent | Refused):
            self.counted = told
            return self.counted
        return max(self.counted, 1) if self.serves else 0

    async def ended(self) -> float:
        """When its process has ended: how many seconds it lived."""
        if self.process is not None:
            await self.process.wait()
        self.serves = False
        if self.line is not None:
            self.line.close()
            self.line = None
        return time.monotonic() - self.since

    def bury(self) -> list[Figure]:
        """What stays of it."""
        figures, self.figures = self.figures, []
        return lasting(figures)

    def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()

    async def leave(self) -> None:
        """It ends with its line, or is ended."""
        if self.line is not None:
            self.line.close()
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await self.ended()
        except TimeoutError:
            self.kill()
            await self.ended()
