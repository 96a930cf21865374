"""The strict walk, and the bytes of what we answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aioice import stun as aioice
from hypothesis import example, given
from hypothesis import strategies as st

from tests.turn.wire.values import ADDRESSES, replaced
from turn.flows import Address
from turn.wire.attributes import (
    DATA,
    ERROR_CODE,
    FINGERPRINT,
    LIFETIME,
    MESSAGE_INTEGRITY_SHA256,
    NONCE,
    PASSWORD_ALGORITHMS,
    REALM,
    TABLE,
    UNKNOWN_ATTRIBUTES,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    XOR_PEER_ADDRESS,
)
from turn.wire.integrity import OFFERED, add_fingerprint, sign, sign_sha256
from turn.wire.stun import (
    MAX_ATTRIBUTES,
    Challenge,
    WireError,
    binding_success,
    build,
    channel_data,
    data_indication,
    is_bare_binding,
    parse,
    parse_channel_data,
    parse_send,
)

TRANSACTION = bytes(range(12))
TRANSACTIONS = st.binary(min_size=12, max_size=12)
FRAMES = yaml.safe_load((Path(__file__).parents[1] / "data" / "frames.yaml").read_text())
PLAIN = st.sampled_from([row for row in TABLE.values() if row.type not in (0x0008, 0x001C, FINGERPRINT.type)])


@pytest.mark.parametrize("row", FRAMES["dropped"], ids=lambda row: row["title"])
def test_no_message(row: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        parse(bytes.fromhex(row["bytes"]))


@pytest.mark.parametrize("row", FRAMES["read"], ids=lambda row: row["title"])
def test_a_message(row: dict[str, Any]) -> None:
    message = parse(bytes.fromhex(row["bytes"]))
    assert message.type == row["type"]
    assert [kind for kind, _ in message.attributes] == row["attributes"]


@given(st.binary(max_size=1500))
@example(b"\x00\x01\xff\xfc\x21\x12\xa4\x42" + bytes(12))
def test_bytes_never_raise_anything_else(data: bytes) -> None:
    assert reads(parse, data) in (True, False)
    assert reads(parse_channel_data, data) in (True, False)
    assert parse_send(data) is None or reads(parse, data)


def reads(function: Callable[[bytes], object], data: bytes) -> bool:
    """Whether it is a message; whatever else is raised fails the test."""
    try:
        function(data)
    except WireError:
        return False
    return True


@given(st.data(), TRANSACTIONS)
def test_changed_bytes_never_raise_anything_else(data: st.DataObject, transaction: bytes) -> None:
    pairs: list[tuple[Any, Any]] = [
        (XOR_PEER_ADDRESS, Address.of("9.9.9.9", 5)),
        (DATA, b"word"),
        (LIFETIME, 600),
    ]
    message = bytearray(build(3, transaction, pairs, b"key", fingerprint=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 6))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(message[: data.draw(st.integers(0, len(message)))])
    for candidate in (bytes(message), cut):
        assert reads(parse, candidate) in (True, False)
        assert not reads(parse, candidate) or parse(candidate).verify(b"other key") is False


@given(
    st.integers(0, 0x3FFF),
    TRANSACTIONS,
    st.lists(st.tuples(PLAIN, st.binary(max_size=50)), max_size=MAX_ATTRIBUTES - 2),
    st.booleans(),
    st.booleans(),
)
def test_parse_reads_what_build_wrote(
    kind: int, transaction: bytes, pairs: list[tuple[Any, bytes]], signed: bool, marked: bool
) -> None:
    raw = [(replaced(row), value) for row, value in pairs]
    message = parse(build(kind, transaction, raw, b"key" if signed else None, fingerprint=marked))
    assert (message.type, message.transaction) == (kind, transaction)
    assert list(message.attributes) == [(row.type, value) for row, value in pairs]
    assert (message.verify(b"key"), message.fingerprint) == (signed, marked)


def test_the_first_of_its_kind_counts() -> None:
    message = parse(build(3, TRANSACTION, [(USERNAME, "first"), (USERNAME, "second")]))
    assert message.get(USERNAME) == "first"
    assert message.each(USERNAME) == ["first", "second"]


@pytest.mark.parametrize("sha256", [False, True])
def test_what_follows_the_integrity_is_ignored(sha256: bool) -> None:
    signed = build(3, TRANSACTION, [(USERNAME, "alice")], b"key", sha256=sha256)
    for row in TABLE.values():
        if row in (FINGERPRINT, MESSAGE_INTEGRITY_SHA256):
            continue
        longer = signed + row.type.to_bytes(2, "big") + b"\0\4" + bytes(4)
        message = parse(longer[:2] + (len(longer) - 20).to_bytes(2, "big") + longer[4:])
        assert message.attributes == ((USERNAME.type, b"alice"),)
        assert (message.verify_sha256 if sha256 else message.verify)(b"key")


def test_the_stronger_integrity_may_follow_the_other() -> None:
    """And where it comes first, the other is ignored with all that follows (RFC 8489 §14.5, §14.6)."""
    plain = build(3, TRANSACTION, [(USERNAME, "alice")])
    both = parse(add_fingerprint(sign_sha256(sign(plain, b"key"), b"key")))
    assert (both.verify(b"key"), both.verify_sha256(b"key"), both.fingerprint) == (True, True, True)
    turned = parse(sign(sign_sha256(plain, b"key"), b"key"))
    assert (turned.verify(b"key"), turned.verify_sha256(b"key")) == (False, True)


@pytest.mark.parametrize("size", [0, 16, 20, 28, 33, 36])
def test_the_stronger_integrity_has_one_size(size: int) -> None:
    message = build(3, TRANSACTION, [(MESSAGE_INTEGRITY_SHA256, bytes(size))])
    with pytest.raises(WireError):
        parse(message)


def test_only_required_types_can_be_unknown() -> None:
    body = b"".join(kind.to_bytes(2, "big") + b"\0\0" for kind in (0x7FFF, 0xFFFE, 0x0006, 0x8000))
    message = parse(b"\0\1" + len(body).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + TRANSACTION + body)
    assert message.unknown(frozenset((USERNAME.type,))) == (0x7FFF,)


@given(TRANSACTIONS, ADDRESSES)
def test_a_binding_success_holds_one_address(transaction: bytes, client: Address) -> None:
    reply = binding_success(transaction, client)
    assert len(reply) == (32 if len(client.ip) == 4 else 44)
    assert reply == build(0x0101, transaction, [(XOR_MAPPED_ADDRESS, client)])


def test_a_bare_binding_request() -> None:
    assert is_bare_binding(build(1, TRANSACTION, []))
    assert not is_bare_binding(build(1, TRANSACTION, [], fingerprint=True))
    assert not is_bare_binding(build(3, TRANSACTION, []))


@pytest.mark.parametrize(("code", "marked", "size"), [(401, False, 56), (438, False, 56), (401, True, 64)])
def test_a_challenge(code: int, marked: bool, size: int) -> None:
    reply = Challenge("call").build(3, TRANSACTION, code, b"n" * 16, fingerprint=marked)
    assert len(reply) == size
    pairs: list[tuple[Any, Any]] = [(ERROR_CODE, code), (REALM, "call"), (NONCE, b"n" * 16)]
    assert reply == build(0x0113, TRANSACTION, pairs, fingerprint=marked)


def test_a_challenge_that_offers_algorithms() -> None:
    reply = Challenge("call", OFFERED).build(3, TRANSACTION, 401, b"n" * 29)
    assert len(reply) == 84
    pairs: list[tuple[Any, Any]] = [(ERROR_CODE, 401), (REALM, "call"), (NONCE, b"n" * 29)]
    assert reply == build(0x0113, TRANSACTION, [*pairs, (PASSWORD_ALGORITHMS, OFFERED)])


def test_padding_is_zero() -> None:
    reply = build(0x0111, TRANSACTION, [(ERROR_CODE, 420), (UNKNOWN_ATTRIBUTES, (1, 2, 3)), (REALM, "x")])
    assert reply.endswith(b"\0\1\0\2\0\3\0\0" + b"\0\x14\0\1x\0\0\0")


@given(TRANSACTIONS, ADDRESSES, st.binary(max_size=1400), st.booleans(), st.booleans())
def test_a_send_indication_is_read_alike_by_hand_and_by_the_walk(
    transaction: bytes, peer: Address, payload: bytes, marked: bool, turned: bool
) -> None:
    pairs: list[tuple[Any, Any]] = [(XOR_PEER_ADDRESS, peer), (DATA, payload)]
    data = build(0x0016, transaction, pairs[::-1] if turned else pairs, fingerprint=marked)
    walked = parse(data)
    assert (walked.get(XOR_PEER_ADDRESS), walked.get(DATA)) == (peer, payload)
    by_hand = parse_send(data)
    assert by_hand == (None if turned or len(peer.ip) == 16 else (peer, payload))


@given(TRANSACTIONS, ADDRESSES, st.binary(max_size=1400))
def test_a_data_indication_is_what_aioice_reads(transaction: bytes, peer: Address, payload: bytes) -> None:
    data = data_indication(transaction, peer, payload)
    assert data == build(0x0017, transaction, [(XOR_PEER_ADDRESS, peer), (DATA, payload)])
    theirs = aioice.parse_message(data)
    assert theirs.message_method is aioice.Method.DATA
    assert theirs.attributes == {"XOR-PEER-ADDRESS": (peer.host, peer.port), "DATA": payload}


@given(st.integers(0x4000, 0x7FFE), st.binary(max_size=1400), st.integers(0, 3))
def test_channel_data_is_read_as_it_was_written(number: int, payload: bytes, padding: int) -> None:
    assert parse_channel_data(channel_data(number, payload) + bytes(padding)) == (number, payload)


@pytest.mark.parametrize(
    "data", ["", "4000", "400000", "40000001", "7fff0000", "3fff0000", "4000000000000000", "40008ab6 010203"]
)
def test_no_channel_data(data: str) -> None:
    with pytest.raises(WireError):
        parse_channel_data(bytes.fromhex(data))
