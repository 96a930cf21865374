"""One client with a relayed address of each family: what the two share, and what each has of its own."""

from __future__ import annotations

from tests.turn.network import LISTENER, LISTENER6, PEER, TYPES, Client, Network, network, settings, unlimited
from turn.core.allocate import MAX_TRIES
from turn.flows import Address
from turn.policies import Limits
from turn.wire.attributes import (
    ADDITIONAL_ADDRESS_FAMILY,
    ADDRESS_ERROR_CODE,
    DATA,
    EVEN_PORT,
    REQUESTED_TRANSPORT,
    XOR_PEER_ADDRESS,
    XOR_RELAYED_ADDRESS,
)
from turn.wire.stun import StunMessage, parse

BOTH = (ADDITIONAL_ADDRESS_FAMILY, 2)
PEER6 = Address.of("2606:4700::9", 5000)


def asked(client: Client, *pairs: tuple[object, object]) -> StunMessage:
    answer = client.ask(TYPES["allocate"], (REQUESTED_TRANSPORT, 17), BOTH, *pairs)  # type: ignore[arg-type]
    assert answer is not None
    return answer


def dual(net: Network | None = None) -> tuple[Client, Address, Address]:
    client = Client(net or network(unlimited()))
    four, six = asked(client).each(XOR_RELAYED_ADDRESS)
    return client, four, six


def test_each_family_has_its_address() -> None:
    client, four, six = dual()
    assert (four.ip, six.ip) == (LISTENER.ip, LISTENER6.ip)
    assert client.net.open == {four, six}


def test_data_leaves_from_the_address_of_its_family_and_comes_back_there() -> None:
    client, four, six = dual()
    assert client.permit(PEER, PEER6) == 0
    for relay, peer in ((four, PEER), (six, PEER6)):
        (sent,) = client.send(peer, b"hi")
        assert (sent.local, sent.remote) == (relay, peer)
        (heard,) = client.net.deliver(relay, peer, b"hello")
        assert heard.remote == client.address
        assert (parse(heard.data).get(XOR_PEER_ADDRESS), parse(heard.data).get(DATA)) == (peer, b"hello")
    assert {flow.relay for flow in client.net.links} == {four, six}
    assert client.net.deliver(four, PEER6, b"x") == client.net.deliver(six, PEER, b"x") == []


def test_channels_of_both_have_one_range_of_numbers() -> None:
    client, four, six = dual()
    assert client.bind(0x4000, PEER) == client.bind(0x4001, PEER6) == 0
    assert client.bind(0x4001, PEER) == client.bind(0x4000, PEER6) == 400
    sent = [packet for number in ("4000", "4001") for packet in client.raw(bytes.fromhex(number + "000168"))]
    assert [(packet.local, packet.remote) for packet in sent] == [(four, PEER), (six, PEER6)]


def test_one_pace_and_one_count_for_both() -> None:
    net = network(settings(limits=Limits(permissions=2, channels=2, packets_per_second=10)))
    client, _, _ = dual(net)
    assert client.permit(PEER, PEER6) == 0
    assert client.permit(Address.of("9.9.9.10", 1)) == 508
    assert client.bind(0x4000, PEER) == client.bind(0x4001, PEER6) == 0
    assert client.bind(0x4002, PEER._replace(port=1)) == 508
    assert sum(len(client.send(peer, b"x")) for peer in (PEER, PEER6) for _ in range(10)) == 10


def test_one_ends_and_the_other_goes_on() -> None:
    client, _, six = dual()
    client.bind(0x4000, PEER)
    client.bind(0x4001, PEER6)
    assert client.code(TYPES["refresh"], (0x000D, 0), (0x0017, 1)) == 0
    assert (client.net.open, {flow.relay for flow in client.net.links}) == ({six}, {six})
    assert client.permit(PEER) == 443
    assert client.send(PEER, b"x") == []
    assert len(client.raw(bytes.fromhex("4001 0001 68"))) == 1
    client.net.pass_time(600)
    assert (client.net.open, client.net.links, client.net.relay.next_expiry()) == (set(), {}, None)
    assert client.code(TYPES["refresh"]) == 437


def test_one_of_two_is_enough() -> None:
    net = network(settings(ports=(50000, 50000)))
    net.foreign = {Address(LISTENER.ip, 50000)}
    answer = asked(Client(net))
    assert [relay.ip for relay in answer.each(XOR_RELAYED_ADDRESS)] == [LISTENER6.ip]
    assert answer.get(ADDRESS_ERROR_CODE) == (1, 508)
    net.foreign = {Address(LISTENER6.ip, 50000)}
    answer = asked(Client(net, port=40001))
    assert [relay.ip for relay in answer.each(XOR_RELAYED_ADDRESS)] == [LISTENER.ip]
    assert answer.get(ADDRESS_ERROR_CODE) == (2, 508)
    assert Client(net, port=40002).code(TYPES["allocate"], (REQUESTED_TRANSPORT, 17), BOTH) == 508
    assert net.relay._state.quota.total == 2


def test_without_ipv6_there_is_one_and_the_reason() -> None:
    net = network(settings(own_addresses=frozenset((LISTENER.ip,)), listeners=frozenset((LISTENER,))))
    answer = asked(Client(net), (EVEN_PORT, False))
    assert [relay.ip for relay in answer.each(XOR_RELAYED_ADDRESS)] == [LISTENER.ip]
    assert answer.get(ADDRESS_ERROR_CODE) == (2, 440)


def test_each_family_has_its_tries() -> None:
    net = network()
    net.foreign = {Address(ip, port) for ip in (LISTENER.ip, LISTENER6.ip) for port in range(49152, 65536)}
    assert Client(net).code(TYPES["allocate"], (REQUESTED_TRANSPORT, 17), BOTH) == 508
    assert (net.opened, net.open, net.relay._state.quota.total) == (2 * MAX_TRIES, set(), 0)
