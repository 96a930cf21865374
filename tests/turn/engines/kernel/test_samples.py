"""The ring of samples, in memory that a test has written as the kernel would."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator

import pytest

from turn.engines.kernel.layout import SAMPLE
from turn.engines.kernel.samples import BUSY, DISCARDED, SampleRing
from turn.wire.srtp import RTCP

SIZE = mmap.PAGESIZE
OURS, THEIRS, DATA = 0, mmap.PAGESIZE, 2 * mmap.PAGESIZE


class Writer:
    """The kernel's side; its data are mapped twice in a row, so each byte is written twice."""

    def __init__(self) -> None:
        self.file = os.memfd_create("samples")
        os.ftruncate(self.file, DATA + 2 * SIZE)
        self.memory = mmap.mmap(self.file, DATA + 2 * SIZE)
        self.position = 0

    def write(self, tag: int, ssrc: int, packet: bytes, *, is_rtcp: bool = False, flags: int = 0) -> None:
        body = SAMPLE.pack(tag, ssrc.to_bytes(4, "big"), len(packet), is_rtcp) + packet
        for number, byte in enumerate(struct.pack("II", len(body) | flags, 0) + body):
            for lap in (0, SIZE):
                self.memory[DATA + lap + (self.position + number) % SIZE] = byte
        self.position += 8 + len(body) + 7 & ~7
        self.memory[THEIRS : THEIRS + 8] = struct.pack("Q", self.position)


@pytest.fixture
def writer() -> Iterator[Writer]:
    writer = Writer()
    yield writer
    writer.memory.close()
    os.close(writer.file)


def test_many_laps_are_read_as_they_were_written(writer: Writer) -> None:
    ring = SampleRing(writer.file, SIZE)
    for number in range(100):
        packets = [bytes([number]) * size for size in (0, 1, 7, 8, 1200)]
        for packet in packets:
            writer.write(number, 0xFEEDF00D, packet)
        writer.write(number, 5, b"report", is_rtcp=True)
        expected = [(number, 0xFEEDF00D, packet) for packet in packets]
        assert list(ring.read()) == [*expected, (number, RTCP, b"report")]
        assert list(ring.read()) == []
        assert struct.unpack_from("Q", writer.memory, OURS) == (writer.position,)
    ring.close()


def test_what_was_written_for_a_process_before_is_not_read(writer: Writer) -> None:
    writer.write(1, 2, b"of another one")
    ring = SampleRing(writer.file, SIZE)
    writer.write(3, 4, b"ours")
    assert list(ring.read()) == [(3, 4, b"ours")]
    ring.close()


def test_what_is_not_finished_waits_and_what_is_discarded_is_skipped(writer: Writer) -> None:
    ring = SampleRing(writer.file, SIZE)
    writer.write(1, 1, b"discarded", flags=DISCARDED)
    writer.write(2, 1, b"whole")
    at = writer.position
    writer.write(3, 1, b"later", flags=BUSY)
    writer.write(4, 1, b"behind it")
    assert [tag for tag, *_ in ring.read()] == [2]
    assert list(ring.read()) == []
    (length,) = struct.unpack_from("I", writer.memory, DATA + at)
    writer.memory[DATA + at : DATA + at + 4] = struct.pack("I", length & ~BUSY)
    assert [tag for tag, *_ in ring.read()] == [3, 4]
    ring.close()
