"""Finds every text that people read, and brings the catalogs up to date: `make words`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import write_po

from server.languages.catalogs import read_catalog
from server.languages.known import FOLDER

SERVER, TEMPLATES = (Path(str(files(name))) for name in ("server", "templates"))
KEYWORDS = {"_": None, "N_": None, "gettext": None, "ngettext": (1, 2)}  # templates: {% trans %} is gettext
WIDTH = 110
HEADER = """\
# `make words` writes this file anew and keeps its translations. Translate what has none: `msgstr ""`.
# The lines with "#:" say where a text is used: those of scripts are sent to the browser.
# A text with "# review" wants a look by a native reader.
msgid ""
msgstr ""
"Language: {code}\\n"
"X-Language-Name: {name}\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Plural-Forms: {plurals}\\n"

"""


class Kind(NamedTuple):
    """Files with texts: where they are, and Babel's method for them."""

    folder: Path
    pattern: str
    method: str
    options: dict[str, Any] = {}


KINDS = (
    Kind(TEMPLATES / "pages", "*.html", "jinja2.ext:babel_extract", {"trimmed": "true", "silent": "false"}),
    Kind(SERVER / "static", "*.js", "javascript"),
    Kind(SERVER, "**/*.py", "python"),
)
PROMISE = TEMPLATES / "promise.yaml"


def texts() -> Catalog:
    """All texts, with the files that use them."""
    found = Catalog(charset="utf-8")
    for path, message in (*texts_of_code(), *texts_of_promise()):
        found.add(message, locations=[(path.relative_to(SERVER.parent).as_posix(), 0)])
    return found


def texts_of_code() -> Iterator[tuple[Path, Any]]:
    for kind in KINDS:
        for path in sorted(kind.folder.glob(kind.pattern)):
            with path.open("rb") as file:
                for _, message, _, _ in extract(kind.method, file, KEYWORDS, options=kind.options):
                    yield path, message


def texts_of_promise() -> Iterator[tuple[Path, str]]:
    """What the privacy page shows of it."""
    promise = yaml.safe_load(PROMISE.read_text(encoding="utf-8"))
    for text in (*(mode["says"] for mode in promise["modes"].values()), *promise["limits"].values()):
        yield PROMISE, text


def updated(path: Path) -> Catalog:
    """The catalog with exactly the texts that there are, and the translations that it had."""
    catalog = read_catalog(path) if path.exists() else Catalog(locale=path.stem)
    catalog.update(texts(), no_fuzzy_matching=True, update_header_comment=False)
    catalog.obsolete.clear()
    return catalog


def write(path: Path, catalog: Catalog) -> None:
    texts = BytesIO()
    write_po(texts, catalog, width=WIDTH, omit_header=True, sort_by_file=True, include_lineno=False)
    name = Locale.parse(path.stem, sep="-").get_language_name() or path.stem
    header = HEADER.format(code=path.stem, name=name[0].upper() + name[1:], plurals=catalog.plural_forms)
    path.write_text(header + texts.getvalue().decode(), encoding="utf-8")


if __name__ == "__main__":
    for code in sys.argv[1:] or [path.stem for path in FOLDER.glob("*.po")]:
        write(FOLDER / f"{code}.po", updated(FOLDER / f"{code}.po"))
