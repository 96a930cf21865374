"""How the same name or password is written by different clients."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turn.wire.preparation import forms, is_plain, opaque_string, sasl_prepared

PREPARED = [
    ("plain words", "plain words"),
    ("I\u00adX", "IX"),  # the examples of RFC 4013 §3
    ("user", "user"),
    ("USER", "USER"),
    ("\u00aa", "a"),
    ("\u2168", "IX"),
    ("a\u00a0b", "a b"),
    ("\u0627\u0628", "\u0627\u0628"),
]
REFUSED = ["\u0007", "\u06271", "a\u0627", "\ue000", "\u200e", "\ufffd", "\U0010ffff", "\u0221"]


@pytest.mark.parametrize(("text", "prepared"), PREPARED)
def test_words_are_prepared(text: str, prepared: str) -> None:
    assert sasl_prepared(text) == prepared


@pytest.mark.parametrize("text", REFUSED)
def test_some_characters_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"in a name or password|left-to-right"):
        sasl_prepared(text)


FORMS = [  # as typed, as RFC 8265, as RFC 4013 has it
    ("plain words", "plain words", "plain words"),
    ("\u00bd cup of tea\u2026", "\u00bd cup of tea\u2026", "1\u20442 cup of tea..."),
    ("pa\u0308ssword", "p\u00e4ssword", "p\u00e4ssword"),
    ("no\u00a0break", "no break", "no break"),
    ("Linie\u2122", "Linie\u2122", "LinieTM"),
    ("soft\u00adhyphen", "soft\u00adhyphen", "softhyphen"),
    ("\u1680ogham", " ogham", " ogham"),
]


@pytest.mark.parametrize(("typed", "opaque", "prepared"), FORMS)
def test_each_form_counts_once_and_as_typed_first(typed: str, opaque: str, prepared: str) -> None:
    assert (opaque_string(typed), sasl_prepared(typed)) == (opaque, prepared)
    assert forms(typed) == tuple(dict.fromkeys(((typed,), (opaque,), (prepared,))))


def test_all_texts_are_written_in_one_way() -> None:
    assert forms("\u2122", "no\u00a0break") == (
        ("\u2122", "no\u00a0break"),
        ("\u2122", "no break"),
        ("TM", "no break"),
    )
    assert forms("\u2122", "\ue000") == (("\u2122", "\ue000"),)  # nobody may prepare the second


@given(st.text(), st.text())
def test_as_typed_is_always_right_and_no_form_comes_twice(one: str, other: str) -> None:
    found = forms(one, other)
    assert found[0] == (one, other)
    assert len(set(found)) == len(found) <= 3
    if is_plain(one):
        assert forms(one) == ((one,),)
    assert all(opaque_string(text) == unicodedata.normalize("NFC", opaque_string(text)) for text in found[0])
