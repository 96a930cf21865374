"""The long-term mechanism step by step: what it keeps, what it gives away, and time."""

from __future__ import annotations

import pytest

from tests.turn.network import PEER, TYPES, Client, compose, network, settings
from turn.credentials import mint
from turn.policies import Accounts
from turn.wire.attributes import ERROR_CODE, NONCE, REALM, REQUESTED_TRANSPORT, USERNAME
from turn.wire.stun import parse

SECRETS = (b"an old secret of ours", b"a new secret of ours")
UDP = (REQUESTED_TRANSPORT, 17)


def test_either_secret_proves_a_minted_name() -> None:
    net = network(settings(keys=Accounts({}, SECRETS)))
    for port, secret in enumerate(SECRETS, 40000):
        username, password = mint(secret, "r.visitor", int(net.wall) + 60)
        client = Client(net, port=port, user=username, password=password)
        client.allocate()
        assert client.permit(PEER) == 0
    assert {session.user for session in net.relay.sessions(net.now)} == {"r.visitor"}


def test_time_is_asked_for_when_an_allocation_is_made_and_never_again() -> None:
    """Credentials of five seconds carry a call over three refreshes; the wall clock jumps an hour besides."""
    net = network(settings(keys=Accounts({}, SECRETS)))
    username, password = mint(SECRETS[0], "r.visitor", int(net.wall) + 5)
    client = Client(net, user=username, password=password)
    client.allocate()
    client.bind(0x4000, PEER)
    for _ in range(3):
        net.wall += 3600
        net.pass_time(500)
        assert client.refresh(600) == 0
        assert client.bind(0x4000, PEER) == 0
        assert len(client.raw(bytes.fromhex("4000 0002 6869"))) == 1
    late = Client(net, port=40001, user=username, password=password)
    assert late.code(TYPES["allocate"], UDP) == 401


def test_the_wall_clock_ends_no_allocation() -> None:
    net = network()
    client = Client(net)
    client.allocate()
    for jump in (3600, -7200, 10**9):
        net.wall += jump
        assert net.run(net.relay.expire(net.now)) == []
        assert client.refresh(600) == 0


def test_unknown_user_and_wrong_password_look_alike() -> None:
    net = network()
    seen = []
    for user, password in (("alice", "wrong"), ("mallory", "wrong")):
        client = Client(net, user=user, password=password)
        client.nonce = parse(client.raw(compose(3, (UDP,)))[0].data).raw(NONCE) or b""
        reply = parse(client.raw(client.sign(3, (UDP,)))[0].data)
        seen.append((len(reply.data), [kind for kind, _ in reply.attributes], reply.get(ERROR_CODE)))
    assert seen[0] == seen[1]


def test_nothing_of_a_failed_request_is_kept() -> None:
    net = network()
    strangers = [Client(net, f"8.{n // 250}.{n % 250}.1", user=f"user{n}") for n in range(500)]
    for stranger in strangers:
        assert stranger.code(TYPES["allocate"], UDP) == 401
    assert (net.opened, list(net.relay.sessions(0.0)), net.relay.next_expiry()) == (0, [], None)
    assert set(net.relay.counts) == {"refusals.401"}


@pytest.mark.parametrize("name", ["\u30de\u30c8\u30ea\u30c3\u30af\u30b9", "a:b", "x" * 508])
def test_names_are_compared_as_they_are_written(name: str) -> None:
    net = network(settings(keys=Accounts({name: "Tr\u00e8s\u00adbien"})))
    assert Client(net, user=name, password="Tr\u00e8sbien").allocate().port


def test_a_name_that_was_taken_over_is_asked_for_its_own_password() -> None:
    """Who signs as another user on a five-tuple must prove that user before being told 441."""
    net = network()
    Client(net).allocate()
    assert Client(net, user="bob").code(TYPES["refresh"]) == 441
    assert Client(net, user="bob", password="wrong").code(TYPES["refresh"]) == 401


def test_realm_and_names_in_a_request_with_an_unknown_key() -> None:
    net = network()
    client = Client(net, realm="elsewhere")
    assert client.code(TYPES["allocate"], UDP) == 401
    empty = compose(3, (UDP, (USERNAME, "alice"), (REALM, "call"), (NONCE, b"")), key=client.key)
    assert parse(client.raw(empty)[0].data).get(ERROR_CODE) == 401
