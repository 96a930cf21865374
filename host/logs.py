"""Log lines: one JSON object each, with the time; in systemd's journal, which knows the time, a plain line.

Never the text of an exception.

What our code logs holds no address. The text of an exception may hold one, so only its kind and its place
are logged.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

PLACES = 4  # the innermost frames
REPEAT_SECONDS = 60  # between two lines of one kind: without free descriptors, accept fails again and again
PRIORITIES = {"CRITICAL": 2, "ERROR": 3, "WARNING": 4, "INFO": 6, "DEBUG": 7}  # syslog(3)
ROOT = Path(__file__).parents[1]
OURS = tuple(str(ROOT / name) + os.sep for name in ("config", "deploy", "host", "server", "turn"))


def start_logging() -> None:
    """From now on all log lines of this process go to standard error, also one about its crash."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JournalLines() if is_read_by_journal(sys.stderr.fileno()) else JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    sys.excepthook = log_crash


def is_read_by_journal(descriptor: int) -> bool:
    """Whether what is written there goes to systemd's journal (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        about = os.fstat(descriptor)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{about.st_dev}:{about.st_ino}"


class JournalLines(logging.Formatter):
    """The text behind its priority (sd-daemon(3)); the journal keeps time and program of each line."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            about = named(record.exc_info[1])
            text = f"{text}: {about['error']} in {about['places']}"
        safe = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
        return f"<{PRIORITIES[record.levelname]}>{safe}"


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "part": record.name,
            "text": record.getMessage(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line |= named(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


def named(error: BaseException) -> dict[str, str]:
    """Kind and places; of a group, those of the errors in it."""
    single = list(unfolded(error))
    return {
        "error": ", ".join(map(kind, single)),
        "places": "; ".join(places(one.__traceback__) for one in single),
    }


def unfolded(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group of tasks, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from unfolded(one)
    else:
        yield error


def kind(error: BaseException) -> str:
    """Its class, and what the system calls it, such as "OSError EMFILE"."""
    name = type(error).__name__
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):  # its numbers are others
        return f"{name} {errno.errorcode.get(error.errno or 0, '')}".rstrip()
    return name


def describe(error: BaseException) -> str:
    """Kind and place in a sentence, without its text: that may quote a packet or an address."""
    return ", ".join(f"{kind(one)} in {place(one)}" for one in unfolded(error))


def place(error: BaseException) -> str:
    """File and line: the innermost of ours, else the innermost."""
    trace, ours, last = error.__traceback__, None, None
    while trace is not None:
        last = trace
        ours = trace if trace.tb_frame.f_code.co_filename.startswith(OURS) else ours
        trace = trace.tb_next
    found = ours or last
    return f"{Path(found.tb_frame.f_code.co_filename).name}:{found.tb_lineno}" if found else "no place"


def places(trace: TracebackType | None) -> str:
    """Where it was raised, the innermost first."""
    found: list[str] = []
    while trace is not None:
        found.append(f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " < ".join(found[: -PLACES - 1 : -1])


class LoopErrors:
    """The event loop's handler for errors that nothing caught. It logs one line a minute of each kind and
    counts the others. The text of an error is not logged: it may name sockets, and with them addresses."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self.log = log
        self.clock = clock
        self.quiet: dict[str, tuple[float, int]] = {}  # kind -> until when, and how many were not logged

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception") or RuntimeError()
        name, now = kind(error), self.clock()
        until, unlogged = self.quiet.get(name, (now, 0))
        if now < until:
            self.quiet[name] = until, unlogged + 1
            return
        self.quiet[name] = now + REPEAT_SECONDS, 0
        more = f"; {unlogged} more like it were not logged" if unlogged else ""
        self.log.error("nothing caught %s%s", describe(error), more)


def log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """For an error that ends the process."""
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("calln").critical("ended by a mistake", exc_info=(kind, error, trace))
