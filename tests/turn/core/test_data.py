"""What the core carries itself: every way, both directions, and what it drops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.turn.network import LISTENER, PEER, TYPES, Client, Network, compose, network, settings, unlimited
from turn.core.data import MAX_PAYLOAD
from turn.core.state import ICMP_REPORTS
from turn.flows import Address
from turn.policies import Limits
from turn.wire.attributes import (
    ADDITIONAL_ADDRESS_FAMILY,
    DATA,
    DONT_FRAGMENT,
    ICMP,
    REQUESTED_ADDRESS_FAMILY,
    XOR_PEER_ADDRESS,
)
from turn.wire.stun import parse, parse_channel_data


def prepared(net: Network | None = None) -> Client:
    client = Client(net or network(unlimited()))
    client.allocate()
    client.permit(PEER)
    return client


def from_peer(client: Client, data: bytes, peer: Address = PEER) -> list[bytes]:
    """What the client gets of a datagram that arrives at its relayed address."""
    assert client.relay is not None
    sent = client.net.deliver(client.relay, peer, data)
    assert all((packet.local, packet.remote) == (client.listener, client.address) for packet in sent)
    return [packet.data for packet in sent]


def test_a_datagram_becomes_an_indication_and_with_a_channel_its_frame() -> None:
    client = prepared()
    (data,) = from_peer(client, b"hello")
    message = parse(data)
    assert (message.type, message.get(XOR_PEER_ADDRESS), message.get(DATA)) == (0x0017, PEER, b"hello")
    client.bind(0x4001, PEER)
    assert [parse_channel_data(data) for data in from_peer(client, b"hello")] == [(0x4001, b"hello")]
    other_port = PEER._replace(port=6000)
    assert parse(from_peer(client, b"hello", other_port)[0]).get(XOR_PEER_ADDRESS) == other_port


def test_indications_have_transaction_ids_of_their_own() -> None:
    client = prepared()
    assert len({parse(from_peer(client, b"x")[0]).transaction for _ in range(50)}) == 50


@pytest.mark.parametrize(
    "data",
    [compose(TYPES["allocate"], ((0x0019, 17),)), b"", b"\x16\xfe\xfd", b"GET /"],
    ids=["Allocate", "nothing", "DTLS", "HTTP"],
)
def test_a_peer_without_permission_is_not_heard(data: bytes) -> None:
    client = prepared()
    assert from_peer(client, data, Address.of("9.9.9.10", 5000)) == []


@pytest.mark.parametrize(
    "data",
    [compose(TYPES["allocate"], ((0x0019, 17),)), compose(1), b""],
    ids=["Allocate", "Binding", "nothing"],
)
def test_what_a_peer_sends_is_payload_and_nothing_else(data: bytes) -> None:
    client = prepared()
    assert parse(from_peer(client, data)[0]).get(DATA) == data
    assert len(list(client.net.relay.sessions(0.0))) == 1


@pytest.mark.parametrize("size", [MAX_PAYLOAD, MAX_PAYLOAD + 1, 65507])
def test_the_largest_datagrams(size: int) -> None:
    """The network of these tests refuses anything that no socket could send."""
    client = prepared()
    assert len(from_peer(client, bytes(size))) == (size <= MAX_PAYLOAD)
    largest = client.send(PEER, bytes(65507 - 36))
    assert [len(packet.data) for packet in largest] == [65507 - 36]
    client.bind(0x4001, PEER)
    assert len(from_peer(client, bytes(size))) == (size <= MAX_PAYLOAD)


def test_ipv6_peers() -> None:
    client = Client(network(unlimited()))
    client.allocate((REQUESTED_ADDRESS_FAMILY, 2))
    peer = Address.of("2606:4700::9", 5000)
    assert client.permit(peer) == 0
    (sent,) = client.send(peer, b"hi")
    assert (sent.remote, sent.data) == (peer, b"hi")
    assert parse(from_peer(client, b"hello", peer)[0]).get(XOR_PEER_ADDRESS) == peer
    assert client.permit(PEER) == 443


def test_the_pace_of_an_allocation_bounds_what_the_core_carries() -> None:
    by_packets = prepared(network(settings(limits=Limits(packets_per_second=10))))
    assert sum(len(by_packets.send(PEER, b"x")) for _ in range(50)) == 10
    by_bits = prepared(network(settings(limits=Limits(bits_per_second=8000))))
    assert sum(len(by_bits.send(PEER, bytes(100))) for _ in range(50)) == 10
    by_bits.net.pass_time(1)
    assert sum(len(from_peer(by_bits, bytes(64))) for _ in range(50)) == 10


def test_behind_nat_peers_are_named_by_their_public_address() -> None:
    public = Address.of("6.6.6.6", 0).ip
    net = network(unlimited(externals={LISTENER.ip: public}))
    alice, bob = prepared(net), Client(net, port=40001, user="bob")
    b = bob.allocate()
    assert b.ip == public
    a = alice.relay
    assert a is not None
    assert alice.permit(b) == bob.permit(a) == 0
    (heard,) = alice.send(b, b"hi")
    assert heard.remote == bob.address
    assert parse(heard.data).get(XOR_PEER_ADDRESS) == a
    assert [(flow.channel, flow.peer.ip, flow.named) for flow in net.links] == [(None, LISTENER.ip, b)]
    assert alice.bind(0x4000, b) == 0
    assert [flow.peer.ip for flow in net.links] == [LISTENER.ip]


DROPPED = [
    ("no allocation", lambda client: client.raw(b"\x40\x01\0\0")),
    ("no channel", lambda client: prepared(client.net).raw(b"\x40\x01\0\0")),
    ("malformed", lambda client: prepared(client.net).raw(b"\x40\x01\xff\xff")),
    ("malformed", lambda client: prepared(client.net).raw(compose(0x0016))),
    ("no permission", lambda client: prepared(client.net).send(Address.of("9.9.9.10", 1), b"x")),
    ("no way", lambda client: prepared(client.net).send(PEER._replace(port=0), b"x")),
]


@pytest.mark.parametrize(("reason", "act"), DROPPED)
def test_a_dropped_packet_is_counted_by_its_reason(reason: str, act: object) -> None:
    client = Client(network(unlimited()))
    assert callable(act)
    assert act(client) == []
    assert client.net.relay.counts[f"drops.{reason}"] == 1


ICMP_ERRORS = [
    # relayed from IPv6, type, code, data -> what the client is told, or None
    (False, 3, 3, "00000000", (3, 3, "00000000")),
    (False, 3, 4, "000005dc", (3, 4, "000005dc")),
    (False, 3, 1, "000005dc", (3, 1, "00000000")),
    (False, 11, 0, "01020304", (11, 0, "00000000")),
    (False, 0, 0, "00000000", None),
    (False, 5, 1, "08080808", None),
    (False, 2, 0, "000005dc", None),
    (False, 3, 3, "0000", None),
    (True, 1, 4, "00000001", (1, 4, "00000000")),
    (True, 2, 0, "00000500", (2, 0, "00000500")),
    (True, 3, 0, "00000000", (3, 0, "00000000")),
    (True, 11, 0, "00000000", None),
    (True, 129, 0, "00000000", None),
]


@pytest.mark.parametrize(("version6", "kind", "code", "data", "told"), ICMP_ERRORS)
def test_icmp_errors(
    version6: bool, kind: int, code: int, data: str, told: tuple[int, int, str] | None
) -> None:
    client = Client(network(unlimited()))
    relay = client.allocate((REQUESTED_ADDRESS_FAMILY, 2 if version6 else 1), (DONT_FRAGMENT, b""))
    peer = Address.of("2606:4700::9", 5000) if version6 else PEER
    client.permit(peer)
    sent = client.net.run(client.net.relay.icmp_error(relay, peer, kind, code, bytes.fromhex(data), 0.0))
    messages = [parse(packet.data) for packet in sent]
    assert all((message.type, message.get(XOR_PEER_ADDRESS)) == (0x0017, peer) for message in messages)
    expected = [] if told is None else [(told[0], told[1], bytes.fromhex(told[2]))]
    assert [message.get(ICMP) for message in messages] == expected
    assert not any(message.has(DATA) for message in messages)


RECENT = [
    # in Allocate, in a Send before -> whether the client is told
    ((), (), False),
    (((DONT_FRAGMENT, b""),), (), True),
    (((ADDITIONAL_ADDRESS_FAMILY, 2),), (), True),
    ((), ((DONT_FRAGMENT, b""),), True),
    ((), ((0x8022, b"who says so"),), False),
]


@pytest.mark.parametrize(("asked", "sent", "told"), RECENT)
def test_icmp_errors_reach_who_knows_of_them(
    asked: Sequence[tuple[Any, Any]], sent: Sequence[tuple[Any, Any]], told: bool
) -> None:
    client = Client(network(unlimited()))
    relay = client.allocate(*asked)
    client.permit(PEER)
    client.raw(compose(0x0016, ((XOR_PEER_ADDRESS, PEER), (DATA, b"hi"), *sent)))
    assert bool(client.net.relay.icmp_error(relay, PEER, 3, 3, bytes(4), 0.0)) is told
    assert client.net.relay.counts["drops.icmp unasked"] == (not told)


def test_a_client_is_told_of_errors_at_a_pace() -> None:
    client = prepared(network(unlimited(icmp_to_all=True)))
    assert client.relay is not None
    for seconds, told in ((0.0, ICMP_REPORTS), (0.5, ICMP_REPORTS // 2), (100.0, ICMP_REPORTS)):
        heard = [
            client.net.relay.icmp_error(client.relay, PEER, 3, 3, bytes(4), seconds) for _ in range(1000)
        ]
        assert len([effects for effects in heard if effects]) == told
    assert client.net.relay.counts["drops.icmp pace"] == 3000 - 2.5 * ICMP_REPORTS


def test_an_icmp_error_needs_an_allocation_and_a_permission() -> None:
    client = prepared(network(unlimited(icmp_to_all=True)))
    assert client.relay is not None
    for relay, peer in ((client.relay._replace(port=1), PEER), (client.relay, Address.of("9.9.9.10", 1))):
        assert client.net.relay.icmp_error(relay, peer, 3, 3, bytes(4), 0.0) == []
    assert client.net.relay.icmp_error(client.relay, PEER._replace(port=1), 3, 3, bytes(4), 299.0)
    assert client.net.relay.icmp_error(client.relay, PEER, 3, 3, bytes(4), 300.0) == []
    counts = client.net.relay.counts
    assert (counts["drops.no allocation"], counts["drops.no permission"]) == (1, 2)
