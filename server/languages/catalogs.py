"""The texts of each language, from its .po file. English has none: there the key itself is the text."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from server.languages.known import ENGLISH, FOLDER, own_name

COUNTS = (*range(200), 1_000_000)  # among them is one of each category of CLDR's plural rules

FNV_BASIS, FNV_PRIME = 0x811C9DC5, 0x01000193

ScriptText = str | dict[str, str]


class Language(NamedTuple):
    """What the pages need of one language: its code, own name, direction, and texts."""

    code: str
    name: str
    direction: str
    locale: Locale
    translations: NullTranslations
    script_texts: dict[str, ScriptText]


@cache
def language(code: str, folder: Path = FOLDER) -> Language:
    """Read a language when it is first needed. A damaged catalog is an error of ours, so it is raised."""
    locale = Locale.parse(code, sep="-")
    describe = partial(Language, code, own_name(code, folder), locale.text_direction, locale)
    if code == ENGLISH:
        return describe(NullTranslations(), {})
    catalog = read_catalog(folder / f"{code}.po")
    translations = compiled(catalog)
    return describe(translations, dict(script_texts(catalog, translations, locale)))


def read_catalog(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=path.stem.replace("-", "_"), abort_invalid=True)


def compiled(catalog: Catalog) -> GNUTranslations:
    file = BytesIO()
    write_mo(file, catalog)
    file.seek(0)
    return GNUTranslations(file)


def script_texts(
    catalog: Catalog, translations: NullTranslations, locale: Locale
) -> Iterator[tuple[str, ScriptText]]:
    """Key and translation of all that scripts say. Where a number is said, a translation for each
    category of CLDR's plural rules: that is what a browser can tell of a number."""
    for message in catalog:
        if not message.id or not any(path.endswith(".js") for path, _ in message.locations):
            continue
        if isinstance(message.id, str):
            yield script_key(message.id), translations.gettext(message.id)
        else:
            one, many = message.id
            yield (
                script_key(one),
                {locale.plural_form(count): translations.ngettext(one, many, count) for count in COUNTS},
            )


def script_key(text: str) -> str:
    """The key of an English text, as language.js makes it (FNV-1a, 32 bits): the texts themselves would make
    a first load a tenth larger."""
    key = FNV_BASIS
    for letter in text:
        key = (key ^ ord(letter)) * FNV_PRIME & 0xFFFFFFFF
    return f"{key:x}"
