"""JSON that other readers would take differently is refused, and no input costs more than its length."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.signalling.strict_json import (
    MAX_BRACKETS,
    MAX_OUTSIDE_STRINGS,
    Check,
    Malformed,
    integer,
    one_of,
    parse_object,
    text,
)

REFUSED: dict[str, str | bytes] = {
    "nothing": "",
    "no JSON": "hello",
    "an array": "[]",
    "a number": "1",
    "null": "null",
    "text behind it": "{} {}",
    "a comment": '{"a": 1 /* b */}',
    "a key twice": '{"type": "ping", "type": "stop"}',
    "a key twice, deeper": '{"a": {"b": 1, "b": 2}}',
    "a key twice, escaped": '{"a": 1, "\\u0061": 2}',
    "not a number": '{"a": NaN}',
    "infinity": '{"a": -Infinity}',
    "infinity by exponent": '{"a": 1e999}',
    "4,301 digits": '{"a": ' + "1" * 4301 + "}",
    "60,000 digits": '{"a": ' + "1" * 60_000 + "}",
    "a long fraction": '{"a": 0.' + "1" * 60_000 + "}",
    "half a character": '{"a": "\\ud800"}',
    "half a character as a key": '{"\\udfff": 1}',
    "17 deep": '{"a": ' * 17 + "1" + "}" * 17,
    "17 beside each other": '{"a": [' + "[]," * 14 + "[],{}]}",
    "brackets without end": '{"type": "ping", "a": [' + "{}," * 20_000 + "{}]}",
    "commas without end": '{"a": [' + "1," * 20_000 + "1]}",
    "10,000 deep": "[" * 10_000 + "]" * 10_000,
    "10,000 deep and open": '{"a":' * 10_000,
    "a string that never ends": "[" * 17 + '"' + '\\"' * 30_000,
    "bad UTF-8": b'{"a": "\xff"}',
    "overlong UTF-8": b'{"a": "\xc0\x80"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
}

ACCEPTED: dict[str, tuple[str | bytes, object]] = {
    "empty": ("{}", {}),
    "a pair of escapes": ('{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
    "brackets in a string": (json.dumps({"a": "[" * 5000}), {"a": "[" * 5000}),
    "quotes and brackets in a string": (json.dumps({"a": '"[' * 500 + "\\"}), {"a": '"[' * 500 + "\\"}),
    "16 deep": ('{"a": ' * 15 + "{}" + "}" * 15, None),
    "bytes": (b'{"a": 1.5}', {"a": 1.5}),
    "the largest safe integer": ('{"a": 9007199254740991}', {"a": 9007199254740991}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str) -> None:
    with pytest.raises(Malformed):
        parse_object(REFUSED[name])


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepts(name: str) -> None:
    given, value = ACCEPTED[name]
    got = parse_object(given)
    assert value is None or got == value


WORDS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**52), 2**52) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(WORDS, VALUES, max_size=6))
def test_reads_what_json_writes(value: dict[str, object]) -> None:
    written = json.dumps(value)
    if written.count("[") + written.count("{") <= MAX_BRACKETS and len(written) <= MAX_OUTSIDE_STRINGS:
        assert parse_object(written) == value


@given(st.text() | st.binary())
def test_anything_else_is_one_error(noise: str | bytes) -> None:
    with suppress(Malformed):
        assert isinstance(parse_object(noise), dict)


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (text(1, 3), ["a", "äöü"], ["", "abcd", 1, None, ["a"], True]),
        (text(1, 3, "[a-z]+"), ["abc"], ["A", "a\n", "a b"]),
        (integer(0, 5), [0, 5], [-1, 6, 1.0, True, "1", None]),
        (one_of("a", "b"), ["a", "b"], ["c", "", None, ["a"], {}]),
    ],
)
def test_checks(check: Check, good: list[object], bad: list[object]) -> None:
    assert [check(value) for value in good] == good
    for value in bad:
        with pytest.raises(Malformed):
            check(value)
