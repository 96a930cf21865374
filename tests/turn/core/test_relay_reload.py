"""New settings, a drain and an operator's word, while calls are going on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.turn.network import LISTENER, LISTENER6, PEER, TYPES, USERS, Client, Network, network, settings
from turn.credentials import mint
from turn.flows import Address, Rule
from turn.policies import Accounts, Limits, PeerTable, networks
from turn.wire.attributes import (
    ADDITIONAL_ADDRESS_FAMILY,
    ALTERNATE_SERVER,
    ERROR_CODE,
    EVEN_PORT,
    REQUESTED_TRANSPORT,
    RESERVATION_TOKEN,
)

UDP = (REQUESTED_TRANSPORT, 17)
SECRETS = (b"an old secret of ours", b"a new secret of ours")
ELSEWHERE = Address.of("5.5.5.5", 3478)


def calling(**changes: Any) -> tuple[Network, Client]:
    """A client with one flow by channel and one by indications."""
    net = network(settings(**changes))
    client = Client(net)
    client.allocate()
    client.bind(0x4000, PEER)
    client.permit(Address.of("9.9.10.9", 5000))
    client.send(Address.of("9.9.10.9", 5000), b"hi")
    assert len(net.links) == 2
    return net, client


def reload(net: Network, **changes: Any) -> None:
    assert net.run(net.relay.reload(settings(**changes), net.now)) == []


def test_the_same_settings_change_nothing() -> None:
    net, client = calling()
    before = dict(net.links)
    reload(net)
    assert net.links == before
    assert client.refresh(600) == 0
    assert len(client.raw(bytes.fromhex("4000 0001 68"))) == 1


def test_new_limits_hold_at_once() -> None:
    net, client = calling()
    reload(net, limits=Limits(packets_per_second=7, bits_per_second=0, permissions=2, channels=1))
    assert set(net.links.values()) == {Rule(None, 7, 0)}
    assert client.permit(Address.of("9.9.9.10", 1)) == client.bind(0x4001, PEER._replace(port=1)) == 508
    assert sum(len(client.send(PEER, b"x")) for _ in range(20)) == 7


def test_denied_peers_are_cut_off_and_the_others_go_on() -> None:
    net, client = calling()
    reload(net, peers=PeerTable(deny=networks("9.9.9.0/24")))
    assert [flow.peer.host for flow in net.links] == ["9.9.10.9"]
    assert client.raw(bytes.fromhex("4000 0001 68")) == client.send(PEER, b"x") == []
    assert net.deliver(client.relay or PEER, PEER, b"x") == []
    assert client.permit(PEER) == client.bind(0x4000, PEER) == 403
    (session,) = net.relay.sessions(net.now)
    assert (session.permissions, session.flows) == (1, 1)
    reload(net)
    assert client.permit(PEER) == 0
    assert len(client.raw(bytes.fromhex("4000 0001 68"))) == 1


def test_an_address_that_becomes_our_own_is_reached_no_more() -> None:
    net, client = calling()
    own = frozenset((LISTENER.ip, LISTENER6.ip, PEER.ip))
    reload(net, own_addresses=own, listeners=frozenset((LISTENER, LISTENER6)))
    assert [flow.peer.host for flow in net.links] == ["9.9.10.9"]
    assert client.raw(bytes.fromhex("4000 0001 68")) == []


USERS_AFTER = [
    (USERS, True),
    ({"alice": "alice's word"}, True),
    ({"alice": "another word"}, False),
    ({"bob": "bob's word"}, False),
    ({}, False),
]


@pytest.mark.parametrize("algorithm", [b"", b"\0\2\0\0"])
@pytest.mark.parametrize(("users", "goes_on"), USERS_AFTER)
def test_who_is_gone_from_the_users_is_gone(users: dict[str, str], goes_on: bool, algorithm: bytes) -> None:
    net = network(settings(sha256=True))
    client = Client(net, algorithm=algorithm)
    client.allocate((ADDITIONAL_ADDRESS_FAMILY, 2))
    reload(net, users=Accounts(users))
    assert len(net.open) == (2 if goes_on else 0)
    assert net.relay._state.quota.total == len(net.open)


@pytest.mark.parametrize(("kept", "goes_on"), [(SECRETS, True), (SECRETS[:1], True), (SECRETS[1:], False)])
def test_a_secret_is_withdrawn(kept: tuple[bytes, ...], goes_on: bool) -> None:
    """A credential whose time is over keeps its allocation as long as its secret is there."""
    net = network(settings(users=Accounts({}, SECRETS)))
    username, password = mint(SECRETS[0], "r.visitor", int(net.wall) + 5)
    client = Client(net, user=username, password=password)
    client.allocate()
    net.wall += 3600
    reload(net, users=Accounts({}, kept))
    assert (client.refresh(600) == 0) is goes_on
    assert bool(net.open) is goes_on


def test_siblings_share_their_pace_after_it_as_before() -> None:
    net = network()
    client = Client(net)
    client.allocate((ADDITIONAL_ADDRESS_FAMILY, 2))
    peers = (PEER, Address.of("2606:4700::9", 5000))
    client.permit(*peers)
    reload(net, limits=Limits(packets_per_second=10))
    assert sum(len(client.send(peer, b"x")) for peer in peers for _ in range(10)) == 10


@pytest.mark.parametrize(("alternate", "code"), [(ELSEWHERE, 300), (None, 508), (LISTENER6, 508)])
def test_draining_sends_newcomers_away_and_lets_calls_go_on(alternate: Address | None, code: int) -> None:
    net, client = calling()
    token = Client(net, port=40001).ask(TYPES["allocate"], UDP, (EVEN_PORT, True))
    assert token is not None
    net.relay.drain(alternate)
    newcomer = Client(net, "8.8.4.4", user="bob")
    for pairs in ([UDP], [UDP, (RESERVATION_TOKEN, token.get(RESERVATION_TOKEN))]):
        answer = newcomer.ask(TYPES["allocate"], *pairs)
        assert answer is not None
        assert answer.get(ERROR_CODE) == (code if len(pairs) == 1 else 508)
        assert answer.get(ALTERNATE_SERVER) == (alternate if code == 300 and len(pairs) == 1 else None)
    assert newcomer.code(TYPES["allocate"]) == 400
    assert Client(net, user="mallory", port=40009).code(TYPES["allocate"], UDP) == 401
    assert client.refresh(600) == client.permit(PEER) == client.bind(0x4000, PEER) == 0
    assert len(client.raw(bytes.fromhex("4000 0001 68"))) == 1
    assert client.refresh(0) == 0


def test_an_operator_ends_a_session_or_a_user() -> None:
    net = network()
    clients = [
        Client(net, port=40000 + turn, user=user) for turn, user in enumerate(("alice", "alice", "bob"))
    ]
    for client in clients:
        client.allocate((ADDITIONAL_ADDRESS_FAMILY, 2))
        client.bind(0x4000, PEER)
    bob = clients[2].relay
    assert net.run(net.relay.kill(relay=bob)) == []
    assert {session.user for session in net.relay.sessions(0.0)} == {"alice"}
    assert clients[2].refresh(600) == 437
    assert net.relay.kill(user="bob") == net.relay.kill(relay=bob) == net.relay.kill() == []
    assert net.run(net.relay.kill(user="alice")) == []
    assert (net.open, net.links, net.relay.next_expiry()) == (set(), {}, None)
    assert net.relay._state.quota.total == 0
