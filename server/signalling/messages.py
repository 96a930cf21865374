"""The vocabulary of `calln.v1`: what a client may say, how it is read, and what the server says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

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

PROTOCOL = "calln.v1"
FEATURES = ("text", "pictures", "block", "report", "hide-address", "resume")

MAX_MESSAGE = 64 << 10  # a two-party SDP stays below 10 KiB; larger frames only cost memory
MAX_TEXT = 4000  # characters of one chat line
MAX_PICTURE = 2 << 20  # bytes of one picture
MAX_CHUNK = 48 << 10  # bytes of one binary frame's picture data: leaves room for signalling between two
MAX_COUNTRIES = 250  # a wish names each country at most once
MAX_CALL_ID = 64  # characters of a call's name
HELLO_SECONDS = 10  # seconds; a socket that says nothing holds a place
PING_SECONDS = 20  # seconds; shorter than the 60 s after which proxies cut a silent connection

CHUNK_TAG = 0x01
CHUNK_HEAD = 5  # the tag and the picture's number

# What each stable code says to a human.
ERRORS = {
    "bad_json": "this is no JSON object that can be read",
    "bad_message": "a field is missing or has a value that it cannot have",
    "unknown_type": "this type of message is not known",
    "wrong_state": "this cannot be said now",
    "wrong_call": "you are not in this call",
    "too_many": "there is no more room for this",
    "too_fast": "slow down",
    "bad_sdp": "this session description is not accepted",
    "bad_candidate": "this candidate is not accepted",
    "bad_text": "a text has 1 to 4000 characters",
    "bad_picture": "this picture is not accepted",
    "internal": "the server made a mistake",
}
MALFORMED = frozenset({"bad_json", "bad_message", "unknown_type"})  # no working page ever sends these


class MessageError(Exception):
    """A message that is refused; `code` is stable, `id` is the client's own if it could be read."""

    def __init__(self, code: str, id: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.id = id


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientMessage:
    """What a client said."""

    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(ClientMessage):
    token: str
    resume: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(ClientMessage):
    want: frozenset[str] | None = None
    hide_address: bool | None = None


class Next(Start):
    __slots__ = ()


class Stop(ClientMessage):
    __slots__ = ()


class Ice(ClientMessage):
    __slots__ = ()


class Ping(ClientMessage):
    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InCall(ClientMessage):
    """Whatever names the call that it belongs to."""

    call: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer(InCall):
    sdp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(InCall):
    sdp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate(InCall):
    candidate: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(InCall):
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture(InCall):
    picture: int
    size: int
    mime: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureAck(InCall):
    picture: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureCancel(InCall):
    picture: int


class Block(InCall):
    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(InCall):
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected(InCall):
    path: str


class Chunk(NamedTuple):
    """A binary frame: a piece of a picture. `frame` is the whole, relayed as it is."""

    picture: int
    data: memoryview
    frame: bytes


REQUIRED: Any = object()


class FieldRule(NamedTuple):
    """One field: its check (gives the value, raises Malformed), the code of its refusal, its default."""

    check: Check
    code: str = "bad_message"
    default: Any = REQUIRED


class MessageType(NamedTuple):
    """One type of message."""

    message_class: Callable[..., ClientMessage]
    fields: Mapping[str, FieldRule] = {}


COUNTRY = text(2, 2, "[a-z]{2}")


def parse_countries(value: Any) -> frozenset[str]:
    if not isinstance(value, list) or len(value) > MAX_COUNTRIES:
        raise Malformed
    return frozenset(COUNTRY(item) for item in value)


CANDIDATE_FIELDS: Mapping[str, Check] = {
    "candidate": text(0, 512),
    "sdpMid": optional(text(0, 64, r"[!-~]*")),
    "sdpMLineIndex": optional(integer(0, 255)),
    "usernameFragment": optional(text(0, 256, r"[A-Za-z0-9+/]*")),
}


def parse_candidate(value: Any) -> Mapping[str, Any] | None:
    """An RTCIceCandidateInit with nothing else in it, or None for the end of candidates."""
    if value is None:
        return None
    if not isinstance(value, dict) or "candidate" not in value:
        raise Malformed
    return {name: check(value[name]) for name, check in CANDIDATE_FIELDS.items() if name in value}


CALL = FieldRule(text(1, MAX_CALL_ID))
WISH_FIELDS = {
    "want": FieldRule(optional(parse_countries), default=None),
    "hide_address": FieldRule(optional(boolean), default=None),
}
SDP_FIELDS = {"call": CALL, "sdp": FieldRule(text(1, MAX_MESSAGE), "bad_sdp")}
PICTURE = FieldRule(integer(0, 2**31 - 1), "bad_picture")

VOCABULARY: Mapping[str, MessageType] = {
    "hello": MessageType(
        Hello,
        {
            "token": FieldRule(text(16, 64, r"[A-Za-z0-9_-]+")),
            "resume": FieldRule(optional(text(0, 128)), default=None),
        },
    ),
    "start": MessageType(Start, WISH_FIELDS),
    "next": MessageType(Next, WISH_FIELDS),
    "stop": MessageType(Stop),
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
    "ice": MessageType(Ice),
    "connected": MessageType(Connected, {"call": CALL, "path": FieldRule(one_of("direct", "relay"))}),
    "ping": MessageType(Ping),
}

TYPES = {row.message_class: name for name, row in VOCABULARY.items()}
ID = text(0, 64)


def parse_message(frame: str | bytes) -> ClientMessage:
    """One text frame. Raises MessageError, whatever the frame holds."""
    try:
        value = parse_object(frame)
    except Malformed:
        raise MessageError("bad_json") from None
    id = read_id(value)
    kind = value.get("type")
    row = VOCABULARY.get(kind) if isinstance(kind, str) else None
    if row is None:
        raise MessageError("unknown_type", id)
    return row.message_class(
        id=id, **{name: read_field(value, name, field, id) for name, field in row.fields.items()}
    )


def read_id(value: Mapping[str, Any]) -> str | None:
    if "id" not in value:
        return None
    try:
        return str(ID(value["id"]))
    except Malformed:
        raise MessageError("bad_message") from None


def read_field(value: Mapping[str, Any], name: str, field: FieldRule, id: str | None) -> Any:
    if name not in value:
        if field.default is REQUIRED:
            raise MessageError(field.code, id)
        return field.default
    try:
        return field.check(value[name])
    except Malformed:
        raise MessageError(field.code, id) from None


def parse_chunk(frame: bytes) -> Chunk:
    """One binary frame. Raises MessageError."""
    if not CHUNK_HEAD < len(frame) <= CHUNK_HEAD + MAX_CHUNK or frame[0] != CHUNK_TAG:
        raise MessageError("bad_picture")
    return Chunk(int.from_bytes(frame[1:CHUNK_HEAD], "big"), memoryview(frame)[CHUNK_HEAD:], frame)


# What the server says: type -> the fields that stand beside `type`. `id?` is there if the client sent one.
SERVER_MESSAGES: Mapping[str, tuple[str, ...]] = {
    "welcome": ("protocol", "features", "hello_within", "ping_every", "limits"),
    "hello": ("resume", "resumed", "country", "countries", "state?", "call?", "id?"),
    "waiting": ("id?",),
    "stopped": ("id?",),
    "matched": ("call", "polite", "relay", "country", "ice"),
    "offer": ("from", "call", "sdp"),
    "answer": ("from", "call", "sdp"),
    "candidate": ("from", "call", "candidate"),
    "text": ("from", "call", "text"),
    "picture": ("from", "call", "picture", "size", "mime"),
    "picture-ack": ("from", "call", "picture", "bytes"),
    "picture-cancel": ("from", "call", "picture"),
    "sent": ("id?",),
    "reported": ("code", "id?"),
    "ice": ("ice", "id?"),
    "pong": ("id?",),
    "partner": ("call", "state"),
    "ended": ("call", "reason"),
    "error": ("code", "message", "id?"),
}


def encode(kind: str, *, id: str | None = None, **fields: Any) -> str:
    """One message of the server, ready to send."""
    value = {"type": kind, **fields} if id is None else {"type": kind, **fields, "id": id}
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def encode_for_partner(message: InCall, **changed: Any) -> str:
    """A client's message for its partner: the sender is stamped, and nothing unnamed in the table passes."""
    kind = TYPES[type(message)]
    fields = {name: getattr(message, name) for name in VOCABULARY[kind].fields}
    return encode(kind, **{"from": "partner"}, **{**fields, **changed})


def encode_error(code: str, id: str | None = None) -> str:
    return encode("error", id=id, code=code, message=ERRORS[code])


WELCOME = encode(
    "welcome",
    protocol=PROTOCOL,
    features=FEATURES,
    hello_within=HELLO_SECONDS,
    ping_every=PING_SECONDS,
    limits={"message": MAX_MESSAGE, "text": MAX_TEXT, "picture": MAX_PICTURE, "chunk": MAX_CHUNK},
)
