"""Catalogs for tests, written as a translator writes them."""

from __future__ import annotations

from pathlib import Path

POLISH = r"""
msgid ""
msgstr ""
"Language: pl\n"
"X-Language-Name: Polski\n"
"Content-Type: text/plain; charset=utf-8\n"
"Plural-Forms: nplurals=3; plural=(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<12 || n%100>14) ? 1 : 2);\n"

#: server/static/words.js templates/pages/index.html
msgid "Start"
msgstr "Zacznij"

#: server/static/words.js
msgid "not there yet"
msgstr ""

#: templates/pages/index.html
msgid "Your wishes"
msgstr "Twoje życzenia"

#: server/static/words.js
msgid "{number} person"
msgid_plural "{number} people"
msgstr[0] "{number} osoba"
msgstr[1] "{number} osoby"
msgstr[2] "{number} osób"
"""


def write_polish(folder: Path, text: str = POLISH) -> Path:
    path = folder / "pl.po"
    path.write_text(text, encoding="utf-8")
    return path
