"""What a flood leaves behind: nothing of strangers, and no port of who comes and goes."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import pytest

from tests.turn.core.floods import FLOODS
from tests.turn.core.footprint import Footprint
from tests.turn.network import LISTENER, PEER, TYPES, Client, Network, network, settings, unlimited
from turn.flows import Address
from turn.policies import Limits

SOURCES = 10_000
MOST_BYTES = 1 << 20  # for all of them together


def everywhere() -> Iterator[Address]:
    for number in range(SOURCES):
        yield Address((0x08080000 + number).to_bytes(4, "big"), 1024 + number)


def held(net: Network) -> dict[str, int]:
    """How much every table holds; counts have a row per reason, never one per stranger."""
    tables = {**vars(net.relay._state), **vars(net.relay._state.allocations)}
    return {name: len(table) for name, table in tables.items() if isinstance(table, Sized)} | {"counts": 0}


@pytest.mark.parametrize("limits", [Limits(), unlimited().limits], ids=["limited", "unlimited"])
@pytest.mark.parametrize("name", FLOODS)
def test_ten_thousand_strangers_leave_nothing_behind(name: str, limits: Limits) -> None:
    net, data = network(settings(limits=limits)), FLOODS[name]
    net.deliver(LISTENER, Address.of("8.8.8.8", 9), data)
    before = held(net)
    footprint = Footprint.now()
    for source in everywhere():
        net.deliver(LISTENER, source, data)
    assert footprint.growth() <= MOST_BYTES
    assert held(net) == before
    assert net.open == set()
    assert net.relay.next_expiry() is None


@pytest.mark.parametrize("size", [100, 100_000])
def test_what_is_kept_is_counted(size: int) -> None:
    footprint = Footprint.now()
    kept = [bytes(size) for _ in range(1 + MOST_BYTES // size)]
    assert footprint.growth() > MOST_BYTES
    kept.clear()
    assert footprint.growth() < MOST_BYTES


def test_coming_and_going_uses_up_no_port() -> None:
    """All ports are given a hundred times, and each client ends in each of the ways there are."""
    net = network(unlimited(ports=(50000, 50019)))
    clients = [Client(net, port=40000 + number) for number in range(20)]
    for turn in range(100):
        for number, client in enumerate(clients):
            client.allocate()
            client.permit(PEER)
            end(client, number + turn)
        net.pass_time(600)
        assert (net.open, len(net.relay._state.allocations), net.links) == (set(), 0, {})
    assert net.opened == 2_000
    assert held(net) == held(network(unlimited(ports=(50000, 50019))))


def end(client: Client, number: int) -> None:
    """Some end by a request, some with their connection, some by an operator, some by themselves."""
    relay = client.net.relay
    if number % 4 == 0:
        assert client.refresh(0) == 0
    elif number % 4 == 1:
        client.net.run(relay.client_lost(client.address, client.listener))
    elif number % 4 == 2:
        client.net.run(relay.kill(relay=client.relay))


def test_the_last_port_is_given_and_one_that_comes_back_is_given_again() -> None:
    net = network(unlimited(ports=(50000, 50099)))
    clients = [Client(net, port=40000 + number) for number in range(101)]
    assert len({client.allocate() for client in clients[:100]}) == 100
    assert clients[100].code(TYPES["allocate"], (0x0019, 17)) == 508
    freed = clients[17].relay
    assert clients[17].refresh(0) == 0
    assert clients[100].allocate() == freed
