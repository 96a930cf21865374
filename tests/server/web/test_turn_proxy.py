"""TURN clients handed on to a relay: who they are, at whose pace, and how either end goes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import pytest

from host.unix_socket import VersionedSocket
from server.web.tls_listener import WRITE_BUFFER
from server.web.turn_proxy import TurnProxy
from tests.server.serving import PATIENCE
from turn.flows import Address
from turn.wire.proxy_protocol import PREFIX, client_of, header_size, reached_at

LAST_WORDS = 0.2  # seconds for both ends to close, or the collector finds what they left open

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay:
    """Behind a Unix socket: those that it hears of."""

    def __init__(self, folder: Path) -> None:
        self.inner = VersionedSocket(folder / "turn.sock")
        self.writers: list[asyncio.StreamWriter] = []
        self.clients: asyncio.Queue[tuple[Address, Address, Streams]] = asyncio.Queue()

    async def open(self) -> None:
        self.inner.publish()
        self.server = await asyncio.start_unix_server(self.hear, sock=self.inner.sock)

    async def close(self) -> None:
        for writer in self.writers:
            writer.close()
        self.server.close()
        self.inner.withdraw()
        await asyncio.sleep(LAST_WORDS)

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        head = await reader.readexactly(PREFIX)
        head += await reader.readexactly(header_size(head) - PREFIX)
        client = client_of(head, "tls")
        assert client is not None
        self.clients.put_nowait((client, reached_at(head, "tls"), (reader, writer)))


class First(asyncio.Protocol):
    def __init__(self, proxy: TurnProxy, begun: list[First], ended: list[First]) -> None:
        self.proxy, self.begun, self.ended = proxy, begun, ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.begun.append(self)
        self.proxy.forward(self.transport, data, lambda: self.ended.append(self))


@asynccontextmanager
async def turn_proxy(folder: Path, notes: list[str]) -> AsyncIterator[tuple[TurnProxy, tuple[str, int]]]:
    made, begun, ended = TurnProxy(folder / "turn.sock", notes.append), list[First](), list[First]()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: First(made, begun, ended), "127.0.0.1", 0)
    try:
        yield made, server.sockets[0].getsockname()
    finally:
        made.close()
        server.close()
        await asyncio.sleep(LAST_WORDS)
        assert set(ended) == set(begun)  # each is told to who counts connections


async def test_a_client_is_known_and_heard_from_its_first_byte(tmp_path: Path) -> None:
    relay, notes = Relay(tmp_path), list[str]()
    await relay.open()
    async with asyncio.timeout(PATIENCE), turn_proxy(tmp_path, notes) as (made, place):
        reader, writer = await asyncio.open_connection(*place)
        writer.write(b"\0\1first")
        client, reached, (there, back) = await relay.clients.get()
        assert (client.host, client.port) == writer.get_extra_info("sockname")
        assert (reached.host, reached.port) == place
        writer.write(b" and more")
        assert await there.readexactly(16) == b"\0\1first and more"
        back.write(b"answer")
        assert await reader.readexactly(6) == b"answer"
        assert len(made.clients) == 1
        back.write(b"last")
        back.close()
        assert await reader.read() == b"last"
        writer.close()
        while made.clients:
            await asyncio.sleep(0.01)
    assert notes == []
    await relay.close()


@pytest.mark.parametrize("resets", [False, True])
async def test_a_client_that_goes_is_gone_for_the_relay(tmp_path: Path, resets: bool) -> None:
    relay = Relay(tmp_path)
    await relay.open()
    async with asyncio.timeout(PATIENCE), turn_proxy(tmp_path, []) as (made, place):
        _, writer = await asyncio.open_connection(*place)
        writer.write(b"\0")
        _, _, (there, back) = await relay.clients.get()
        assert await there.readexactly(1) == b"\0"
        if resets:
            writer.transport.abort()
        writer.close()
        with suppress(ConnectionResetError):
            assert await there.read() == b""
        back.close()
        assert not made.clients
    await relay.close()


async def test_without_a_relay_the_client_is_closed_and_counted(tmp_path: Path) -> None:
    notes: list[str] = []
    async with asyncio.timeout(PATIENCE), turn_proxy(tmp_path, notes) as (made, place):
        reader, writer = await asyncio.open_connection(*place)
        writer.write(b"\0")
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        assert notes == ["no relay"]
        assert not made.clients


async def test_where_the_newest_died_an_older_one_is_found(tmp_path: Path) -> None:
    old, dead = Relay(tmp_path), VersionedSocket(tmp_path / "turn.sock")
    await old.open()
    dead.publish()
    dead.sock.close()
    async with asyncio.timeout(PATIENCE), turn_proxy(tmp_path, []) as (_, place):
        _, writer = await asyncio.open_connection(*place)
        writer.write(b"\0")
        await old.clients.get()
        writer.close()
    await old.close()


async def test_who_does_not_read_stops_the_other_end(tmp_path: Path) -> None:
    """What waits is bounded by buffers, here and in the kernel, both ways."""
    relay = Relay(tmp_path)
    await relay.open()
    async with asyncio.timeout(PATIENCE), turn_proxy(tmp_path, []) as (_, place):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            sock.connect(place)
            sock.send(b"\0")
            _, _, (_, back) = await relay.clients.get()
            sent = 0
            back.transport.set_write_buffer_limits(high=0)
            while sent < 64 << 20:
                back.write(bytes(WRITE_BUFFER))
                sent += WRITE_BUFFER
                try:
                    await asyncio.wait_for(back.drain(), 0.5)
                except TimeoutError:
                    break
            assert sent < 16 << 20
            back.transport.abort()
    await relay.close()
