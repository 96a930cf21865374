"""The site's rules: a plain text. A line may begin with # for a heading, or with - for a row of a list."""

from __future__ import annotations

import hashlib
import re
from itertools import groupby

from markupsafe import Markup, escape

KINDS = {
    "nothing": re.compile("$"),
    "heading": re.compile(r"#{1,6}\s+"),
    "list": re.compile(r"[-*]\s+"),
    "paragraph": re.compile(""),
}
MAX_RULES = 16 << 10  # bytes: it is part of the first page that everybody loads


def check_rules(text: str) -> None:
    """Raises ValueError where it is no text to show."""
    if not text.strip():
        raise ValueError("there are no rules in it")
    if len(text.encode()) > MAX_RULES:
        raise ValueError(f"the rules are longer than {MAX_RULES} bytes; nobody reads that before a call")


def version_of(rules: str, adult: bool) -> str:
    """What a browser remembers as accepted. Other rules are shown once again."""
    return hashlib.sha256(f"{adult}{rules}".encode()).hexdigest()[:12]


def as_html(text: str) -> Markup:
    """Headings, lists and paragraphs. All else, also HTML, is shown as it is written."""
    groups = ((kind, list(lines)) for kind, lines in groupby(map(str.strip, text.splitlines()), kind_of))
    return Markup("\n").join(part for kind, lines in groups for part in WRITTEN[kind](lines))


def kind_of(line: str) -> str:
    return next(kind for kind, form in KINDS.items() if form.match(line))


def headings(lines: list[str]) -> list[Markup]:
    return [Markup("<h3>{}</h3>").format(KINDS["heading"].sub("", line)) for line in lines]


def rows(lines: list[str]) -> list[Markup]:
    written = Markup("").join(Markup("<li>{}</li>").format(KINDS["list"].sub("", line)) for line in lines)
    return [Markup("<ul>{}</ul>").format(written)]


def paragraph(lines: list[str]) -> list[Markup]:
    return [Markup("<p>{}</p>").format(Markup("<br>").join(map(escape, lines)))]


def nothing(lines: list[str]) -> list[Markup]:
    return []


WRITTEN = {"nothing": nothing, "heading": headings, "list": rows, "paragraph": paragraph}
