"""uvicorn's HTTP, with limits that it lacks, and its handshake of a WebSocket."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from server.web.browser_socket import BrowserSocket
from server.web.keepalive import Keepalive

HEAD_SECONDS = 10.0  # for a request's head to arrive: each idle connection holds a descriptor
MAX_EARLY = 4_096  # bytes of a client that does not wait for the answer to its handshake
LINGER_SECONDS = 1.0  # for a refusal to be read: closing with unread bytes would reset the connection

BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def do_nothing() -> None:
    """Nothing waits for this yet."""


class NoTransport(asyncio.Transport):
    """In the place of a transport that was handed on: it is not closed with the handshake."""

    def is_closing(self) -> bool:
        return True

    def close(self) -> None:
        """The new owner decides."""


NO_TRANSPORT = NoTransport()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """The handshake of a WebSocket. Who has accepted it takes the open socket over."""

    def __init__(self, *args: Any, keepalive: Keepalive, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.keepalive = keepalive
        self.early = b""
        self.on_ended: Callable[[], None] = do_nothing

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["state"]["websocket"] = self

    def data_received(self, data: bytes) -> None:
        """A handshake that the WebSocket parser refuses is answered, too; else it would stay open."""
        if self.handshake_initiated:
            self.keep_early(data)
            return
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(b"".join(self.conn.data_to_send()) or BAD_REQUEST)
            self.transport.close()

    def keep_early(self, data: bytes) -> None:
        """A client speaks before it has an answer."""
        self.early += data
        if len(self.early) > MAX_EARLY:
            self.transport.abort()

    def take_over(self) -> BrowserSocket:
        """The open socket, without what only its handshake needed."""
        self.connections.discard(self)
        socket = BrowserSocket(self.transport, self.loop, self.connections, self.keepalive, self.early)
        socket.paused = not self.writable.is_set()
        socket.on_ended = self.on_ended
        self.transport = NO_TRANSPORT
        del self.scope["state"]["websocket"], self.conn.parser  # cycles would stay until the collector comes
        return socket

    def connection_lost(self, exc: Exception | None) -> None:
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
            if early := self.conn.trailing_data[0]:
                protocol.data_received(early)

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
