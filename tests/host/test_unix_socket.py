"""The own name of a socket, and the known one: which version has it, and which one gets it later."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from host.startup import Unavailable
from host.unix_socket import GROUP_TOO, VersionedSocket, is_dead, living, own_names


def owner(place: Path) -> Path:
    return next(path for path in own_names(place) if path.samefile(place))


def test_the_newest_has_the_place_and_gives_it_back(tmp_path: Path) -> None:
    place = tmp_path / "x.sock"
    old, new = VersionedSocket(place), VersionedSocket(place, GROUP_TOO)
    assert not place.exists()
    old.publish()
    new.publish()
    assert owner(place) == new.own_path
    assert stat.S_IMODE(place.stat().st_mode) == 0o660
    new.withdraw()
    assert owner(place) == old.own_path
    old.withdraw()
    assert list(tmp_path.iterdir()) == []


def test_who_leaves_first_takes_nothing_from_the_newest(tmp_path: Path) -> None:
    place = tmp_path / "x.sock"
    old, new = VersionedSocket(place), VersionedSocket(place)
    old.publish()
    new.publish()
    old.withdraw()
    assert not is_dead(place)
    assert living(place) == [new.own_path]
    new.withdraw()


def test_what_the_dead_left_is_swept_away(tmp_path: Path) -> None:
    place = tmp_path / "x.sock"
    dead = VersionedSocket(place)
    dead.publish()
    dead.sock.close()
    assert is_dead(place)
    alive = VersionedSocket(place)
    assert own_names(place) == [alive.own_path]
    alive.publish()
    assert not is_dead(place)
    alive.withdraw()


def test_a_place_where_no_socket_can_be(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"too long; point site\.state_dir elsewhere"):
        VersionedSocket(tmp_path / ("x" * 120))
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_cannot_be_taken_is_named(tmp_path: Path) -> None:
    with VersionedSocket(tmp_path / "x.sock") as lost:
        lost.own_path.unlink()
        with pytest.raises(Unavailable, match=r"x\.sock: No such file"):
            lost.publish()


def test_one_whose_queue_is_full_lives(tmp_path: Path) -> None:
    place = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as sock, socket.socket(socket.AF_UNIX) as waiting:
        sock.bind(str(place))
        sock.listen(0)
        waiting.connect(str(place))
        assert not is_dead(place)
