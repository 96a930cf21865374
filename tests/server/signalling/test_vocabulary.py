"""Every type of message with its limits: what is taken, what is refused and with which code."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.signalling.messages import (
    CHANNEL,
    ERRORS,
    MAX_CHUNK,
    MAX_MESSAGE,
    MAX_PICTURE,
    MAX_TEXT,
    Candidate,
    Hello,
    MessageError,
    Next,
    Picture,
    Start,
)
from server.signalling.vocabulary import CHUNK_HEAD, TYPES, VOCABULARY, parse_chunk, parse_message

TOKEN = "0123456789abcdefABCDEF_-"
LINE = "candidate:1 1 udp 1 192.0.2.1 5 typ host"

# One good example of each type.
GOOD: dict[str, dict[str, Any]] = {
    "hello": {"token": TOKEN},
    "start": {"want": ["de", "fr"], "hide_address": True},
    "next": {},
    "reunite": {"agree": True},
    "call-back": {"call": "c"},
    "stop": {"reason": "unreachable"},
    "offer": {"call": "c", "sdp": "v=0\r\n"},
    "answer": {"call": "c", "sdp": "v=0\r\n"},
    "candidate": {"call": "c", "candidate": {"candidate": LINE, "sdpMid": "0", "sdpMLineIndex": 0}},
    "text": {"call": "c", "text": "hello"},
    "picture": {"call": "c", "picture": 7, "size": 1000, "mime": "image/png"},
    "picture-ack": {"call": "c", "picture": 7, "bytes": 500},
    "picture-cancel": {"call": "c", "picture": 7},
    "again": {"call": "c"},
    "block": {"call": "c"},
    "report": {"call": "c", "reason": "spam"},
    "ice": {},
    "connected": {"call": "c", "path": "relay"},
    "ping": {"heard": 12},
}

# Type, field, value -> code. A field set to `...` is left out.
BAD: list[tuple[str, str, Any, str]] = [
    ("hello", "token", ..., "bad_message"),
    ("hello", "token", "short", "bad_message"),
    ("hello", "token", "x" * 65, "bad_message"),
    ("hello", "token", "with a space in it", "bad_message"),
    ("hello", "token", TOKEN + "\n", "bad_message"),
    ("hello", "token", ["x" * 16], "bad_message"),
    ("hello", "resume", "x" * 129, "bad_message"),
    ("hello", "resume", 5, "bad_message"),
    ("hello", "features", "calln-channel.v1", "bad_message"),
    ("hello", "features", ["x"] * 17, "bad_message"),
    ("hello", "features", ["x" * 33], "bad_message"),
    ("hello", "features", ["A word"], "bad_message"),
    ("hello", "features", [7], "bad_message"),
    ("hello", "heard", -1, "bad_message"),
    ("hello", "heard", 2**53, "bad_message"),
    ("ping", "heard", "1", "bad_message"),
    ("stop", "reason", "left", "bad_message"),
    ("stop", "reason", "because you are <b>", "bad_message"),
    ("start", "want", "de", "bad_message"),
    ("start", "want", ["DE"], "bad_message"),
    ("start", "want", ["deu"], "bad_message"),
    ("start", "want", [["de"]], "bad_message"),
    ("start", "want", ["de"] * 251, "bad_message"),
    ("start", "want", {"de": 1}, "bad_message"),
    ("start", "hide_address", 1, "bad_message"),
    ("start", "hide_address", "yes", "bad_message"),
    ("start", "link", "x" * 42, "bad_message"),
    ("start", "link", "x" * 44, "bad_message"),
    ("start", "link", "=" * 43, "bad_message"),
    ("next", "link", 5, "bad_message"),
    ("offer", "call", ..., "bad_message"),
    ("offer", "call", "x" * 65, "bad_message"),
    ("offer", "call", "", "bad_message"),
    ("offer", "call", None, "bad_message"),
    ("offer", "sdp", ..., "bad_sdp"),
    ("offer", "sdp", {"type": "offer"}, "bad_sdp"),
    ("answer", "sdp", "", "bad_sdp"),
    ("candidate", "candidate", ..., "bad_candidate"),
    ("candidate", "candidate", LINE, "bad_candidate"),
    ("candidate", "candidate", {}, "bad_candidate"),
    ("candidate", "candidate", {"candidate": "x" * 513}, "bad_candidate"),
    ("candidate", "candidate", {"candidate": LINE, "sdpMLineIndex": 256}, "bad_candidate"),
    ("candidate", "candidate", {"candidate": LINE, "sdpMLineIndex": True}, "bad_candidate"),
    ("candidate", "candidate", {"candidate": LINE, "sdpMid": "a b"}, "bad_candidate"),
    ("candidate", "candidate", {"candidate": LINE, "usernameFragment": "a b"}, "bad_candidate"),
    ("text", "text", ..., "bad_text"),
    ("text", "text", "", "bad_text"),
    ("text", "text", "x" * (MAX_TEXT + 1), "bad_text"),
    ("text", "text", 5, "bad_text"),
    ("picture", "picture", -1, "bad_picture"),
    ("picture", "picture", 2**31, "bad_picture"),
    ("picture", "picture", 1.0, "bad_picture"),
    ("picture", "size", 0, "bad_picture"),
    ("picture", "size", MAX_PICTURE + 1, "bad_picture"),
    ("picture", "mime", "image/svg+xml", "bad_picture"),
    ("picture", "mime", "image/gif", "bad_picture"),
    ("picture", "mime", ["image/png"], "bad_picture"),
    ("picture-ack", "bytes", -1, "bad_picture"),
    ("picture-cancel", "picture", "7", "bad_picture"),
    ("report", "reason", "because", "bad_message"),
    ("reunite", "agree", ..., "bad_message"),
    ("reunite", "agree", 1, "bad_message"),
    ("connected", "path", "magic", "bad_message"),
    ("ping", "id", 5, "bad_message"),
    ("ping", "id", "x" * 65, "bad_message"),
    ("ping", "type", "__class__", "unknown_type"),
    ("ping", "type", "", "unknown_type"),
    ("ping", "type", ["ping"], "unknown_type"),
    ("ping", "type", None, "unknown_type"),
    ("ping", "type", ..., "unknown_type"),
    ("ping", "type", "PING", "unknown_type"),
    ("ping", "type", "welcome", "unknown_type"),
]


def frame(kind: str, **changed: Any) -> str:
    fields = {"type": kind, **GOOD[kind], **changed}
    return json.dumps({name: value for name, value in fields.items() if value is not ...})


def test_each_type_has_an_example() -> None:
    assert set(GOOD) == set(VOCABULARY) == set(TYPES.values())


@pytest.mark.parametrize("kind", VOCABULARY)
def test_reads_each_type(kind: str) -> None:
    message = parse_message(frame(kind, id="a1"))
    assert TYPES[type(message)] == kind
    assert message.id == "a1"
    for name, value in GOOD[kind].items():
        want = frozenset(value) if name == "want" else value
        assert getattr(message, name) == want


@pytest.mark.parametrize(("kind", "field", "value", "code"), BAD)
def test_refuses_with_the_code(kind: str, field: str, value: Any, code: str) -> None:
    with pytest.raises(MessageError) as refused:
        parse_message(frame(kind, **{"id": "a1", field: value}))
    assert refused.value.code == code
    assert code in ERRORS
    assert refused.value.id == (None if field == "id" else "a1")


def test_leaves_out_what_was_not_said() -> None:
    assert parse_message('{"type":"next"}') == Next(want=None, hide_address=None)
    assert parse_message('{"type":"start","want":[]}') == Start(want=frozenset(), hide_address=None)
    assert parse_message(f'{{"type":"hello","token":"{TOKEN}"}}') == Hello(token=TOKEN)


def test_features_that_are_not_known_are_left_out() -> None:
    message = parse_message(frame("hello", features=["of-tomorrow.v9", CHANNEL]))
    assert isinstance(message, Hello)
    assert message.features == {CHANNEL}


def test_a_candidate_keeps_only_its_own_fields() -> None:
    given = {"candidate": "", "sdpMid": None, "from": "me", "address": "192.0.2.1"}
    message = parse_message(frame("candidate", candidate=given))
    assert isinstance(message, Candidate)
    assert message.candidate == {"candidate": "", "sdpMid": None}
    assert parse_message(frame("candidate", candidate=None)) == Candidate(call="c", candidate=None)


def outcome(frame: str | bytes) -> str:
    """The type that was read, or the code of the refusal."""
    try:
        return TYPES[type(parse_message(frame))]
    except MessageError as refused:
        return refused.code


@given(st.text(max_size=300) | st.binary(max_size=300))
def test_noise_is_a_message_error_or_a_message(noise: str | bytes) -> None:
    assert outcome(noise) in {*VOCABULARY, *ERRORS}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted({name for row in VOCABULARY.values() for name in row.fields})


@given(st.sampled_from(sorted(VOCABULARY)), st.dictionaries(st.sampled_from([*FIELDS, "id"]), JSON))
def test_any_value_in_any_field_is_a_message_error_or_a_message(kind: str, fields: dict[str, Any]) -> None:
    assert outcome(json.dumps({"type": kind, **fields})) in {kind, *ERRORS}


CHUNKS = [
    (b"\x01\x00\x00\x00\x07x", True),
    (b"\x01\xff\xff\xff\xff" + b"x" * MAX_CHUNK, True),
    (b"", False),
    (b"\x01", False),
    (b"\x01\x00\x00\x00\x07", False),
    (b"\x02\x00\x00\x00\x07x", False),
    (b"\x01\x00\x00\x00\x07" + b"x" * (MAX_CHUNK + 1), False),
]


@pytest.mark.parametrize(("data", "good"), CHUNKS)
def test_chunks(data: bytes, good: bool) -> None:
    if not good:
        with pytest.raises(MessageError):
            parse_chunk(data)
        return
    chunk = parse_chunk(data)
    assert chunk.frame is data
    assert chunk.picture == int.from_bytes(data[1:5], "big")
    assert bytes(chunk.data) == data[5:]


def test_a_picture_fits_the_number_of_its_frames() -> None:
    message = parse_message(frame("picture", picture=2**31 - 1, size=MAX_PICTURE))
    assert isinstance(message, Picture)
    assert CHUNK_HEAD + MAX_CHUNK < MAX_MESSAGE
