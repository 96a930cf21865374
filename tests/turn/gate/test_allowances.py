"""What may pass unencrypted is one allowance for all allocations of a user, and of a network."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from itertools import count

import pytest

from tests.turn.call import PEER, Call, client_hello, hello, request
from turn.flows import Address
from turn.gate.allowances import (
    CHECKS_BURST,
    CHECKS_PER_SECOND,
    HANDSHAKE_BURST,
    UNANSWERED_BURST,
    UNANSWERED_PER_SECOND,
    Allowances,
)
from turn.gate.gate import Gate, Verdict
from turn.gate.handshake import CLEAR_BURST
from turn.gate.pairs import CONSENTS_BURST, CONSENTS_PER_SECOND
from turn.limits.addresses import SITE_FACTOR
from turn.policies import Limits, Network
from turn.wire.dtls import CLIENT_HELLO

CERTIFICATE = hello(11, bytes(1000))
OURS = bytes((192, 0, 2, 1))


def packed(text: str) -> bytes:
    return ip_address(text).packed


def gate(user: int = 2, address: int = 4, trusted: tuple[Network, ...] = ()) -> Gate:
    limits = Limits(allocations_per_user=user, allocations_per_address=address, trusted=trusted)
    return Gate("enforce", Allowances(limits))


class Allocating:
    """Makes one allocation after the other before one gate, each with another port of peer and relay."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.numbers = count(1)
        self.now = 0.0

    def call(self, user: str, ip: str) -> Call:
        number = next(self.numbers)
        relay = Address(OURS, 50_000 + number)
        self.gate.add_allocation(relay, user, packed(ip))
        name = str(number).encode()
        one = Call(
            self.gate, relay=relay, peer=Address(PEER.ip, number), ufrags=(name, b"peer" + name), admit=False
        )
        one.now = self.now
        return one

    def clear_bytes(self, user: str, ip: str) -> int:
        """The bytes of certificates that pass through a new allocation, which then ends."""
        one = self.call(user, ip)
        begun = [*one.check(), one.say(hello(CLIENT_HELLO, client_hello()))]
        passed = all(verdict.passes for verdict in begun) * sum(
            one.say(CERTIFICATE).passes for _ in range(100)
        )
        self.gate.remove_allocation(one.relay)
        return passed * len(CERTIFICATE)

    def checks(self, user: str, ip: str, times: int) -> int:
        """How many checks pass through a new allocation, to a peer that never answers."""
        one = self.call(user, ip)
        sent = [one.say(request(one.transaction(), *one.ufrags)) for _ in range(times)]
        self.gate.remove_allocation(one.relay)
        return sum(verdict.passes for verdict in sent)


def test_a_new_allocation_brings_no_new_bytes_of_a_handshake() -> None:
    many = Allocating(gate(user=2, address=400))
    passed = [many.clear_bytes("alice", f"192.0.2.{number}") for number in range(1, 20)]
    assert sum(passed) <= 2 * HANDSHAKE_BURST < CLEAR_BURST
    assert sum(passed) > 2 * HANDSHAKE_BURST - 2 * len(CERTIFICATE)
    assert many.clear_bytes("bob", "192.0.2.1") > 0


def test_new_users_of_one_address_bring_none_either() -> None:
    many = Allocating(gate(user=2, address=4))
    passed = [many.clear_bytes(f"user{number}", "192.0.2.1") for number in range(20)]
    assert 0 < sum(passed) <= 4 * HANDSHAKE_BURST
    assert many.clear_bytes("another", "192.0.2.2") > 0


def test_all_addresses_of_one_48_share_an_allowance() -> None:
    many = Allocating(gate(user=2, address=4))
    passed = [
        many.clear_bytes(f"user{number}", f"2001:db8:0:{number:x}::1") for number in range(20 * SITE_FACTOR)
    ]
    assert 0 < sum(passed) <= 4 * SITE_FACTOR * HANDSHAKE_BURST
    assert many.clear_bytes("another", "2001:db8:1::1") > 0


@pytest.mark.parametrize(
    ("limits", "ip"),
    [({"user": 0, "address": 0}, "192.0.2.1"), ({"trusted": (Network.of("192.0.2.0/24"),)}, "192.0.2.1")],
)
def test_where_the_operator_sets_no_limit_there_is_none(limits: dict[str, object], ip: str) -> None:
    many = Allocating(gate(**limits))  # type: ignore[arg-type]
    passed = [many.clear_bytes(f"user{number}", ip) for number in range(20)]
    assert all(passed)
    if "user" in limits:
        assert sum(passed) > 20 * (CLEAR_BURST - 2 * len(CERTIFICATE))


def test_checks_are_bounded_over_all_allocations_of_a_user_and_come_back() -> None:
    many = Allocating(gate(user=2, address=400))
    assert sum(many.checks("alice", "192.0.2.1", 20) for _ in range(50)) == 2 * CHECKS_BURST
    many.now += 1.0
    assert sum(many.checks("alice", "192.0.2.1", 20) for _ in range(50)) == 2 * CHECKS_PER_SECOND


def test_who_is_out_of_its_own_share_takes_nothing_from_its_network() -> None:
    many = Allocating(gate(user=1, address=2))
    for _ in range(20):
        many.checks("alice", "192.0.2.1", 20)
    assert many.checks("bob", "192.0.2.1", int(CHECKS_BURST)) == CHECKS_BURST


def test_one_socket_of_a_peer_is_asked_seldom_until_it_answers() -> None:
    """However many clients ask."""
    one = gate(user=0, address=0)
    many = Allocating(one)
    clients = [many.call(f"user{number}", "192.0.2.1") for number in range(100)]
    for client in clients:
        client.peer = PEER

    def ask() -> int:
        return sum(client.say(request(client.transaction(), *client.ufrags)).passes for client in clients)

    assert sum(ask() for _ in range(50)) == UNANSWERED_BURST
    for client in clients:
        client.now += 1.0
    assert sum(ask() for _ in range(5)) == UNANSWERED_PER_SECOND
    for client in clients:
        client.now += 60.0
    first, second = clients[:2]
    first.consent()
    while second.say(request(second.transaction(), *second.ufrags)).passes:
        second.now += 0.001
    assert first.say(request(first.transaction(), *first.ufrags)).passes


def keeps_its_path(one: Call, disturb: Callable[[float], None], seconds: int = 60) -> bool:
    """Whether every check of a call in its middle passes, both ways, one each way in two seconds and a half,
    while something else goes on."""
    passed: list[Verdict] = []
    for tick in range(4 * seconds):
        one.now = tick / 4
        disturb(one.now)
        if tick % 10 == 0:
            passed += one.check()
            passed += one.check(outward=False)
    return all(verdict.passes for verdict in passed)


def test_forged_packets_take_nothing_from_a_path_that_has_answered() -> None:
    """They come from other ports of the peer, perhaps from a neighbour of it behind the same address."""
    one = Allocating(gate(user=8, address=200)).call("alice", "192.0.2.1")
    one.consent()
    number = count(1)

    def forge(now: float) -> None:
        for port in range(60):
            check = request(next(number).to_bytes(12, "big"), b"forged", one.ufrags[0])
            one.gate.judge(one.relay, Address(one.peer.ip, 1000 + port % 15), False, check, now)

    assert keeps_its_path(one, forge)
    assert one.gate.counts["enforce", "too many checks"] > 1000


def test_neighbours_of_one_address_cannot_cut_a_call() -> None:
    """Whatever they send, and if two ends agree."""
    many = Allocating(gate(user=2, address=4))
    one, others = many.call("alice", "192.0.2.1"), [many.call(f"user{n}", "192.0.2.1") for n in range(4)]
    for call in (one, *others):
        call.consent()

    def flood(now: float) -> None:
        for other in others:
            other.now = now
            for _ in range(3):
                other.check()
                other.check(outward=False)

    assert keeps_its_path(one, flood)


def test_what_an_allocation_has_for_itself_is_bounded_too() -> None:
    """One check a second for all of its paths."""
    many = Allocating(gate(user=1, address=1))
    one = many.call("alice", "192.0.2.1")
    peers = [Address(PEER.ip, port) for port in range(2000, 2008)]
    passed = 0
    for tick in range(10 * 200):
        one.now = tick / 10
        one.peer = peers[tick % len(peers)]
        asked, _ = one.check()
        passed += asked.passes and one.now >= 100
    assert 100 < passed <= 100 * (CHECKS_PER_SECOND + CONSENTS_PER_SECOND) + CONSENTS_BURST


def test_two_users_whose_names_fall_together_do_not_share_an_allowance() -> None:
    """Somebody with hundreds of names would meet a part of all others."""
    allowances = gate(user=1, address=0).allowances
    mine = allowances.owner("alice", None)[0].slots
    names = (f"user{number}" for number in count())
    other = next(name for name in names if allowances.owner(name, None)[0].slots[0] in mine)
    checks, now = allowances.checks[0], 0.0
    for _ in range(1000):
        checks.spend(allowances.owner(other, None), now)
    assert not checks.spend(allowances.owner(other, None), now)
    assert checks.spend(allowances.owner("alice", None), now)
