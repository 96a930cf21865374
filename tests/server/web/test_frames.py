"""Frames of a browser: whole or in pieces, and each that is refused with its close code."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from server.web.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    MAX_FRAGMENTS,
    PING,
    TEXT,
    FrameError,
    FrameReader,
    Incoming,
    close_frame,
    code_of,
    frame,
)
from tests.server.raw import frame as browser_frame

MOST = 70_000

SIZES = st.sampled_from((0, 1, 125, 126, 127, 65_535, 65_536))


def written_by_the_library(opcode: int, data: bytes, *, masked: bool, fin: bool = True) -> bytes:
    return Frame(Opcode(opcode), data, fin).serialize(mask=masked)


@given(size=SIZES, opcode=st.sampled_from((TEXT, BINARY)), cut=st.integers(1, 70_000))
def test_a_frame_is_read_wherever_it_is_cut(size: int, opcode: int, cut: int) -> None:
    reader, data = FrameReader(MOST), b"ab" * (size // 2) + b"c" * (size % 2)
    sent = written_by_the_library(opcode, data, masked=True)
    found = reader.feed(sent[:cut]) + reader.feed(sent[cut:])
    assert found == [Incoming(opcode, data)]
    assert reader.buffer is None


@given(size=SIZES, opcode=st.sampled_from((TEXT, BINARY)))
def test_a_frame_is_written_as_the_library_writes_it(size: int, opcode: int) -> None:
    data = b"x" * size
    assert frame(opcode, data) == written_by_the_library(opcode, data, masked=False)


def test_byte_by_byte() -> None:
    reader = FrameReader(MOST)
    sent = browser_frame(b"one") + browser_frame(b"x" * 200, FIN | BINARY) + browser_frame(b"", FIN | PING)
    found = [one for at in range(len(sent)) for one in reader.feed(sent[at : at + 1])]
    assert found == [Incoming(TEXT, b"one"), Incoming(BINARY, b"x" * 200), Incoming(PING, b"")]


def test_what_was_sent_early_is_read_with_what_follows() -> None:
    sent = browser_frame(b"one")
    reader = FrameReader(MOST, sent[:4])
    assert reader.feed(sent[4:]) == [Incoming(TEXT, b"one")]


def test_fragments_make_one_message_and_pings_may_come_between() -> None:
    reader = FrameReader(MOST)
    sent = [
        browser_frame(b"on", TEXT),
        browser_frame(b"?", FIN | PING),
        browser_frame(b"", CONTINUATION),
        browser_frame(b"e", FIN | CONTINUATION),
        browser_frame(b"two"),
    ]
    assert reader.feed(b"".join(sent)) == [
        Incoming(PING, b"?"),
        Incoming(TEXT, b"one"),
        Incoming(TEXT, b"two"),
    ]
    assert (reader.fragments, reader.size) == (None, 0)


REFUSED: Mapping[str, tuple[bytes, int]] = {
    "too large": (browser_frame(b"x" * (MOST + 1)), 1009),
    "too large, and not there": (browser_frame(b"", length=1 << 40), 1009),
    "too large together": (browser_frame(b"x" * 40_000, TEXT) + browser_frame(b"x" * 40_000, 0), 1009),
    "too many pieces": (browser_frame(b"", TEXT) + browser_frame(b"", 0) * MAX_FRAGMENTS, 1009),
    "without a mask": (browser_frame(b"x", masked=False), 1002),
    "a reserved bit": (browser_frame(b"x", FIN | 0x10 | TEXT), 1002),
    "an unknown control frame": (browser_frame(b"x", FIN | 0xB), 1002),
    "a close in pieces": (browser_frame(b"\x03\xe8", CLOSE), 1002),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    sent, code = REFUSED[name]
    with pytest.raises(FrameError) as refused:
        FrameReader(MOST).feed(sent)
    assert refused.value.code == code


CLOSES = {b"": 1005, b"\x03\xe8": 1000, b"\x03\xe9bye": 1001, b"\x0f\xa0": 4000}
BAD_CLOSES = {b"\x03": 1002, b"\x03\xee": 1002, b"\x00\x01": 1002, b"\x03\xe8\xff": 1007}


@pytest.mark.parametrize("data", CLOSES)
def test_the_code_of_a_close(data: bytes) -> None:
    assert code_of(data) == CLOSES[data]


@pytest.mark.parametrize("data", BAD_CLOSES)
def test_a_close_that_nobody_may_send(data: bytes) -> None:
    with pytest.raises(FrameError) as refused:
        code_of(data)
    assert refused.value.code == BAD_CLOSES[data]


def test_our_close() -> None:
    assert close_frame(4400) == b"\x88\x02\x11\x30"
