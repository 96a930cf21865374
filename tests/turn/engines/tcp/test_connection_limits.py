"""How many connections one address, a proxy and all together may have; counts come back to nothing."""

from __future__ import annotations

from turn.engines import Streams
from turn.engines.tcp.connection_limits import HANDSHAKE_BURST, MAX_SILENT, MAX_UNNAMED, ConnectionLimits

IP = bytes(4)


def test_what_one_address_may_have() -> None:
    tally = ConnectionLimits(Streams(per_address=MAX_SILENT + 2))
    seats = [tally.acquire(IP) for _ in range(MAX_SILENT + 1)]
    assert [seat is not None for seat in seats] == [True] * MAX_SILENT + [False]
    for seat in seats[:3]:
        assert seat is not None
        tally.mark_allocated(seat)
    assert [tally.acquire(IP) is not None for _ in range(3)] == [True, True, False]
    assert tally.acquire(b"\1\2\3\4")
    assert seats[0] is not None
    tally.give_back(seats[0])
    assert [tally.acquire(IP) is not None for _ in range(2)] == [True, False]


def test_what_all_may_have() -> None:
    tally = ConnectionLimits(Streams(connections=2, counted_as=lambda ip: None if ip == IP else ip))
    assert [tally.acquire(ip) is not None for ip in (b"1", IP, b"2", IP)] == [True, True, False, False]


def test_counts_come_back_to_nothing() -> None:
    tally = ConnectionLimits(Streams(per_address=3, counted_as=lambda ip: ip[:1]))
    seats = [seat for seat in map(tally.acquire, (b"aa", b"ab", b"ba")) if seat]
    assert len(seats) == 3
    tally.mark_allocated(seats[1])
    tally.streams = Streams(counted_as=lambda ip: None)  # who is in goes as one came
    for seat in seats:
        tally.give_back(seat)
    assert tally.total == 0
    assert not any(
        counts.amount(name) for counts in (tally.of_address, tally.silent) for name in (b"a", b"b")
    )


def test_handshakes_of_one_address_are_rationed_and_the_trusted_have_as_many_as_they_like() -> None:
    tally = ConnectionLimits(Streams(counted_as=lambda ip: None if ip == b"home" else ip[:1]))
    assert (
        sum(tally.may_handshake(bytes([1, number % 256])) for number in range(2 * HANDSHAKE_BURST))
        < 1.5 * HANDSHAKE_BURST
    )
    assert tally.refused["handshakes of an address"] > 0.5 * HANDSHAKE_BURST
    assert tally.may_handshake(b"2")
    assert all(tally.may_handshake(b"home") for _ in range(2 * HANDSHAKE_BURST))


def test_what_a_proxy_may_have_before_it_names_its_clients() -> None:
    tally = ConnectionLimits(Streams(per_address=1, counted_as=lambda ip: None))
    seats = [tally.acquire_for_proxy(IP) for _ in range(MAX_UNNAMED + 1)]
    assert [seat is not None for seat in seats] == [True] * MAX_UNNAMED + [False]
    assert tally.acquire_for_proxy(b"1234")
    assert tally.refused == {"connections of a proxy": 1}
    assert seats[0] is not None
    tally.give_back(seats[0])
    assert (tally.total, tally.unnamed.amount(IP)) == (MAX_UNNAMED, MAX_UNNAMED - 1)
    tally.streams = Streams(connections=MAX_UNNAMED)
    assert not tally.acquire_for_proxy(b"4321")
    assert tally.refused["connections"] == 1
