"""Names of countries are those of CLDR, sorted as a reader of the language expects."""

from __future__ import annotations

import pytest

from host.countries import CODES
from server.languages.countries import country_names
from server.languages.known import known


@pytest.mark.parametrize("language", known())
def test_every_country_has_a_name_of_its_own(language: str) -> None:
    names = country_names(language, CODES)
    assert {code for code, _ in names} == CODES
    assert len({name for _, name in names}) == len(names)
    assert not [name for code, name in names if name.lower() == code]


@pytest.mark.parametrize(
    ("language", "codes", "ordered"),
    [
        ("en", "zw ax al af", ["Afghanistan", "Åland Islands", "Albania", "Zimbabwe"]),
        ("de", "at ag eg de", ["Ägypten", "Antigua und Barbuda", "Deutschland", "Österreich"]),
        ("es", "ni ng ne nz", ["Nicaragua", "Níger", "Nigeria", "Nueva Zelanda"]),
        (
            "tr",
            "cl td gi lb ie iq lu",
            [
                "Cebelitar\N{LATIN SMALL LETTER DOTLESS I}k",
                "Çad",
                "Irak",
                "İrlanda",
                "Lübnan",
                "Lüksemburg",
                "Şili",
            ],
        ),
        ("pl", "lt lv ly", ["Libia", "Litwa", "Łotwa"]),
        ("uk", "us ie is it ua ye", ["Ємен", "Ірландія", "Ісландія", "Італія", "Сполучені Штати", "Україна"]),
        ("zh", "cn de us jp", ["德国", "美国", "日本", "中国"]),
        ("ja", "it de jp fr", ["イタリア", "ドイツ", "フランス", "日本"]),
    ],
)
def test_order(language: str, codes: str, ordered: list[str]) -> None:
    assert [name for _, name in country_names(language, codes.split())] == ordered
