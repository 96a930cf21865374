"""A row of the call log is gone within its days, and what went can not be found in any file."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from server.store import Ban, Call, Store
from server.store.call_log import DAY, PURGE_SECONDS, ROWS_AT_ONCE, ROWS_PER_SECOND, SHORTEST, CallLog, purge
from tests.server.store.stored_bytes import every_byte

START = 1_234_567_890


def test_a_row_says_when_and_how_long(store: Store) -> None:
    CallLog(store, 7).add(START + 0.7, 61.6, 0.0)
    assert store.calls() == [Call(START, 62)]


def test_a_call_that_nobody_made_has_no_row(store: Store) -> None:
    log = CallLog(store, 7)
    for seconds in (0.0, SHORTEST - 0.1, SHORTEST):
        log.add(START, seconds, 0.0)
    assert store.calls() == [Call(START, round(SHORTEST))]


def test_rows_have_a_rate(store: Store) -> None:
    log = CallLog(store, 7)
    for now in (0.0, 1.0):
        for _ in range(1000):
            log.add(START, 60, now)
        assert len(store.calls()) == ROWS_AT_ONCE + now * ROWS_PER_SECOND
    assert ROWS_PER_SECOND * 7 * DAY * 13 < 100e6, "bytes of a week"


def test_no_days_no_row(store: Store) -> None:
    CallLog(store, 0).add(START, 60, 0.0)
    assert store.calls() == []
    store.add_call(Call(START, 60))  # from before the days were set to 0
    assert purge(store, CallLog(store, 0), START + 120) == 1


@pytest.mark.parametrize("days", [1, 3, 7])
def test_with_an_hourly_purge_no_row_outlives_its_days(tmp_path: Path, store: Store, days: int) -> None:
    log = CallLog(store, days)
    log.add(START, 60, 0.0)
    end = START + days * DAY
    for wall in range(START + PURGE_SECONDS // 2, end, PURGE_SECONDS):
        purge(store, log, wall)
        if wall < end - 3 * PURGE_SECONDS:
            assert len(store.calls()) == 1
    assert store.calls() == []
    assert START.to_bytes(4, "big") not in every_byte(tmp_path)


def test_ended_bans_go_too(tmp_path: Path, store: Store) -> None:
    store.add_ban(Ban(ip_network("198.51.100.77"), START, START + 60, "canary"))
    assert purge(store, CallLog(store, 7), START + 59) == 0
    assert purge(store, CallLog(store, 7), START + 60) == 1
    assert b"canary" not in every_byte(tmp_path)
