"""Which of several versions an operator finds under the known name."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from host.startup import Unavailable
from host.unix_socket import is_dead
from turn.process import operator_socket
from turn.process.operator_socket import OperatorSocket


def has_place(one: OperatorSocket) -> bool:
    return one.path.exists() and one.path.samefile(one.own_path)


@contextmanager
def two(folder: Path) -> Iterator[tuple[OperatorSocket, OperatorSocket]]:
    """An older one, and a newer one that has taken its place."""
    with OperatorSocket(folder) as old, OperatorSocket(folder) as new:
        old.publish()
        new.publish()
        yield old, new


def test_it_is_nobodys_before_it_is_taken_and_after_it_is_closed(tmp_path: Path) -> None:
    with OperatorSocket(tmp_path / "new") as one:
        assert not one.path.exists()
        assert stat.S_IMODE(one.own_path.stat().st_mode) == 0o600
        one.publish()
        assert has_place(one)
        assert not is_dead(one.path)
    assert not list(one.path.parent.iterdir())


def test_the_newest_has_it_and_the_others_are_found_by_name(tmp_path: Path) -> None:
    with two(tmp_path) as (old, new):
        assert has_place(new)
        assert not is_dead(old.own_path)
        old.withdraw()
        assert has_place(new)


async def test_who_was_there_takes_it_back_from_one_that_ended(tmp_path: Path) -> None:
    with two(tmp_path) as (old, new):
        new.withdraw()
        await old.publish_again()
        assert has_place(old)


async def test_who_was_there_takes_it_back_from_one_that_was_killed(tmp_path: Path) -> None:
    with two(tmp_path) as (old, new):
        asyncio.get_running_loop().call_later(2 * operator_socket.LOOK_SECONDS, new.sock.close)  # bit by bit
        await old.publish_again()
        assert has_place(old)


async def test_it_is_not_taken_from_one_that_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_socket, "LOOK_SECONDS", 0.001)
    with two(tmp_path) as (old, new):
        await old.publish_again()
        assert has_place(new)


def test_a_folder_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match=r"file/relay\.sock: .*site\.state_dir"):
        OperatorSocket(tmp_path / "file")
    with OperatorSocket(tmp_path) as one:
        one.own_path.unlink()
        with pytest.raises(Unavailable, match=r"site\.state_dir"):
            one.publish()
