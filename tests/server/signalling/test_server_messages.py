"""What the server says: its own messages, and those of one visitor as the other gets them."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from server.signalling.messages import ERRORS, Text
from server.signalling.server_messages import (
    SERVER_MESSAGES,
    WELCOME,
    encode,
    encode_error,
    encode_for_partner,
)
from server.signalling.vocabulary import parse_message


def test_what_the_server_says() -> None:
    assert json.loads(encode("waiting")) == {"type": "waiting"}
    assert json.loads(encode("stopped", id="a1")) == {"type": "stopped", "id": "a1"}
    assert json.loads(encode_error("too_fast", "a1"))["message"] == ERRORS["too_fast"]
    welcome = json.loads(WELCOME)
    assert set(welcome) == {"type", *SERVER_MESSAGES["welcome"]}
    assert welcome["limits"] == {"message": 65536, "text": 4000, "picture": 2097152, "chunk": 49152}


def test_relay_stamps_the_sender_and_passes_only_the_table() -> None:
    fields = {"type": "text", "call": "c", "text": "hello"}
    message = parse_message(json.dumps({**fields, "from": "admin", "id": "a1", "role": "owner"}))
    assert isinstance(message, Text)
    assert json.loads(encode_for_partner(message)) == {
        "type": "text",
        "from": "partner",
        "call": "c",
        "text": "hello",
    }


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
def test_text_passes_unchanged(line: str) -> None:
    message = parse_message(json.dumps({"type": "text", "call": "c", "text": line}))
    assert isinstance(message, Text)
    assert json.loads(encode_for_partner(message).encode())["text"] == line
