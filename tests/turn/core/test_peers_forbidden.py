"""Every denied and every allowed address by each way that a client has to name a peer."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from tests.turn.network import LISTENER, TYPES, Client, Network, network, unlimited
from tests.turn.peer_cases import CARRIERS, PEERS
from turn.flows import Address
from turn.policies import SPECIAL
from turn.wire.attributes import CHANNEL_NUMBER, REQUESTED_ADDRESS_FAMILY, XOR_PEER_ADDRESS

CARRIED = [
    bytes.fromhex(before) + inner + bytes.fromhex(behind)
    for before, behind in CARRIERS.values()
    for first, last in SPECIAL
    if len(first) == 4
    for inner in (first, last)
]
DENIED = [ip_address(text).packed for text in PEERS["denied"]] + CARRIED
ALLOWED = [ip_address(text).packed for text in PEERS["allowed"]]
SAYING = {"permission": (), "bind": ((CHANNEL_NUMBER, 0x4000),)}


@pytest.fixture(scope="module")
def clients() -> dict[int, Client]:
    """One with a relayed address of each family, by the length of its bytes."""
    net: Network = network(unlimited())
    both = {4: Client(net), 16: Client(net, port=40001)}
    for size, client in both.items():
        client.allocate((REQUESTED_ADDRESS_FAMILY, 1 if size == 4 else 2))
    return both


@pytest.mark.parametrize("say", SAYING)
@pytest.mark.parametrize("ip", DENIED, ids=bytes.hex)
def test_a_denied_peer_is_refused(clients: dict[int, Client], ip: bytes, say: str) -> None:
    pairs: list[tuple[Any, Any]] = [*SAYING[say], (XOR_PEER_ADDRESS, Address(ip, 5000))]
    assert clients[len(ip)].code(TYPES[say], *pairs) == 403
    assert clients[20 - len(ip)].code(TYPES[say], *pairs) == 443


@pytest.mark.parametrize("ip", DENIED, ids=bytes.hex)
def test_nothing_is_sent_to_a_denied_peer(clients: dict[int, Client], ip: bytes) -> None:
    for client in clients.values():
        assert client.send(Address(ip, 5000), b"hi") == []
    assert all(flow.peer.ip != ip for flow in clients[4].net.links)


@pytest.mark.parametrize("ip", ALLOWED, ids=bytes.hex)
def test_an_allowed_peer_gets_what_is_sent(ip: bytes) -> None:
    peer = Address(ip, 5000)
    client = Client(network(unlimited()))
    client.allocate((REQUESTED_ADDRESS_FAMILY, 1 if len(ip) == 4 else 2))
    assert client.send(peer, b"too early") == []
    assert client.permit(peer) == 0
    assert [packet.remote for packet in client.send(peer, b"hi")] == [peer]
    assert client.bind(0x4000, peer) == 0
    assert [packet.remote for packet in client.raw(bytes.fromhex("4000 0001 68"))] == [peer]


def test_a_loop_through_our_own_listener_never_begins() -> None:
    """A TURN request inside what is relayed reaches no listener of ours (RFC 8656 §21.1.7)."""
    client = Client(network(unlimited()))
    client.allocate()
    assert client.permit(LISTENER) == 0
    assert client.send(LISTENER, client.sign(TYPES["allocate"])) == []
    assert client.bind(0x4000, LISTENER) == 403
    assert len(list(client.net.relay.sessions(0.0))) == 1
