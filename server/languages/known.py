"""Which languages there are: English, and each that has a catalog in this folder."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

FOLDER = Path(str(files("server") / "languages"))
ENGLISH = "en"


def known(folder: Path = FOLDER) -> tuple[str, ...]:
    """The codes of all languages, English first."""
    return (ENGLISH, *sorted(path.stem for path in folder.glob("*.po")))


def N_(text: str) -> str:  # gettext's own name for it
    """Mark a text for the catalogs that is translated later, when the language is known."""
    return text
