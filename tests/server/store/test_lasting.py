"""Faults of the file: bans stay in force, it is said once, and it is mended when it is over."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from server.store import Ban, Call, Network
from server.store.bans import Bans
from server.store.damaged import set_aside_files
from server.store.lasting import ASIDE_SECONDS, MAX_UNWRITTEN_CALLS, RETRY_SECONDS, LastingStore
from server.store.sqlite import FILE, SqliteStore

OLD, NEW = ip_network("198.51.100.7"), ip_network("203.0.113.0/24")
NOISE = os.urandom(16 << 10)
NEEDS_ROOT = "mounting and immutable files need root"


@dataclass
class Shelf:
    """A folder with a store that has a ban, and a clock that a test moves."""

    folder: Path
    now: float = 0.0
    opened: list[LastingStore] = field(default_factory=list)

    def __post_init__(self) -> None:
        file = SqliteStore(self.folder)
        file.add_ban(Ban(OLD, 1, None, "old"))
        file.close()

    @property
    def path(self) -> Path:
        return self.folder / FILE

    def open(self) -> tuple[LastingStore, Bans]:
        store = LastingStore(self.folder, lambda: self.now, lambda: 1_800_000_000.0 + self.now)
        self.opened.append(store)
        return store, Bans(store)

    def written(self) -> tuple[set[Network], int]:
        """What a program that comes later finds in the file: bans and calls."""
        file = SqliteStore(self.folder)
        found = {ban.network for ban in file.bans()}, len(file.calls())
        file.close()
        return found


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    """On a file system of its own where that is possible: it can be full, or read-only."""
    with ExitStack() as end:
        folder = tmp_path / "state"
        folder.mkdir()
        if os.geteuid() == 0:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", folder], check=True)
            end.callback(lambda: subprocess.run(["umount", "--lazy", folder], check=True))
        made = Shelf(folder)
        yield made
        for store in made.opened:
            store.close()


@contextmanager
def full(shelf: Shelf) -> Iterator[None]:
    filler = shelf.folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    yield
    filler.unlink()


@contextmanager
def read_only(shelf: Shelf) -> Iterator[None]:
    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", shelf.folder], check=True)

    for store in shelf.opened:  # what is open for writing keeps a file system writable
        store.close()
    remount("ro")
    yield
    remount("rw")


@contextmanager
def locked(shelf: Shelf) -> Iterator[None]:
    other = sqlite3.connect(shelf.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    yield
    other.execute("ROLLBACK")
    other.close()


@contextmanager
def no_file_but_a_folder(shelf: Shelf) -> Iterator[None]:
    for end in ("-wal", "-shm", ""):
        shelf.path.with_name(shelf.path.name + end).unlink(missing_ok=True)
    shelf.path.mkdir()
    yield
    shelf.path.rmdir()


Fault = Callable[[Shelf], AbstractContextManager[None]]
PASSING: list[Fault] = [full, read_only, locked, no_file_but_a_folder]


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.__name__)
def test_a_fault_while_the_server_runs(shelf: Shelf, fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    if fault in (full, read_only) and os.geteuid() != 0:
        pytest.skip(NEEDS_ROOT)
    store, bans = shelf.open()
    with caplog.at_level(logging.INFO), fault(shelf):
        bans.refresh()
        for number in range(200):
            store.add_call(Call(number, 60))
        bans.add(NEW, 100.0, None, "new")
        shelf.now += RETRY_SECONDS
        bans.refresh()
        assert store.problem is not None
        assert bans.covers(ip_address("203.0.113.7"), 200.0)
        assert bans.covers(ip_address("198.51.100.7"), 200.0)
        assert not bans.covers(ip_address("192.0.2.1"), 200.0)
        assert {ban.network for ban in bans.list(200.0)} == {OLD, NEW}
        [said] = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert str(shelf.path) in said.getMessage()
        assert "203.0.113" not in said.getMessage()
    caplog.clear()
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            shelf.now += RETRY_SECONDS
            bans.refresh()
    assert store.problem is None
    assert [record.getMessage() for record in caplog.records] == [
        f"the ban list and the call log are in {shelf.path} again"
    ]
    assert shelf.written() == ({OLD, NEW}, 200)


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.__name__)
def test_a_fault_at_the_start(shelf: Shelf, fault: Fault) -> None:
    if fault in (full, read_only) and os.geteuid() != 0:
        pytest.skip(NEEDS_ROOT)
    with fault(shelf):
        store, bans = shelf.open()
        bans.add(NEW, 100.0, None, "new")
        assert store.problem is not None
        assert bans.covers(ip_address("203.0.113.7"), 200.0)
        if fault is not no_file_but_a_folder:
            assert bans.covers(ip_address("198.51.100.7"), 200.0), "bans are read, where they can be"
    shelf.now += RETRY_SECONDS
    assert bans.refresh()
    assert store.problem is None
    assert NEW in shelf.written()[0]


def overwritten(path: Path) -> None:
    path.write_bytes(NOISE)


def cut_off(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(4096)


def noise_in_the_pages(path: Path) -> None:
    """The first page is whole, so the file can be opened."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(NOISE[: path.stat().st_size - 4096])


DAMAGES = [overwritten, cut_off, noise_in_the_pages]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_damaged_at_the_start(
    shelf: Shelf, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    damage(shelf.path)
    store, bans = shelf.open()
    assert store.problem is None
    [said] = caplog.records
    [aside] = set_aside_files(shelf.path)
    assert "was damaged" in said.getMessage()
    assert aside.name in said.getMessage()
    bans.add(NEW, 100.0, None, "new")
    assert NEW in shelf.written()[0]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_damaged_while_the_server_runs(shelf: Shelf, damage: Callable[[Path], None]) -> None:
    store, bans = shelf.open()
    bans.add(NEW, 100.0, None, "new")
    store.delete_expired(calls_before=0, bans_until=0)  # empties the log beside the file
    damage(shelf.path)
    assert store.file is not None
    store.file.database.execute("PRAGMA shrink_memory")  # nothing of it is left in memory
    for _ in range(3):
        shelf.now += RETRY_SECONDS
        store.delete_expired(calls_before=10, bans_until=10)
        bans.refresh()
    assert {ban.network for ban in bans.list(200.0)} == {OLD, NEW}
    store.close()
    again, _ = shelf.open()
    assert again.problem is None
    assert shelf.written()[0] == {OLD, NEW}


def test_the_bans_of_a_damaged_file_are_saved_as_far_as_they_can_be_read(shelf: Shelf) -> None:
    file = SqliteStore(shelf.folder)
    file.execute("BEGIN")
    for number in range(3000):
        file.add_call(Call(number, 60))
    file.execute("COMMIT")
    file.close()
    with shelf.path.open("r+b") as damaged:
        damaged.seek(-8192, os.SEEK_END)
        damaged.write(NOISE[:8192])
    _, bans = shelf.open()
    assert [ban.network for ban in bans.list(200.0)] == [OLD]
    assert shelf.written() == ({OLD}, 0)


def test_a_disk_that_breaks_every_file_does_not_fill_up(shelf: Shelf) -> None:
    shelf.open()[0].close()
    for _ in range(20):
        overwritten(shelf.path)
        shelf.now += RETRY_SECONDS
        store, bans = shelf.opened[0], Bans(shelf.opened[0])
        store.retry()
        bans.refresh()
    assert len(set_aside_files(shelf.path)) == 1
    assert store.problem is not None
    shelf.now += ASIDE_SECONDS
    bans.refresh()
    assert store.problem is None
    assert [ban.network for ban in bans.list(200.0)] == [OLD]


def test_a_file_that_is_taken_away_is_made_again(shelf: Shelf) -> None:
    store, bans = shelf.open()
    shutil.rmtree(shelf.folder, ignore_errors=True)
    bans.refresh()
    shelf.now += RETRY_SECONDS
    bans.refresh()
    assert store.problem is None
    assert shelf.written()[0] == {OLD}


def test_a_ban_that_was_lifted_meanwhile_is_not_written(shelf: Shelf) -> None:
    store, bans = shelf.open()
    with locked(shelf):
        bans.add(NEW, 100.0, None, "new")
        assert bans.remove(NEW)
        assert bans.remove(OLD)
        assert store.bans() == []
    shelf.now += RETRY_SECONDS
    bans.refresh()
    assert shelf.written()[0] == set()


def test_what_waits_for_the_file_has_an_end(shelf: Shelf) -> None:
    store, _ = shelf.open()
    with locked(shelf):
        for number in range(2 * MAX_UNWRITTEN_CALLS):
            store.add_call(Call(number, 60))
        assert len(store.unwritten_calls) == MAX_UNWRITTEN_CALLS


def test_ended_bans_and_old_calls_are_forgotten_without_the_file_too(shelf: Shelf) -> None:
    store, bans = shelf.open()
    with locked(shelf):
        bans.add(NEW, 100.0, 60, "new")
        store.add_call(Call(50, 60))
        assert store.delete_expired(calls_before=51, bans_until=160) == 1
        assert ([ban.network for ban in store.bans()], store.calls()) == ([OLD], [])
