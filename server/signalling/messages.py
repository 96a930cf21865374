"""The messages of `calln.v1`: what a client may send, how it is parsed, and what the server sends."""

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
MAX_CHUNK = 48 << 10  # bytes of a picture in one binary frame: signalling never waits long behind one
MAX_COUNTRIES = 250  # in one wish: more than there are
MAX_CALL_ID = 64  # characters of a call's name
HELLO_SECONDS = 10  # until the first message: a silent socket uses a place
PING_SECONDS = 20  # between two pings of a page: proxies cut a silent connection after 60 s

CHUNK_TAG = 0x01
CHUNK_HEAD = 5  # bytes of the tag and of the picture's number

# Code of an error, which never changes -> what it says to a person.
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
MALFORMED = frozenset({"bad_json", "bad_message", "unknown_type"})  # our page never sends these


class MessageError(Exception):
    """A message that is refused.

    Args:
        code: a key of ERRORS.
        id: the client's own; None if there is none that can be read.
    """

    def __init__(self, code: str, id: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.id = id


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientMessage:
    """Any message of a client.

    Args:
        id: chosen by the client; the reply or the error has the same. At most 64 characters.
    """

    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(ClientMessage):
    """The first message on every socket.

    Args:
        token: 16 to 64 characters that the browser keeps. Two pages with the same token never meet.
        resume: the secret of the last `hello` reply, to go on after a lost connection.
    """

    token: str
    resume: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(ClientMessage):
    """Look for a partner.

    Args:
        want: countries of the partner, as two small letters (ISO 3166-1). Empty or None: any country.
        hide_address: whether the call may use only relayed paths.
    """

    want: frozenset[str] | None = None
    hide_address: bool | None = None


class Next(Start):
    """Leave the call, if there is one, and look for another partner. What is None stays as it was."""

    __slots__ = ()


class Stop(ClientMessage):
    """Leave the call or the queue."""

    __slots__ = ()


class Ice(ClientMessage):
    """Ask for ICE servers with new credentials."""

    __slots__ = ()


class Ping(ClientMessage):
    """Say that the page is alive."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InCall(ClientMessage):
    """Any message that belongs to a call.

    Args:
        call: the name of the call, from `matched`. At most 64 characters.
    """

    call: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer(InCall):
    """A session description for the partner to answer.

    Args:
        sdp: the description, at most 64 KiB.

    See: RFC 3264 §5, RFC 8866.
    """

    sdp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(InCall):
    """The answer to the partner's offer.

    Args:
        sdp: the description, at most 64 KiB.

    See: RFC 3264 §6, RFC 8866.
    """

    sdp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate(InCall):
    """One ICE candidate.

    Args:
        candidate: an RTCIceCandidateInit, or None at the end of the candidates.

    See: RFC 8838, RFC 8839 §5.1.
    """

    candidate: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(InCall):
    """A line of chat.

    Args:
        text: 1 to 4000 characters.
    """

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture(InCall):
    """Announce a picture; its chunks follow as binary frames.

    Args:
        picture: a number that the client chooses.
        size: bytes of the whole picture, at most 2 MiB.
        mime: `image/png`, `image/jpeg` or `image/webp`.
    """

    picture: int
    size: int
    mime: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureAck(InCall):
    """Say how much of a picture has arrived: at most two chunks may be on their way.

    Args:
        picture: the number of the partner's picture.
        bytes: bytes that have arrived, counted from its beginning.
    """

    picture: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureCancel(InCall):
    """Stop sending or receiving a picture.

    Args:
        picture: its number.
    """

    picture: int


class Block(InCall):
    """End the call. The two are not matched again as long as one of them stays connected."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(InCall):
    """Report the partner to the operator, during the call or shortly after it.

    Args:
        reason: `abuse`, `sexual`, `minor`, `spam` or `other`.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected(InCall):
    """Say that the voice flows.

    Args:
        path: `direct` or `relay`.
    """

    path: str


class Chunk(NamedTuple):
    """A binary frame: one piece of a picture.

    Args:
        picture: the number of the picture that it belongs to.
        data: the piece, at most 48 KiB.
        frame: the whole frame, which the partner gets unchanged.
    """

    picture: int
    data: memoryview
    frame: bytes


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
    """Parse one text frame.

    Args:
        frame: JSON; bytes are read as UTF-8.

    Returns:
        A message of VOCABULARY.

    Raises:
        MessageError: it is something else.
    """
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


# What the server sends: type -> its fields beside `type`. A field with `?` is not always there.
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
    """A message of the server.

    Args:
        kind: a key of SERVER_MESSAGES.
        id: that of the client's message that this answers, or None.
        fields: what SERVER_MESSAGES names beside the type.

    Returns:
        JSON, for one text frame.
    """
    value = {"type": kind, **fields} if id is None else {"type": kind, **fields, "id": id}
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def encode_for_partner(message: InCall, **changed: Any) -> str:
    """A client's message as its partner gets it: with `from`, and only with fields that the table names.

    Args:
        message: what the client has sent.
        changed: fields that get another value, such as an `sdp` with relayed paths only.

    Returns:
        JSON, for one text frame.
    """
    kind = TYPES[type(message)]
    fields = {name: getattr(message, name) for name in VOCABULARY[kind].fields}
    return encode(kind, **{"from": "partner"}, **{**fields, **changed})


def encode_error(code: str, id: str | None = None) -> str:
    """A refusal, as the client gets it.

    Args:
        code: a key of ERRORS.
        id: that of the refused message, or None.

    Returns:
        JSON, for one text frame.
    """
    return encode("error", id=id, code=code, message=ERRORS[code])


WELCOME = encode(
    "welcome",
    protocol=PROTOCOL,
    features=FEATURES,
    hello_within=HELLO_SECONDS,
    ping_every=PING_SECONDS,
    limits={"message": MAX_MESSAGE, "text": MAX_TEXT, "picture": MAX_PICTURE, "chunk": MAX_CHUNK},
)
