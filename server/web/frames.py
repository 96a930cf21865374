"""WebSocket frames of a browser: bytes in, whole messages out; and the frames of a server (RFC 6455 §5)."""

from __future__ import annotations

from typing import NamedTuple

from websockets.frames import Close, CloseCode
from websockets.speedups import apply_mask

from server.signalling import close_codes

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
OPCODES = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
FIN, RESERVED, OPCODE, CONTROL = 0x80, 0x70, 0x0F, 0x08  # bits of the first byte
MASKED, LENGTH = 0x80, 0x7F  # of the second
MASK_BYTES = 4
LONG, VERY_LONG = 126, 127  # lengths that stand for 2 and for 8 bytes of length
MAX_CONTROL = 125  # bytes (§5.5)
MAX_FRAGMENTS = 1_024  # of one message: empty ones do not count in the limit of bytes


class FrameError(Exception):
    """Frames that are refused. `code` is what the socket is closed with."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Incoming(NamedTuple):
    """A whole message, or a control frame: its opcode, and what it carries."""

    opcode: int
    data: bytes


class FrameReader:
    """Takes apart what one browser sends. At most one message of `most` bytes waits for its end."""

    __slots__ = ("buffer", "fragments", "kind", "most", "needed", "size")

    def __init__(self, most: int, buffer: bytes = b"") -> None:
        self.most = most
        self.buffer: bytearray | None = bytearray(buffer) or None  # a frame that is not all there
        self.needed = 0  # bytes that it will have, as far as they are known
        self.fragments: list[bytes] | None = None  # of a message whose end has not come
        self.kind = self.size = 0  # of that message

    def feed(self, data: bytes) -> list[Incoming]:
        """What has become whole by these bytes. Raises FrameError; then nothing may follow."""
        if self.buffer is not None:
            self.buffer += data
            if len(self.buffer) < self.needed:
                return []
            data, self.buffer = bytes(self.buffer), None
        found: list[Incoming] = []
        at = 0
        while (start := self.start_of_payload(data, at)) is not None:
            end = at + self.needed
            if len(data) < end:
                break
            payload = apply_mask(data[start:end], data[start - MASK_BYTES : start])
            self.end_frame(data[at], payload, found)
            at, self.needed = end, 0
        if at < len(data):
            self.buffer = bytearray(data[at:])
        return found

    def start_of_payload(self, data: bytes, at: int) -> int | None:
        """Where the payload of the frame begins that begins at `at`, and in `needed` how long the frame is.
        None: its head is not all there."""
        self.needed = 0
        if len(data) < at + 2:
            return None
        first, length = data[at], data[at + 1] & LENGTH
        self.check_head(first, data[at + 1])
        start = at + 2
        if length >= LONG:
            start += 2 if length == LONG else 8
            if len(data) < start:
                return None
            length = int.from_bytes(data[at + 2 : start], "big")
        if length > self.most - self.size:
            raise FrameError(close_codes.TOO_BIG)
        start += MASK_BYTES
        self.needed = start + length - at
        return start

    def check_head(self, first: int, second: int) -> None:
        opcode = first & OPCODE
        if first & RESERVED or opcode not in OPCODES or not second & MASKED:
            raise FrameError(CloseCode.PROTOCOL_ERROR)
        if opcode & CONTROL:
            if not first & FIN or second & LENGTH > MAX_CONTROL:
                raise FrameError(CloseCode.PROTOCOL_ERROR)
        elif (opcode == CONTINUATION) is (self.fragments is None):  # §5.4
            raise FrameError(CloseCode.PROTOCOL_ERROR)

    def end_frame(self, first: int, payload: bytes, found: list[Incoming]) -> None:
        """A frame is whole: it is a message, or a part of one."""
        opcode = first & OPCODE
        if first & FIN and opcode != CONTINUATION:
            found.append(Incoming(opcode, payload))
            return
        if self.fragments is None:
            self.fragments, self.kind = [], opcode
        elif len(self.fragments) >= MAX_FRAGMENTS:
            raise FrameError(close_codes.TOO_BIG)
        self.fragments.append(payload)
        self.size += len(payload)
        if first & FIN:
            found.append(Incoming(self.kind, b"".join(self.fragments)))
            self.fragments, self.size = None, 0


def frame(opcode: int, data: bytes) -> bytes:
    """A whole frame of a server: it has no mask (RFC 6455 §5.1)."""
    length = len(data)
    if length < LONG:
        return bytes((FIN | opcode, length)) + data
    if length < 1 << 16:
        return bytes((FIN | opcode, LONG)) + length.to_bytes(2, "big") + data
    return bytes((FIN | opcode, VERY_LONG)) + length.to_bytes(8, "big") + data


def close_frame(code: int) -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big"))


def code_of(data: bytes) -> int:
    """The code of a browser's close. Raises FrameError for one that nobody may send (RFC 6455 §7.4)."""
    try:
        return int(Close.parse(data).code)
    except UnicodeDecodeError:
        raise FrameError(CloseCode.INVALID_DATA) from None
    except Exception:
        raise FrameError(CloseCode.PROTOCOL_ERROR) from None
