"""Tokens of other programs, as tables: which may be one, which are right, and what a header says."""

from __future__ import annotations

import pytest

from server.web.tokens import LONGEST, SHORTEST, Tokens, check_token, sent_token

ONE, OTHER = "canary-of-one.app~1", "canary/of/another+app=="
TOKENS = Tokens((ONE, OTHER))


@pytest.mark.parametrize(
    ("token", "right"),
    [
        (ONE, True),
        (OTHER, True),
        (ONE[:-1], False),
        (f"{ONE}x", False),
        (ONE.upper(), False),
        (f"{ONE}\n{OTHER}", False),
        ("", False),
        ("\xff" * 20, False),
        ("\ud800", False),
        ("x" * 65_536, False),
    ],
)
def test_which_are_right(token: str, right: bool) -> None:
    assert TOKENS.include(token) is right


def test_without_a_token_nothing_is_right() -> None:
    assert not Tokens(()).include("")


@pytest.mark.parametrize("length", [SHORTEST, LONGEST])
def test_lengths(length: int) -> None:
    assert check_token("a" * length) == "a" * length


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("", "from 16 to 200 characters"),
        ("canary" * 2, "from 16 to 200 characters"),
        ("canary" * 40, "from 16 to 200 characters"),
        ("canary with spaces in it", "only letters, digits"),
        ("canary=in=the=middle", "only letters, digits"),
        ("canary über alles im Land", "only letters, digits"),
        ("canary-canary-canary\x00", "only letters, digits"),
    ],
)
def test_what_is_no_token_is_refused_without_naming_it(token: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refusal:
        check_token(token)
    assert "canary" not in str(refusal.value)


@pytest.mark.parametrize(
    ("values", "token"),
    [
        ([b"Bearer abc"], "abc"),
        ([b"bearer abc"], "abc"),
        ([b"BEARER  abc "], "abc"),
        ([b"Basic abc"], ""),
        ([b"Bearer"], ""),
        ([b"abc"], ""),
        ([b""], ""),
        ([], ""),
        ([b"Bearer abc", b"Bearer abc"], ""),
    ],
)
def test_headers(values: list[bytes], token: str) -> None:
    assert sent_token({"headers": [(b"authorization", value) for value in values]}) == token


def test_no_token_shows() -> None:
    assert not any(token in repr((TOKENS, TOKENS.digests)) for token in (ONE, OTHER))
