"""One worker, seen from the process that starts it: its process, its connection and its last figures."""

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
LAST_SECONDS = 5.0  # from the end of the connection to the end of the process
ANSWER_SECONDS = 4.0  # the operator's command waits for five
MISSES = 2  # calls without an answer: then it hangs and is killed


class CannotStart(Exception):
    """A worker did not start; the text says why, if the worker said it."""


class WorkerProcess:
    """A worker of this number; after its death `spawn` and `begin` start the next one."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: asyncio.subprocess.Process | None = None
        self.rpc: Rpc | None = None
        self.is_serving = False
        self.since = 0.0
        self.misses = 0
        self.figures: list[Figure] = []  # the last ones
        self.last_count = 0  # of sessions

    async def spawn(self, descriptors: Iterable[int]) -> None:
        """Start a fresh interpreter: a fork of this process would hold an operator's connections and lack its
        threads. It finds modules where this process does, not in the working folder. Raises OSError."""
        self.since, self.misses, self.last_count = time.monotonic(), 0, 0
        ours, theirs = socket.socketpair()
        with theirs:
            self.rpc = await Rpc.open(ours)
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "turn.workers.worker", str(theirs.fileno())),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), *descriptors),
                start_new_session=True,  # Ctrl-C in a terminal goes to the parent alone
            )

    async def begin(self, start: WorkerStart) -> None:
        """Raises CannotSit."""
        try:
            if self.rpc is not None:
                await self.rpc.call("begin", start, seconds=START_SECONDS)
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
        """The same, but returns what `call` would raise."""
        try:
            return await self.call(order, *values)
        except (NotAnswered, CallFailed) as wrong:
            return wrong

    async def fetch_figures(self) -> None:
        """Without an answer the last ones stay."""
        answer = await self.try_call("figures")
        if not isinstance(answer, NotAnswered | CallFailed):
            self.figures = answer

    async def session_count(self) -> int:
        """How many sessions it has. While it lives and does not answer: the last number, at least one."""
        answer = await self.try_call("session_count")
        if not isinstance(answer, NotAnswered | CallFailed):
            self.last_count = answer
            return self.last_count
        return max(self.last_count, 1) if self.is_serving else 0

    async def until_ended(self) -> float:
        """Wait for the end of its process; how many seconds it lived."""
        if self.process is not None:
            await self.process.wait()
        self.is_serving = False
        if self.rpc is not None:
            self.rpc.close()
            self.rpc = None
        return time.monotonic() - self.since

    def take_counters(self) -> list[Figure]:
        """The counters of a worker that has died, once."""
        figures, self.figures = self.figures, []
        return counters(figures)

    def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()

    async def stop(self) -> None:
        """Close its connection, which ends it; kill it if it does not end."""
        if self.rpc is not None:
            self.rpc.close()
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await self.until_ended()
        except TimeoutError:
            self.kill()
            await self.until_ended()
