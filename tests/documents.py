"""The documents of this repository, and the places in them that a program writes."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BEGIN, END = "<!-- written by {} -->", "<!-- until here -->"


def place(by: str) -> re.Pattern[str]:
    """What stands between the two comments of the program that writes it, such as `make interop`."""
    return re.compile(rf"(?<={re.escape(BEGIN.format(by))}\n).*?(?={re.escape(END)})", re.DOTALL)


def written(text: str, by: str) -> str:
    """What stands there now. Raises ValueError where there is no such place."""
    found = place(by).search(text)
    if found is None:
        raise ValueError(f"there is no {BEGIN.format(by)} with {END} after it")
    return found[0]


def rewritten(text: str, by: str, block: str) -> str:
    """The same text with another block there, and an empty line before and after it. Raises ValueError."""
    written(text, by)
    return place(by).sub(lambda _: f"\n{block.strip()}\n\n", text, count=1)
