"""A failure is logged by kind and place, and never with its words."""

from __future__ import annotations

import asyncio

import pytest

from server.web.failures import REPEAT_SECONDS, ErrorHandler, log_failure


def fail(text: str) -> None:
    raise KeyError(text)


def test_kind_and_place(caplog: pytest.LogCaptureFixture) -> None:
    try:
        fail("canary")
    except KeyError as error:
        log_failure(error)
    [record] = caplog.records
    assert record.getMessage().startswith("KeyError in fail (")
    assert "test_failures.py:" in record.getMessage()
    assert "canary" not in caplog.text
    assert record.exc_info is None


def test_a_failure_without_a_place(caplog: pytest.LogCaptureFixture) -> None:
    log_failure(RuntimeError("canary"))
    assert [record.getMessage() for record in caplog.records] == ["RuntimeError in "]


def test_of_each_kind_one_line_a_minute_and_then_how_many_more(caplog: pytest.LogCaptureFixture) -> None:
    now = 1000.0
    seldom, loop = ErrorHandler(lambda: now), asyncio.new_event_loop()
    for _ in range(1000):
        seldom(loop, {"message": "canary", "exception": OSError("canary")})
    seldom(loop, {"message": "canary"})
    assert [record.getMessage() for record in caplog.records] == ["OSError in ", "RuntimeError in "]
    caplog.clear()
    now += REPEAT_SECONDS
    for _ in range(2):
        seldom(loop, {"message": "canary", "exception": OSError("canary")})
    loop.close()
    logged = [record.getMessage() for record in caplog.records]
    assert logged == ["OSError in ", "OSError: 999 more were not logged"]
