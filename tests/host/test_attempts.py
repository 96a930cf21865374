"""What fails is said once, and tried again until it works."""

from __future__ import annotations

import asyncio
import errno
import logging
import re

import pytest

from host.attempts import AGAIN_SECONDS, Attempts

log = logging.getLogger("calln.relay")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def attempt(attempts: Attempts, error: Exception | None) -> None:
    with attempts.attempt():
        if error is not None:
            raise error


def test_one_line_when_it_fails_and_one_when_it_works_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    attempts = Attempts("the look", log, Clock())
    for error in (None, *[OSError(errno.EMFILE, "canary")] * 100, None, None):
        attempt(attempts, error)
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in said] == ["ERROR", "INFO"]
    assert re.fullmatch(r"the look failed: OSError EMFILE in \w+\.py:\d+; it is tried again", said[0][1])
    assert said[1][1] == "the look works again"
    assert "canary" not in caplog.text


def test_what_fails_now_and_then_has_two_lines_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    attempts = Attempts("the look", log, clock)
    for _ in range(50):
        attempt(attempts, ValueError())
        attempt(attempts, None)
    assert len(caplog.records) == 2
    clock.now += AGAIN_SECONDS
    attempt(attempts, ValueError())
    assert len(caplog.records) == 3


def test_what_ends_a_task_passes() -> None:
    attempts = Attempts("the look", log)
    with pytest.raises(asyncio.CancelledError), attempts.attempt():
        raise asyncio.CancelledError


@pytest.mark.parametrize("waits", [False, True])
async def test_a_task_that_fails_runs_again(waits: bool, caplog: pytest.LogCaptureFixture) -> None:
    times, done = 0, asyncio.Event()

    def work() -> None:
        nonlocal times
        times += 1
        if times == 3:
            done.set()
        raise ZeroDivisionError("canary")

    async def slow_work() -> None:
        await asyncio.sleep(0)
        work()

    task = asyncio.create_task(Attempts("the look", log).repeat(0.001, slow_work if waits else work))
    await asyncio.wait_for(done.wait(), 5.0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert len(caplog.records) == 1
    assert "canary" not in caplog.text
