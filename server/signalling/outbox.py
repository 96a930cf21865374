"""What waits to be sent to one browser, and what it may not have heard: bounded, messages before pictures."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

MAX_BYTES = 256 << 10  # that a slow reader may make the server hold
MAX_MESSAGES = 128
MAX_KEPT_BYTES = 64 << 10  # of messages that were written to a socket, which may be dead without a word
MAX_KEPT = 64


class PictureChunk(NamedTuple):
    """A chunk that waits, and the number of its picture."""

    picture: int
    data: bytes


def size_of(data: str | bytes) -> int:
    """The bytes that it may take. A text is not encoded to find out: each character counts four."""
    return len(data) if isinstance(data, bytes) or data.isascii() else 4 * len(data)


class VisitorText(str):
    """A message with what a visitor wrote: once sent, it is forgotten, and is not sent again."""

    __slots__ = ()


class Outbox:
    """Two queues: messages, and chunks of pictures.

    `kept` are the messages that were sent and not confirmed, for a browser that counts what it hears. Both
    sides count from the beginning of the visit on; `confirmed` is how many the browser has heard.
    """

    __slots__ = ("bytes", "chunks", "confirmed", "counts", "greeting", "kept", "kept_bytes", "messages")

    def __init__(self) -> None:
        self.greeting: str | None = None
        self.kept: deque[str] = deque()
        self.kept_bytes = self.confirmed = 0
        self.counts = False
        self.messages: deque[str] = deque()
        self.chunks: deque[PictureChunk] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self.messages) + len(self.chunks) + (self.greeting is not None)

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

    def greet(self, message: str) -> None:
        """Put a message before everything else, also beyond the limit. It belongs to one socket and is
        neither counted nor sent again."""
        self.greeting = message

    def pop(self) -> str | bytes | None:
        """What to send next; None: nothing waits."""
        data: str | bytes
        if self.greeting is not None:
            greeting, self.greeting = self.greeting, None
            return greeting
        if self.messages:
            data = self.messages.popleft()
            if self.counts:
                self.keep(data)
        elif self.chunks:
            data = self.chunks.popleft().data
        else:
            return None
        self.bytes -= size_of(data)
        return data

    def keep(self, message: str) -> None:
        """Remember a message until it is confirmed; of too many, the oldest are believed to be there."""
        kept = "" if isinstance(message, VisitorText) else message
        self.kept.append(kept)
        self.kept_bytes += size_of(kept)
        while len(self.kept) > MAX_KEPT or self.kept_bytes > MAX_KEPT_BYTES:
            self.forget_oldest()

    def forget_oldest(self) -> None:
        self.kept_bytes -= size_of(self.kept.popleft())
        self.confirmed += 1

    def confirm(self, heard: int) -> None:
        """The browser has heard so many messages."""
        while self.kept and self.confirmed < heard:
            self.forget_oldest()

    def resume(self, heard: int | None) -> None:
        """The browser is at a new socket: what it did not hear is sent again. None: it does not count."""
        self.counts = heard is not None
        if heard is not None:
            self.confirm(heard)
            self.messages.extendleft(message for message in reversed(self.kept) if message)
            self.bytes += self.kept_bytes
            self.confirmed = heard
        self.kept.clear()
        self.kept_bytes = 0

    def drop_picture(self, picture: int) -> None:
        """Forget the chunks of a picture."""
        kept = [chunk for chunk in self.chunks if chunk.picture != picture]
        self.bytes -= sum(len(chunk.data) for chunk in self.chunks) - sum(len(chunk.data) for chunk in kept)
        self.chunks = deque(kept)

    def clear(self) -> None:
        self.messages.clear()
        self.chunks.clear()
        self.kept.clear()
        self.greeting = None
        self.bytes = self.kept_bytes = 0
