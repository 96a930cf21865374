"""Errors of our own code, in the log: their kind and place, but not their text, which may quote a visitor."""

from __future__ import annotations

import logging
import time
import traceback
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any

log = logging.getLogger("calln.server")

FRAMES = 4  # the innermost ones: enough to find the place
REPEAT_SECONDS = 60  # between two lines of one kind: without free descriptors, accept fails again and again


def log_failure(error: BaseException) -> None:
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    places = " < ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in reversed(frames))
    log.error("%s in %s", type(error).__name__, places)


class ErrorHandler:
    """The event loop's handler for errors that nothing caught. It logs one line a minute of each kind and
    counts the others. The text of an error is not logged: it may name sockets, and with them addresses."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.quiet: dict[str, tuple[float, int]] = {}  # kind -> until when, and how many were not logged

    def __call__(self, loop: AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception") or RuntimeError()
        kind, now = type(error).__name__, self.clock()
        until, unlogged = self.quiet.get(kind, (now, 0))
        if now < until:
            self.quiet[kind] = until, unlogged + 1
            return
        self.quiet[kind] = now + REPEAT_SECONDS, 0
        log_failure(error)
        if unlogged:
            log.error("%s: %d more were not logged", kind, unlogged)
