"""A socket's name of its own, and the one that the newest takes: who has it, and who has it afterwards."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from host.unix_socket import OUR_GROUPS, Hatch, is_dead, living, others, sweep


def owner(place: Path) -> Path:
    return next(path for path in others(place) if path.samefile(place))


def test_the_newest_has_the_place_and_gives_it_back(tmp_path: Path) -> None:
    place = tmp_path / "x.sock"
    old, new = Hatch(place), Hatch(place, OUR_GROUPS)
    assert not place.exists()
    old.take()
    new.take()
    assert owner(place) == new.own
    assert stat.S_IMODE(place.stat().st_mode) == 0o660
    new.close()
    assert owner(place) == old.own
    old.close()
    assert list(tmp_path.iterdir()) == []


def test_who_leaves_first_takes_nothing_from_the_newest(tmp_path: Path) -> None:
    place = tmp_path / "x.sock"
    old, new = Hatch(place), Hatch(place)
    old.take()
    new.take()
    old.close()
    assert not is_dead(place)
    assert living(place) == [new.own]
    new.close()


def test_what_the_dead_left_is_swept_away(tmp_path: Path) -> None:
    place = tmp_path / "x.sock"
    dead, alive = Hatch(place), Hatch(place)
    dead.take()
    dead.sock.close()
    assert is_dead(place)
    sweep(place)
    assert others(place) == [alive.own]
    alive.take()
    assert not is_dead(place)
    alive.close()


def test_a_place_where_no_socket_can_be(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        Hatch(tmp_path / ("x" * 120))
    assert list(tmp_path.iterdir()) == []


def test_one_whose_queue_is_full_lives(tmp_path: Path) -> None:
    place = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as sock, socket.socket(socket.AF_UNIX) as waiting:
        sock.bind(str(place))
        sock.listen(0)
        waiting.connect(str(place))
        assert not is_dead(place)
