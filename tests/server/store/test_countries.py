"""The table of countries is whole and well-formed."""

from __future__ import annotations

import re

from server.store.countries import CODES, TABLE


def test_the_table() -> None:
    assert len(CODES) == len(TABLE.split()) == 249 + 1
    assert all(re.fullmatch("[a-z]{2}", code) for code in CODES)
    assert {"de", "gb", "xk"} <= CODES


def test_what_is_no_country() -> None:
    assert not {"eu", "ap", "a1", "zz", "??", "uk", "t1"} & CODES
