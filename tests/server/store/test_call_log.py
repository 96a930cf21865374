"""A row of the call log is gone within its days, and what went can not be found in any file."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from server.store import Ban, Call
from server.store.call_log import DAY, PURGE_SECONDS, CallLog, purge
from server.store.sqlite import Embedded
from tests.server.store.test_sqlite import every_byte

START = 1_234_567_890


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Embedded]:
    kept = Embedded(tmp_path)
    yield kept
    kept.close()


def test_a_row_says_when_and_how_long(state: Embedded) -> None:
    CallLog(state, 7).note(START + 0.7, 61.6)
    assert state.calls() == [Call(START, 62)]


def test_no_days_no_row(state: Embedded) -> None:
    CallLog(state, 0).note(START, 60)
    assert state.calls() == []
    state.add_call(Call(START, 60))  # from before the days were set to 0
    assert purge(state, CallLog(state, 0), START + 120) == 1


@pytest.mark.parametrize("days", [1, 3, 7])
def test_with_an_hourly_purge_no_row_outlives_its_days(state: Embedded, days: int) -> None:
    log = CallLog(state, days)
    log.note(START, 60)
    end = START + days * DAY
    for wall in range(START + PURGE_SECONDS // 2, end, PURGE_SECONDS):
        purge(state, log, wall)
        if wall < end - 3 * PURGE_SECONDS:
            assert len(state.calls()) == 1
    assert state.calls() == []
    assert START.to_bytes(4, "big") not in every_byte(state.path.parent)


def test_ended_bans_go_too(state: Embedded) -> None:
    state.add_ban(Ban(ip_network("198.51.100.77"), START, START + 60, "canary"))
    assert purge(state, CallLog(state, 7), START + 59) == 0
    assert purge(state, CallLog(state, 7), START + 60) == 1
    assert b"canary" not in every_byte(state.path.parent)
