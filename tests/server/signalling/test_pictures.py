"""A picture's beginning, its length, and the two chunks that may be on their way."""

from __future__ import annotations

import pytest

from server.signalling.pictures import MAGIC, PictureError, Transfer, has_magic
from tests.server.signalling.picture_heads import HEADS

OTHERS = {
    "svg": b"<svg xmlns='http://",
    "gif": b"GIF89a\x01\x00\x01\x00\x00\x00",
    "psd": b"8BPS\x00\x01\x00\x00\x00\x00\x00\x00",
    "tiff": b"II*\x00\x08\x00\x00\x00\x00\x00\x00\x00",
    "html": b"<!doctype html><p>",
    "a wave": b"RIFF\x10\x00\x00\x00WAVE",
    "too short": b"\xff\xd8\xff",
    "nothing": b"",
}


@pytest.mark.parametrize("mime", MAGIC)
def test_each_type_by_its_own_beginning_only(mime: str) -> None:
    assert {other: has_magic(memoryview(head), mime) for other, head in HEADS.items()} == {
        other: other == mime for other in HEADS
    }
    assert not any(has_magic(memoryview(head), mime) for head in OTHERS.values())


def png(size: int) -> memoryview:
    return memoryview(HEADS["image/png"].ljust(size, b"x"))


def test_a_picture_in_chunks_to_its_end() -> None:
    transfer = Transfer(1, 250, "image/png")
    for _ in range(2):
        transfer.add_chunk(png(100))
    assert transfer.acknowledge(200)
    transfer.add_chunk(memoryview(b"x" * 50))
    assert not transfer.is_complete
    assert transfer.acknowledge(250)
    assert transfer.is_complete


def test_a_third_chunk_in_flight_is_too_fast() -> None:
    transfer = Transfer(1, 400, "image/png")
    transfer.add_chunk(png(100))
    transfer.add_chunk(png(100))
    assert transfer.acknowledge(150)
    transfer.add_chunk(png(100))
    with pytest.raises(PictureError, match="too_fast"):
        transfer.add_chunk(png(100))


@pytest.mark.parametrize("chunks", [[b"GIF89a".ljust(50)], [b"\x89PNG"], [png(101)], [png(60), png(60)]])
def test_a_wrong_picture_is_refused(chunks: list[bytes | memoryview]) -> None:
    transfer = Transfer(1, 100, "image/png")
    for chunk in chunks[:-1]:
        transfer.add_chunk(memoryview(chunk))
    with pytest.raises(PictureError, match="bad_picture"):
        transfer.add_chunk(memoryview(chunks[-1]))


def test_acknowledgements_that_cannot_be() -> None:
    transfer = Transfer(1, 300, "image/png")
    transfer.add_chunk(png(100))
    assert [transfer.acknowledge(total) for total in (0, 101, 100, 100, 50)] == [
        False,
        False,
        True,
        False,
        False,
    ]
