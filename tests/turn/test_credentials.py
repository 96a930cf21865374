"""Time-limited credentials: what is minted is checked, until its time is over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turn.credentials import MintedCredential, expiry_of, is_live, mint, password_for, passwords_for, user_of

SECRETS = (b"an old secret of ours", b"a new secret of ours")


def test_a_known_credential() -> None:
    """Computed with: printf '1800000000:c.7f3a' | openssl dgst -sha1 -hmac 'north wind' -binary | base64"""
    assert mint(b"north wind", "c.7f3a", 1_800_000_000) == MintedCredential(
        "1800000000:c.7f3a", "0RCygsPUXwkh676bmj4NolEpVC4="
    )


@given(st.text(max_size=40), st.integers(0, 10**12 - 1), st.binary(min_size=16, max_size=64))
def test_what_is_minted_is_checked(user: str, expires: int, secret: bytes) -> None:
    username, password = mint(secret, user, expires)
    assert password_for(username, secret) == password
    assert (user_of(username), expiry_of(username)) == (user, expires)
    assert is_live(username, expires - 1)
    assert not is_live(username, expires)


def test_two_secrets_are_good_while_one_replaces_the_other() -> None:
    old, new = (mint(secret, "visitor", 1_800_000_000) for secret in SECRETS)
    assert passwords_for(old.username, SECRETS) == (old.password, new.password)
    assert old.password != new.password


@pytest.mark.parametrize(
    ("username", "user", "expires"),
    [
        ("1800000000:anna", "anna", 1_800_000_000),
        ("1800000000:a:b", "a:b", 1_800_000_000),
        ("1800000000:", "", 1_800_000_000),
        ("1800000000", "1800000000", 1_800_000_000),
        ("anna", "anna", None),
        ("anna:1800000000", "1800000000", None),
        (":anna", "anna", None),
        ("", "", None),
        ("-5:anna", "anna", None),
        ("18_00:anna", "anna", None),
        (" 1800000000:anna", "anna", None),
        ("1.8e9:anna", "anna", None),
        ("\u0661\u0662:anna", "anna", None),  # digits, but not ours
        ("9" * 13 + ":anna", "anna", None),
        ("9" * 5000 + ":anna", "anna", None),
    ],
)
def test_user_and_expiry_of_a_name(username: str, user: str, expires: int | None) -> None:
    assert user_of(username) == user
    assert expiry_of(username) == expires
    assert is_live(username, 0.0) is (expires is not None)
