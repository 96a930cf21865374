"""The table of methods, and what is asked of a request before any of them sees it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.turn.network import LISTENER, PEER, TYPES, Client, Pairs, compose, network, settings, unlimited
from turn.core.requests import MAX_PEERS, METHODS, is_probe
from turn.core.state import STALE_NONCES
from turn.flows import Address
from turn.policies import Limits
from turn.wire.attributes import (
    ERROR_CODE,
    LIFETIME,
    NONCE,
    REALM,
    REQUESTED_TRANSPORT,
    USERNAME,
    XOR_PEER_ADDRESS,
)
from turn.wire.notices import NOTIFY_REQUEST
from turn.wire.stun import parse

UDP = (REQUESTED_TRANSPORT, 17)


def test_four_methods_of_clients_and_one_of_servers_are_requests_here() -> None:
    assert set(METHODS) == {
        *(TYPES[name] for name in ("allocate", "refresh", "permission", "bind")),
        NOTIFY_REQUEST,
    }


PROBES: list[tuple[str, int, Pairs, bool]] = [  # title, type, what it holds, whether it is one
    ("Allocate", 3, (), True),
    ("Refresh", 4, (), True),
    ("unknown attribute", 8, ((0xFFFE, b""),), True),
    ("UDP", 3, (UDP,), False),
    ("TCP", 3, ((REQUESTED_TRANSPORT, 6),), False),
    ("another transport", 3, ((REQUESTED_TRANSPORT, 99),), True),
    ("malformed transport", 3, ((REQUESTED_TRANSPORT, b"\x11"),), True),
    ("lifetime alone", 3, ((LIFETIME, 600),), True),
    ("name", 3, ((USERNAME, "somebody"),), False),
    ("lifetime", 4, ((LIFETIME, 600),), False),
]


@pytest.mark.parametrize("marked", [False, True], ids=["", "fingerprint"])
@pytest.mark.parametrize(("title", "kind", "pairs", "probe"), PROBES, ids=[row[0] for row in PROBES])
def test_probes(title: str, kind: int, pairs: Pairs, probe: bool, marked: bool) -> None:
    assert is_probe(parse(compose(kind, pairs, fingerprint=marked))) is probe


def test_a_stranger_is_answered_seldom_and_who_signs_rightly_always() -> None:
    net = network(settings(limits=Limits(unauthenticated_per_second=10, wrong_passwords=0)))
    client = Client(net)
    ask = compose(3, (UDP,))
    assert sum(len(client.raw(ask)) for _ in range(1000)) == 40
    neighbour = Client(net, port=40001)
    assert neighbour.raw(ask) == []
    net.pass_time(0.1)
    client.nonce = parse(client.raw(ask)[0].data).raw(NONCE) or b""
    wrong = Client(net, password="wrong")
    wrong.nonce = client.nonce
    for _ in range(100):
        assert client.refresh(0) == 437
    refused = [wrong.raw(wrong.sign(3, (UDP,))) for _ in range(100)]
    assert {parse(packet.data).get(ERROR_CODE) for sent in refused for packet in sent} == {401}
    assert sum(map(len, refused)) == 40
    assert client.raw(client.sign(3, (UDP,))) == []
    net.pass_time(0.1)
    assert client.refresh(0) == 437


def test_a_flood_of_wrong_signatures_disturbs_nobody_who_has_an_allocation() -> None:
    net = network(settings(limits=Limits(unauthenticated_per_second=10, wrong_passwords=0)))
    client, wrong = Client(net), Client(net, port=40001, password="wrong")
    client.allocate()
    for _ in range(100):
        wrong.code(TYPES["allocate"], UDP)
    assert net.relay.counts["drops.wrong signatures"] > 50
    assert client.refresh(600) == 0
    assert Client(net, "8.8.4.4").code(TYPES["allocate"], UDP) == 0


WITHOUT_PROOF = [  # title, what is said under which name, code
    ("no name", [(REALM, "call")], 400),
    ("no realm", [(USERNAME, "alice")], 400),
    ("a name too long", [(USERNAME, "x" * 509), (REALM, "call")], 400),
    ("a wrong signature", [(USERNAME, "alice"), (REALM, "call")], 401),
    ("another name", [(USERNAME, "bob"), (REALM, "call")], 401),
    ("another realm", [(USERNAME, "alice"), (REALM, "elsewhere")], 401),
]


@pytest.mark.parametrize("allocates", [False, True])
@pytest.mark.parametrize(("title", "said", "code"), WITHOUT_PROOF, ids=[row[0] for row in WITHOUT_PROOF])
def test_all_that_proves_nothing_is_counted(
    title: str, said: list[tuple[Any, Any]], code: int, allocates: bool
) -> None:
    """With a good nonce, and with an allocation or without; what is rightly signed goes on."""
    net = network(settings(limits=Limits(unauthenticated_per_second=10, wrong_passwords=0)))
    client = Client(net)
    assert client.code(TYPES["refresh"]) == 437
    if allocates:
        client.allocate()
    data = compose(TYPES["refresh"], (*said, (NONCE, client.nonce)), key=b"forged")
    answers = [parse(packet.data).get(ERROR_CODE) for _ in range(100) for packet in client.raw(data)]
    assert answers == [code] * 40
    assert net.relay.counts["drops.wrong signatures"] == 60
    assert client.refresh(600) == (0 if allocates else 408)


@pytest.mark.parametrize(("user", "told"), [("alice", STALE_NONCES), ("bob", 0)])
def test_a_running_call_gets_its_next_nonce_under_any_flood(user: str, told: int) -> None:
    """Of forged Bindings, in its address's name and in many; who signs with another key is a stranger."""
    net = network(settings(limits=Limits(unauthenticated_per_second=10, unauthenticated_in_all=100)))
    client = Client(net)
    client.allocate()
    net.pass_time(300)
    assert client.refresh(3600) == 0
    net.pass_time(400)
    for number in range(200):
        net.deliver(LISTENER, Address((0x08000000 + number).to_bytes(4, "big"), 40000), compose(1))
    for number in range(100):
        net.deliver(LISTENER, client.address._replace(port=50000 + number), compose(1))
    other = Client(net, user=user)
    other.nonce = client.nonce
    stale = other.sign(TYPES["refresh"], ((LIFETIME, 600),))
    answers = [parse(packet.data).get(ERROR_CODE) for _ in range(100) for packet in client.raw(stale)]
    assert answers == [438] * told
    net.pass_time(0.1)
    assert client.refresh(600) == 0


@pytest.mark.parametrize("name", ["refresh", "permission", "bind"])
def test_the_user_is_checked_before_the_rest_of_a_request(name: str) -> None:
    net = network()
    Client(net).allocate()
    assert Client(net, user="bob").code(TYPES[name]) == 441


def test_all_peers_of_a_request_or_none() -> None:
    net = network(unlimited())
    client = Client(net)
    client.allocate()
    good = [Address.of(f"9.9.8.{n}", 1) for n in range(1, 65)]
    for bad in (Address.of("10.0.0.1", 1), Address.of("2606:4700::1", 1)):
        assert client.permit(*good[:3], bad) in (403, 443)
        assert client.send(good[0], b"hi") == []
    assert client.permit(*good) == 0
    assert client.permit(*good, PEER) == 508
    assert len(client.send(good[63], b"hi")) == 1
    assert client.code(TYPES["permission"], (XOR_PEER_ADDRESS, b"\0\1")) == 400


@pytest.mark.parametrize(
    ("most", "peers", "code"),
    [
        *((64, number, 0) for number in (1, 16, 17, 20, 60, 64)),
        *((64, number, 508) for number in (65, 371, MAX_PEERS + 1, 5000)),
        (3, 3, 0),
        (3, 4, 508),
        (0, MAX_PEERS, 0),
        (0, MAX_PEERS + 1, 508),
    ],
)
def test_one_request_names_as_many_peers_as_may_be_permitted(most: int, peers: int, code: int) -> None:
    """pion renews all of its permissions in one request; the answer is never an error of its own making."""
    net = network(settings(limits=Limits(permissions=most, new_peers_per_second=0)))
    client = Client(net)
    client.allocate()
    named = [Address.of(f"9.{n >> 16}.{n >> 8 & 255}.{n & 255}", 1) for n in range(1, peers + 1)]
    assert client.permit(*named) == code
    assert client.permit(*reversed(named)) == code
    (session,) = net.relay.sessions(net.now)
    assert session.permissions == (0 if code else peers)


def test_the_ports_of_one_peer_are_one_permission() -> None:
    net = network(settings(limits=Limits(permissions=1)))
    client = Client(net)
    client.allocate()
    assert client.permit(*(PEER._replace(port=port) for port in range(1, MAX_PEERS + 1))) == 0


@pytest.mark.parametrize(
    ("asked", "granted"), [(None, 600), (1, 600), (600, 600), (777, 777), (2**32 - 1, 3600)]
)
def test_lifetimes(asked: int | None, granted: int) -> None:
    client = Client(network())
    client.allocate()
    answer = client.ask(TYPES["refresh"], *([] if asked is None else [(LIFETIME, asked)]))
    assert answer is not None
    assert answer.get(LIFETIME) == granted
    (session,) = client.net.relay.sessions(0.0)
    assert session.seconds_left == granted


def test_allocations_are_kept_apart_by_client_and_listener() -> None:
    second = Address.of("192.0.2.2", 3478)
    net = network(
        settings(listeners=frozenset((LISTENER, second)), own_addresses=frozenset((LISTENER.ip, second.ip)))
    )
    relays = {
        Client(net).allocate(),
        Client(net, port=40001).allocate(),
        Client(net, address="8.8.4.4").allocate(),
    }
    assert len(relays) == 3
    over_second = Client(net, listener=second)
    assert over_second.code(TYPES["refresh"]) == 437
