"""The forms in which clients may write a name, a realm or a password that is not plain ASCII.

RFC 5389 prepares them with SASLprep (RFC 4013), and RFC 8489 with OpaqueString (RFC 8265). Most clients do
neither: they use the text as it was typed. All three are right here.
"""

from __future__ import annotations

import stringprep
import unicodedata
from collections.abc import Callable
from functools import lru_cache

# RFC 4013 §2.3: what a prepared string must not contain.
PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


def is_plain(text: str) -> bool:
    """Whether all forms of this text are the same: printable ASCII."""
    return text.isascii() and text.isprintable()


def sasl_prepared(text: str) -> str:
    """As RFC 4013 has it. Raises ValueError for characters that it must not contain."""
    kept = (character for character in text if not stringprep.in_table_b1(character))
    mapped = "".join(" " if stringprep.in_table_c12(character) else character for character in kept)
    prepared = unicodedata.normalize("NFKC", mapped)
    if any(forbids(character) for character in prepared for forbids in PROHIBITED):
        raise ValueError("a character that must not be in a name or password")
    check_direction(prepared)
    return prepared


def check_direction(text: str) -> None:
    """Right-to-left text must begin and end so, and have no left-to-right characters (RFC 3454 §6)."""
    right = [stringprep.in_table_d1(character) for character in text]
    if any(right) and not (right[0] and right[-1] and not any(map(stringprep.in_table_d2, text))):
        raise ValueError("right-to-left text mixed with left-to-right text")


def opaque_string(text: str) -> str:
    """As RFC 8265 §4.2.2 has it: each space is the ASCII one, and composed characters are composed."""
    spaced = "".join(" " if unicodedata.category(character) == "Zs" else character for character in text)
    return unicodedata.normalize("NFC", spaced)


def as_written(text: str) -> str:
    return text


PROFILES: tuple[Callable[[str], str], ...] = (as_written, opaque_string, sasl_prepared)


def forms(*texts: str) -> tuple[tuple[str, ...], ...]:
    """These texts as each kind of client writes them, as typed first; each combination once.

    A client prepares all of them in one way. A way that is impossible for one of them is left out.
    """
    return (texts,) if all(map(is_plain, texts)) else prepared_forms(texts)


@lru_cache(maxsize=256)  # an operator has only a few realms and passwords
def prepared_forms(texts: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    found: dict[tuple[str, ...], None] = {}
    for profile in PROFILES:
        try:
            found[tuple(map(profile, texts))] = None
        except ValueError:
            continue
    return tuple(found)
