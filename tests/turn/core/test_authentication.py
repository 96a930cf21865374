"""The long-term mechanism step by step: what it keeps, what it gives away, and time."""

from __future__ import annotations

from typing import Any

import pytest

from tests.turn.network import PEER, TYPES, Client, compose, network, settings
from turn.credentials import mint
from turn.policies import Accounts
from turn.wire.attributes import (
    ERROR_CODE,
    NONCE,
    PASSWORD_ALGORITHM,
    PASSWORD_ALGORITHMS,
    REALM,
    REQUESTED_TRANSPORT,
    USERNAME,
)
from turn.wire.integrity import OFFERED, long_term_key, sign, sign_sha256
from turn.wire.stun import parse

SECRETS = (b"an old secret of ours", b"a new secret of ours")
UDP = (REQUESTED_TRANSPORT, 17)


def test_either_secret_proves_a_minted_name() -> None:
    net = network(settings(users=Accounts({}, SECRETS)))
    for port, secret in enumerate(SECRETS, 40000):
        username, password = mint(secret, "r.visitor", int(net.wall) + 60)
        client = Client(net, port=port, user=username, password=password)
        client.allocate()
        assert client.permit(PEER) == 0
    assert {session.user for session in net.relay.sessions(net.now)} == {"r.visitor"}


def test_time_is_asked_for_when_an_allocation_is_made_and_never_again() -> None:
    """Credentials of five seconds carry a call over three refreshes; the wall clock jumps an hour besides."""
    net = network(settings(users=Accounts({}, SECRETS)))
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


def test_where_it_is_wanted_stricter_an_allocation_is_renewed_only_while_its_credential_lasts() -> None:
    net = network(settings(users=Accounts({"alice": "alice's word"}, SECRETS), strict_expiry=True))
    username, password = mint(SECRETS[0], "r.visitor", int(net.wall) + 5)
    visitor, alice = Client(net, user=username, password=password), Client(net, port=40001)
    for client in (visitor, alice):
        client.allocate()
        assert client.refresh(600) == client.bind(0x4000, PEER) == 0
    net.wall += 6
    assert [visitor.refresh(600), visitor.permit(PEER), visitor.refresh(0), alice.refresh(600)] == [
        401,
        401,
        401,
        0,
    ]
    assert len(visitor.raw(bytes.fromhex("4000 0002 6869"))) == 1
    net.pass_time(600)
    assert [session.user for session in net.relay.sessions(net.now)] == []


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
    assert set(net.relay.counts) == {"refusals.401", "refusals.438"}


@pytest.mark.parametrize("name", ["\u30de\u30c8\u30ea\u30c3\u30af\u30b9", "a:b", "x" * 508])
def test_names_are_compared_as_they_are_written(name: str) -> None:
    net = network(settings(users=Accounts({name: "Tr\u00e8s\u00adbien"})))
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
    for nonce, code in ((b"", 438), (b"n" * 16, 438), (client.nonce, 401)):
        pairs = (UDP, (USERNAME, "alice"), (REALM, "call"), (NONCE, nonce))
        assert parse(client.raw(compose(3, pairs, key=client.key))[0].data).get(ERROR_CODE) == code


SHA256, MD5 = bytes.fromhex("00020000"), bytes.fromhex("00010000")
STRONGER = settings(sha256=True)


@pytest.mark.parametrize("algorithm", [b"", MD5, SHA256])
@pytest.mark.parametrize("hidden", [False, True])
def test_the_choices_of_rfc_8489(algorithm: bytes, hidden: bool) -> None:
    """Each client goes on as it began, and the network's client checks the signature of every answer."""
    net = network(STRONGER)
    client = Client(net, algorithm=algorithm, hidden=hidden)
    client.allocate()
    assert client.nonce.startswith(b"obMatJos2AAAB")
    assert client.permit(PEER) == client.bind(0x4000, PEER) == client.refresh(600) == 0
    assert [session.user for session in net.relay.sessions(0.0)] == ["alice"]
    assert Client(net, user="bob", algorithm=algorithm).code(TYPES["refresh"]) == 441


def test_minted_names_choose_as_well() -> None:
    net = network(settings(sha256=True, users=Accounts({}, SECRETS)))
    username, password = mint(SECRETS[1], "r.visitor", int(net.wall) + 5)
    client = Client(net, user=username, password=password, algorithm=SHA256)
    client.allocate()
    net.wall += 3600
    assert client.refresh(600) == 0


NAME, ELSE = (USERNAME, "alice"), (REALM, "call")
CHOICES: list[tuple[str, int, list[tuple[Any, Any]], bytes, bool]] = [
    # title, code, attributes beside name, realm and nonce, algorithm of the key, signed with SHA-256
    ("as offered", 0, [(PASSWORD_ALGORITHM, SHA256), (PASSWORD_ALGORITHMS, OFFERED)], SHA256, True),
    (
        "signed the old way",
        400,
        [(PASSWORD_ALGORITHM, SHA256), (PASSWORD_ALGORITHMS, OFFERED)],
        SHA256,
        False,
    ),
    ("no list", 400, [(PASSWORD_ALGORITHM, SHA256)], SHA256, True),
    ("no choice", 400, [(PASSWORD_ALGORITHMS, OFFERED)], SHA256, True),
    ("a list made shorter", 400, [(PASSWORD_ALGORITHM, MD5), (PASSWORD_ALGORITHMS, MD5)], MD5, True),
    ("a list turned round", 400, [(PASSWORD_ALGORITHM, MD5), (PASSWORD_ALGORITHMS, MD5 + SHA256)], MD5, True),
    (
        "an algorithm nobody has",
        400,
        [(PASSWORD_ALGORITHM, b"\0\3\0\0"), (PASSWORD_ALGORITHMS, OFFERED)],
        MD5,
        True,
    ),
    (
        "parameters",
        400,
        [(PASSWORD_ALGORITHM, b"\0\2\0\1\0\0\0\0"), (PASSWORD_ALGORITHMS, OFFERED)],
        MD5,
        True,
    ),
    (
        "another key than named",
        401,
        [(PASSWORD_ALGORITHM, SHA256), (PASSWORD_ALGORITHMS, OFFERED)],
        MD5,
        True,
    ),
    ("none named, SHA-256 over the old key", 0, [], b"", True),
    ("none named", 0, [], b"", False),
]


@pytest.mark.parametrize(
    ("title", "code", "pairs", "algorithm", "sha256"), CHOICES, ids=[r[0] for r in CHOICES]
)
def test_what_is_said_to_be_offered_must_have_been(
    title: str, code: int, pairs: list[tuple[Any, Any]], algorithm: bytes, sha256: bool
) -> None:
    net = network(STRONGER)
    client = Client(net)
    client.code(TYPES["refresh"])
    key = long_term_key("alice", "call", "alice's word", algorithm)
    said = compose(3, (UDP, NAME, ELSE, (NONCE, client.nonce), *pairs), key=key, sha256=sha256)
    answer = parse(client.raw(said)[0].data)
    assert (answer.get(ERROR_CODE) or 0) == code
    assert bool(answer.sha256) == (code == 0 and bool(pairs))
    assert (answer.verify_sha256 if pairs else answer.verify)(key) is (code == 0)


def test_the_stronger_of_two_signatures_counts() -> None:
    net = network(STRONGER)
    client = Client(net)
    client.code(TYPES["refresh"])
    pairs = (UDP, NAME, ELSE, (NONCE, client.nonce))
    right = sign(compose(3, pairs), client.key)
    for key, code in ((b"another", 401), (client.key, 0)):
        assert (parse(client.raw(sign_sha256(right, key))[0].data).get(ERROR_CODE) or 0) == code


def test_a_nonce_without_its_cookie_is_stale() -> None:
    """Who cuts the offer away on the path gains nothing (RFC 8489 §16.1.1)."""
    net = network(STRONGER)
    client = Client(net)
    client.code(TYPES["refresh"])
    whole = client.nonce
    for cut in (whole[13:], b"obMatJos2AAAA" + whole[13:], whole[:-1]):
        client.nonce = cut
        answer = parse(client.raw(client.sign(3, (UDP,)))[0].data)
        assert (answer.get(ERROR_CODE), answer.raw(PASSWORD_ALGORITHMS)) == (438, OFFERED)


def test_hidden_names_are_those_of_static_users() -> None:
    net = network(settings(sha256=True, users=Accounts({"alice": "alice's word"}, SECRETS)))
    username, password = mint(SECRETS[0], "r.visitor", int(net.wall) + 60)
    for user, word in ((username, password), ("mallory", "her word")):
        assert Client(net, user=user, password=word, hidden=True).code(TYPES["allocate"], UDP) == 401
    Client(net, hidden=True).allocate()


def test_where_nothing_is_offered_nothing_of_it_is_understood() -> None:
    net = network()
    assert Client(net, hidden=True).code(TYPES["allocate"], UDP) == 400
    old = Client(net)
    old.code(TYPES["refresh"])
    assert old.code(TYPES["allocate"], UDP, (PASSWORD_ALGORITHM, SHA256)) == 420
    asked = parse(old.raw(old.sign(3, (UDP,), sha256=True))[0].data)
    assert (asked.get(ERROR_CODE), len(asked.data)) == (401, 56)
