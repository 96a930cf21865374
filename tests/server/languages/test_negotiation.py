"""A browser gets the language that it wants most, and no header can break or hold up the choice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.languages.negotiation import MAX_RANGES, choose, preferred

OFFERED = ("en", "de", "fr", "he", "zh", "pt-BR", "pt")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "en"),
        ("de", "de"),
        ("DE-at", "de"),
        ("nl, fr;q=0.5, de;q=0.8", "de"),
        ("fr;q=0.8,de;q=0.8", "fr"),
        ("de;q=0, fr;q=0.001", "fr"),
        ("de ; q=0.1 ,\tfr; Q=1.000", "fr"),
        ("iw-IL", "he"),
        ("zh-Hant-TW", "zh"),
        ("pt-br", "pt-BR"),
        ("pt-PT", "pt"),
        ("*", "en"),
        ("nl,*;q=0.1", "en"),
        ("de;q=2, fr;q=0.1", "fr"),
        ("de;q=0.1234, fr;q=0.1", "fr"),
        ("de_AT, ../de, d\u00e9, <b>, fr", "fr"),
        ("abcdefghi, de", "de"),
        ("nl," * MAX_RANGES + "de", "en"),
        (" " * 1000 + "de", "en"),
    ],
)
def test_accept_language(header: str, code: str) -> None:
    assert choose(OFFERED, accepted=header) == code


def test_what_is_asked_for_comes_before_what_was_kept_and_what_is_preferred() -> None:
    assert choose(OFFERED, "fr", "he", accepted="de") == "fr"
    assert choose(OFFERED, None, "he", accepted="de") == "he"
    assert choose(OFFERED, "xx", "../en", accepted="de") == "de"
    assert choose(OFFERED, None, None, accepted=None) == "en"
    assert choose(("fr",), "de", "de", accepted="de") == "fr"


@given(st.text(alphabet=st.sampled_from("deDE-;q=01.,* \t\x00é"), max_size=3000))
def test_any_header_gives_an_offered_language(header: str) -> None:
    assert choose(OFFERED, accepted=header) in OFFERED
    assert len(preferred(header)) <= MAX_RANGES
