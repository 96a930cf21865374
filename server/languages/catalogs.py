"""The texts of each language, from its .po file. English has none: there the key itself is the text.

A bundle of scripts holds a number for each text, its place in the bundle's list in built/texts.json. The list
stands before the bundle, in one file: both are of one version, and no text is loaded in two languages.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache, partial
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from server.languages.known import ENGLISH, FOLDER, own_name

COUNTS = (*range(200), 1_000_000)  # among them is one of each category of CLDR's plural rules
TEXTS = Path(str(files("server") / "static" / "built" / "texts.json"))  # `make page` writes it

ScriptText = str | dict[str, str]


class Language(NamedTuple):
    """What the pages need of one language: its code, own name, direction, and texts."""

    code: str
    name: str
    direction: str
    locale: Locale
    translations: NullTranslations

    def script_texts(self, bundle: str) -> str:
        """The list, as a script that comes before the bundle. Raises KeyError if there is no such one."""
        said = [self.script_text(*text) for text in texts_of_bundles()[bundle]]
        return f"const TEXTS={json.dumps(said, ensure_ascii=False, separators=(',', ':'))};\n"

    def script_text(self, one: str, many: str = "") -> ScriptText:
        """The translation. Where a number is said, one for each category of CLDR's plural rules: that is what
        a browser can tell of a number."""
        if not many:
            return self.translations.gettext(one)
        return {
            self.locale.plural_form(count): self.translations.ngettext(one, many, count) for count in COUNTS
        }


@cache
def texts_of_bundles() -> dict[str, list[list[str]]]:
    """Bundle -> its texts, or pairs of them for one and for many."""
    return dict(json.loads(TEXTS.read_text(encoding="utf-8")))


def digest(folder: Path = FOLDER) -> str:
    """Changes with each text and each translation."""
    paths = [TEXTS, *sorted(folder.glob("*.po"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


@cache
def language(code: str, folder: Path = FOLDER) -> Language:
    """Read a language when it is first needed. A damaged catalog is an error of ours, so it is raised."""
    locale = Locale.parse(code, sep="-")
    describe = partial(Language, code, own_name(code, folder), locale.text_direction, locale)
    if code == ENGLISH:
        return describe(NullTranslations())
    return describe(compiled(read_catalog(folder / f"{code}.po")))


def read_catalog(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=path.stem.replace("-", "_"), abort_invalid=True)


def compiled(catalog: Catalog) -> GNUTranslations:
    file = BytesIO()
    write_mo(file, catalog)
    file.seek(0)
    return GNUTranslations(file)
