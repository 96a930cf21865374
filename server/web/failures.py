"""Errors of our own code, in the log: their kind and place, but not their text, which may quote a visitor."""

from __future__ import annotations

import logging
import traceback

from host.logs import kind, unfolded

log = logging.getLogger("calln.server")

FRAMES = 4  # the innermost ones: enough to find the place


def log_failure(error: BaseException) -> None:
    for one in unfolded(error):
        frames = traceback.extract_tb(one.__traceback__)[-FRAMES:]
        places = " < ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in reversed(frames))
        log.error("%s in %s", kind(one), places)
