"""Values of the `turn:` section by themselves."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from turn.config.values import External, check_characters, check_secret, is_public
from turn.flows import Address


@pytest.mark.parametrize("secret", ["0123456789abcdef", "sécret of forty bytes"])
def test_secret_that_is_long_enough(secret: str) -> None:
    check_secret(secret)


@pytest.mark.parametrize("secret", ["0123456789abcde", "CHANGEME0123456789", "secret0123456789abcdef"])
def test_secret_that_is_not(secret: str) -> None:
    with pytest.raises(ValueError, match="make one with"):
        check_secret(secret)


@pytest.mark.parametrize("text", ["call", "with spaces", "prüfung", "秘密"])
def test_characters_that_every_client_writes_alike(text: str) -> None:
    check_characters(text, "the realm")


@pytest.mark.parametrize("text", ["a\x01b", "a\nb", "\ue000"])
def test_characters_that_none_may_hold(text: str) -> None:
    with pytest.raises(ValueError, match="the realm contains"):
        check_characters(text, "the realm")


@pytest.mark.parametrize(
    ("value", "public"),
    [
        (External(None, None), True),
        (External(ip_address("8.8.8.8"), None), True),
        (External(ip_address("10.0.0.5"), None), False),
        (Address.of("8.8.8.8", 3478), True),
        (Address.of("127.0.0.1", 3478), False),
        (ip_address("2600::5"), True),
        (ip_address("fd00::5"), False),
    ],
)
def test_what_strangers_reach(value: External | Address, public: bool) -> None:
    assert is_public(value) is public
