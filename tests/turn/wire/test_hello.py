"""Hellos: what is offered and chosen, and every way in which one can be malformed."""

from __future__ import annotations

import pytest

from tests.turn.call import (
    NULL_SUITE,
    SUITE_12,
    SUITE_13,
    client_hello,
    extensions,
    server_hello,
    vector,
    words,
)
from tests.turn.captures import load
from turn.gate.handshake import DtlsEndpoint
from turn.wire.dtls import HANDSHAKE, parse_fragments, parse_records
from turn.wire.hello import (
    MOST_EXTENSIONS,
    RETRY,
    ClientHello,
    ServerHello,
    parse_client_hello,
    parse_server_hello,
)
from turn.wire.stun import WireError

BARE = b"\xfe\xfd" + bytes(32) + b"\0\0" + vector(2, words(SUITE_12)) + b"\1\0"
CHOSEN = b"\xfe\xfd" + bytes(32) + b"\0" + words(SUITE_12) + b"\0"


def with_extensions(head: bytes, *pairs: tuple[int, bytes]) -> bytes:
    return head + vector(2, b"".join(words(kind) + vector(2, value) for kind, value in pairs))


@pytest.mark.parametrize(
    ("body", "offer"),
    [
        (client_hello(), ClientHello(frozenset((SUITE_13, SUITE_12)), frozenset((1, 7, 8)))),
        (client_hello((NULL_SUITE, 0x002F)), ClientHello(frozenset(), frozenset((1, 7, 8)))),
        (client_hello(profiles=None), ClientHello(frozenset((SUITE_13, SUITE_12)), None)),
        (
            client_hello(profiles=(5, 9, 0xFFFF)),
            ClientHello(frozenset((SUITE_13, SUITE_12)), frozenset((5,))),
        ),
        (BARE, ClientHello(frozenset((SUITE_12,)), None)),
    ],
)
def test_offers(body: bytes, offer: ClientHello) -> None:
    assert parse_client_hello(body) == offer


@pytest.mark.parametrize(
    ("body", "choice"),
    [
        (server_hello(), ServerHello(SUITE_13, True, None, False)),
        (server_hello(random=RETRY), ServerHello(SUITE_13, True, None, True)),
        (server_hello(SUITE_12, (7,), version_13=False), ServerHello(SUITE_12, False, 7, False)),
        (server_hello(SUITE_12, (5,), version_13=False), ServerHello(SUITE_12, False, 5, False)),
        (CHOSEN, ServerHello(SUITE_12, False, None, False)),
        (with_extensions(CHOSEN, (43, b"\xfe\xfd")), ServerHello(SUITE_12, False, None, False)),
    ],
)
def test_choices(body: bytes, choice: ServerHello) -> None:
    assert parse_server_hello(body) == choice


@pytest.mark.parametrize(
    "body",
    [
        b"",
        *(client_hello()[:size] for size in (1, 33, 34, 40, 50)),
        client_hello() + b"\0",
        BARE + b"\0",
        b"\xfe\xff" + BARE[2:],
        b"\x03\x03" + BARE[2:],
        BARE.replace(vector(2, words(SUITE_12)), vector(2, b"odd")),
        with_extensions(BARE, (14, b"")),
        with_extensions(BARE, (14, vector(2, b"odd") + b"\0")),
        with_extensions(BARE, (14, vector(2, words(7)) + b"\0more")),
        with_extensions(BARE, (14, vector(2, words(7)) + b"\0"), (14, vector(2, words(7)) + b"\0")),
        with_extensions(BARE, *((kind, b"") for kind in range(100, 101 + MOST_EXTENSIONS))),
    ],
)
def test_what_is_no_offer(body: bytes) -> None:
    with pytest.raises(WireError):
        parse_client_hello(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        CHOSEN[:-1],
        CHOSEN[:-1] + b"\1",
        CHOSEN + extensions((7, 8)),
        CHOSEN + extensions(()),
        CHOSEN + extensions((7,), b"key"),
        CHOSEN + extensions((7,)) + b"\0",
        b"\xfe\xff" + CHOSEN[2:],
    ],
)
def test_what_is_no_choice(body: bytes) -> None:
    with pytest.raises(WireError):
        parse_server_hello(body)


def hellos(name: str) -> tuple[ClientHello | None, ServerHello | None]:
    """The last of each in a recorded call."""
    ends = {True: DtlsEndpoint(), False: DtlsEndpoint()}
    offer, choice = None, None
    for seen in load(name):
        for record in parse_records(seen.payload) if 20 <= seen.payload[0] < 64 else []:
            clear = record.kind == HANDSHAKE and not record.encrypted
            for fragment in parse_fragments(record.content) if clear else []:
                hello = ends[seen.outward].add_fragment(fragment, 0.0)
                offer = hello if isinstance(hello, ClientHello) else offer
                choice = hello if isinstance(hello, ServerHello) else choice
    return offer, choice


@pytest.mark.parametrize(
    ("name", "profiles", "version_13", "profile"),
    [("chr12", {1, 7, 8}, True, None), ("ff", {1, 2, 7, 8}, True, None), ("ff12", {1, 2, 7, 8}, False, 7)],
)
def test_recorded_hellos(name: str, profiles: set[int], version_13: bool, profile: int | None) -> None:
    offer, choice = hellos(name)
    assert offer is not None
    assert choice is not None
    assert (set(offer.profiles or ()), choice.version_13, choice.profile, choice.retry) == (
        profiles,
        version_13,
        profile,
        False,
    )
    assert choice.suite in offer.suites


def test_the_recorded_hello_without_encryption() -> None:
    assert hellos("null")[1] == ServerHello(0xC010, False, 1, False)
