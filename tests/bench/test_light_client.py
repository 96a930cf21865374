"""The light client reads what our server writes, and writes what our server reads."""

from __future__ import annotations

import pytest

from server.web import frames
from tests.bench.light_client import PONG, TEXT, frame, take_frame

SIZES = (0, 1, 125, 126, 65_535, 65_536)


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_of_the_server_is_taken_when_it_is_whole(size: int) -> None:
    written = frames.frame(frames.TEXT, b"x" * size)
    assert take_frame(bytearray(written[:-1])) is None
    buffer = bytearray(written + b"rest")
    assert take_frame(buffer) == (TEXT, b"x" * size)
    assert buffer == b"rest"


@pytest.mark.parametrize("size", SIZES[:-1])
def test_the_server_reads_its_frames(size: int) -> None:
    data = b"x" * size
    assert frames.FrameReader(70_000).feed(frame(data)) == [(frames.TEXT, data)]


def test_the_server_reads_its_pongs() -> None:
    assert frames.FrameReader(70_000).feed(frame(b"abcd", PONG)) == [(frames.PONG, b"abcd")]
