"""JSON without ambiguities, and checks that return the value or raise Malformed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

MAX_BRACKETS = 16  # a message has at most four; the parser's stack and time are bounded
MAX_DIGITS = 17  # a sign and 2^53; int() of thousands of digits is slow
MAX_OUTSIDE_STRINGS = 2_048  # characters: a wish has 250 commas; more of them only cost time
# A string matches whole even if it never ends: searching on inside it would take quadratic time.
STRINGS = re.compile(r'"(?:[^"\\]|\\.?)*+"?', re.DOTALL)


class Malformed(ValueError):
    """A value that is not allowed here."""


def parse_object(frame: str | bytes) -> dict[str, Any]:
    """Parse a JSON object. Raises Malformed, also for a double key, NaN or half a character (RFC 8259)."""
    try:
        text = frame if isinstance(frame, str) else frame.decode()
        if exceeds_limits(text) and exceeds_limits(STRINGS.sub("", text)):  # most are short, strings included
            raise Malformed
        value = DECODER.decode(text)
        if "\\u" in text:  # only an escape can bring in a lone surrogate
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Malformed from None
    if not isinstance(value, dict):
        raise Malformed
    return value


def exceeds_limits(text: str) -> bool:
    return len(text) > MAX_OUTSIDE_STRINGS or text.count("[") + text.count("{") > MAX_BRACKETS


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Malformed
    return value


def reject_constant(word: str) -> NoReturn:
    raise Malformed(word)


def short_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise Malformed
    return int(digits)


def finite(digits: str) -> float:
    if len(digits) > 2 * MAX_DIGITS or abs(value := float(digits)) == float("inf"):
        raise Malformed
    return value


DECODER = json.JSONDecoder(
    object_pairs_hook=unique_keys, parse_constant=reject_constant, parse_int=short_int, parse_float=finite
)

Check = Callable[[Any], Any]


def text(low: int, high: int, pattern: str = "") -> Check:
    shape = re.compile(pattern)

    def check(value: Any) -> str:
        if not isinstance(value, str) or not low <= len(value) <= high:
            raise Malformed
        if pattern and not shape.fullmatch(value):
            raise Malformed
        return value

    return check


def integer(low: int, high: int) -> Check:
    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise Malformed
        return value

    return check


def one_of(*words: str) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            raise Malformed
        return value

    return check


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Malformed
    return value


def optional(check: Check) -> Check:
    return lambda value: None if value is None else check(value)
