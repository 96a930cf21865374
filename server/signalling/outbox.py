"""What waits to be sent to one browser: bounded, signalling before pictures."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

MAX_BYTES = 256 << 10  # what a reader that is too slow may make the server hold
MAX_MESSAGES = 128


class Waiting(NamedTuple):
    """A chunk of a picture that waits."""

    picture: int
    data: bytes


def weight(data: str | bytes) -> int:
    """The bytes that it may take; four a character without encoding it to find out."""
    return len(data) if isinstance(data, bytes) or data.isascii() else 4 * len(data)


class Outbox:
    """Two queues; `push` says whether there was room."""

    __slots__ = ("bytes", "chunks", "words")

    def __init__(self) -> None:
        self.words: deque[str] = deque()
        self.chunks: deque[Waiting] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self.words) + len(self.chunks)

    def push(self, data: str | bytes, picture: int | None = None) -> bool:
        """Queue a message, or a chunk of a picture. False: the limit is reached and it was not queued."""
        if len(self) >= MAX_MESSAGES or self.bytes + weight(data) > MAX_BYTES:
            return False
        self.bytes += weight(data)
        if isinstance(data, bytes):
            self.chunks.append(Waiting(picture or 0, data))
        else:
            self.words.append(data)
        return True

    def first(self, word: str) -> None:
        """Put a word before everything else; it always has room."""
        self.bytes += weight(word)
        self.words.appendleft(word)

    def pop(self) -> str | bytes | None:
        """The next to send; None: nothing waits."""
        if self.words:
            data: str | bytes = self.words.popleft()
        elif self.chunks:
            data = self.chunks.popleft().data
        else:
            return None
        self.bytes -= weight(data)
        return data

    def forget(self, picture: int) -> None:
        """Drop what waits of a picture."""
        kept = [chunk for chunk in self.chunks if chunk.picture != picture]
        self.bytes -= sum(len(chunk.data) for chunk in self.chunks) - sum(len(chunk.data) for chunk in kept)
        self.chunks = deque(kept)

    def clear(self) -> None:
        self.words.clear()
        self.chunks.clear()
        self.bytes = 0
