"""The memory of what servers have told: numbers, servers and ended users, each bounded."""

from __future__ import annotations

from turn.core.nonce import LIFETIME
from turn.core.told import HEARD_SECONDS, MAX_ENDED, MAX_SERVERS, SERVER_SECONDS, Told


def server(number: int) -> bytes:
    return number.to_bytes(8)


def test_a_number_counts_once_and_only_upwards() -> None:
    told = Told()
    numbers = (5, 5, 4, 6, 0, 6, 7)
    assert [told.note_number(server(1), number, 0.0) for number in numbers] == [
        True,
        False,
        False,
        True,
        False,
        False,
        True,
    ]
    assert told.note_number(server(2), 0, 0.0)


def test_a_number_is_remembered_for_longer_than_its_nonce_is_valid() -> None:
    assert SERVER_SECONDS > LIFETIME


def test_servers_are_bounded_and_silent_ones_make_room() -> None:
    told = Told()
    for number in range(MAX_SERVERS):
        assert told.has_room_for(server(number), 0.0)
        told.note_number(server(number), 1, 0.0)
    assert not told.has_room_for(server(MAX_SERVERS), 1.0)
    assert told.has_room_for(server(0), 1.0)
    told.note_number(server(0), 2, SERVER_SECONDS - 1)
    assert told.has_room_for(server(MAX_SERVERS), SERVER_SECONDS)
    assert not told.note_number(server(0), 2, SERVER_SECONDS)
    assert told.servers(SERVER_SECONDS) == 1


def test_a_server_counts_while_it_speaks() -> None:
    told = Told()
    told.note_number(server(1), 1, 0.0)
    told.note_number(server(2), 1, 50.0)
    assert [told.servers(now) for now in (0.0, HEARD_SECONDS, 50.0 + HEARD_SECONDS)] == [2, 1, 0]


def test_a_user_has_ended_until_its_credentials_are_over() -> None:
    told = Told()
    told.end_user("one", 60.0, 0.0)
    told.end_user("one", 30.0, 0.0)
    assert told.has_ended("one", 59.0)
    assert not told.has_ended("one", 60.0)
    assert not told.has_ended("other", 0.0)
    told.end_user("other", 90.0, 60.0)
    assert list(told.ended(60.0)) == [("other", 90.0)]


def test_ended_users_are_bounded_and_the_oldest_makes_room() -> None:
    told = Told()
    for number in range(MAX_ENDED + 1):
        told.end_user(str(number), 600.0, 0.0)
    assert not told.has_ended("0", 0.0)
    assert told.has_ended("1", 0.0)
    assert len(list(told.ended(0.0))) == MAX_ENDED
