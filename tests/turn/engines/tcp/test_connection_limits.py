"""How many connections one address, a proxy and all together may have; counts come back to nothing."""

from __future__ import annotations

from turn.engines import Streams
from turn.engines.tcp.connection_limits import HANDSHAKE_BURST, MAX_SILENT, MAX_UNNAMED, ConnectionLimits

IP = bytes(4)


def test_what_one_address_may_have() -> None:
    limits = ConnectionLimits(Streams(per_address=MAX_SILENT + 2))
    slots = [limits.acquire(IP) for _ in range(MAX_SILENT + 1)]
    assert [slot is not None for slot in slots] == [True] * MAX_SILENT + [False]
    for slot in slots[:3]:
        assert slot is not None
        limits.mark_allocated(slot)
    assert [limits.acquire(IP) is not None for _ in range(3)] == [True, True, False]
    assert limits.acquire(b"\1\2\3\4")
    assert slots[0] is not None
    limits.give_back(slots[0])
    assert [limits.acquire(IP) is not None for _ in range(2)] == [True, False]


def test_what_all_may_have() -> None:
    limits = ConnectionLimits(Streams(connections=2, counted_as=lambda ip: None if ip == IP else ip))
    assert [limits.acquire(ip) is not None for ip in (b"1", IP, b"2", IP)] == [True, True, False, False]


def test_counts_come_back_to_nothing() -> None:
    limits = ConnectionLimits(Streams(per_address=3, counted_as=lambda ip: ip[:1]))
    slots = [slot for slot in map(limits.acquire, (b"aa", b"ab", b"ba")) if slot]
    assert len(slots) == 3
    limits.mark_allocated(slots[1])
    limits.streams = Streams(counted_as=lambda ip: None)  # who is in goes as one came
    for slot in slots:
        limits.give_back(slot)
    assert limits.total == 0
    assert not any(
        counts.amount(name) for counts in (limits.of_address, limits.silent) for name in (b"a", b"b")
    )


def test_handshakes_of_one_address_are_rationed_and_the_trusted_have_as_many_as_they_like() -> None:
    limits = ConnectionLimits(Streams(counted_as=lambda ip: None if ip == b"home" else ip[:1]))
    assert (
        sum(limits.may_handshake(bytes([1, number % 256])) for number in range(2 * HANDSHAKE_BURST))
        < 1.5 * HANDSHAKE_BURST
    )
    assert limits.refused["handshakes of an address"] > 0.5 * HANDSHAKE_BURST
    assert limits.may_handshake(b"2")
    assert all(limits.may_handshake(b"home") for _ in range(2 * HANDSHAKE_BURST))


def test_what_a_proxy_may_have_before_it_names_its_clients() -> None:
    limits = ConnectionLimits(Streams(per_address=1, counted_as=lambda ip: None))
    slots = [limits.acquire_for_proxy(IP) for _ in range(MAX_UNNAMED + 1)]
    assert [slot is not None for slot in slots] == [True] * MAX_UNNAMED + [False]
    assert limits.acquire_for_proxy(b"1234")
    assert limits.refused == {"connections of a proxy": 1}
    assert slots[0] is not None
    limits.give_back(slots[0])
    assert (limits.total, limits.unnamed.amount(IP)) == (MAX_UNNAMED, MAX_UNNAMED - 1)
    limits.streams = Streams(connections=MAX_UNNAMED)
    assert not limits.acquire_for_proxy(b"4321")
    assert limits.refused["connections"] == 1
