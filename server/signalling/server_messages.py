"""What the server says: each type of message with its fields, and the messages as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from server.signalling.messages import (
    ERRORS,
    HELLO_SECONDS,
    MAX_CHUNK,
    MAX_MESSAGE,
    MAX_PICTURE,
    MAX_TEXT,
    PING_SECONDS,
    PROTOCOL,
    InCall,
)
from server.signalling.vocabulary import TYPES, VOCABULARY

ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)
FEATURES = ("text", "pictures", "block", "report", "hide-address", "resume")

# What the server sends: type -> its fields beside `type`. A field with `?` is not always there.
SERVER_MESSAGES: Mapping[str, tuple[str, ...]] = {
    "welcome": ("protocol", "features", "hello_within", "ping_every", "limits"),
    "hello": ("resume", "resumed", "country", "countries", "matching", "state?", "call?", "heard?", "id?"),
    "waiting": ("id?",),
    "queue": ("here", "waiting", "why", "seconds", "asked?"),
    "call-back": ("call", "state", "id?"),
    "stopped": ("id?",),
    "matched": ("call", "polite", "relay", "country", "features", "ice", "ticket?"),
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
    "pong": ("heard", "id?"),
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
    return ENCODER.encode(value)


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
