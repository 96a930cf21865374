"""uvicorn's HTTP and WebSocket, with limits that they lack: on request heads, pings, fragments and closes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State

from server.signalling import close_codes
from server.signalling.rates import Rate
from turn.limits.buckets import Bucket

HEAD_SECONDS = 10.0  # for a request's head to arrive: each idle connection holds a descriptor
CLOSE_SECONDS = 5.0  # for the client to answer a close, or to read what is left
CONTROL_RATE = Rate(5, 30)  # pings and pongs: browsers send only answers, and each ping costs an answer
MAX_QUEUED = 256  # messages that are read but not handled: thousands of empty ones fit into one read
PARSE_BYTES = (
    4_096  # bytes parsed at a time, so that a flood of small frames is noticed before it is all parsed
)
MAX_FRAGMENTS = 1_024  # of one message: empty ones do not count in the limit of bytes
LINGER_SECONDS = 1.0  # for a refusal to be read: closing with unread bytes would reset the connection


BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def do_nothing() -> None:
    """Nothing waits for this yet."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket that can be written to and closed at any time, without waiting for the client."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.control_frames = Bucket(*CONTROL_RATE)
        self.on_writable: Callable[[], None] = do_nothing
        self.on_ended: Callable[[], None] = do_nothing

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["state"]["websocket"] = self

    def data_received(self, data: bytes) -> None:
        """A handshake that the WebSocket parser refuses is answered, too; else it would stay open."""
        for at in range(0, len(data), PARSE_BYTES):
            super().data_received(data[at : at + PARSE_BYTES])
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(b"".join(self.conn.data_to_send()) or BAD_REQUEST)
            self.transport.close()

    def can_write(self) -> bool:
        return self.writable.is_set() and not self.close_sent

    def send_message(self, data: str | bytes) -> None:
        """Send a message now; if the connection is closing, nothing happens."""
        if self.close_sent or self.transport.is_closing() or self.conn.state is not State.OPEN:
            return
        if isinstance(data, bytes):
            self.conn.send_binary(data)
        else:
            self.conn.send_text(data.encode())
        self.transport.write(b"".join(self.conn.data_to_send()))

    def close_with(self, code: int) -> None:
        """Close with a code. A client that does not answer is cut off a little later."""
        if self.close_sent or self.transport.is_closing() or self.conn.state is not State.OPEN:
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": ""})
        self.conn.send_close(code)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.on_writable()

    def handle_ping(self) -> None:
        super().handle_ping()
        self.limit_control_frames()

    def handle_pong(self, event: Frame) -> None:
        super().handle_pong(event)
        self.limit_control_frames()

    def limit_control_frames(self) -> None:
        if not self.close_sent and not self.control_frames.spend(self.loop.time()):
            self.fail_connection(close_codes.POLICY_VIOLATION)

    def send_receive_event_to_app(self) -> None:
        if self.queue.qsize() < MAX_QUEUED:
            super().send_receive_event_to_app()
        else:
            self.fail_connection(close_codes.TOO_MANY)

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= MAX_FRAGMENTS:
            self.fail_connection(close_codes.TOO_BIG)
        elif not self.close_sent:
            super().handle_cont(event)

    def fail_connection(self, code: int) -> None:
        if self.conn.state is State.OPEN:
            self.frames = []
            self.conn.fail(code)
            self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        super().handle_parser_exception()
        self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

    def keepalive_timeout(self) -> None:
        self.queue.put_nowait({"type": "websocket.disconnect", "code": close_codes.LOST})
        super().keepalive_timeout()
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.conn.close_rcvd is None and not self.close_sent:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": close_codes.LOST})
        self.on_writable = do_nothing
        self.on_ended()
        super().connection_lost(exc)


class HttpProtocol(H11Protocol):
    """HTTP/1.1 that waits only a while, and says what is too large. `on_ended` is called when the connection
    has ended, as a WebSocket, too."""

    head_timer: asyncio.TimerHandle | None = None
    refused = False
    on_ended: Callable[[], None] = staticmethod(do_nothing)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self.start_head_timer()

    def start_head_timer(self) -> None:
        if self.head_timer is None:
            self.head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def stop_head_timer(self) -> None:
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None

    def data_received(self, data: bytes) -> None:
        if self.refused:
            return
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.start_head_timer()
        else:
            self.stop_head_timer()

    def pause_writing(self) -> None:
        """A client that asks and does not read: what waits for it uses memory."""
        super().pause_writing()
        self.start_head_timer()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.stop_head_timer()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self.stop_head_timer()
        super().handle_websocket_upgrade(event)
        protocol = self.transport.get_protocol()
        if isinstance(protocol, WebSocketProtocol):
            protocol.on_ended = self.on_ended

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop_head_timer()
        self.on_ended()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Called when h11 has refused a request. Its error knows a better status, such as 431."""
        status = HTTPStatus(getattr(sys.exception(), "error_status_hint", 400))
        body = f"{status.phrase}\n".encode()
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            head = h11.Response(status_code=status, headers=headers, reason=status.phrase.encode())
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.refused = True
        self.stop_head_timer()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)
