"""Every catalog is a language."""

from __future__ import annotations

from pathlib import Path

from server.languages.known import N_, known, own_name


def test_english_comes_first_and_needs_no_catalog(tmp_path: Path) -> None:
    assert known(tmp_path) == ("en",)
    for name in ("fr.po", "de.po", "notes.txt"):
        (tmp_path / name).touch()
    assert known(tmp_path) == ("en", "de", "fr")


def test_a_language_is_named_as_it_names_itself(tmp_path: Path) -> None:
    (tmp_path / "xx.po").touch()
    assert [own_name("en"), own_name("de"), own_name("he")] == ["English", "Deutsch", "עברית"]
    assert own_name("xx", tmp_path) == "xx"


def test_a_mark_changes_nothing() -> None:
    assert N_("a text") == "a text"
