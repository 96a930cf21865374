"""Getting a port: tries, pairs, families, and nothing left behind."""

from __future__ import annotations

import pytest

from tests.turn.network import LISTENER, PEER, TYPES, Client, network, settings, unlimited
from turn.core.allocate import MAX_TRIES
from turn.core.effects import Close, Open
from turn.core.state import NEW_ALLOCATIONS_BURST, NEW_ALLOCATIONS_SECONDS
from turn.flows import Address, Packet
from turn.policies import Limits
from turn.wire.attributes import EVEN_PORT, REQUESTED_TRANSPORT, RESERVATION_TOKEN, XOR_RELAYED_ADDRESS

UDP = (REQUESTED_TRANSPORT, 17)


def test_ports_of_other_programs_are_passed_by() -> None:
    net = network(settings(ports=(50000, 50009)))
    net.foreign = {Address(LISTENER.ip, port) for port in range(50000, 50009)}
    assert Client(net).allocate() == Address(LISTENER.ip, 50009)


def test_after_sixteen_foreign_ports_there_is_no_capacity() -> None:
    net = network(settings(limits=Limits(allocations_per_user=1)))
    net.foreign = {Address(LISTENER.ip, port) for port in range(49152, 65536)}
    client = Client(net)
    assert client.code(TYPES["allocate"], UDP) == 508
    assert (net.opened, net.open) == (MAX_TRIES, set())
    net.foreign = set()
    client.allocate()


def test_a_pair_is_even_and_next_to_it() -> None:
    net = network(settings(ports=(50000, 50007)))
    net.foreign = {Address(LISTENER.ip, port) for port in (50001, 50002, 50005)}
    first = Client(net).allocate((EVEN_PORT, True))
    assert first.port == 50006
    assert {relay.port for relay in net.open} == {50006, 50007}
    assert Client(net, port=40001).allocate((EVEN_PORT, False)).port in (50000, 50004)


def test_the_second_of_a_pair_is_not_given_away() -> None:
    net = network(settings(ports=(50000, 50001)))
    client, other = Client(net), Client(net, port=40001)
    answer = client.ask(TYPES["allocate"], UDP, (EVEN_PORT, True))
    assert answer is not None
    assert other.code(TYPES["allocate"], UDP) == 508
    token = answer.get(RESERVATION_TOKEN) or b""
    assert other.code(TYPES["allocate"], UDP, (RESERVATION_TOKEN, token)) == 0
    assert other.code(TYPES["refresh"], (0x000D, 0)) == 0
    assert {relay.port for relay in net.open} == {50000}


def test_behind_nat_the_public_address_is_told() -> None:
    public = Address.of("6.6.6.6", 0).ip
    net = network(settings(externals={LISTENER.ip: public}))
    told = Client(net).allocate()
    assert told.ip == public
    assert net.open == {told._replace(ip=LISTENER.ip)}


def test_a_second_allocate_while_the_first_waits_is_dropped() -> None:
    net = network()
    client = Client(net)
    client.code(TYPES["refresh"])
    request = Packet(LISTENER, client.address, client.sign(TYPES["allocate"], (UDP,)))
    (asked,) = net.relay.receive(request, 0.0, net.wall)
    assert isinstance(asked, Open)
    assert net.relay.receive(request, 0.0, net.wall) == []
    (answer,) = net.run(net.relay.opened(asked.relay, net.take(asked.relay), 0.0))
    reply = client.reply([answer])
    assert reply is not None
    assert reply.get(XOR_RELAYED_ADDRESS) == asked.relay


def test_a_port_that_nobody_asked_for_is_given_back() -> None:
    relay = Address(LISTENER.ip, 50000)
    assert network().relay.opened(relay, True, 0.0) == [Close(relay)]
    assert network().relay.opened(relay, False, 0.0) == []


@pytest.mark.parametrize("pair", [None, False, True])
def test_ports_do_not_leak(pair: bool | None) -> None:
    net = network(unlimited(ports=(50000, 50009)))
    wish = [] if pair is None else [(EVEN_PORT, pair)]
    for turn in range(200):
        client = Client(net, port=40000 + turn)
        client.allocate(*wish)
        assert client.refresh(0) == 0
        net.pass_time(30 if pair else 0)
    assert (net.open, net.relay.next_expiry()) == (set(), None)


def test_who_ends_an_allocation_and_takes_another_gets_only_so_many_packets_more() -> None:
    """Each has a second's worth to burst with, and there is a rate for new ones."""
    quota, pace, seconds = 6, 100, 12
    net = network(settings(limits=Limits(allocations_per_user=quota, packets_per_second=pace)))
    client, sent, codes = Client(net), 0, set()
    for _ in range(seconds):
        for _ in range(5 * quota):
            if (code := client.code(TYPES["allocate"], UDP)) != 0 or client.permit(PEER) != 0:
                break
            while client.send(PEER, b"x"):
                sent += 1
            assert client.refresh(0) == 0
        codes.add(code)
        net.pass_time(1)
    assert codes == {486}
    assert (
        0 < sent <= (NEW_ALLOCATIONS_BURST * quota + (seconds - 1) * quota / NEW_ALLOCATIONS_SECONDS) * pace
    )
    assert (net.open, net.relay._state.quota.total) == (set(), 0)


def test_the_same_allocate_again_is_not_a_new_allocation() -> None:
    client = Client(network(settings(limits=Limits(allocations_per_user=1))))
    client.code(TYPES["refresh"])
    asked = client.sign(TYPES["allocate"], (UDP,))
    assert len({client.raw(asked)[0].data for _ in range(20)}) == 1
