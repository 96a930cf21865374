"""Every limit as it is where the operator says nothing: how much passes, and what happens to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from itertools import count

import pytest

from tests.turn.network import LISTENER, PEER, TYPES, Client, Network, compose, network, settings
from turn.config.limits import RelayLimits as Section
from turn.flows import Address
from turn.policies import Accounts, Limits

UDP = (0x0019, 17)
BINDING = compose(TYPES["binding"])
LONG = 12_500  # bytes: a tenth of a megabit


class Everybody(Accounts):
    """All users have the same password."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(("alice", *map(str, range(5000))), "alice's word"))


def passed(codes: Iterable[int]) -> tuple[int, int]:
    """How many succeeded until one did not, and its error code."""
    for number, code in enumerate(codes):
        if code:
            return number, code
    raise AssertionError("there is no limit")


def client(net: Network, number: int, *, user: str = "alice", address: str = "8.8.8.8") -> Client:
    return Client(net, address, 20_000 + number, user=user, password="alice's word")


def allocations(net: Network, *, users: bool, addresses: bool) -> tuple[int, int]:
    """Of one user or many, from one address or many."""
    clients = (
        client(
            net,
            number,
            user=str(number) if users else "alice",
            address=f"8.8.{number // 200}.{1 + number % 200}" if addresses else "8.8.8.8",
        )
        for number in count()
    )
    return passed(allocated(one) for one in clients)


def allocated(one: Client) -> int:
    one.net.pass_time(0.05)  # each asks once without a nonce, as a stranger
    return one.code(TYPES["allocate"], UDP)


def ready(net: Network, number: int = 0) -> Client:
    one = client(net, number)
    one.allocate()
    return one


def strangers(number: int) -> Address:
    return Address((0x09090000 + number).to_bytes(4, "big"), 5000)


def permissions(net: Network) -> tuple[int, int]:
    one = ready(net)
    return passed(one.permit(strangers(number)) for number in count())


def channels(net: Network) -> tuple[int, int]:
    one = ready(net)
    return passed(one.bind(0x4000 + number, PEER._replace(port=5000 + number)) for number in count())


def new_peers(net: Network) -> tuple[int, int]:
    """A burst, and then so many a second: what is told here is the second."""
    several = [ready(net, number) for number in range(8)]
    peers = [(one, strangers(64 * at + number)) for at, one in enumerate(several) for number in range(64)]
    burst, code = passed(one.permit(peer) for one, peer in peers)
    net.pass_time(1)
    more, again = passed(one.permit(peer) for one, peer in peers[burst:])
    assert (burst, code) == (256, again)
    return more, code


def sent(net: Network, size: int) -> tuple[int, int]:
    one = ready(net)
    one.permit(PEER)
    return passed(0 if one.send(PEER, bytes(size)) else 1 for _ in count())


def replies(net: Network, sources: Callable[[int], Address]) -> int:
    return sum(len(net.deliver(LISTENER, sources(number), BINDING)) for number in range(20_000))


def strangers_of_one_source(net: Network) -> tuple[int, int]:
    """Four seconds' worth at first, then the rate."""
    burst = replies(net, lambda number: Address.of("8.8.4.4", 1 + 20_000 + number))
    net.pass_time(1)
    assert burst == 200
    return replies(net, lambda number: Address.of("8.8.4.4", 1 + 20_000 + number)), 1


def strangers_in_all(net: Network) -> tuple[int, int]:
    return replies(net, lambda number: Address((0x08000000 + number).to_bytes(4, "big"), 40_000)), 1


def wrong_passwords(_: Network) -> tuple[int, int]:
    """So many, and the right one is not looked at."""
    for tries in range(1, 20):
        net = network(settings(users=Everybody()))
        right, guesser = client(net, 1), Client(net, "8.8.8.8", 30_000, user="alice", password="wrong")
        assert [guesser.code(TYPES["allocate"], UDP) for _ in range(tries)] == [401] * tries
        if right.code(TYPES["allocate"], UDP):
            return tries, 401
    raise AssertionError("there is no limit")


ENFORCED: dict[str, tuple[Callable[[Network], tuple[int, int]], tuple[int, int]]] = {
    "allocations_per_user": (lambda net: allocations(net, users=False, addresses=True), (24, 486)),
    "allocations_per_address": (lambda net: allocations(net, users=True, addresses=False), (200, 486)),
    "allocations": (lambda net: allocations(net, users=True, addresses=True), (4000, 508)),
    "permissions": (permissions, (64, 508)),
    "channels": (channels, (64, 508)),
    "new_peers_per_second": (new_peers, (5, 508)),
    "packets_per_second": (lambda net: sent(net, 1), (2500, 1)),
    "bits_per_second": (lambda net: sent(net, LONG), (100, 1)),
    "unauthenticated_per_second": (strangers_of_one_source, (50, 1)),
    "unauthenticated_in_all": (strangers_in_all, (10_000, 1)),
    "wrong_passwords": (wrong_passwords, (5, 401)),
}
ELSEWHERE = {"connections", "connections_per_address"}  # the engine's
NO_LIMIT = {"trusted"}


@pytest.mark.parametrize("name", ENFORCED)
def test_a_default_is_enforced(name: str) -> None:
    act, expected = ENFORCED[name]
    assert act(network(settings(users=Everybody()))) == expected


def test_no_limit_is_left_out() -> None:
    known = ENFORCED.keys() | ELSEWHERE | NO_LIMIT
    assert known == {field.name for field in fields(Limits)} == Section.model_fields.keys()
