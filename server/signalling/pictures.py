"""One picture on its way: its first bytes are checked, the receiver sets the pace, nothing is stored."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

IN_FLIGHT = 2  # chunks without acknowledgement: bounds what a slow receiver makes the server hold
MAGIC_BYTES = 12  # where the longest row below ends
MAGIC: Mapping[str, tuple[tuple[int, bytes], ...]] = {
    "image/png": ((0, b"\x89PNG\r\n\x1a\n"),),
    "image/jpeg": ((0, b"\xff\xd8\xff"),),
    "image/webp": ((0, b"RIFF"), (8, b"WEBP")),
}


class PictureError(Exception):
    """A picture that is refused and cancelled. `code` is the error code for its sender."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Transfer:
    """One picture in one direction, from its announcement until all of it is acknowledged."""

    __slots__ = ("acknowledged", "chunk_ends", "mime", "number", "received", "size")

    def __init__(self, number: int, size: int, mime: str) -> None:
        self.number = number
        self.size = size
        self.mime = mime
        self.received = 0
        self.acknowledged = 0
        self.chunk_ends: deque[int] = deque()  # where each chunk in flight ends

    def add_chunk(self, data: memoryview) -> None:
        """Check one more chunk. Raises PictureError."""
        if self.received == 0 and not has_magic(data, self.mime):
            raise PictureError("bad_picture")
        if self.received + len(data) > self.size:
            raise PictureError("bad_picture")
        if len(self.chunk_ends) >= IN_FLIGHT:
            raise PictureError("too_fast")
        self.received += len(data)
        self.chunk_ends.append(self.received)

    def acknowledge(self, total: int) -> bool:
        """The receiver says that it has `total` bytes. False: that is impossible, or was said before."""
        if not self.acknowledged < total <= self.received:
            return False
        self.acknowledged = total
        while self.chunk_ends and self.chunk_ends[0] <= total:
            self.chunk_ends.popleft()
        return True

    @property
    def is_complete(self) -> bool:
        return self.acknowledged == self.size


def has_magic(data: memoryview, mime: str) -> bool:
    """Whether a picture of this type can begin with these bytes."""
    if len(data) < MAGIC_BYTES:
        return False
    return all(data[at : at + len(magic)] == magic for at, magic in MAGIC[mime])
