"""Whether the payloads of a stream look random, as encrypted ones do.

A guess says in which way plain payloads are not random. Its evidence for a packet, in bits, is the logarithm
of how much likelier this packet is by the guess than by chance. For random bytes the mean of that ratio is 1,
whatever is guessed. The bits of a stream's packets are added up, and the sum never falls below zero (a CUSUM
test). So one guess reaches b bits within n packets of an encrypted stream with a probability of n / 2^b at
most: the Shiryaev-Roberts sum is never lower, and its mean is n. No assumption about plain media is in that.
Packets that are added together count as one for the guess about bits; the mean of their ratio is 1, too.
"""

from __future__ import annotations

from collections.abc import Collection
from math import log2
from typing import Final

EXAMINED: Final = 96  # bytes of a payload that are looked at: each costs time, and more find little more

# The first byte of plain media mostly says what follows: it is one of the last four, or has the high nibble
# of one. These are the shares of the guess; the rest is left to chance.
HEADS = 4
SAME_BYTE, SAME_NIBBLE = 0.5, 0.35
CHANCE = 1 - SAME_BYTE - SAME_NIBBLE

# Of the bits of samples and of text, so many equal the same bit two bytes before; samples have one or two.
SAME_BIT = 0.55
# Of the bytes that would be new if all were random, so many occur in the packet before instead.
KNOWN_BYTES = 0.3

# The last bit of each frame of iLBC is zero (RFC 3951 §3.8). It has no header, and all else in it varies.
ILBC_FRAMES = (38, 50)  # bytes, of 20 ms and of 30 ms
ZERO_BIT = 1 - 1 / 64
LONGEST = 1500  # bytes of a payload

PLAIN: Final = 53.0  # bits that show that a stream is not encrypted
# Bits after which a stream is tested anew: a false alarm costs a test. The guess about iLBC learns one bit
# from a packet; its alarms are false more often, but most streams have packets of other sizes.
SUSPICIOUS, SUSPICIOUS_FRAMES = 9.0, 3.0


def head_bits(same_bytes: int, same_nibbles: int) -> float:
    """The evidence of a first byte that so many of the last four equal."""
    return log2(CHANCE + 256 / HEADS * SAME_BYTE * same_bytes + 16 / HEADS * SAME_NIBBLE * same_nibbles)


HEAD_BITS = [[head_bits(first, second) for second in range(HEADS + 1)] for first in range(HEADS + 1)]
NEW_HEAD = HEAD_BITS[0][0]
SAME, OTHER = log2(2 * SAME_BIT), log2(2 * (1 - SAME_BIT))
# Of a byte that the packet before has, by the size of that, so by how many different bytes it has at most.
KNOWN = [0.0, *(log2(1 + KNOWN_BYTES * (256 - size) / size) for size in range(1, EXAMINED + 1))]
UNKNOWN = log2(1 - KNOWN_BYTES)
NIBBLES = bytes(byte >> 4 for byte in range(256))
ZERO, ONE = log2(2 * ZERO_BIT), log2(2 * (1 - ZERO_BIT))
FRAME_SIZES = {count * size: size for size in ILBC_FRAMES for count in range(1, LONGEST // size + 1)}


class Randomness:
    """The evidence against one stream, in bits for each guess, from each packet that is added."""

    __slots__ = ("_before", "_heads", "bits", "bytes", "frames", "heads")

    def __init__(self) -> None:
        self._heads = self._before = b""
        self.forget()

    def forget(self) -> None:
        """Begin to add up anew."""
        self.heads = self.bits = self.bytes = self.frames = 0.0

    def add(self, payloads: Collection[bytes]) -> None:
        """Add what is encrypted of packets in their order, if it is what it seems: of each at least a byte.

        One function, because it runs for each packet that is looked at. Several at once cost less.
        """
        before, heads = self._before, self._heads
        same, known, examined = self.heads, self.bytes, []
        for payload in payloads:
            part, head = payload[:EXAMINED], payload[0]
            if heads:
                nibbles = heads.translate(NIBBLES).count(head >> 4)
                same += HEAD_BITS[heads.count(head)][nibbles] if nibbles else NEW_HEAD
                if same < 0:
                    same = 0.0
                heads = heads[1:] + part[:1]
            else:
                heads = part[:1] * HEADS

            new = len(part.translate(None, before))
            known += new * UNKNOWN + (len(part) - new) * KNOWN[len(before)]
            if known < 0:
                known = 0.0
            before = part
            examined.append(part)
            if len(payload) in FRAME_SIZES:
                self._add_frames(payload, FRAME_SIZES[len(payload)])
        self._heads, self._before = heads, before
        self.heads, self.bytes = same, known

        together = b"".join(examined)
        number = int.from_bytes(together, "big")
        others = (number ^ number >> 16).bit_count()  # before the first two bytes, there are zeros
        bits = self.bits + others * OTHER + (8 * len(together) - others) * SAME
        self.bits = bits if bits > 0 else 0.0

    def _add_frames(self, payload: bytes, size: int) -> None:
        ones = sum(end & 1 for end in payload[size - 1 :: size])
        self.frames = max(self.frames + ones * ONE + (len(payload) // size - ones) * ZERO, 0.0)

    def is_plain(self) -> bool:
        """Whether any guess has shown that the stream is not encrypted."""
        return self.heads >= PLAIN or self.bits >= PLAIN or self.bytes >= PLAIN or self.frames >= PLAIN

    def is_suspicious(self) -> bool:
        """Whether the stream should be tested anew."""
        return (
            self.heads >= SUSPICIOUS
            or self.bits >= SUSPICIOUS
            or self.bytes >= SUSPICIOUS
            or self.frames >= SUSPICIOUS_FRAMES
        )
