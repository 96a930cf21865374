"""RFC 3489's requests as its clients write them, and the answer's bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turn.flows import Address
from turn.wire.classic import classic_success, parse_classic
from turn.wire.stun import WireError

TRANSACTION = bytes(range(16))
ADDRESSES = [Address.of("8.8.8.8", 40000), Address.of("192.0.2.1", 3478), Address.of("192.0.2.2", 3479)]


@pytest.mark.parametrize(
    ("head", "body", "change"),
    [("00010000", "", 0), ("00010008", "0003000400000000", 0), ("00010008", "0003000400000006", 6)],
)
def test_what_is_to_be_changed(head: str, body: str, change: int) -> None:
    assert parse_classic(bytes.fromhex(head) + TRANSACTION + bytes.fromhex(body)) == change


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("00010004", ""),
        ("00010000", "00000000"),
        ("00020000", ""),
        ("01010000", ""),
        ("00030000", ""),
        ("80010000", ""),
        ("00010008", "0003000800000000"),
        ("00010004", "00030000"),
        ("0001000c", "0002000800010d9609090909"),
        ("00010008", "0006000461616161"),
    ],
)
def test_what_is_not_answered(head: str, body: str) -> None:
    with pytest.raises(WireError):
        parse_classic(bytes.fromhex(head) + TRANSACTION + bytes.fromhex(body))


@given(st.binary(max_size=80))
def test_bytes_never_raise_anything_else(data: bytes) -> None:
    try:
        assert 0 <= parse_classic(data) < 2**32
    except WireError:
        assert not data.startswith(bytes.fromhex("00010000")) or len(data) != 20


@pytest.mark.parametrize("count", [2, 3])
def test_an_answer(count: int) -> None:
    mapped, source, changed = ADDRESSES
    reply = classic_success(bytes(4) + TRANSACTION, mapped, source, changed if count == 3 else None)
    rows = ["00010008 00019c40 08080808", "00040008 00010d96 c0000201", "00050008 00010d97 c0000202"][:count]
    assert reply == b"\1\1" + (12 * count).to_bytes(2, "big") + TRANSACTION + bytes.fromhex("".join(rows))
