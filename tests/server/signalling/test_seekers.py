"""Who accepts a seeker by its country finds it in the index."""

from __future__ import annotations

import pytest

from server.signalling.seekers import ANYBODY, Seeker, index_keys


def seeker(country: str | None, want: str) -> Seeker:
    return Seeker("v", "t", country, frozenset(want.split()), 1)


@pytest.mark.parametrize(
    ("country", "want", "keys"),
    [
        (None, "", {(0, ANYBODY, ANYBODY)}),
        ("de", "", {(0, ANYBODY, ANYBODY), (0, "de", ANYBODY)}),
        (None, "fr", {(0, ANYBODY, "fr")}),
        ("de", "fr it", {(0, ANYBODY, "fr"), (0, "de", "fr"), (0, ANYBODY, "it"), (0, "de", "it")}),
    ],
)
def test_where_it_stands(country: str | None, want: str, keys: set[tuple[int, str, str]]) -> None:
    assert {*index_keys(seeker(country, want))} == keys


def test_its_household_is_the_first_of_its_networks() -> None:
    assert seeker("de", "").household is None
    assert Seeker("v", "t", None, frozenset(), 1, ((b"narrow", 1), (b"wide", 2))).household == b"narrow"
