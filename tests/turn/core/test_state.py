"""Who gets a reply without having proved anything, and what is free."""

from __future__ import annotations

import pytest

from tests.turn.network import LISTENER, Client, network, settings
from turn.core.state import REFLECTORS, State
from turn.flows import Address
from turn.policies import Limits, networks
from turn.wire.attributes import EVEN_PORT

CLIENT = Address.of("8.8.8.8", 40000)


@pytest.mark.parametrize("port", sorted(REFLECTORS))
def test_ports_of_services_that_answer_get_no_reply(port: int) -> None:
    assert not State(settings()).may_answer(CLIENT._replace(port=port), 0.0)


@pytest.mark.parametrize("ip", ["0.0.0.0", "224.0.0.1", "239.1.1.1", "255.255.255.255", "::", "ff02::1"])
def test_addresses_of_nobody_get_no_reply(ip: str) -> None:
    state = State(settings())
    assert not state.may_answer(Address.of(ip, 40000), 0.0)
    assert state.counts == {"drops.source": 1}


@pytest.mark.parametrize("ip", ["10.0.0.7", "127.0.0.1", "192.168.1.2", "8.8.8.8", "fe80::1", "2606:4700::1"])
def test_clients_may_live_in_private_networks(ip: str) -> None:
    assert State(settings()).may_answer(Address.of(ip, 40000), 0.0)


def test_our_own_sockets_get_no_reply() -> None:
    net = network()
    relay = Client(net).allocate()
    for own in (relay, LISTENER):
        assert not net.relay._state.may_answer(own, 0.0)
    assert net.relay._state.may_answer(relay._replace(port=relay.port ^ 1), 0.0)


def test_strangers_share_a_rate_and_the_trusted_do_not() -> None:
    limits = Limits(unauthenticated_per_second=10, trusted=networks("10.0.0.0/8"))
    state = State(settings(limits=limits))
    friend = Address.of("10.1.2.3", 40000)
    assert sum(state.may_answer(CLIENT._replace(port=40000 + n), 0.0) for n in range(1000)) == 40
    assert sum(state.may_answer(friend, 0.0) for _ in range(1000)) == 1000
    assert sum(state.may_answer(CLIENT, 10.0) for _ in range(1000)) == 40
    assert state.counts["drops.strangers"] == 2000 - 80


def test_live_and_reserved_addresses_are_not_free() -> None:
    net = network(settings(ports=(50000, 50003)))
    relay = Client(net).allocate((EVEN_PORT, True))
    state = net.relay._state
    assert not state.is_free(relay)
    assert not state.is_free(relay._replace(port=relay.port + 1))
    assert state.is_free(relay._replace(port=relay.port ^ 2))


def test_transaction_ids_begin_anywhere() -> None:
    starts = {State(settings()).next_transaction() for _ in range(5)}
    assert len(starts) == 5
    assert {len(start) for start in starts} == {12}
