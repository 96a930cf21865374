"""Damaged stores: what of their bans is saved, and how long a copy is kept."""

from __future__ import annotations

import stat
from ipaddress import ip_network
from pathlib import Path

import pytest

from server.store import Ban
from server.store.damaged import KEPT_SECONDS, delete_old, readable_bans, set_aside, set_aside_files
from server.store.sqlite import FILE, SqliteStore

WALL = 1_800_000_000.0
BANS = [Ban(ip_network(f"198.51.100.{number}"), number, None, "spam") for number in range(3)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    store = SqliteStore(tmp_path)
    for ban in BANS:
        store.add_ban(ban)
    store.close()
    return tmp_path / FILE


def test_bans_are_read_from_a_file_that_cannot_be_written(place: Path) -> None:
    place.chmod(0o400)
    assert sorted(readable_bans(place)) == BANS


@pytest.mark.parametrize("content", [None, b"", b"noise" * 1000, b"SQLite format 3\0" + bytes(5000)])
def test_where_nothing_can_be_read_there_are_no_bans(place: Path, content: bytes | None) -> None:
    place.unlink()
    if content is not None:
        place.write_bytes(content)
    assert readable_bans(place) == []


def test_a_file_is_set_aside_with_what_belongs_to_it(place: Path) -> None:
    place.chmod(0o644)
    place.with_name(f"{FILE}-wal").write_text("log")
    name = set_aside(place, WALL)
    assert name.name == f"{FILE}.damaged-20270115T080000Z"
    assert sorted(path.name for path in place.parent.iterdir()) == [name.name, f"{name.name}-wal"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in place.parent.iterdir())
    assert set_aside_files(place) == [name]


def test_it_is_deleted_after_a_day(place: Path) -> None:
    set_aside(place, WALL)
    place.with_name(f"{FILE}-wal").write_text("log")
    delete_old(place, WALL + KEPT_SECONDS - 1)
    assert len(set_aside_files(place)) == 1
    delete_old(place, WALL + KEPT_SECONDS)
    assert [path.name for path in place.parent.iterdir()] == [f"{FILE}-wal"], "of a new file"
