"""A failure is logged by kind and place, and never with its words."""

from __future__ import annotations

import errno

import pytest

from server.web.failures import log_failure


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


def test_of_a_group_each_failure(caplog: pytest.LogCaptureFixture) -> None:
    log_failure(ExceptionGroup("canary", [OSError(errno.EMFILE, "canary"), KeyError("canary")]))
    assert [record.getMessage() for record in caplog.records] == ["OSError EMFILE in ", "KeyError in "]
