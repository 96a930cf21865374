"""docs/protocol.md is right: the server's own code reads and writes every example in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from server.signalling import close_codes, messages, outbox, rates, sdp
from server.signalling.messages import ERRORS, Answer, Candidate, InCall, Offer
from server.signalling.pictures import Transfer
from server.signalling.server_messages import SERVER_MESSAGES, WELCOME, encode, encode_for_partner
from server.signalling.strict_json import MAX_BRACKETS, MAX_OUTSIDE_STRINGS
from server.signalling.vocabulary import CHUNK_HEAD, TYPES, VOCABULARY, parse_chunk, parse_message
from server.web import browser_socket, websocket
from tests.documents import DOCS

DOCUMENT = (DOCS / "protocol.md").read_text("utf-8")
SAID_BY_PARTNER = [kind for kind, fields in SERVER_MESSAGES.items() if "from" in fields]


class Example(NamedTuple):
    """One block of JSON, and the heading that it stands under."""

    kind: str
    text: str

    @property
    def value(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.text)
        return value


def section(title: str) -> str:
    """The text below a heading of the second level."""
    return DOCUMENT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def examples(title: str) -> Iterator[Example]:
    for part in section(title).split("\n### ")[1:]:
        kind, _, text = part.partition("\n")
        yield from (Example(kind, block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL))


def cells(title: str) -> Iterator[list[str]]:
    """The rows of the first table in a section."""
    for line in section(title).split("| --- |", 1)[1].splitlines()[1:]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


CLIENT, SERVER = [*examples("What the client says")], [*examples("What the server says")]


def test_every_message_of_a_client_has_an_example() -> None:
    assert {example.kind for example in CLIENT} == set(VOCABULARY)


def test_every_message_of_the_server_has_an_example() -> None:
    assert {example.kind for example in SERVER} == set(SERVER_MESSAGES)


@pytest.mark.parametrize("example", CLIENT, ids=lambda example: example.kind)
def test_the_server_reads_what_a_client_says(example: Example) -> None:
    message = parse_message(example.text)
    assert TYPES[type(message)] == example.kind
    assert set(example.value) <= {"type", "id", *VOCABULARY[example.kind].fields}
    if isinstance(message, Offer | Answer):
        sdp.check_sdp(message.sdp)
    if isinstance(message, Candidate) and message.candidate is not None:
        sdp.check_candidate(message.candidate["candidate"])


@pytest.mark.parametrize("example", SERVER, ids=lambda example: example.kind)
def test_the_server_says_what_it_is_said_to_say(example: Example) -> None:
    value = example.value
    fields = SERVER_MESSAGES[example.kind]
    assert {name for name in fields if not name.endswith("?")} <= set(value)
    assert set(value) <= {"type", *(name.rstrip("?") for name in fields)}
    assert (
        json.loads(encode(**{"kind" if name == "type" else name: part for name, part in value.items()}))
        == value
    )


@pytest.mark.parametrize("kind", SAID_BY_PARTNER)
def test_a_partner_hears_what_a_client_said(kind: str) -> None:
    said = next(parse_message(example.text) for example in CLIENT if example.kind == kind)
    heard = next(example.value for example in SERVER if example.kind == kind)
    assert isinstance(said, InCall)
    assert json.loads(encode_for_partner(said)) == heard


def test_the_welcome_is_the_one_that_is_sent() -> None:
    assert json.loads(WELCOME) == next(example.value for example in SERVER if example.kind == "welcome")


def test_every_error_code_stands_in_the_table_with_its_words() -> None:
    assert {code.strip("`"): words for code, words in cells("Error codes")} == ERRORS
    assert next(example.value for example in SERVER if example.kind == "error")["message"] in ERRORS.values()


def test_every_close_code_stands_in_the_table() -> None:
    listed = {int(code) for row in cells("Close codes") for code in row[0].split(",")}
    known = {value for value in vars(close_codes).values() if type(value) is int}
    assert known - {close_codes.LOST} <= listed  # LOST is never sent


def test_the_frame_of_a_picture_is_one() -> None:
    frame = bytes.fromhex(section("Pictures").split("```hex\n", 1)[1].split("```", 1)[0])
    chunk = parse_chunk(frame)
    announced = next(example.value for example in CLIENT if example.kind == "picture")
    assert chunk.picture == announced["picture"]
    assert len(chunk.data) == len(frame) - CHUNK_HEAD
    Transfer(chunk.picture, announced["size"], announced["mime"]).add_chunk(chunk.data)


def pace(rate: rates.Rate) -> str:
    return f"{rate.per_second:,} a second, {rate.burst:,} at once"


LIMITS = {
    "one message": f"{messages.MAX_MESSAGE:,} bytes",
    "JSON outside of strings": f"{MAX_OUTSIDE_STRINGS:,} characters, {MAX_BRACKETS} brackets that open",
    "messages": pace(rates.MESSAGE_RATE),
    "characters of all messages": pace(rates.SIZE_RATE),
    f"characters of messages over {rates.LARGE_MESSAGE:,}, from all pages of one address": pace(
        rates.LARGE_RATE
    ),
    "texts": pace(rates.TEXT_RATE),
    "pieces of pictures": pace(rates.CHUNK_RATE),
    "refusals with `too_fast`": f"{rates.MAX_REFUSALS} within {rates.REFUSAL_SECONDS:g} seconds",
    "`bad_json`, `bad_message`, `unknown_type` together": f"{websocket.MAX_MALFORMED} on one connection",
    "WebSocket pings and pongs": pace(browser_socket.CONTROL_RATE),
    "what waits for a slow reader": f"{outbox.MAX_MESSAGES} messages, {outbox.MAX_BYTES >> 10} KiB",
    "new visitors of one address": "`server.new_visitors_per_minute`",
    "open pages of one address (IPv6: one /64; a /48: twice)": "`server.visitors_per_address`",
    "open pages in all": "`server.visitors`",
}


def test_the_limits_are_those_in_force() -> None:
    assert {row[0]: row[1] for row in cells("Limits")} == LIMITS
