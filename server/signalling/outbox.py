"""What waits to be sent to one browser: bounded, and messages go before pictures."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

MAX_BYTES = 256 << 10  # that a slow reader may make the server hold
MAX_MESSAGES = 128


class PictureChunk(NamedTuple):
    """A chunk that waits, and the number of its picture."""

    picture: int
    data: bytes


def size_of(data: str | bytes) -> int:
    """The bytes that it may take. A text is not encoded to find out: each character counts four."""
    return len(data) if isinstance(data, bytes) or data.isascii() else 4 * len(data)


class Outbox:
    """Two queues: messages, and chunks of pictures."""

    __slots__ = ("bytes", "chunks", "messages")

    def __init__(self) -> None:
        self.messages: deque[str] = deque()
        self.chunks: deque[PictureChunk] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self.messages) + len(self.chunks)

    def push(self, data: str | bytes, picture: int | None = None) -> bool:
        """Queue a message or a chunk. False: the limit is reached, and nothing was queued."""
        if len(self) >= MAX_MESSAGES or self.bytes + size_of(data) > MAX_BYTES:
            return False
        self.bytes += size_of(data)
        if isinstance(data, bytes):
            self.chunks.append(PictureChunk(picture or 0, data))
        else:
            self.messages.append(data)
        return True

    def push_front(self, message: str) -> None:
        """Put a message before everything else, also beyond the limit."""
        self.bytes += size_of(message)
        self.messages.appendleft(message)

    def pop(self) -> str | bytes | None:
        """What to send next; None: nothing waits."""
        if self.messages:
            data: str | bytes = self.messages.popleft()
        elif self.chunks:
            data = self.chunks.popleft().data
        else:
            return None
        self.bytes -= size_of(data)
        return data

    def drop_picture(self, picture: int) -> None:
        """Forget the chunks of a picture."""
        kept = [chunk for chunk in self.chunks if chunk.picture != picture]
        self.bytes -= sum(len(chunk.data) for chunk in self.chunks) - sum(len(chunk.data) for chunk in kept)
        self.chunks = deque(kept)

    def clear(self) -> None:
        self.messages.clear()
        self.chunks.clear()
        self.bytes = 0
