"""The whole core from outside: calls without sockets, mirrors, floods, and aioice as the client."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import pytest
from aioice import stun as aioice
from aioice.turn import make_integrity_key

from tests.turn.network import (
    LISTENER,
    LISTENER6,
    PEER,
    TYPES,
    USERS,
    Client,
    compose,
    network,
    settings,
    unlimited,
)
from turn.core.effects import Close, Send
from turn.flows import Address, Packet, Transport
from turn.policies import PeerTable, networks
from turn.wire.attributes import (
    ADDITIONAL_ADDRESS_FAMILY,
    DATA,
    EVEN_PORT,
    REQUESTED_TRANSPORT,
    XOR_PEER_ADDRESS,
)
from turn.wire.stun import parse, parse_channel_data

UDP = (REQUESTED_TRANSPORT, 17)


def test_two_clients_of_one_relay_talk_by_channels_and_by_indications() -> None:
    net = network(unlimited())
    alice, bob = Client(net), Client(net, "8.8.4.4", 40001, user="bob")
    a, b = alice.allocate(), bob.allocate()
    assert alice.permit(b) == bob.permit(a) == 0
    (heard,) = alice.send(b, b"hello")
    assert (heard.local, heard.remote) == (LISTENER, bob.address)
    assert (parse(heard.data).get(XOR_PEER_ADDRESS), parse(heard.data).get(DATA)) == (a, b"hello")
    assert bob.bind(0x4000, a) == 0
    (heard,) = bob.raw(bytes.fromhex("4000 0006") + b"hi you")
    assert parse(heard.data).get(DATA) == b"hi you"
    (heard,) = alice.send(b, b"by channel")
    assert parse_channel_data(heard.data) == (0x4000, b"by channel")
    assert {flow.channel for flow in net.links} == {None, 0x4000}


def test_two_relays_carry_a_call_between_them() -> None:
    far = Address.of("5.5.5.5", 3478)
    here = network(unlimited())
    there = network(
        unlimited(
            listeners=frozenset((far,)),
            own_addresses=frozenset((far.ip,)),
            peers=PeerTable(networks("192.0.2.0/24")),
        )
    )
    alice, bob = Client(here), Client(there, user="bob", listener=far)
    a, b = alice.allocate(), bob.allocate()
    assert alice.bind(0x4000, b) == bob.bind(0x4001, a) == 0
    (between,) = alice.raw(bytes.fromhex("4000 0005") + b"hello")
    assert between == Packet(a, b, b"hello")
    (heard,) = there.deliver(b, a, between.data)
    assert heard == Packet(far, bob.address, bytes.fromhex("4001 0005") + b"hello")


def test_an_answer_that_comes_back_is_dropped() -> None:
    net = network()
    client = Client(net)
    client.allocate()
    said = [compose(1), compose(3, (UDP,)), client.sign(TYPES["refresh"]), client.sign(3, (UDP,))]
    for data in said:
        for packet in client.raw(data):
            assert net.deliver(LISTENER, packet.remote, packet.data) == []


def test_two_relays_do_not_talk_to_each_other() -> None:
    """Each takes what the other sent for a client's packet: silence after one exchange at most."""
    net = network()
    other = Address.of("5.5.5.5", 3478)
    for data in (compose(1), compose(3, (UDP,)), b"\x40\x00\0\0", b"junk"):
        exchanged = 0
        waiting = [data]
        while waiting and exchanged < 10:
            exchanged += 1
            waiting = [packet.data for packet in net.deliver(LISTENER, other, waiting[0])]
        assert exchanged <= 2


FLOODS: dict[str, Any] = {
    "Binding": lambda n: compose(1),
    "Allocate": lambda n: compose(3, (UDP,)),
    "forged Allocate": lambda n: compose(
        3, (UDP, (0x0006, b"alice"), (0x0014, b"call"), (0x0015, b"n" * 16)), key=b"k"
    ),
    "Refresh": lambda n: compose(4, ((0x000D, 600),)),
    "Send": lambda n: compose(0x16, ((0x0012, PEER), (0x0013, b"x"))),
    "ChannelData": lambda n: b"\x40\x00\x00\x01x",
    "junk": lambda n: b"\0\1",
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_from_everywhere_leaves_nothing_behind(kind: str) -> None:
    net = network()
    data = FLOODS[kind](0)
    for n in range(200):
        net.deliver(LISTENER, Address(bytes((8, 0, 0, n)), 40000), data)
    gc.collect()
    before = sys.getallocatedblocks()
    for n in range(10_000):
        net.deliver(LISTENER, Address(bytes((8, n >> 16 & 255, n >> 8 & 255, n & 255)), 40000), data)
    gc.collect()
    assert sys.getallocatedblocks() - before < 500
    assert list(net.relay.sessions(0.0)) == []
    assert net.relay.next_expiry() is None


def test_a_packet_at_an_address_that_is_not_ours_is_nothing() -> None:
    net = network()
    for here in (Address(LISTENER.ip, 50000), Address(LISTENER.ip, 80)):
        assert net.deliver(here, PEER, compose(1)) == []
    assert net.relay.counts["drops.foreign"] == 2


def test_a_reserved_port_is_silent() -> None:
    net = network(unlimited())
    relay = Client(net).allocate((EVEN_PORT, True))
    assert net.deliver(relay._replace(port=relay.port + 1), PEER, compose(1)) == []


def test_sessions_for_an_operator() -> None:
    net = network()
    client = Client(net)
    relay = client.allocate()
    client.bind(0x4000, PEER)
    net.pass_time(100)
    (session,) = net.relay.sessions(net.now)
    assert session == ("alice", client.address, relay, 500.0, 1, 1, 1)


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_a_client_of_a_stream_holds_what_it_has_until_its_connection_ends(transport: Transport) -> None:
    door = LISTENER._replace(transport=transport)
    both = frozenset((LISTENER, LISTENER6, door))
    net = network(unlimited(listeners=both))
    client, other = Client(net, listener=door), Client(net)  # one address and port, but not one client
    relay = client.allocate()
    assert relay.transport == "udp"
    other.allocate()
    assert client.bind(0x4000, PEER) == other.bind(0x4000, PEER) == 0
    (sent,) = client.raw(bytes.fromhex("4000000168"))
    assert sent == Packet(relay, PEER, b"h")
    (heard,) = net.deliver(relay, PEER, b"hello")
    assert (heard.local, heard.remote) == (door, client.address)
    assert net.relay.has_allocation(client.address, door)
    assert not net.relay.has_allocation(other.address, door)
    assert net.run(net.relay.client_lost(other.address, door)) == []
    assert len(net.open) == 2
    assert net.run(net.relay.client_lost(client.address, door)) == []
    assert not net.relay.has_allocation(client.address, door)
    assert net.open == {other.relay}
    assert {flow.client for flow in net.links} == {other.address}
    assert net.relay.client_lost(client.address, door) == []


def test_both_families_end_with_the_connection() -> None:
    door = LISTENER._replace(transport="tcp")
    net = network(unlimited(listeners=frozenset((LISTENER, LISTENER6, door))))
    client = Client(net, listener=door)
    client.allocate((ADDITIONAL_ADDRESS_FAMILY, 2))
    assert len(net.open) == 2
    net.run(net.relay.client_lost(client.address, door))
    assert (net.open, net.links) == (set(), {})


def test_counts_hold_no_name_and_no_address() -> None:
    net = network()
    client = Client(net)
    client.allocate()
    client.permit(PEER, Address.of("10.0.0.1", 1))
    Client(net, user="mallory").code(3, UDP)
    words = " ".join(net.relay.counts)
    assert {"replies.success", "refusals.401", "refusals.403"} <= set(net.relay.counts)
    assert not any(word in words for word in ("alice", "mallory", "8.8", "9.9"))


def test_expiring_early_and_often_changes_nothing() -> None:
    net = network()
    Client(net).allocate((EVEN_PORT, True))
    assert [net.relay.expire(now) for now in (0.0, 10.0, 29.9)] == [[], [], []]
    assert [type(effect) for effect in net.relay.expire(30.0)] == [Close]
    assert net.relay.expire(30.0) == []
    assert net.relay.next_expiry() == 600.0


def test_aioice_is_a_client() -> None:
    """Its own message classes on one side, with nothing of ours between them and the core."""
    net = network(settings())
    address = Address.of("8.8.8.8", 40000)
    key = make_integrity_key("alice", "call", USERS["alice"])

    def ask(method: aioice.Method, **attributes: Any) -> aioice.Message:
        given = {name.replace("_", "-"): value for name, value in attributes.items()}
        message = aioice.Message(method, aioice.Class.REQUEST, attributes=given)
        if "NONCE" in given:
            message.add_message_integrity(key)
        (packet,) = net.deliver(LISTENER, address, bytes(message))
        answer = aioice.parse_message(packet.data)
        assert answer.transaction_id == message.transaction_id
        assert answer.error_code == 401 or answer.check_message_integrity(key)
        return answer

    transport = 0x11000000
    challenge = ask(aioice.Method.ALLOCATE, LIFETIME=600, REQUESTED_TRANSPORT=transport)
    assert challenge.error_code == 401
    proof = {"USERNAME": "alice", "REALM": "call", "NONCE": challenge.attributes["NONCE"]}
    made = ask(aioice.Method.ALLOCATE, LIFETIME=600, REQUESTED_TRANSPORT=transport, **proof)
    assert made.message_class is aioice.Class.RESPONSE
    assert made.attributes["XOR-MAPPED-ADDRESS"] == ("8.8.8.8", 40000)
    assert made.attributes["XOR-RELAYED-ADDRESS"][0] == LISTENER.host
    bound = ask(
        aioice.Method.CHANNEL_BIND, CHANNEL_NUMBER=0x4000, XOR_PEER_ADDRESS=("9.9.9.9", 5000), **proof
    )
    assert bound.message_class is aioice.Class.RESPONSE
    assert ask(aioice.Method.REFRESH, LIFETIME=0, **proof).attributes["LIFETIME"] == 0
    assert ask(aioice.Method.REFRESH, LIFETIME=600, **proof).error_code == 437


def test_effects_are_plain_values() -> None:
    reply = network().relay.receive(Packet(LISTENER, PEER, compose(1, transaction=b"t" * 12)), 0.0, 0.0)
    assert reply == network().relay.receive(
        Packet(LISTENER, PEER, compose(1, transaction=b"t" * 12)), 9.0, 9.0
    )
    assert isinstance(reply[0], Send)


def test_what_ended_before_something_failed_is_not_lost() -> None:
    net = network()
    gone = Client(net).allocate()
    Client(net, port=40001).allocate()
    net.relay._state.quota.give_back = fails_at_the_second(net.relay._state.quota.give_back)  # type: ignore[method-assign]
    with pytest.raises(KeyError):
        net.relay.expire(600.0)
    due = net.relay.next_expiry()
    assert due is not None
    assert due <= 600.0
    assert Close(gone) in net.relay.expire(600.0)
    assert net.relay.expire(600.0) == []


def fails_at_the_second(give: Callable[..., None]) -> Callable[..., None]:
    calls = iter((give,))

    def gives(*charged: object) -> None:
        for call in calls:
            return call(*charged)
        raise KeyError

    return gives
