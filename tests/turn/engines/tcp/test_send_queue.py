"""What waits for a slow reader: its order, and its bounds."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turn.engines.tcp.send_queue import ANSWER_BYTES, MEDIA_BYTES, PACKET_BYTES, Overflow, SendQueue

MOST_BYTES = 96 << 10  # for media, which may be 64 KiB, with all that holds them
ANSWER, VOICE, DATA = b"\1\1 answer", b"\x40\1 voice", b"\0\x17 data"


def emptied(box: SendQueue, step: int) -> bytes:
    sent = b""
    while box.head:
        sent += bytes(box.head[:step])
        box.sent(step)
    return sent


@pytest.mark.parametrize("step", [1, 5, 1000])
def test_what_is_being_sent_is_finished_then_answers_overtake_media(step: int) -> None:
    box = SendQueue(b"half")
    for packet in (VOICE, ANSWER, DATA, ANSWER):
        box.put(packet)
    assert emptied(box, step) == b"half" + ANSWER + ANSWER + VOICE + DATA
    assert (box.answers_size, box.media_size) == (0, 0)


@given(st.lists(st.integers(1, 20_000), max_size=60))
def test_the_newest_media_stay_and_are_whole(sizes: list[int]) -> None:
    box, put = SendQueue(b"half"), []
    for number, size in enumerate(sizes):
        put.append(b"\x40" + bytes([number]) * size)
        box.put(put[-1])
        assert sum(len(packet) + PACKET_BYTES for packet in box.media) == box.media_size <= MEDIA_BYTES
    assert list(box.media) == put[len(put) - len(box.media) :]


@pytest.mark.parametrize("size", [0, 1, 160, 1200, 16_000, 65_507])
def test_what_waits_for_one_reader_takes_little_memory(size: int) -> None:
    tracemalloc.start()
    try:
        box = SendQueue(b"half")
        for number in range(20_000):
            box.put(b"\x40" + bytes([number % 256]) + size.to_bytes(2) + bytes(size))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken <= MOST_BYTES


def test_no_client_leaves_so_many_answers_unread() -> None:
    box = SendQueue(b"half")
    for _ in range(ANSWER_BYTES // 100):
        box.put(bytes(100))
    with pytest.raises(Overflow):
        box.put(bytes(100))


def test_a_packet_is_sealed_when_its_turn_comes() -> None:
    encrypted: list[bytes] = []
    box = SendQueue(b"half", lambda packet: encrypted.append(packet) or packet[::-1])  # type: ignore[func-returns-value]
    for packet in (VOICE, ANSWER):
        box.put(packet)
    assert encrypted == []
    assert emptied(box, 3) == b"half" + ANSWER[::-1] + VOICE[::-1]
    assert encrypted == [ANSWER, VOICE]
    assert (box.answers_size, box.media_size) == (0, 0)
