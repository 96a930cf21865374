"""The table of countries is whole and well-formed."""

from __future__ import annotations

import re

from server.store.countries import BY_NAME, NAMES


def test_the_table() -> None:
    assert len(NAMES) == 249 + 1
    assert all(re.fullmatch("[a-z]{2}", code) and name == name.strip() and name for code, name in BY_NAME)
    assert len(set(NAMES.values())) == len(NAMES)
    assert (NAMES["de"], NAMES["gb"], NAMES["xk"]) == ("Germany", "United Kingdom", "Kosovo")
    assert [code for code, _ in BY_NAME[:3]] == ["af", "ax", "al"]


def test_what_is_no_country() -> None:
    assert not {"eu", "ap", "a1", "zz", "??", "uk", "t1"} & set(NAMES)
