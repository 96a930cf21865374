"""The WebSocket of one browser, once it is open: written to and closed at any time, without waiting.

Messages are handled as they are read. So nothing waits between the network and the one who listens, and a
socket that says nothing needs little memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableSet
from typing import Any

from websockets.frames import CloseCode

from server.signalling import close_codes
from server.signalling.messages import MAX_MESSAGE
from server.signalling.rates import Rate
from server.web.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    FrameError,
    FrameReader,
    Incoming,
    close_frame,
    code_of,
    frame,
)
from server.web.keepalive import Keepalive
from turn.limits.buckets import Bucket

CLOSE_SECONDS = 5.0  # for the browser to answer a close, or to read what is left
CONTROL_RATE = Rate(5, 30)  # pings and pongs: browsers send only answers, and each ping costs an answer
MAX_AT_ONCE = 256  # messages and pings in one read: thousands of empty ones fit into it
PARSE_BYTES = (
    4_096  # bytes parsed at a time, so that a flood of small frames is noticed before it is all parsed
)


def do_nothing(*_: object) -> None:
    """Nobody listens yet, or any more."""


class BrowserSocket(asyncio.Protocol):
    """A WebSocket after its handshake. `early` is what the browser has sent before the server's answer.

    `listen` says who hears of messages, of the end, and that more can be written.
    """

    __slots__ = (
        "awaited",
        "close_sent",
        "connections",
        "control_frames",
        "keepalive",
        "loop",
        "on_closed",
        "on_ended",
        "on_message",
        "on_writable",
        "paused",
        "reader",
        "timer",
        "transport",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        connections: MutableSet[Any],
        keepalive: Keepalive,
        early: bytes = b"",
    ) -> None:
        self.transport, self.loop = transport, loop
        self.connections, self.keepalive = connections, keepalive
        self.reader = FrameReader(MAX_MESSAGE, early)
        self.control_frames = Bucket(*CONTROL_RATE)
        self.paused = self.close_sent = False
        self.awaited: bytes | None = None  # what the answer to our ping holds
        self.timer: asyncio.TimerHandle | None = None
        self.on_message: Callable[[str | bytes], object] = do_nothing
        self.on_writable: Callable[[], object] = do_nothing
        self.on_closed: Callable[[int], object] | None = do_nothing
        self.on_ended: Callable[[], object] = do_nothing
        connections.add(self)
        keepalive.begin(self)
        transport.set_protocol(self)

    def listen(
        self,
        on_message: Callable[[str | bytes], object],
        on_closed: Callable[[int], object],
        on_writable: Callable[[], object],
    ) -> None:
        """From now on these hear of each message, once of the close code, and when more can be written."""
        self.on_message, self.on_closed, self.on_writable = on_message, on_closed, on_writable
        if self.reader.buffer is not None:
            self.data_received(b"")

    def can_write(self) -> bool:
        return not (self.paused or self.close_sent)

    def send_message(self, data: str | bytes) -> None:
        """Send a message now; if the connection is closing, nothing happens."""
        if self.close_sent or self.transport.is_closing():
            return
        self.transport.write(frame(BINARY, data) if isinstance(data, bytes) else frame(TEXT, data.encode()))

    def close_with(self, code: int) -> None:
        """Close with a code. A client that does not answer is cut off a little later."""
        if self.close_sent or self.transport.is_closing():
            return
        self.transport.write(close_frame(code))
        self.end(code)

    def fail(self, code: int) -> None:
        """The browser broke a rule: nothing more is read from it."""
        self.close_with(code)
        self.transport.close()

    def end(self, code: int) -> None:
        """No more messages come or go; who listens hears of it when what is being done now is done."""
        self.close_sent = True
        self.keepalive.discard(self)
        if self.timer is None:
            self.timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)
        if self.on_closed is not None:
            self.loop.call_soon(self.on_closed, code)
        self.on_closed, self.on_message, self.on_writable = None, do_nothing, do_nothing

    def data_received(self, data: bytes) -> None:
        """A flood of small frames is noticed before it is all parsed, and before any of it is handled."""
        number = 0
        try:
            for at in range(0, len(data) or 1, PARSE_BYTES):
                found = self.reader.feed(data[at : at + PARSE_BYTES])
                number += len(found)
                if number > MAX_AT_ONCE and not self.close_sent and any(map(is_message, found)):
                    raise FrameError(close_codes.TOO_MANY)
                for incoming in found:
                    self.on_incoming(incoming)
                if self.transport.is_closing():
                    return
        except FrameError as refused:
            self.fail(refused.code)

    def on_incoming(self, incoming: Incoming) -> None:
        opcode, data = incoming
        if opcode == TEXT:
            self.on_message(decode(data))
        elif opcode == BINARY:
            self.on_message(data)
        elif opcode == CLOSE:
            self.on_close(data)
        else:
            self.on_control(opcode, data)

    def on_control(self, opcode: int, data: bytes) -> None:
        if self.close_sent:
            return
        if opcode == PING:
            self.transport.write(frame(PONG, data))
        elif data == self.awaited:
            self.awaited = None
        if not self.control_frames.spend(self.loop.time()):
            raise FrameError(close_codes.POLICY_VIOLATION)

    def on_close(self, data: bytes) -> None:
        """The browser closes, or answers our close."""
        code = code_of(data)
        if not self.close_sent:
            self.transport.write(frame(CLOSE, data))
            self.end(code)
        self.transport.close()

    def ping(self, payload: bytes) -> bool:
        if self.awaited is not None:
            self.end(close_codes.LOST)
            self.transport.abort()
            return False
        self.awaited = payload
        self.transport.write(frame(PING, payload))
        return True

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.on_writable()

    def shutdown(self) -> None:
        """The server ends: see uvicorn.Server.shutdown."""
        self.close_with(close_codes.RESTART)
        self.transport.close()

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self.close_sent:
            self.end(close_codes.LOST)
        if self.timer is not None:
            self.timer.cancel()
        self.connections.discard(self)
        self.on_ended()
        self.on_ended = do_nothing


def is_message(incoming: Incoming) -> bool:
    """Pings and pongs have a rate of their own."""
    return incoming.opcode in (TEXT, BINARY)


def decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise FrameError(CloseCode.INVALID_DATA) from None
