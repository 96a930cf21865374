"""A row of the call log is gone within its days, and what went can not be found in any file."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from server.store import Ban, Call, Store
from server.store.call_log import DAY, PURGE_SECONDS, CallLog, purge
from tests.server.store.stored_bytes import every_byte

START = 1_234_567_890


def test_a_row_says_when_and_how_long(store: Store) -> None:
    CallLog(store, 7).add(START + 0.7, 61.6)
    assert store.calls() == [Call(START, 62)]


def test_no_days_no_row(store: Store) -> None:
    CallLog(store, 0).add(START, 60)
    assert store.calls() == []
    store.add_call(Call(START, 60))  # from before the days were set to 0
    assert purge(store, CallLog(store, 0), START + 120) == 1


@pytest.mark.parametrize("days", [1, 3, 7])
def test_with_an_hourly_purge_no_row_outlives_its_days(tmp_path: Path, store: Store, days: int) -> None:
    log = CallLog(store, days)
    log.add(START, 60)
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
