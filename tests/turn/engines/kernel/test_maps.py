"""The maps as memory of a process: entries come, go, and are all forgotten."""

from __future__ import annotations

import pytest

from tests.turn.engines import land
from turn.engines.kernel.layout import CONFIG_SIZE, KEY
from turn.engines.kernel.maps import CannotRide
from turn.engines.kernel.program import Program


def test_keys_are_entered_until_there_is_no_room_and_dropped(place: land.Place) -> None:
    program = Program(2)
    one, two, three = (bytes([number]) * KEY.size for number in range(3))
    assert program.enter(one, 1)
    assert program.enter(one, 1)
    assert program.enter(two, 1)
    assert not program.enter(three, 1)
    program.drop(one)
    with pytest.raises(OSError, match="could not be taken"):
        program.drop(one)
    assert program.enter(three, 1)
    program.close()


def test_all_is_forgotten_at_once(place: land.Place) -> None:
    program = Program(64)
    for number in range(40):
        assert program.enter(bytes([number]) * KEY.size, number)
    program.config[:CONFIG_SIZE] = b"\1" * CONFIG_SIZE
    program.forget()
    assert program.lib.bpf_map_get_next_key(program.flows, None, bytes(KEY.size)) < 0
    assert not any(program.config[:CONFIG_SIZE])
    program.close()


def test_without_the_library_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turn.engines.kernel.maps.LIBRARY", "libnobody.so.1")
    with pytest.raises(CannotRide, match=r"libnobody\.so\.1 is not installed"):
        Program(2)
