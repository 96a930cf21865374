"""Which of several relays is found at the place where operators look."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from host.unix_socket import is_dead
from turn.process import operator_socket
from turn.process.operator_socket import Doorway
from turn.service.preflight import Unavailable


def has_place(one: Doorway) -> bool:
    return one.place.exists() and one.place.samefile(one.own)


@contextmanager
def two(folder: Path) -> Iterator[tuple[Doorway, Doorway]]:
    """An older one, and a newer one that has taken its place."""
    with closing(Doorway(folder)) as old, closing(Doorway(folder)) as new:
        old.take()
        new.take()
        yield old, new


def test_it_is_nobodys_before_it_is_taken_and_after_it_is_closed(tmp_path: Path) -> None:
    with closing(Doorway(tmp_path / "new")) as one:
        assert not one.place.exists()
        assert stat.S_IMODE(one.own.stat().st_mode) == 0o600
        one.take()
        assert has_place(one)
        assert not is_dead(one.place)
    assert not list(one.place.parent.iterdir())


def test_the_newest_has_it_and_the_others_are_found_by_name(tmp_path: Path) -> None:
    with two(tmp_path) as (old, new):
        assert has_place(new)
        assert not is_dead(old.own)
        old.close()
        assert has_place(new)


async def test_who_was_there_takes_it_back_from_one_that_ended(tmp_path: Path) -> None:
    with two(tmp_path) as (old, new):
        new.close()
        await old.take_back()
        assert has_place(old)


async def test_who_was_there_takes_it_back_from_one_that_was_killed(tmp_path: Path) -> None:
    with two(tmp_path) as (old, new):
        asyncio.get_running_loop().call_later(2 * operator_socket.LOOK_SECONDS, new.sock.close)  # bit by bit
        await old.take_back()
        assert has_place(old)


async def test_it_is_not_taken_from_one_that_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_socket, "LOOK_SECONDS", 0.001)
    with two(tmp_path) as (old, new):
        await old.take_back()
        assert has_place(new)


def test_a_folder_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match=r"file/relay\.sock: .*site\.state_dir"):
        Doorway(tmp_path / "file")
    with closing(Doorway(tmp_path)) as one:
        one.own.unlink()
        with pytest.raises(Unavailable, match=r"site\.state_dir"):
            one.take()
