"""Nonces: for one client, for ten minutes, and not to be guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turn.core.nonce import NONCE_BYTES, Nonces
from turn.flows import Address

CLIENT = Address.of("8.8.8.8", 40000)
OTHERS = [
    Address.of("8.8.8.9", 40000),
    Address.of("8.8.8.8", 40001),
    Address.of("8.8.8.8", 40000, "tcp"),
    Address.of("2001:4860::1", 40000),
]


@pytest.mark.parametrize("client", [CLIENT, *OTHERS])
def test_a_nonce_is_good_for_ten_minutes(client: Address) -> None:
    nonces = Nonces(b"key")
    nonce = nonces.make(client, 1000.5)
    assert len(nonce) == NONCE_BYTES
    assert [nonces.accepts(nonce, client, now) for now in (1000.5, 1600.9, 1601.0, 999.0)] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("other", OTHERS)
def test_a_nonce_is_for_one_client(other: Address) -> None:
    nonces = Nonces(b"key")
    assert not nonces.accepts(nonces.make(CLIENT, 5.0), other, 5.0)


def test_a_nonce_of_another_start_is_not_ours() -> None:
    assert not Nonces(b"new key").accepts(Nonces(b"old key").make(CLIENT, 5.0), CLIENT, 5.0)


@given(st.binary(max_size=40), st.integers(0, NONCE_BYTES - 1), st.integers(0, 255))
def test_no_other_bytes_are_a_nonce(noise: bytes, at: int, byte: int) -> None:
    nonces = Nonces(b"key")
    nonce = nonces.make(CLIENT, 5.0)
    changed = nonce[:at] + bytes((byte,)) + nonce[at + 1 :]
    assert nonces.accepts(changed, CLIENT, 5.0) is (changed == nonce)
    assert not nonces.accepts(noise, CLIENT, 5.0)
