"""Log lines: one JSON object each, with the time, and never the text of an exception.

What our code logs holds no address. The text of an exception may hold one, so only its kind and its place
are logged.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

PLACES = 4  # the innermost frames


def start_logging() -> None:
    """From now on all log lines of this process go to standard error, also one about its crash."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    sys.excepthook = log_crash


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "part": record.name,
            "text": record.getMessage(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line |= {"error": type(record.exc_info[1]).__name__, "places": places(record.exc_info[2])}
        return json.dumps(line, ensure_ascii=False)


def places(trace: TracebackType | None) -> str:
    """Where it was raised, the innermost first."""
    found: list[str] = []
    while trace is not None:
        found.append(f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " < ".join(found[: -PLACES - 1 : -1])


def on_loop_failure(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """asyncio's own text may name sockets, and with them addresses."""
    logging.getLogger("calln.relay").error("a mistake between packets", exc_info=context.get("exception"))


def log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """For an error that ends the process."""
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("calln").critical("ended by a mistake", exc_info=(kind, error, trace))
