"""The table of countries is whole and well-formed."""

from __future__ import annotations

import re

import pytest

from host.countries import CODES, TABLE, parse_country


def test_the_table() -> None:
    assert len(CODES) == len(TABLE.split()) == 249 + 1
    assert all(re.fullmatch("[a-z]{2}", code) for code in CODES)
    assert {"de", "gb", "xk"} <= CODES


def test_what_is_no_country() -> None:
    assert not {"eu", "ap", "a1", "zz", "??", "uk", "t1"} & CODES


@pytest.mark.parametrize("written", ["de", "DE", "De"])
def test_a_code_that_is_written(written: str) -> None:
    assert parse_country(written) == "de"


@pytest.mark.parametrize("written", ["uk", "Germany", "", 49, None, "d" * 999])
def test_what_stands_for_no_country(written: object) -> None:
    with pytest.raises(ValueError, match="is no country; write the two letters") as refused:
        parse_country(written)
    assert len(str(refused.value)) < 200
