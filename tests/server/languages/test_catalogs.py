"""A catalog gives templates their texts, and scripts only their own, in the plural forms of browsers."""

from __future__ import annotations

from pathlib import Path

import pytest
from babel.messages.pofile import PoFileError

from server.languages.catalogs import language, script_key
from server.languages.extraction import texts
from tests.server.languages.catalog_files import POLISH, write_polish


def test_english_needs_no_catalog() -> None:
    english = language("en")
    assert (english.name, english.direction, english.script_texts) == ("English", "ltr", {})
    assert english.translations.gettext("Start") == "Start"


def test_a_catalog(tmp_path: Path) -> None:
    write_polish(tmp_path)
    polish = language("pl", tmp_path)
    assert (polish.name, polish.direction) == ("Polski", "ltr")
    assert polish.translations.gettext("Your wishes") == "Twoje życzenia"
    assert polish.translations.gettext("not there yet") == "not there yet"


def test_scripts_get_what_they_say_and_nothing_else(tmp_path: Path) -> None:
    write_polish(tmp_path)
    found = language("pl", tmp_path).script_texts
    plural = {"one": "{number} osoba", "few": "{number} osoby", "many": "{number} osób"}
    wanted = {"Start": "Zacznij", "not there yet": "not there yet", "{number} person": plural}
    assert found == {script_key(text): translation for text, translation in wanted.items()}


def test_keys_are_those_that_scripts_make_and_each_is_of_one_text() -> None:
    """The first three are examples of the algorithm's makers; the fourth is from language.js."""
    examples = {"": "811c9dc5", "a": "e40c292c", "foobar": "bf9cf968", "“…”": "79f4396e"}
    assert {text: script_key(text) for text in examples} == examples
    keys = [script_key(message.id if isinstance(message.id, str) else message.id[0]) for message in texts()]
    assert len(set(keys)) == len(keys)


def test_a_language_that_is_read_from_the_right(tmp_path: Path) -> None:
    (tmp_path / "he.po").touch()
    hebrew = language("he", tmp_path)
    assert (hebrew.direction, hebrew.script_texts) == ("rtl", {})


def test_a_damaged_catalog_is_an_error(tmp_path: Path) -> None:
    write_polish(tmp_path, POLISH + "msgid no quotes\n")
    with pytest.raises(PoFileError):
        language("pl", tmp_path)
