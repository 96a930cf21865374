"""Which language a browser gets: what it asks for, else what was chosen before, else what it prefers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

MAX_HEADER = 1000  # characters of Accept-Language: browsers send fewer than 100
MAX_RANGES = 20

# RFC 9110 §12.5.4 and §12.4.2, RFC 4647 §2.1
RANGE = re.compile(
    r"[ \t]*(?P<tag>[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)[ \t]*"
    r"(?:;[ \t]*[qQ]=(?P<weight>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?[ \t]*"
)
OLD_TAGS = {"iw": "he"}  # of Java and old Android


def choose(offered: Sequence[str], *wishes: str | None, accepted: str | None = None) -> str:
    """The first wish that is offered, else the best of Accept-Language, else the first language."""
    for wish in wishes:
        if wish in offered:
            return str(wish)
    return next((found for tag in preferred(accepted or "") if (found := match(offered, tag))), offered[0])


def preferred(header: str) -> list[str]:
    """The tags of Accept-Language, the most wanted first. What is no language range is left out."""
    weighted = sorted(ranges(header[:MAX_HEADER]), key=lambda pair: -pair[0])
    return [tag for weight, tag in weighted if weight > 0]


def ranges(header: str) -> Iterator[tuple[float, str]]:
    for text in header.split(",")[:MAX_RANGES]:
        if found := RANGE.fullmatch(text):
            yield float(found["weight"] or 1), found["tag"].lower()


def match(offered: Sequence[str], tag: str) -> str | None:
    """RFC 4647 §3.4: `pt-br` gets `pt-br` if there is one, else `pt`."""
    parts = tag.split("-")
    parts[0] = OLD_TAGS.get(parts[0], parts[0])
    codes = {code.lower(): code for code in offered}
    starts = ("-".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((codes[start] for start in starts if start in codes), None)
