"""Packets that wait for a slow client of a stream: whole, bounded, and the oldest media is dropped first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from turn.engines.framing import DATA_INDICATION, is_channel

MEDIA_BYTES = 64 << 10  # six seconds of voice: what waits longer is useless to its listener
PACKET_BYTES = 48  # of memory for each packet beside its data: 16,000 empty ones are more than 64 KiB
ANSWER_BYTES = 16 << 10  # a hundred answers: no real client leaves more unread
DATA_HEAD = DATA_INDICATION.to_bytes(2)


class Overflow(Exception):
    """More answers wait than any real client leaves unread."""


class SendQueue:
    """The packet that is being sent comes first, and whole; then answers, since a client does not ask again
    on a stream; then media."""

    __slots__ = ("answers", "answers_size", "encrypt", "head", "media", "media_size")

    def __init__(self, head: bytes, encrypt: Callable[[bytes], bytes] = bytes) -> None:
        """`head` is the rest of the packet that is being sent. `encrypt` is called for each packet when its
        turn comes, since a packet that is encrypted can no longer be dropped."""
        self.head = memoryview(head)
        self.encrypt = encrypt
        self.answers: deque[bytes] = deque()
        self.media: deque[bytes] = deque()
        self.answers_size = self.media_size = 0

    def put(self, packet: bytes) -> None:
        """Raises Overflow."""
        if is_channel(packet[0]) or packet.startswith(DATA_HEAD):
            self.media.append(packet)
            self.media_size += len(packet) + PACKET_BYTES
            while self.media_size > MEDIA_BYTES:
                self.media_size -= len(self.media.popleft()) + PACKET_BYTES
        else:
            self.answers.append(packet)
            self.answers_size += len(packet)
            if self.answers_size > ANSWER_BYTES:
                raise Overflow

    def sent(self, size: int) -> bool:
        """So many bytes of the head have been sent; whether anything still waits."""
        self.head = self.head[size:]
        if not self.head and self.answers:
            self.head = memoryview(self.encrypt(self.answers[0]))
            self.answers_size -= len(self.answers.popleft())
        elif not self.head and self.media:
            self.head = memoryview(self.encrypt(self.media[0]))
            self.media_size -= len(self.media.popleft()) + PACKET_BYTES
        return bool(self.head)
