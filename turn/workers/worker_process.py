"""The place of one worker, seen from the process that starts it: who sits there, and what it has counted."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Iterable
from typing import Any

from turn.workers.merged_metrics import Figure, counters
from turn.workers.rpc import CallFailed, NotAnswered, Rpc
from turn.workers.worker import WorkerStart

START_SECONDS = 20.0  # for a fresh interpreter on a busy machine
LAST_SECONDS = 5.0  # from the end of the line to the end of the process
ANSWER_SECONDS = 4.0  # whoever asks through the relay's own socket waits for five
MISSES = 2  # orders without an answer: then it hangs, and is ended


class CannotStart(Exception):
    """A worker that did not start; the text says why, as far as it told."""


class WorkerProcess:
    def __init__(self, number: int) -> None:
        self.number = number
        self.process: asyncio.subprocess.Process | None = None
        self.rpc: Rpc | None = None
        self.is_serving = False
        self.since = 0.0
        self.misses = 0
        self.figures: list[Figure] = []  # as they were told last
        self.last_count = 0  # the sessions that it told last

    async def spawn(self, descriptors: Iterable[int]) -> None:
        """Start a process: a fresh interpreter rather than a copy of this one, which holds an operator's
        connections, and threads that a copy would not have. It finds its modules where this one does, and not
        in the folder that we happen to be in. Raises OSError."""
        self.since, self.misses, self.last_count = time.monotonic(), 0, 0
        ours, theirs = socket.socketpair()
        with theirs:
            self.rpc = await Rpc.connect(ours)
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "turn.workers.worker", str(theirs.fileno())),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), *descriptors),
                start_new_session=True,  # Ctrl-C in a terminal is for the one who asks the others
            )

    async def begin(self, start: WorkerStart) -> None:
        """Raises CannotSit."""
        try:
            if self.rpc is not None:
                await self.rpc.call("start", start, seconds=START_SECONDS)
                self.is_serving = True
        except (NotAnswered, CallFailed) as problem:
            self.kill()
            raise CannotStart(str(problem) or "it does not answer") from None

    async def call(self, order: str, *values: object) -> Any:
        """Raises Silent and Refused. One that hangs is ended; one that has not started is not asked."""
        if self.rpc is None or not self.is_serving:
            raise NotAnswered
        try:
            answer = await self.rpc.call(order, *values, seconds=ANSWER_SECONDS)
        except NotAnswered:
            self.misses += 1
            if self.misses >= MISSES:
                self.kill()
            raise
        self.misses = 0
        return answer

    async def try_call(self, order: str, *values: object) -> Any:
        """The same for who can do without an answer: what is wrong is returned."""
        try:
            return await self.call(order, *values)
        except (NotAnswered, CallFailed) as wrong:
            return wrong

    async def fetch_figures(self) -> None:
        """Have it tell its figures; else those that it told last stay."""
        told = await self.try_call("figures")
        if not isinstance(told, NotAnswered | CallFailed):
            self.figures = told

    async def session_count(self) -> int:
        """Its sessions. While it lives and does not answer, there is one at least."""
        told = await self.try_call("count")
        if not isinstance(told, NotAnswered | CallFailed):
            self.last_count = told
            return self.last_count
        return max(self.last_count, 1) if self.is_serving else 0

    async def until_ended(self) -> float:
        """When its process has ended: how many seconds it lived."""
        if self.process is not None:
            await self.process.wait()
        self.is_serving = False
        if self.rpc is not None:
            self.rpc.close()
            self.rpc = None
        return time.monotonic() - self.since

    def take_counters(self) -> list[Figure]:
        """What stays of it."""
        figures, self.figures = self.figures, []
        return counters(figures)

    def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()

    async def stop(self) -> None:
        """It ends with its line, or is ended."""
        if self.rpc is not None:
            self.rpc.close()
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await self.until_ended()
        except TimeoutError:
            self.kill()
            await self.until_ended()
