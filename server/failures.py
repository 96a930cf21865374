"""Our own mistakes go into the log by kind and place, without their words: those may hold somebody's text."""

from __future__ import annotations

import logging
import traceback

log = logging.getLogger("calln.server")

PLACES = 4  # the innermost frames: enough to find it


def log_failure(error: BaseException) -> None:
    frames = traceback.extract_tb(error.__traceback__)[-PLACES:]
    places = " < ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in reversed(frames))
    log.error("%s in %s", type(error).__name__, places)
