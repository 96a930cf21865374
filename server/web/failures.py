"""Our own mistakes go into the log by kind and place, without their words: those may hold somebody's text."""

from __future__ import annotations

import logging
import time
import traceback
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any

log = logging.getLogger("calln.server")

FRAMES = 4  # the innermost frames: enough to find it
REPEAT_SECONDS = (
    60  # seconds between two lines of one kind: without descriptors left, accepting fails without end
)


def log_failure(error: BaseException) -> None:
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    places = " < ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in reversed(frames))
    log.error("%s in %s", type(error).__name__, places)


class ErrorHandler:
    """What the event loop calls for a failure that nobody caught; its own words may name sockets, and with
    them addresses. Of each kind one line a minute; the others are counted."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.quiet: dict[str, tuple[float, int]] = {}  # kind -> until when, and how many were not told

    def __call__(self, loop: AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception") or RuntimeError()
        kind, now = type(error).__name__, self.clock()
        until, untold = self.quiet.get(kind, (now, 0))
        if now < until:
            self.quiet[kind] = until, untold + 1
            return
        self.quiet[kind] = now + REPEAT_SECONDS, 0
        log_failure(error)
        if untold:
            log.error("%s: %d more were not told before", kind, untold)
