"""Hellos from fragments in any order, what contradicts, what is too much, and what two hellos agree on."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.turn.call import NULL_SUITE, SUITE_12, SUITE_13, client_hello, noise, server_hello
from turn.gate.handshake import (
    CLEAR_BURST,
    CONFLICT_SECONDS,
    HELLOS,
    MAX_ASSEMBLIES,
    MAX_BUFFERED,
    MAX_FRAGMENTS,
    MAX_HELLO,
    Agreement,
    DtlsEndpoint,
    Handshake,
    Rejected,
    Unencrypted,
    agree,
    merge,
)
from turn.wire.dtls import CLIENT_HELLO, FRAGMENT, SERVER_HELLO, Fragment
from turn.wire.hello import ClientHello, ServerHello, parse_client_hello
from turn.wire.stun import WireError

BODY = client_hello(padding=200)
HELLO = parse_client_hello(BODY)


def part(start: int, end: int, body: bytes = BODY, number: int = 0, kind: int = CLIENT_HELLO) -> Fragment:
    return Fragment(kind, number, len(body), start, body[start:end])


@given(
    cuts=st.sets(st.integers(1, len(BODY) - 1), max_size=MAX_FRAGMENTS - 1),
    seed=st.integers(0, 99),
)
def test_fragments_in_any_order_make_the_whole(cuts: set[int], seed: int) -> None:
    edges = [0, *sorted(cuts), len(BODY)]
    parts = [part(start, end) for start, end in pairwise(edges)]
    parts.sort(key=lambda fragment: noise(f"{seed} {fragment.offset}", 4))
    end = DtlsEndpoint()
    assert [end.add_fragment(fragment, 0.0) for fragment in parts] == [None] * (len(parts) - 1) + [HELLO]
    assert end.add_fragment(parts[0], 1.0) == HELLO


def test_parts_that_overlap_and_agree_make_the_whole() -> None:
    end = DtlsEndpoint()
    assert end.add_fragment(part(0, 100), 0.0) is None
    assert end.add_fragment(part(50, 150), 0.0) is None
    assert end.add_fragment(part(40, 60), 0.0) is None
    assert end.add_fragment(part(140, len(BODY)), 0.0) == HELLO


def test_merging_leaves_no_overlap() -> None:
    assert merge({0: b"abc", 2: b"cde", 9: b"x", 3: b"d"}) == {0: b"abcde", 9: b"x"}
    assert merge({4: b"ef", 0: b"abcd"}) == {0: b"abcdef"}
    assert merge({}) == {}


def test_what_contradicts_is_refused_for_a_while() -> None:
    end = DtlsEndpoint()
    end.add_fragment(part(0, 100, noise("forged", len(BODY))), 0.0)
    with pytest.raises(Rejected, match="conflicting"):
        end.add_fragment(part(50, 150), CONFLICT_SECONDS)
    with pytest.raises(Rejected, match="conflicting"):
        end.add_fragment(Fragment(CLIENT_HELLO, 0, len(BODY) + 1, 200, b"x"), CONFLICT_SECONDS)
    assert end.add_fragment(part(0, len(BODY)), CONFLICT_SECONDS + 0.1) == HELLO


def test_a_whole_hello_may_be_followed_by_another_of_its_number() -> None:
    end, other = DtlsEndpoint(), client_hello((SUITE_12,), padding=201)
    assert end.add_fragment(part(0, len(BODY)), 0.0) == HELLO
    assert end.add_fragment(part(0, 50, other), 0.0) is None
    assert end.add_fragment(part(50, len(other), other), 0.0) == parse_client_hello(other) != HELLO


@pytest.mark.parametrize(
    ("length", "reason"), [(MAX_HELLO + 1, "too long"), (0xFFFFFF, "too long"), (0, "too long")]
)
def test_lengths_that_no_hello_has(length: int, reason: str) -> None:
    end = DtlsEndpoint()
    with pytest.raises(Rejected, match=reason):
        end.add_fragment(Fragment(CLIENT_HELLO, 0, length, 0, b""), 0.0)
    assert end.buffered == 0


def test_fragments_and_assemblies_are_few() -> None:
    end = DtlsEndpoint()
    body = noise("body", 1000)
    for number in range(MAX_FRAGMENTS):
        end.add_fragment(part(10 * number, 10 * number + 5, body), 0.0)
    with pytest.raises(Rejected, match="too many fragments"):
        end.add_fragment(part(500, 505, body), 0.0)
    end.add_fragment(part(5, 10, body), 0.0)
    end.add_fragment(part(500, 505, body), 0.0)
    for number in range(100):
        end.add_fragment(part(0, 700, body, number), float(number))
        assert len(end._assemblies) <= MAX_ASSEMBLIES
        assert end.buffered <= MAX_BUFFERED


def test_the_oldest_goes_first() -> None:
    end = DtlsEndpoint()
    for number in range(MAX_ASSEMBLIES + 1):
        end.add_fragment(part(0, 50, number=number), 0.0)
    assert end.add_fragment(part(50, len(BODY), number=1), 0.0) == HELLO
    assert end.add_fragment(part(50, len(BODY), number=0), 0.0) is None


def test_a_whole_hello_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []

    def parse(body: bytes) -> ClientHello:
        parsed.append(body)
        return parse_client_hello(body)

    monkeypatch.setitem(HELLOS, CLIENT_HELLO, parse)
    end = DtlsEndpoint()
    assert end.add_fragment(part(0, len(BODY)), 0.0) == HELLO
    assert [end.add_fragment(part(at, at + 1), 0.0) for at in range(100)] == [HELLO] * 100
    assert parsed == [BODY]


def test_what_is_wrong_with_a_hello_is_said_each_time() -> None:
    end, body = DtlsEndpoint(), b"no hello"
    for start in (0, 0, 3):
        with pytest.raises(WireError):
            end.add_fragment(part(start, len(body), body), 0.0)


def test_headers_count_as_said() -> None:
    end = DtlsEndpoint()
    for _ in range(int(CLEAR_BURST) // (FRAGMENT.size + 1)):
        end.add_fragment(part(0, 1), 0.0)
    with pytest.raises(Rejected, match="too much in clear"):
        end.add_fragment(part(0, 1), 0.0)


def test_what_is_said_in_clear_is_bounded_and_comes_back() -> None:
    end = DtlsEndpoint()
    certificate = Fragment(11, 0, 10_000, 0, bytes(1000 - FRAGMENT.size))
    for _ in range(int(CLEAR_BURST) // 1000):
        assert end.add_fragment(certificate, 0.0) is None
    with pytest.raises(Rejected, match="too much in clear"):
        end.add_fragment(certificate, 0.0)
    assert end.add_fragment(certificate, 2.0) is None


OFFER = ClientHello(frozenset((SUITE_12, SUITE_13)), frozenset((1, 7)))
NO_SRTP = OFFER._replace(profiles=None)
NULL_OFFERED = OFFER._replace(profiles=frozenset((5, 7)))


@pytest.mark.parametrize(
    ("offer", "choice", "agreement"),
    [
        (OFFER, ServerHello(SUITE_13, True, None, False), Agreement(unified=True, srtp=True)),
        (NO_SRTP, ServerHello(SUITE_13, True, None, False), Agreement(unified=True, srtp=False)),
        (OFFER, ServerHello(SUITE_12, False, 7, False), Agreement(unified=False, srtp=True)),
        (OFFER, ServerHello(SUITE_12, False, None, False), Agreement(unified=False, srtp=False)),
        (NULL_OFFERED, ServerHello(SUITE_12, False, 7, False), Agreement(unified=False, srtp=True)),
        (OFFER, ServerHello(SUITE_13, True, None, True), None),
        (None, ServerHello(SUITE_13, True, None, False), None),
        (None, ServerHello(NULL_SUITE, False, None, False), "cipher suite"),
        (OFFER, ServerHello(NULL_SUITE, False, None, False), "cipher suite"),
        (OFFER, ServerHello(SUITE_13, False, None, False), "cipher suite"),
        (OFFER, ServerHello(SUITE_12, True, None, False), "cipher suite"),
        (OFFER, ServerHello(0x1302, True, None, False), "cipher suite"),
        (OFFER, ServerHello(SUITE_12, False, 5, False), "srtp profile"),
        (OFFER, ServerHello(SUITE_12, False, 8, False), "srtp profile"),
        (NO_SRTP, ServerHello(SUITE_12, False, 7, False), "srtp profile"),
        (NULL_OFFERED, ServerHello(SUITE_13, True, None, False), "srtp profile"),
    ],
)
def test_agreements(
    offer: ClientHello | None, choice: ServerHello, agreement: Agreement | str | None
) -> None:
    if isinstance(agreement, str):
        with pytest.raises(Unencrypted, match=agreement):
            agree(offer, choice)
    else:
        assert agree(offer, choice) == agreement


def test_what_another_process_has_heard_may_be_acknowledged_and_chosen_from() -> None:
    handshake, answer = Handshake(), server_hello()
    assert handshake.add_offer(0, HELLO) is None
    assert (handshake.may_acknowledge(0), handshake.may_acknowledge(1)) == (False, True)
    choice = part(0, len(answer), answer, kind=SERVER_HELLO)
    assert handshake.receive_fragment(1, choice, 0.0) == Agreement(unified=True, srtp=True)
    with pytest.raises(Unencrypted):
        handshake.add_offer(0, NULL_OFFERED)


def test_only_the_other_end_can_take_an_offer() -> None:
    handshake, answer = Handshake(), server_hello()
    choice = part(0, len(answer), answer, kind=SERVER_HELLO)
    assert not handshake.may_acknowledge(1)
    assert handshake.receive_fragment(0, part(0, 50), 0.0) is None
    assert (handshake.may_acknowledge(0), handshake.may_acknowledge(1)) == (False, True)
    assert handshake.receive_fragment(0, part(50, len(BODY)), 0.0) is None
    assert (handshake.has_offer_for(0), handshake.has_offer_for(1)) == (False, True)
    assert handshake.receive_fragment(0, choice, 0.0) is None
    assert handshake.receive_fragment(1, choice, 0.0) == Agreement(unified=True, srtp=True)
