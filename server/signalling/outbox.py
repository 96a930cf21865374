"""What waits to be sent to one browser: bounded, signalling before pictures."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

MAX_BYTES = 256 << 10  # what a reader that is too slow may make the server hold
MAX_MESSAGES = 128


class PictureChunk(NamedTuple):
    """A chunk of a picture that waits."""

    picture: int
    data: bytes


def size_of(data: str | bytes) -> int:
    """The bytes that it may take; four a character without encoding it to find out."""
    return len(data) if isinstance(data, bytes) or data.isascii() else 4 * len(data)


class Outbox:
    """Two queues; `push` says whether there was room."""

    __slots__ = ("bytes", "chunks", "messages")

    def __init__(self) -> None:
        self.messages: deque[str] = deque()
        self.chunks: deque[PictureChunk] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self.messages) + len(self.chunks)

    def push(self, data: str | bytes, picture: int | None = None) -> bool:
        """Queue a message, or a chunk of a picture. False: the limit is reached and it was not queued."""
        if len(self) >= MAX_MESSAGES or self.bytes + size_of(data) > MAX_BYTES:
            return False
        self.bytes += size_of(data)
        if isinstance(data, bytes):
            self.chunks.append(PictureChunk(picture or 0, data))
        else:
            self.messages.append(data)
        return True

    def push_front(self, word: str) -> None:
        """Put a word before everything else; it always has room."""
        self.bytes += size_of(word)
        self.messages.appendleft(word)

    def pop(self) -> str | bytes | None:
        """The next to send; None: nothing waits."""
        if self.messages:
            data: str | bytes = self.messages.popleft()
        elif self.chunks:
            data = self.chunks.popleft().data
        else:
            return None
        self.bytes -= size_of(data)
        return data

    def drop_picture(self, picture: int) -> None:
        """Drop what waits of a picture."""
        kept = [chunk for chunk in self.chunks if chunk.picture != picture]
        self.bytes -= sum(len(chunk.data) for chunk in self.chunks) - sum(len(chunk.data) for chunk in kept)
        self.chunks = deque(kept)

    def clear(self) -> None:
        self.messages.clear()
        self.chunks.clear()
        self.bytes = 0
