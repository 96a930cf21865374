"""A log line is one JSON object, whatever its text, and never holds an exception's text."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable

import pytest

from host import logs
from host.settings import parse_ip

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


def test_in_the_journal_a_line_is_its_priority_and_its_text() -> None:
    reader, writer = os.pipe()
    about = os.fstat(writer)
    journal = {**os.environ, "JOURNAL_STREAM": f"{about.st_dev}:{about.st_ino}"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=journal, stderr=writer)
    os.close(writer)
    with open(reader, encoding="utf-8") as lines:
        caught, last = lines.read().splitlines()
    assert done.returncode == 1
    assert caught == "<3>a mistake: KeyError in <string>:6"
    assert last.startswith("<2>ended by a mistake: OSError in <string>:11 < <string>:12")


@pytest.mark.parametrize("text", TEXTS)
def test_a_line_of_the_journal_is_one_line_whatever_it_says(text: str) -> None:
    record = logging.LogRecord("calln.relay", logging.WARNING, __file__, 1, "%s", (text,), None)
    line = logs.JournalLines().format(record)
    assert line.startswith("<4>")
    assert line[3:].isprintable()
    assert ("\n" in text) or ("\x1b" in text) or ("\u2028" in text) or line[3:] == text


def test_an_interrupt_from_the_keyboard_is_no_mistake(caplog: pytest.LogCaptureFixture) -> None:
    logs.log_crash(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert not caplog.records


async def test_asyncios_own_words_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    errors = logs.LoopErrors(logging.getLogger("calln.relay"))
    errors(asyncio.get_running_loop(), {"message": "lost 192.0.2.66"})
    assert "192.0.2.66" not in caplog.text
    assert caplog.records


async def test_of_each_kind_one_line_a_minute_and_then_how_many_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now, loop = 1000.0, asyncio.get_running_loop()
    seldom = logs.LoopErrors(logging.getLogger("calln.relay"), lambda: now)
    full = {"message": "canary", "exception": OSError(errno.EMFILE, "canary")}
    for _ in range(1000):
        seldom(loop, full)
    seldom(loop, {"message": "canary", "exception": OSError(errno.ENFILE, "canary")})
    seldom(loop, {"message": "canary"})
    now += logs.REPEAT_SECONDS
    for _ in range(2):
        seldom(loop, full)
    assert [record.getMessage() for record in caplog.records] == [
        "nothing caught OSError EMFILE in no place",
        "nothing caught OSError ENFILE in no place",
        "nothing caught RuntimeError in no place",
        "nothing caught OSError EMFILE in no place; 999 more like it were not logged",
    ]


KINDS = [
    (KeyError("192.0.2.66"), "KeyError"),
    (OSError("192.0.2.66"), "OSError"),
    (OSError(errno.EMFILE, "192.0.2.66"), "OSError EMFILE"),
    (OSError(errno.EACCES, "192.0.2.66"), "PermissionError EACCES"),
    (OSError(12345, "192.0.2.66"), "OSError"),
    (ssl.SSLError(1, "192.0.2.66"), "SSLError"),  # not EPERM
    (socket.gaierror(-2, "192.0.2.66"), "gaierror"),
]


@pytest.mark.parametrize(("error", "kind"), KINDS, ids=[name for _, name in KINDS])
def test_an_error_of_the_system_has_the_systems_name(error: Exception, kind: str) -> None:
    assert logs.kind(error) == kind


def caught(work: Callable[[], object]) -> Exception:
    try:
        work()
    except Exception as error:
        return error
    raise AssertionError


def test_the_place_is_the_innermost_of_ours() -> None:
    error = caught(lambda: parse_ip("no address"))  # ipaddress raises, host/settings.py passes it on
    assert logs.place(error).startswith("settings.py:")
    assert logs.describe(error) == f"ValueError in {logs.place(error)}"
    assert logs.place(caught(lambda: json.loads("{"))).startswith("decoder.py:")
    assert logs.place(ValueError()) == "no place"


def test_a_group_of_errors_is_unfolded() -> None:
    inner = [caught(lambda: parse_ip("no address")), OSError(errno.EMFILE, "192.0.2.66")]
    group = ExceptionGroup("in tasks", [ExceptionGroup("192.0.2.66", inner[:1]), inner[1]])
    assert list(logs.unfolded(group)) == inner
    record = logging.LogRecord("calln", logging.ERROR, __file__, 1, "ended", (), (type(group), group, None))
    line = json.loads(logs.JsonLines().format(record))
    assert line["error"] == "ValueError, OSError EMFILE"
    assert line["places"].startswith("settings.py:")
    assert "192.0.2.66" not in json.dumps(line)
