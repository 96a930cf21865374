"""The SQLite file: what is kept, who may read it, and that nothing deleted can be found in it."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from server.store import Ban, Call, StoreError
from server.store.sqlite import FILE, SqliteStore, open_store
from tests.server.store.stored_bytes import every_byte

NETWORK = ip_network("198.51.100.77/32")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    kept = SqliteStore(tmp_path / "state")
    yield kept
    kept.close()


def test_bans(store: SqliteStore) -> None:
    wide = Ban(ip_network("2001:db8::/48"), 100, None, "a whole network")
    narrow = Ban(NETWORK, 200, 900, "one address")
    for ban in (narrow, wide, narrow._replace(reason="said again")):
        store.add_ban(ban)
    assert store.bans() == [wide, narrow._replace(reason="said again")]
    assert store.remove_ban(wide.network)
    assert not store.remove_ban(wide.network)
    assert [ban.network for ban in store.bans()] == [NETWORK]


def test_calls(store: SqliteStore) -> None:
    for start in (300, 100, 200):
        store.add_call(Call(start, 42))
    assert [call.start for call in store.calls()] == [100, 200, 300]
    assert store.delete_expired(calls_before=200, bans_until=0) == 1
    assert store.calls() == [Call(200, 42), Call(300, 42)]


def test_what_is_deleted_is_overwritten(store: SqliteStore) -> None:
    assert store.query("PRAGMA secure_delete") == [(1,)]
    assert store.query("PRAGMA journal_mode") == [("wal",)]


def test_only_the_owner_may_read(store: SqliteStore) -> None:
    store.add_call(Call(1, 1))
    for path in store.path.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


def test_it_is_there_after_a_restart(store: SqliteStore) -> None:
    store.add_ban(Ban(NETWORK, 1, None, "kept"))
    store.close()
    again = SqliteStore(store.path.parent)
    assert [ban.reason for ban in again.bans()] == ["kept"]
    again.close()


def test_what_is_forgotten_can_not_be_found(store: SqliteStore) -> None:
    """Reasons are grepped for as text, calls as the bytes that SQLite writes for their start."""
    folder = store.path.parent
    start = 1_234_567_890
    for number in range(50):
        store.add_ban(Ban(ip_network(f"198.51.100.{number}"), 1, 500, f"canary-reason-{number}"))
        store.add_call(Call(start, 42))
    secrets = (b"canary-reason", b"198.51.100.", start.to_bytes(4, "big"))
    assert all(secret in every_byte(folder) for secret in secrets)
    assert store.delete_expired(calls_before=start + 1, bans_until=500) == 100
    assert not any(secret in every_byte(folder) for secret in secrets)
    assert (folder / f"{FILE}-wal").stat().st_size == 0


def test_a_removed_ban_can_not_be_found(store: SqliteStore) -> None:
    store.add_ban(Ban(NETWORK, 1, None, "canary-reason"))
    store.remove_ban(NETWORK)
    assert b"canary" not in every_byte(store.path.parent)
    assert b"198.51.100.77" not in every_byte(store.path.parent)


def test_the_log_beside_the_file_is_emptied_at_the_start(tmp_path: Path) -> None:
    """A process that was killed leaves its write-ahead log behind."""
    program = (
        "import os, sys; from pathlib import Path; from server.store import Call; "
        "from server.store.sqlite import SqliteStore; "
        "SqliteStore(Path(sys.argv[1])).add_call(Call(1, 1)); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    assert (tmp_path / f"{FILE}-wal").stat().st_size > 0
    store = SqliteStore(tmp_path)
    assert (tmp_path / f"{FILE}-wal").stat().st_size == 0
    assert store.calls() == [Call(1, 1)]
    store.close()


def test_another_process_changes_the_version(store: SqliteStore) -> None:
    before = store.version()
    store.add_call(Call(1, 1))
    assert store.version() == before
    other = SqliteStore(store.path.parent)
    other.add_ban(Ban(NETWORK, 1, None, ""))
    other.close()
    assert store.version() != before


def test_a_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreError, match=FILE):
        SqliteStore(tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        SqliteStore(tmp_path / "file" / "state")


def test_a_store_is_made_only_where_one_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no ban list; point site\.state_dir"):
        open_store(tmp_path, create=False)
    assert not list(tmp_path.iterdir())
    open_store(tmp_path).close()
    open_store(tmp_path, create=False).close()
