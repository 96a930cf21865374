"""The catalogs are brought up to date without losing a translation."""

from __future__ import annotations

import re
from pathlib import Path

from babel.messages.catalog import Catalog

from server.languages.catalogs import read_catalog
from server.languages.extraction import SERVER, texts, updated, write
from tests.server.languages.catalog_files import POLISH, write_polish


def used_in(catalog: Catalog, text: str) -> list[str]:
    message = catalog.get(text)
    assert message is not None, text
    return sorted({path for path, _ in message.locations})


def test_texts_of_templates_scripts_python_and_the_promise_are_found() -> None:
    found = texts()
    assert used_in(found, "not known yet") == ["server/static/words.js", "templates/pages/index.html"]
    assert used_in(found, "Trying again in {number} second.") == ["server/static/words.js"]
    assert used_in(found, "There were too many wrong passwords. Wait a minute, then try again.") == [
        "server/web/login.py"
    ]
    assert used_in(found, "The relay counts the packets that do not look encrypted, and forwards them.") == [
        "templates/promise.yaml"
    ]
    assert used_in(found, "%(time)s, in memory only") == ["templates/pages/privacy.html"]


CALL = re.compile(r'\b(?:_|ngettext)\((?:"(?:[^"\\]|\\.)*"(?:, )?)+')
LITERAL = re.compile(r'"[^"\n]*"|`[^`]*`')
READABLE = re.compile(r"[A-Za-z]{2,} |[A-Z][a-z]+")
VALUE = re.compile(r"\$\{[^}]*\}")
COMMENT = re.compile(r"^(//|import ).*", re.MULTILINE)


def test_every_text_of_the_words_of_scripts_can_be_translated() -> None:
    code = COMMENT.sub("", (SERVER / "static" / "words.js").read_text(encoding="utf-8"))
    assert CALL.search(code)
    assert [
        text for text in LITERAL.findall(CALL.sub("", code)) if READABLE.search(VALUE.sub("", text))
    ] == []


def test_an_update_keeps_what_is_used_and_drops_the_rest(tmp_path: Path) -> None:
    path = write_polish(tmp_path, POLISH.replace('msgid "Your wishes"', '# review\nmsgid "Your wishes"'))
    write(path, updated(path))
    catalog = read_catalog(path)
    start, wishes = catalog.get("Start"), catalog.get("Your wishes")
    assert start is not None
    assert wishes is not None
    assert (start.string, wishes.string, wishes.user_comments) == ("Zacznij", "Twoje życzenia", ["review"])
    assert catalog.get("not there yet") is None
    assert {message.id for message in catalog} == {message.id for message in texts()}
    first = path.read_bytes()
    write(path, updated(path))
    assert path.read_bytes() == first


def test_a_new_language_begins_with_nothing(tmp_path: Path) -> None:
    write(tmp_path / "ru.po", updated(tmp_path / "ru.po"))
    catalog = read_catalog(tmp_path / "ru.po")
    assert catalog.num_plurals == 3
    assert not [message for message in catalog if message.id and any(message.string or ())]
