"""Every catalog has every text, in a form that fits the page; `make words` brings them up to date."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from unicodedata import category

import pytest
from babel.messages.catalog import Catalog, Message

from server.languages.catalogs import read_catalog
from server.languages.extraction import texts
from server.languages.known import ENGLISH, FOLDER, known

CODES = [code for code in known() if code != ENGLISH]
PLACES = re.compile(r"%\(\w+\)s|\{\w+\}|</?[a-z][^>]*>")
BUTTONS = re.compile(r"\b(?:Start|Next)\b")
BRACKETS = ")}）"  # noqa: RUF001  they end a note, and are no punctuation of a sentence
LONGEST, ROOM = 1.7, 16  # times the English text, and characters more: above, buttons and lines break badly


@cache
def catalog(code: str) -> Catalog:
    return read_catalog(FOLDER / f"{code}.po")


def keys(catalog: Catalog) -> set[object]:
    return {message.id for message in catalog if message.id}


def pairs(code: str) -> Iterator[tuple[str, str, Message]]:
    """English text and translation, if there is one; of texts with a number, each form."""
    for message in catalog(code):
        if not message.id:
            continue
        english = message.id if isinstance(message.id, str) else message.id[-1]
        given = message.string if isinstance(message.string, tuple | list) else [message.string]
        yield from ((english, str(text), message) for text in given if text)


@pytest.mark.parametrize("code", CODES)
def test_it_has_exactly_the_texts_of_the_code(code: str) -> None:
    wanted, found = keys(texts()), keys(catalog(code))
    assert (sorted(map(str, wanted - found)), sorted(map(str, found - wanted))) == ([], []), "run make words"


@pytest.mark.parametrize("code", CODES)
def test_every_text_is_translated(code: str) -> None:
    missing = [
        message.id
        for message in catalog(code)
        if message.id and (message.fuzzy or not all(message.string or [""]))
    ]
    assert missing == []


@pytest.mark.parametrize("code", CODES)
def test_values_and_links_stand_in_the_translation(code: str) -> None:
    """A form for one or two things may say the number in a word."""
    for english, text, message in pairs(code):
        wanted, found = (sorted(PLACES.findall(one)) for one in (english, text))
        assert found == wanted or (message.pluralizable and set(found) <= set(wanted)), text


@pytest.mark.parametrize("code", CODES)
def test_no_text_is_too_long(code: str) -> None:
    wrong = [text for english, text, _ in pairs(code) if len(text) > LONGEST * len(english) + ROOM]
    assert wrong == []


@pytest.mark.parametrize("code", CODES)
def test_no_sign_breaks_the_markup(code: str) -> None:
    """Translations are put into HTML as they are, also into attributes."""
    wrong = [text for _, text, _ in pairs(code) if re.search(r"[\"&<>]", PLACES.sub("", text))]
    assert wrong == []


def ends_in_word(text: str) -> bool:
    return category(text.rstrip(BRACKETS)[-1])[0] in "LMN"  # a letter, a sign on one, or a number


@pytest.mark.parametrize("code", CODES)
def test_a_sentence_stays_a_sentence(code: str) -> None:
    wrong = [text for english, text, _ in pairs(code) if ends_in_word(english) != ends_in_word(text)]
    assert wrong == []


@pytest.mark.parametrize("code", CODES)
def test_what_a_text_calls_a_button_is_written_on_it(code: str) -> None:
    names = {name: str(message.string) for name in ("Start", "Next") if (message := catalog(code).get(name))}
    wrong = [
        text
        for english, text, _ in pairs(code)
        if english not in names
        for name in BUTTONS.findall(english)
        if names[name].casefold() not in text.casefold()
    ]
    assert wrong == []


@pytest.mark.parametrize("code", CODES)
def test_a_safety_code_has_as_many_names_and_words_as_in_english(code: str) -> None:
    """And no two alike: else two people read the same from different codes."""
    counts = {", ": 64, " ": 256}
    lists = [pair for pair in pairs(code) if pair[0].startswith(("dog, cat", "acid actor"))]
    for english, text, _ in lists:
        separator = ", " if ", " in english else " "
        assert len(english.split(separator)) == counts[separator]
        assert len(set(text.split(separator))) == counts[separator], text
    assert len(lists) == len(counts)
