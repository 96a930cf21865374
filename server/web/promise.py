"""What the relay promises about the packets that it carries, in the same words everywhere."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple

import yaml

FILE = files("templates") / "promise.yaml"
BEGIN, END = "<!-- written by make promise -->", "<!-- until here -->"
BLOCK = re.compile(rf"(?<={BEGIN}\n).*?(?={END})", re.DOTALL)


class Promise(NamedTuple):
    """The promise of one mode: in a few words, in sentences, and its limits."""

    mode: str
    short: str
    says: str
    limits: tuple[str, ...]


def promises(file: Traversable = FILE) -> dict[str, Promise]:
    """Value of `turn.encrypted_only` -> its promise."""
    text = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {
        mode: Promise(mode, one["short"], one["says"], tuple(text["limits"][name] for name in one["limits"]))
        for mode, one in text["modes"].items()
    }


def markdown(all_of_them: Iterable[Promise]) -> Iterator[str]:
    """A table of the modes, and a list of their limits."""
    bounds: dict[str, list[str]] = {}
    yield from ("| `turn.encrypted_only` | what it means |", "| --- | --- |")
    for promise in all_of_them:
        yield f"| `{promise.mode}` | {promise.says} |"
        for limit in promise.limits:
            bounds.setdefault(limit, []).append(f"`{promise.mode}`")
    yield from ("", "What it cannot promise:", "")
    yield from (f"* {', '.join(modes)}: {limit}" for limit, modes in bounds.items())


def rewritten(text: str) -> str:
    """The text with the current promise between its two comments."""
    return BLOCK.sub(lambda _: "\n".join(("", *markdown(promises().values()), "")), text, count=1)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        Path(name).write_text(rewritten(Path(name).read_text(encoding="utf-8")), encoding="utf-8")
