"""A WebSocket client that costs little, so that one core loads a server with thousands of them.

It masks with zeros, which changes nothing, knows text frames and pings only, and reads no more of a message
than its listener wants to.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections import deque
from collections.abc import Callable
from typing import Any, cast

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 §1.3
TEXT, PING, PONG, CLOSE = 0x81, 0x89, 0x8A, 0x88
MASK = b"\0\0\0\0"
PATIENCE = 60.0  # seconds for what a server has to say


def frame(data: bytes, first: int = TEXT) -> bytes:
    """A masked frame of a client (RFC 6455 §5.2)."""
    if len(data) < 126:
        return struct.pack("!BB", first, 0x80 | len(data)) + MASK + data
    return struct.pack("!BBH", first, 0x80 | 126, len(data)) + MASK + data


def take_frame(buffer: bytearray) -> tuple[int, bytes] | None:
    """The first frame of a server, taken out; None: it is not all there."""
    if len(buffer) < 2:
        return None
    start, length = 2, buffer[1]
    if length == 126:
        start = 4
        length = int.from_bytes(buffer[2:4], "big")
    elif length == 127:
        start = 10
        length = int.from_bytes(buffer[2:10], "big")
    if len(buffer) < start + length:
        return None
    first, data = buffer[0], bytes(buffer[start : start + length])
    del buffer[: start + length]
    return first, data


class LightClient(asyncio.Protocol):
    """One socket. `on_text` may be replaced: it gets each message as it came. `beside_pong` is sent whenever
    the server pings."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.beside_pong = b""
        self.buffer = bytearray()
        self.is_open = False
        self.texts: deque[bytes] = deque()
        self.heard: asyncio.Future[None] | None = None
        self.on_text: Callable[[bytes], None] = self.note_text

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.is_open:
            head, separator, rest = bytes(self.buffer).partition(b"\r\n\r\n")
            if not separator:
                return
            assert b" 101 " in head, head
            self.is_open, self.buffer = True, bytearray(rest)
        while (taken := take_frame(self.buffer)) is not None:
            self.on_frame(*taken)

    def on_frame(self, first: int, data: bytes) -> None:
        if first == TEXT:
            self.on_text(data)
        elif first == PING:
            self.transport.write(frame(data, PONG) + self.beside_pong)
        else:
            assert first == CLOSE, first
            raise ConnectionError(f"closed with {int.from_bytes(data[:2], 'big')}")

    def note_text(self, data: bytes) -> None:
        self.texts.append(data)
        if self.heard is not None and not self.heard.done():
            self.heard.set_result(None)

    def say(self, **message: Any) -> None:
        self.transport.write(frame(json.dumps(message, separators=(",", ":")).encode()))

    async def hear(self, kind: str) -> dict[str, Any]:
        """The next message of this type; others are dropped."""
        async with asyncio.timeout(PATIENCE):
            while True:
                while self.texts:
                    message: dict[str, Any] = json.loads(self.texts.popleft())
                    if message["type"] == kind:
                        return message
                self.heard = asyncio.get_running_loop().create_future()
                await self.heard


async def light_client(port: int, path: str, address: str, *headers: str) -> LightClient:
    """Connect from this address of ours; the answer to the handshake is looked at when it comes."""
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {KEY}",
        *headers,
    )
    request = "\r\n".join((*lines, "", "")).encode()
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(
        lambda: LightClient(request), "127.0.0.1", port, local_addr=(address, 0)
    )
    return client
