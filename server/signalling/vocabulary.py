"""What a client may say: each type of message with its fields and their checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from server.signalling.messages import (
    FAILURES,
    MAX_CHUNK,
    MAX_MESSAGE,
    MAX_PICTURE,
    MAX_TEXT,
    PAGE_FEATURES,
    Again,
    Answer,
    Block,
    CallBack,
    Candidate,
    Chunk,
    ClientMessage,
    Connected,
    Hello,
    Ice,
    MessageError,
    Next,
    Offer,
    Picture,
    PictureAck,
    PictureCancel,
    Ping,
    Report,
    Reunite,
    Start,
    Stop,
    Text,
)
from server.signalling.page_candidates import parse_page_candidate
from server.signalling.strict_json import (
    Check,
    Malformed,
    boolean,
    integer,
    one_of,
    optional,
    parse_object,
    text,
)

MAX_COUNTRIES = 250  # in one wish: more than there are
MAX_CALL_ID = 64  # characters of a call's name
MAX_FEATURES = 16  # that a client names
MAX_TICKET = 4096  # characters: one with a wish of MAX_COUNTRIES has 2,000

MAX_COUNT = 2**53 - 1  # the largest number that a page counts to without an error

CHUNK_TAG = 0x01
CHUNK_HEAD = 5  # bytes of the tag and of the picture's number

REQUIRED: Any = object()


class FieldRule(NamedTuple):
    """One field: its check (returns the value or raises Malformed), the code of its error, its default."""

    check: Check
    code: str = "bad_message"
    default: Any = REQUIRED


class MessageType(NamedTuple):
    """One type of message: its class and its fields."""

    message_class: Callable[..., ClientMessage]
    fields: Mapping[str, FieldRule] = {}


COUNTRY = text(2, 2, "[a-z]{2}")


def parse_countries(value: Any) -> frozenset[str]:
    if not isinstance(value, list) or len(value) > MAX_COUNTRIES:
        raise Malformed
    return frozenset(COUNTRY(item) for item in value)


FEATURE = text(1, 32, "[a-z0-9.-]+")


def parse_features(value: Any) -> frozenset[str]:
    """What a client can do.

    Args:
        value: a list of at most MAX_FEATURES short words.

    Returns:
        Those of PAGE_FEATURES: a newer client may name others.

    Raises:
        Malformed: it is something else.
    """
    if not isinstance(value, list) or len(value) > MAX_FEATURES:
        raise Malformed
    return PAGE_FEATURES.intersection(FEATURE(item) for item in value)


CANDIDATE_FIELDS: Mapping[str, Check] = {
    "candidate": text(0, 512),
    "sdpMid": optional(text(0, 64, r"[!-~]*")),
    "sdpMLineIndex": optional(integer(0, 255)),
    "usernameFragment": optional(text(0, 256, r"[A-Za-z0-9+/]*")),
}


def parse_candidate(value: Any) -> Mapping[str, Any] | None:
    """An RTCIceCandidateInit and nothing else, or None at the end of the candidates."""
    if value is None:
        return None
    if not isinstance(value, dict) or "candidate" not in value:
        raise Malformed
    return {name: check(value[name]) for name, check in CANDIDATE_FIELDS.items() if name in value}


HEARD = FieldRule(optional(integer(0, MAX_COUNT)), default=None)
CALL = FieldRule(text(1, MAX_CALL_ID))
LINK = text(43, 43, r"[A-Za-z0-9_-]+")  # a SHA-256 in base64url without padding (RFC 4648 §5)
WISH_FIELDS = {
    "want": FieldRule(optional(parse_countries), default=None),
    "hide_address": FieldRule(optional(boolean), default=None),
    "link": FieldRule(optional(LINK), default=None),
}
SDP_FIELDS = {"call": CALL, "sdp": FieldRule(text(1, MAX_MESSAGE), "bad_sdp")}
PICTURE = FieldRule(integer(0, 2**31 - 1), "bad_picture")

VOCABULARY: Mapping[str, MessageType] = {
    "hello": MessageType(
        Hello,
        {
            "token": FieldRule(text(16, 64, r"[A-Za-z0-9_-]+")),
            "resume": FieldRule(optional(text(0, 128)), default=None),
            "heard": HEARD,
            "features": FieldRule(parse_features, default=frozenset()),
            "ticket": FieldRule(optional(text(0, MAX_TICKET)), default=None),
        },
    ),
    "start": MessageType(Start, WISH_FIELDS),
    "next": MessageType(Next, WISH_FIELDS),
    "reunite": MessageType(Reunite, {"agree": FieldRule(boolean)}),
    "call-back": MessageType(CallBack, {"call": CALL}),
    "stop": MessageType(Stop, {"reason": FieldRule(optional(one_of(*FAILURES)), default=None)}),
    "offer": MessageType(Offer, SDP_FIELDS),
    "answer": MessageType(Answer, SDP_FIELDS),
    "candidate": MessageType(
        Candidate, {"call": CALL, "candidate": FieldRule(parse_candidate, "bad_candidate")}
    ),
    "text": MessageType(Text, {"call": CALL, "text": FieldRule(text(1, MAX_TEXT), "bad_text")}),
    "picture": MessageType(
        Picture,
        {
            "call": CALL,
            "picture": PICTURE,
            "size": FieldRule(integer(1, MAX_PICTURE), "bad_picture"),
            "mime": FieldRule(one_of("image/png", "image/jpeg", "image/webp"), "bad_picture"),
        },
    ),
    "picture-ack": MessageType(
        PictureAck,
        {"call": CALL, "picture": PICTURE, "bytes": FieldRule(integer(0, MAX_PICTURE), "bad_picture")},
    ),
    "picture-cancel": MessageType(PictureCancel, {"call": CALL, "picture": PICTURE}),
    "block": MessageType(Block, {"call": CALL}),
    "report": MessageType(
        Report,
        {"call": CALL, "reason": FieldRule(one_of("abuse", "sexual", "minor", "spam", "other"))},
    ),
    "again": MessageType(Again, {"call": CALL}),
    "ice": MessageType(Ice),
    "connected": MessageType(Connected, {"call": CALL, "path": FieldRule(one_of("direct", "relay"))}),
    "ping": MessageType(Ping, {"heard": HEARD}),
}

TYPES = {row.message_class: name for name, row in VOCABULARY.items()}
ID = text(0, 64)


def parse_message(frame: str | bytes) -> ClientMessage:
    """Parse one text frame.

    Args:
        frame: JSON; bytes are read as UTF-8.

    Returns:
        A message of VOCABULARY.

    Raises:
        MessageError: it is something else.
    """
    if isinstance(frame, str) and (candidate := parse_page_candidate(frame)) is not None:
        return candidate
    try:
        value = parse_object(frame)
    except Malformed:
        raise MessageError("bad_json") from None
    id = read_id(value)
    kind = value.get("type")
    message_type = VOCABULARY.get(kind) if isinstance(kind, str) else None
    if message_type is None:
        raise MessageError("unknown_type", id)
    fields = {name: read_field(value, name, rule, id) for name, rule in message_type.fields.items()}
    return message_type.message_class(id=id, **fields)


def read_id(value: Mapping[str, Any]) -> str | None:
    if "id" not in value:
        return None
    try:
        return str(ID(value["id"]))
    except Malformed:
        raise MessageError("bad_message") from None


def read_field(value: Mapping[str, Any], name: str, rule: FieldRule, id: str | None) -> Any:
    if name not in value:
        if rule.default is REQUIRED:
            raise MessageError(rule.code, id)
        return rule.default
    try:
        return rule.check(value[name])
    except Malformed:
        raise MessageError(rule.code, id) from None


def parse_chunk(frame: bytes) -> Chunk:
    """Parse one binary frame.

    Args:
        frame: the tag, the picture's number in 4 bytes, and the piece.

    Returns:
        One piece of a picture.

    Raises:
        MessageError: the tag is wrong, or the piece is empty or larger than 48 KiB.
    """
    if not CHUNK_HEAD < len(frame) <= CHUNK_HEAD + MAX_CHUNK or frame[0] != CHUNK_TAG:
        raise MessageError("bad_picture")
    return Chunk(int.from_bytes(frame[1:CHUNK_HEAD], "big"), memoryview(frame)[CHUNK_HEAD:], frame)
