"""How many connections one address, a proxy and all together may have; counts come back to nothing."""

from __future__ import annotations

from turn.engines import Streams
from turn.engines.tcp.connection_limits import MAX_SILENT, MAX_UNNAMED, ConnectionLimits, Slot
from turn.flows import Address
from turn.limits.addresses import HANDSHAKE_BURST, handshake_rates
from turn.limits.ledger import LocalUsage

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
    limits = ConnectionLimits(Streams(connections=2, is_trusted=lambda ip: ip == IP))
    assert [limits.acquire(ip) is not None for ip in (b"1", IP, b"2", IP)] == [True, True, False, False]


def of_site(number: int) -> bytes:
    """An address in the household of this number of one /48."""
    return Address.of(f"2001:db8:bad:{number:x}::1", 0).ip


def test_a_household_has_what_an_address_has_and_a_48_twice_as_much() -> None:
    limits = ConnectionLimits(Streams(per_address=3))
    assert [limits.acquire(of_site(1)) is not None for _ in range(4)] == [True, True, True, False]
    assert sum(limits.acquire(of_site(number)) is not None for number in range(100)) == 3
    assert limits.refused == {"connections of an address": 98}
    assert limits.acquire(Address.of("2001:db8:900d::1", 0).ip)


def test_a_48_has_twice_the_silent_connections() -> None:
    limits = ConnectionLimits(Streams())
    assert sum(limits.acquire(of_site(number)) is not None for number in range(1000)) == 2 * MAX_SILENT


def test_counts_come_back_to_nothing() -> None:
    limits = ConnectionLimits(Streams(per_address=3))
    ips = (of_site(1), of_site(1), of_site(2), b"1234")
    slots = [slot for slot in map(limits.acquire, ips) if slot]
    assert len(slots) == 4
    limits.mark_allocated(slots[1])
    limits.streams = Streams(is_trusted=lambda ip: True)  # who is in goes as one came
    slots.append(limits.acquire(b"1234") or Slot(None))
    for slot in slots:
        limits.give_back(slot)
    assert limits.total == 0
    for counts in (limits.of_address, limits.silent):
        assert isinstance(counts.usage, LocalUsage)
        assert not counts.usage


def test_handshakes_of_one_address_are_rationed_and_the_trusted_have_as_many_as_they_like() -> None:
    limits = ConnectionLimits(Streams(is_trusted=lambda ip: ip == b"home"))
    assert sum(limits.may_handshake(IP) for _ in range(2 * HANDSHAKE_BURST)) < 1.5 * HANDSHAKE_BURST
    assert limits.refused["handshakes of an address"] > 0.5 * HANDSHAKE_BURST
    assert limits.may_handshake(b"2222")
    assert all(limits.may_handshake(b"home") for _ in range(2 * HANDSHAKE_BURST))


def test_handshakes_of_a_48_are_rationed() -> None:
    limits = ConnectionLimits(Streams())
    limits.handshakes = handshake_rates(b"key")  # with one of ten keys, a /64 shares a bucket with its /48
    begun = sum(limits.may_handshake(of_site(number)) for number in range(4 * HANDSHAKE_BURST))
    assert 2 * HANDSHAKE_BURST <= begun < 3 * HANDSHAKE_BURST
    assert limits.may_handshake(Address.of("2001:db8:900d::1", 0).ip)


def test_what_a_proxy_may_have_before_it_names_its_clients() -> None:
    limits = ConnectionLimits(Streams(per_address=1, is_trusted=lambda ip: True))
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
