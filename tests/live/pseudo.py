"""A language that nobody speaks: every text is longer, and can be told from one that was never translated."""

from __future__ import annotations

import re
from gettext import NullTranslations

from babel import Locale

from server.languages.catalogs import Language

BEGIN, END = "⟦", "⟧"
GROWTH = 0.4  # of the English text: German and French need a third more
VALUES = re.compile(r"(%\(\w+\)s|\{\w+\}|<[^>]+>)")
ACCENTS = "àéîöûýçñšž"
ACCENTED = str.maketrans("aeiouycnsz", ACCENTS)


def pseudo(text: str) -> str:
    parts = VALUES.split(text)
    accented = "".join(part if VALUES.fullmatch(part) else part.translate(ACCENTED) for part in parts)
    return f"{BEGIN}{accented} {'óné twö ' * (int(len(text) * GROWTH) // 8)}{END}"


def is_translated(text: str) -> bool:
    """A link in a sentence has neither the beginning nor the end of the text."""
    return not {BEGIN, END, *ACCENTS}.isdisjoint(text)


class PseudoTranslations(NullTranslations):
    """In the place of a catalog."""

    def gettext(self, message: str) -> str:
        return pseudo(message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return pseudo(msgid1 if n == 1 else msgid2)


def pseudo_language() -> Language:
    return Language("en-XA", "Pseudo", "ltr", Locale("en"), PseudoTranslations())
