"""The vectors of RFC 5769 and RFC 8489, and how names and passwords are prepared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.turn.wire.values import replaced
from turn.flows import Address
from turn.wire.attributes import (
    DATA,
    NONCE,
    PASSWORD_ALGORITHM,
    SOFTWARE,
    TABLE,
    USERHASH,
    USERNAME,
    XOR_MAPPED_ADDRESS,
)
from turn.wire.integrity import (
    OFFERED,
    add_fingerprint,
    has_fingerprint,
    long_term_key,
    long_term_keys,
    sign,
    sign_sha256,
    userhash,
    verify,
    verify_sha256,
)
from turn.wire.stun import build, parse

DATA_FILES = Path(__file__).parents[1] / "data"
VECTORS = yaml.safe_load((DATA_FILES / "rfc5769.yaml").read_text())
SHA256_VECTORS = yaml.safe_load((DATA_FILES / "rfc8489.yaml").read_text())


def key_of(row: dict[str, Any]) -> bytes:
    """The last one is that of a client that prepares all it sends, as the RFC's does."""
    if "realm" in row:
        return long_term_keys(row["username"], row["realm"], row["password"])[-1]
    return str(row["password"]).encode()


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["section"])
def test_vectors_of_rfc_5769(row: dict[str, Any]) -> None:
    data = bytes.fromhex(row["bytes"])
    message = parse(data)
    assert message.type == row["type"]
    assert message.verify(key_of(row))
    assert not message.verify(key_of(row) + b"x")
    assert message.fingerprint is row["fingerprint"]
    assert message.get(USERNAME) == row.get("username")
    assert message.get(SOFTWARE) == row.get("software")
    assert message.get(XOR_MAPPED_ADDRESS) == (Address.of(*row["mapped"]) if "mapped" in row else None)


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["section"])
def test_a_flipped_bit_anywhere_is_noticed(row: dict[str, Any]) -> None:
    data = bytes.fromhex(row["bytes"])
    integrity = parse(data).integrity
    covered = [at for at in range(integrity) if at not in (2, 3)]  # the length is set anew for the digest
    for at in covered:
        broken = data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
        assert not verify(broken, integrity, key_of(row))


@given(st.binary(min_size=1, max_size=64), st.binary(min_size=12, max_size=12))
def test_what_is_signed_and_marked_proves_itself(key: bytes, transaction: bytes) -> None:
    plain = build(1, transaction, [])
    signed = sign(plain, key)
    assert verify(signed, len(plain), key)
    assert not verify(signed, len(plain), key + b"\1")
    marked = add_fingerprint(signed)
    assert has_fingerprint(marked, len(signed))
    assert parse(marked).fingerprint


@pytest.mark.parametrize("row", SHA256_VECTORS, ids=lambda row: row["section"])
def test_vectors_of_rfc_8489(row: dict[str, Any]) -> None:
    data, algorithm = bytes.fromhex(row["bytes"]), bytes.fromhex(row["algorithm"])
    message = parse(data)
    key = long_term_keys(row["username"], row["realm"], row["password"], algorithm)[-1]
    assert message.verify_sha256(key)
    assert not message.verify_sha256(long_term_key(row["username"], row["realm"], row["password"]))
    assert not message.verify(key)
    assert message.raw(USERHASH) == userhash(row["username"], row["realm"]) == bytes.fromhex(row["userhash"])
    assert message.raw(NONCE) == row["nonce"].encode()
    assert message.raw(PASSWORD_ALGORITHM) == algorithm
    pairs = [(TABLE[kind], value) for kind, value in message.attributes]
    raw = [(replaced(row), value) for row, value in pairs]
    assert build(message.type, message.transaction, raw, key, sha256=True) == data


def test_md5_where_no_algorithm_or_md5_is_named() -> None:
    """Computed with: printf 'user:realm:pass' | openssl dgst -md5"""
    expected = bytes.fromhex("8493fbc53ba582fb4c044c456bdc40eb")
    assert [long_term_key("user", "realm", "pass", name) for name in (b"", b"\0\1\0\0")] == [expected] * 2
    assert bytes.fromhex("00020000 00010000") == OFFERED


@given(st.binary(min_size=1, max_size=64), st.binary(max_size=60))
def test_a_signature_with_sha256_covers_every_byte(key: bytes, noise: bytes) -> None:
    plain = build(1, bytes(12), [(DATA, noise)])
    signed = sign_sha256(plain, key)
    assert verify_sha256(signed, len(plain), key)
    for at in (0, len(plain) - 1, len(signed) - 1):
        broken = signed[:at] + bytes((signed[at] ^ 1,)) + signed[at + 1 :]
        assert not verify_sha256(broken, len(plain), key)
