"""Which languages there are: English, and each that has a catalog in this folder."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from pathlib import Path

FOLDER = Path(str(files("server") / "languages"))
ENGLISH = "en"
NAME = re.compile(r'^"X-Language-Name: (.+)\\n"$', re.MULTILINE)
HEADER = 2000  # characters of a catalog in which its header stands


def known(folder: Path = FOLDER) -> tuple[str, ...]:
    """The codes of all languages, English first."""
    return (ENGLISH, *sorted(path.stem for path in folder.glob("*.po")))


@cache
def own_name(code: str, folder: Path = FOLDER) -> str:
    """What the language calls itself, from the head of its catalog: CLDR's data are a megabyte for each."""
    if code == ENGLISH:
        return "English"
    with (folder / f"{code}.po").open(encoding="utf-8") as file:
        found = NAME.search(file.read(HEADER))
    return found[1] if found else code


def N_(text: str) -> str:  # gettext's own name for it
    """Mark a text for the catalogs that is translated later, when the language is known."""
    return text
