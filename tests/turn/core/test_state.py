"""Who gets a reply without having proved anything, and what is free."""

from __future__ import annotations

import pytest

from tests.turn.network import LISTENER, Client, network, settings
from turn.core.relay import Relay
from turn.core.state import NEW_ALLOCATIONS_BURST, NEW_ALLOCATIONS_SECONDS, REFLECTORS, RelayState
from turn.errors import QuotaReached
from turn.flows import Address, Transport
from turn.policies import Limits, networks
from turn.wire.attributes import EVEN_PORT

CLIENT = Address.of("8.8.8.8", 40000)
FIRST_OF_LINUX = 32768  # of the ports that the system gives away (ip(7), ip_local_port_range)


@pytest.mark.parametrize("port", sorted(REFLECTORS))
def test_ports_of_services_that_answer_get_no_reply(port: int) -> None:
    assert not RelayState(settings()).may_answer(CLIENT._replace(port=port), 0.0)


@pytest.mark.parametrize("port", [FIRST_OF_LINUX, 37810, 47808, 65535])
def test_whatever_port_a_browser_has_it_is_answered(port: int) -> None:
    assert RelayState(settings()).may_answer(CLIENT._replace(port=port), 0.0)
    assert max(REFLECTORS) < FIRST_OF_LINUX


@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize("port", sorted(REFLECTORS))
def test_who_is_connected_is_no_such_service(port: int, transport: Transport) -> None:
    assert RelayState(settings()).may_answer(Address.of("8.8.8.8", port, transport), 0.0)


@pytest.mark.parametrize("ip", ["0.0.0.0", "224.0.0.1", "239.1.1.1", "255.255.255.255", "::", "ff02::1"])
def test_addresses_of_nobody_get_no_reply(ip: str) -> None:
    state = RelayState(settings())
    assert not state.may_answer(Address.of(ip, 40000), 0.0)
    assert state.counts == {"drops.source": 1}


@pytest.mark.parametrize("ip", ["10.0.0.7", "127.0.0.1", "192.168.1.2", "8.8.8.8", "fe80::1", "2606:4700::1"])
def test_clients_may_live_in_private_networks(ip: str) -> None:
    assert RelayState(settings()).may_answer(Address.of(ip, 40000), 0.0)


def test_our_own_sockets_get_no_reply() -> None:
    net = network()
    relay = Client(net).allocate()
    for own in (relay, LISTENER):
        assert not net.relay._state.may_answer(own, 0.0)
    assert net.relay._state.may_answer(relay._replace(port=relay.port ^ 1), 0.0)


def test_an_engine_is_told_the_same_limits() -> None:
    limits = Limits(
        unauthenticated_per_second=7, unauthenticated_in_all=9, trusted=networks("10.0.0.0/8 ::1/128")
    )
    told = RelayState(settings(limits=limits)).stranger_limits()
    assert told == (7, 28, 9, networks("10.0.0.0/8 ::1/128"))
    assert Relay(settings(limits=limits)).stranger_limits() == told
    assert Relay(settings(limits=limits, classic_stun=True)).stranger_limits() == told
    assert Relay(settings(limits=limits, behaviour_discovery=True)).stranger_limits() is None


def test_strangers_share_a_rate_and_the_trusted_do_not() -> None:
    limits = Limits(unauthenticated_per_second=10, trusted=networks("10.0.0.0/8"))
    state = RelayState(settings(limits=limits))
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
    starts = {RelayState(settings()).next_transaction() for _ in range(5)}
    assert len(starts) == 5
    assert {len(start) for start in starts} == {12}


def test_all_strangers_together_have_a_rate() -> None:
    limits = Limits(unauthenticated_in_all=100, trusted=networks("10.0.0.0/8"))
    state = RelayState(settings(limits=limits))
    everywhere = [Address(number.to_bytes(4, "big"), 40000) for number in range(0x08000000, 0x08000000 + 500)]
    assert sum(state.may_answer(source, 0.0) for source in everywhere) == 100
    assert state.may_answer(Address.of("10.1.2.3", 40000), 0.0)
    assert sum(state.may_answer(source, 0.5) for source in everywhere) == 50
    assert state.counts["drops.all strangers"] == 850


@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize("forged", ["in one name", "in all names"])
def test_a_forged_flood_takes_nothing_from_who_is_connected(forged: str, transport: Transport) -> None:
    state = RelayState(settings(limits=Limits(unauthenticated_per_second=10, unauthenticated_in_all=100)))
    for number in range(500):
        ip = CLIENT.ip if forged == "in one name" else (0x08000000 + number).to_bytes(4, "big")
        state.may_answer(Address(ip, 40000 + number), 0.0)
    connected = CLIENT._replace(transport=transport)
    assert not state.may_answer(CLIENT, 0.0)
    assert sum(state.may_answer(connected._replace(port=port), 0.0) for port in range(50000, 51000)) == 40
    assert sum(state.may_answer(connected, 1.0) for _ in range(1000)) == 10


def test_what_clients_have_learnt_stays() -> None:
    state = RelayState(settings(sha256=True, realm="call"))
    nonce = state.nonces.make(CLIENT, 0.0)
    assert state.reload(settings(nonce_key=b"other" * 7, realm="elsewhere"), 0.0) == []
    assert state.nonces.accepts(nonce, CLIENT, 0.0)
    assert (state.settings.realm, state.settings.sha256) == ("call", True)


def test_new_limits_hold_for_what_is_held_already() -> None:
    state = RelayState(settings())
    state.quota.reserve("alice", CLIENT.ip, 3)
    state.reload(settings(limits=Limits(allocations_per_user=3, unauthenticated_per_second=1)), 0.0)
    with pytest.raises(QuotaReached):
        state.quota.reserve("alice", CLIENT.ip)
    assert sum(state.may_answer(CLIENT, 0.0) for _ in range(10)) == 4


@pytest.mark.parametrize(("quota", "amount"), [(24, 1), (24, 2), (6, 1), (0, 1)])
def test_a_user_takes_allocations_anew_only_so_fast(quota: int, amount: int) -> None:
    """What is refused is not held, either; no quota is no limit."""
    state = RelayState(settings(limits=Limits(allocations_per_user=quota)))

    def taken(now: float) -> int:
        before = state.counts["allocations too often"]
        for _ in range(100):
            try:
                state.charge_allocation("alice", CLIENT.ip, amount, now)
            except QuotaReached:
                continue
            state.quota.give_back("alice", CLIENT.ip, amount)
        return 100 - (state.counts["allocations too often"] - before)

    at_once, later = (NEW_ALLOCATIONS_BURST * quota // amount, quota // amount) if quota else (100, 100)
    assert [taken(0.0), taken(0.0), taken(NEW_ALLOCATIONS_SECONDS)] == [
        at_once,
        at_once if not quota else 0,
        later,
    ]
    state.charge_allocation("bob", CLIENT.ip, amount, NEW_ALLOCATIONS_SECONDS)
    assert state.quota.total == amount
