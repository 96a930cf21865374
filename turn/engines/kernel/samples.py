"""Samples of what has passed in the kernel: a ring in memory that the program writes and we read."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator

from turn.engines.kernel.layout import SAMPLE
from turn.wire.srtp import RTCP

POSITION = struct.Struct("Q")
HEADER = struct.Struct("II")
BUSY, DISCARDED = 1 << 31, 1 << 30  # in the first word of a record, beside its length


class SampleRing:
    """The reader's side of a BPF ring buffer of `size` bytes (kernel/bpf/ringbuf.c)."""

    def __init__(self, descriptor: int, size: int) -> None:
        self.descriptor = descriptor
        self.size = size
        self.ours = mmap.mmap(descriptor, mmap.PAGESIZE)
        self.theirs = mmap.mmap(
            descriptor, mmap.PAGESIZE + 2 * size, prot=mmap.PROT_READ, offset=mmap.PAGESIZE
        )
        self.skip()

    def fileno(self) -> int:
        return self.descriptor

    def skip(self) -> None:
        """What was written for another process before us is of no use here."""
        self.ours[: POSITION.size] = self.theirs[: POSITION.size]

    def read(self) -> Iterator[tuple[int, int, bytes]]:
        """What waits: the slot's tag, the stream as in turn.wire.srtp, and the packet."""
        (position,) = POSITION.unpack_from(self.ours)
        while position < POSITION.unpack_from(self.theirs)[0]:
            at = mmap.PAGESIZE + position % self.size
            length, _ = HEADER.unpack_from(self.theirs, at)
            if length & BUSY:
                return
            position += HEADER.size + (length & ~DISCARDED) + 7 & ~7
            if not length & DISCARDED:
                tag, ssrc, size, is_rtcp = SAMPLE.unpack_from(self.theirs, at + HEADER.size)
                start = at + HEADER.size + SAMPLE.size
                packet = self.theirs[start : start + size]
                POSITION.pack_into(self.ours, 0, position)
                yield tag, RTCP if is_rtcp else int.from_bytes(ssrc, "big"), packet
        POSITION.pack_into(self.ours, 0, position)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()
