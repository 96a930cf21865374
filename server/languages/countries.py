"""The names of countries in a language, from CLDR, in the order of that language's alphabet."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable

from babel import Locale

Key = tuple[tuple[int, str], ...]

DOTLESS = "\N{LATIN SMALL LETTER DOTLESS I}"
# Letters that are no accented form of another one. There is no collation of CLDR in Python or Babel.
ALPHABETS = {
    "es": "abcdefghijklmnñopqrstuvwxyz",
    "pl": "aąbcćdeęfghijklłmnńoóprsśtuvwxyzźż",
    "tr": f"abcçdefgğh{DOTLESS}ijklmnoöpqrsştuüvwxyz",
    "uk": "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
}


def country_names(language: str, codes: Iterable[str]) -> list[tuple[str, str]]:
    """Two-letter code and name of each, sorted by name."""
    locale = Locale.parse(language, sep="-")
    key = collation(language)
    names = ((code, locale.territories.get(code.upper(), code.upper())) for code in codes)
    return sorted(names, key=lambda pair: key(pair[1]))


def collation(language: str) -> Callable[[str], Key]:
    """What to sort by. In Chinese, GB 2312 has the usual characters in the order of their sounds (pinyin)."""
    if language.split("-")[0] == "zh":
        return lambda name: tuple((byte, "") for byte in name.encode("gb2312", errors="replace"))
    letters = ALPHABETS.get(language, "")
    return lambda name: tuple(place(letter, letters) for letter in folded(name, letters))


def folded(name: str, letters: str) -> str:
    """Small letters without accents, but for those with a place of their own in the alphabet."""
    dotless = DOTLESS if DOTLESS in letters else "i"
    small = unicodedata.normalize("NFC", name.replace("İ", "i").replace("I", dotless)).lower()
    return "".join(letter if letter in letters else without_accent(letter) for letter in small)


def without_accent(letter: str) -> str:
    return "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))


def place(letter: str, letters: str) -> tuple[int, str]:
    """Spaces and signs first, then the alphabet, then all other letters."""
    if letter in letters:
        return letters.index(letter) + 1, ""
    return (len(letters) + 1, letter) if letter.isalpha() else (0, letter)
