"""Targets for what is read as text: signalling messages, session descriptions, the configuration."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from config.file import parse_config
from config.problems import ConfigError
from server.signalling.messages import ERRORS, ClientMessage, MessageError
from server.signalling.sdp import (
    MAX_PAIRS,
    SdpError,
    check_sdp,
    relay_candidate,
    relay_only,
    ufrag_pairs,
    ufrags_of,
)
from server.signalling.server_messages import encode_error
from server.signalling.vocabulary import parse_chunk, parse_message
from turn.wire.notices import MAX_UFRAG

PLACE = Path("/etc/calln/config.yaml")


def messages(data: bytes) -> None:
    """A frame is a message, or refused with a stable code and an id that can be sent back."""
    for frame in (data, data.decode(errors="replace")):
        refused = refusal_of(frame)
        if refused is not None:
            assert encode_error(refused.code, refused.id).encode()
            assert refused.code in ERRORS
    with suppress(MessageError):
        chunk = parse_chunk(data)
        assert len(chunk.data) < len(data)


def descriptions(data: bytes) -> None:
    """What passes still passes with its addresses hidden, and then names no candidate but relayed ones."""
    sdp = data.decode(errors="replace")
    with suppress(SdpError):
        relay_candidate(sdp)
    with suppress(SdpError):
        check_sdp(sdp)
        hidden = relay_only(sdp)
        check_sdp(hidden)
        assert relay_only(hidden) == hidden
        lines = [line for line in hidden.splitlines() if line.lower().startswith("a=candidate")]
        assert all(" typ relay" in line for line in lines)
        vouched = ufrags_of(check_sdp(sdp))
        assert ufrags_of(check_sdp(hidden)) == vouched
        assert all(not ufrag or 4 <= len(ufrag.encode()) <= MAX_UFRAG for ufrag in vouched)
        assert len(ufrag_pairs(vouched, vouched)) <= MAX_PAIRS


def configuration(data: bytes) -> None:
    """A file is read, or every problem is one line that names the file."""
    problems = problems_of(data.decode(errors="replace"))
    assert all(problem.startswith(str(PLACE)) and problem.isprintable() for problem in problems)


def refusal_of(frame: str | bytes) -> MessageError | None:
    try:
        assert isinstance(parse_message(frame), ClientMessage)
    except MessageError as refused:
        return refused
    return None


def problems_of(text: str) -> tuple[str, ...]:
    try:
        parse_config(text, PLACE)
    except ConfigError as refused:
        return refused.problems
    return ()
