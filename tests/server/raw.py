"""A connection of plain bytes, for what no decent client would send."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from tests.server.serving import PATIENCE, Service

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 §1.3
TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
FIN, RSV1 = 0x80, 0x40


def frame(data: bytes, first: int = FIN | TEXT, *, masked: bool = True, length: int | None = None) -> bytes:
    """A frame as RFC 6455 §5.2 draws it; `length` is what it claims."""
    claimed = len(data) if length is None else length
    bit = 0x80 if masked else 0
    if claimed < 126:
        head = struct.pack("!BB", first, bit | claimed)
    elif claimed < 1 << 16:
        head = struct.pack("!BBH", first, bit | 126, claimed)
    else:
        head = struct.pack("!BBQ", first, bit | 127, claimed)
    return head + (b"\0\0\0\0" if masked else b"") + data  # a mask of zeros changes nothing


def upgrade(service: Service, **changed: str | None) -> bytes:
    """The opening handshake; a header set to None is left out."""
    headers: dict[str, str | None] = {
        "Host": f"127.0.0.1:{service.port}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Origin": service.origin,
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Protocol": "calln.v1",
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join(["GET /ws HTTP/1.1", *lines, "", ""]).encode()


@dataclass
class Raw:
    """One TCP connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        with suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def head(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)

    async def status(self) -> int:
        """The status of the answer; 0: the connection was closed without one."""
        try:
            return int((await self.head()).split()[1])
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0

    async def rest(self) -> bytes:
        """What comes until the server closes."""
        with suppress(ConnectionError):
            return await asyncio.wait_for(self.reader.read(), PATIENCE)
        return b""

    async def close_code(self) -> int:
        """The code of the close frame that the server sends; 0: it only cut the connection."""
        try:
            while True:
                first, size = await self.reader.readexactly(2)
                if size > 125:
                    size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
                data = await asyncio.wait_for(self.reader.readexactly(size), PATIENCE)
                if first & 0x0F == CLOSE:
                    return int.from_bytes(data[:2], "big")
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0


@asynccontextmanager
async def raw(service: Service) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def raw_socket(service: Service) -> AsyncIterator[Raw]:
    """The same after the opening handshake."""
    async with raw(service) as connection:
        await connection.send(upgrade(service))
        assert await connection.status() == 101
        yield connection


async def ask(service: Service, request: bytes) -> int:
    """The status that a request gets."""
    async with raw(service) as connection:
        await connection.send(request.replace(b"HERE", f"127.0.0.1:{service.port}".encode()))
        return await connection.status()
