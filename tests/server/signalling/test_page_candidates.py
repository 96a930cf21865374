"""The short way for candidates says what the long way says, and never more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.signalling import vocabulary
from server.signalling.messages import Candidate, MessageError
from server.signalling.page_candidates import for_partner, parse_page_candidate
from server.signalling.server_messages import encode_for_partner
from tests.server.signalling.descriptions import CANDIDATES, HOST

INIT = {"candidate": HOST, "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "abcd"}


def written(candidate: Any, call: str = "abc", **more: Any) -> str:
    """As `JSON.stringify` writes it."""
    message = {"type": "candidate", "candidate": candidate, "call": call, **more}
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False)


def the_long_way(frame: str) -> Candidate:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(vocabulary, "parse_page_candidate", lambda frame: None)
        message = vocabulary.parse_message(frame)
    assert isinstance(message, Candidate)
    return message


@pytest.mark.parametrize("line", CANDIDATES)
@pytest.mark.parametrize("drop", ["", "usernameFragment"])
def test_what_a_page_sends_goes_the_short_way_and_means_the_same(line: str, drop: str) -> None:
    frame = written({name: value for name, value in {**INIT, "candidate": line}.items() if name != drop})
    short = parse_page_candidate(frame)
    assert short is not None
    assert short == the_long_way(frame) == vocabulary.parse_message(frame)
    assert for_partner(short) == encode_for_partner(the_long_way(frame))


# Written in another way, or refused: the long way decides.
OTHERS: Mapping[str, str] = {
    "a blank": written(INIT).replace(":{", ": {"),
    "an id": written(INIT, id="1"),
    "the end of the candidates": written(None),
    "an escape": written({**INIT, "candidate": 'a"b'}),
    "a letter beyond ASCII": written({**INIT, "candidate": "é"}),
    "a control character": written(INIT).replace("udp", "u\x00dp"),
    "a double key": written(INIT).replace('"sdpMid":"0",', '"sdpMid":"0","sdpMid":"0",'),
    "an unknown key": written({**INIT, "more": 1}),
    "a line too long": written({**INIT, "candidate": "x" * 513}),
    "an index too large": written({**INIT, "sdpMLineIndex": 256}),
    "an index with a zero before it": written(INIT).replace('Index":0', 'Index":00'),
    "a negative index": written({**INIT, "sdpMLineIndex": -1}),
    "a ufrag with a blank": written({**INIT, "usernameFragment": "a b"}),
    "a mid with a blank": written({**INIT, "sdpMid": "a b"}),
    "no call": written(INIT, call=""),
    "a call too long": written(INIT, call="x" * 65),
    "a line after it": written(INIT) + "\n",
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_goes_the_long_way(name: str) -> None:
    assert parse_page_candidate(OTHERS[name]) is None


@given(
    line=st.text(max_size=520),
    mid=st.text(max_size=70),
    index=st.integers(-2, 300),
    ufrag=st.text("abzAZ09+/ -", max_size=260),
    call=st.text(max_size=70),
)
def test_it_never_says_more_than_the_long_way(line: str, mid: str, index: int, ufrag: str, call: str) -> None:
    init = {"candidate": line, "sdpMid": mid, "sdpMLineIndex": index, "usernameFragment": ufrag}
    frame = written(init, call)
    short = parse_page_candidate(frame)
    try:
        long = the_long_way(frame)
    except MessageError:
        assert short is None
    else:
        assert short is None or short == long
        assert short is None or for_partner(short) == encode_for_partner(long)
