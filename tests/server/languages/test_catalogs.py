"""A catalog gives templates their texts, and scripts only their own, in the plural forms of browsers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from babel.messages.pofile import PoFileError

from server.languages import catalogs
from server.languages.catalogs import Language, ScriptText, digest, language, texts_of_bundles
from server.languages.extraction import texts
from server.languages.known import known
from tests.server.languages.catalog_files import POLISH, write_polish


def test_english_needs_no_catalog() -> None:
    english = language("en")
    assert (english.name, english.direction) == ("English", "ltr")
    assert english.translations.gettext("Start") == "Start"


def test_a_catalog(tmp_path: Path) -> None:
    write_polish(tmp_path)
    polish = language("pl", tmp_path)
    assert (polish.name, polish.direction) == ("Polski", "ltr")
    assert polish.translations.gettext("Your wishes") == "Twoje życzenia"
    assert polish.translations.gettext("not there yet") == "not there yet"


LIST = {
    "main": [["Start"], ["not there yet"], ["{number} person", "{number} people"]],
    "check": [["Copied."]],
}


def test_scripts_get_what_they_say_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_polish(tmp_path)
    monkeypatch.setattr(catalogs, "texts_of_bundles", lambda: LIST)
    plural = {"one": "{number} osoba", "few": "{number} osoby", "many": "{number} osób"}
    assert said(language("pl", tmp_path), "main") == ["Zacznij", "not there yet", plural]
    english = {"one": "{number} person", "other": "{number} people"}
    assert said(language("en"), "main") == ["Start", "not there yet", english]
    assert said(language("en"), "check") == ["Copied."]


def said(spoken: Language, bundle: str) -> list[ScriptText]:
    script = spoken.script_texts(bundle)
    assert (script[:12], script[-2:]) == ("const TEXTS=", ";\n")
    return list(json.loads(script[12:-2]))


def test_bundles_say_what_the_catalogs_have() -> None:
    """No text of a bundle is without its place in the catalogs, and none of the scripts is in no bundle."""
    bundled = {tuple(text) for listed in texts_of_bundles().values() for text in listed}
    scripts = {
        message.id if isinstance(message.id, tuple) else (message.id,)
        for message in texts()
        if any(path.endswith(".js") for path, _ in message.locations)
    }
    assert bundled == scripts


def test_a_new_translation_changes_the_digest(tmp_path: Path) -> None:
    write_polish(tmp_path)
    before = digest(tmp_path)
    write_polish(tmp_path, POLISH.replace("Zacznij", "Rozpocznij"))
    assert digest(tmp_path) != before


@pytest.mark.parametrize("code", known())
def test_every_script_speaks_every_language(code: str) -> None:
    for bundle in texts_of_bundles():
        assert all(said(language(code), bundle))


def test_a_language_that_is_read_from_the_right(tmp_path: Path) -> None:
    (tmp_path / "he.po").touch()
    hebrew = language("he", tmp_path)
    assert hebrew.direction == "rtl"


def test_a_damaged_catalog_is_an_error(tmp_path: Path) -> None:
    write_polish(tmp_path, POLISH + "msgid no quotes\n")
    with pytest.raises(PoFileError):
        language("pl", tmp_path)
