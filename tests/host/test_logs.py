"""A log line is one JSON object, whatever its text, and never holds an exception's text."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys

import pytest

from host import logs

TEXTS = ["plain", "two\nlines", 'a "quote"', "\x1b[31mred", "naïve €", "\u2028separated"]


@pytest.mark.parametrize("text", TEXTS)
def test_one_line_whatever_it_says(text: str) -> None:
    record = logging.LogRecord("calln.relay", logging.WARNING, __file__, 1, "%s", (text,), None)
    line = logs.JsonLines().format(record)
    assert "\n" not in line
    assert "\x1b" not in line
    told = json.loads(line)
    assert (told["level"], told["part"], told["text"]) == ("warning", "calln.relay", text)
    assert told["time"].endswith("+00:00")


PROGRAM = """
import logging
from host import logs
logs.start_logging()
try:
    raise KeyError("192.0.2.66")
except KeyError:
    logging.getLogger("calln.relay").exception("a mistake")
def deep(left):
    if not left:
        raise OSError("192.0.2.66")
    deep(left - 1)
deep(9)
"""


def test_a_mistake_is_told_by_kind_and_place_alone() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 1
    caught, last = (json.loads(line) for line in done.stderr.splitlines())
    assert (caught["text"], caught["error"], caught["places"]) == ("a mistake", "KeyError", "<string>:6")
    assert (last["level"], last["error"]) == ("critical", "OSError")
    assert last["places"] == "<string>:11 < <string>:12 < <string>:12 < <string>:12"
    assert "192.0.2.66" not in done.stderr


def test_an_interrupt_from_the_keyboard_is_no_mistake(caplog: pytest.LogCaptureFixture) -> None:
    logs.log_crash(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert not caplog.records


async def test_asyncios_own_words_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    logs.on_loop_failure(asyncio.get_running_loop(), {"message": "lost 192.0.2.66"})
    assert "192.0.2.66" not in caplog.text
    assert caplog.records
