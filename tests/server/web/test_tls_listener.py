"""The TLS listener: which first byte leads where, how long a client may wait, which certificate is shown."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import pytest

from host.tls import BadCertificate, Certificate
from server.web import tls_listener
from server.web.tls_listener import Ended, TlsListener
from tests.interop.certificates import Files, make
from tests.server.serving import PATIENCE

LAST_WORDS = 0.2  # seconds for both ends to close, or the collector finds what they left open

FIRST = {  # byte -> who speaks so
    0x00: "turn",  # requests
    0x01: "turn",  # answers
    0x02: "turn",
    0x03: "turn",
    0x04: "http",
    0x0D: "http",
    0x16: "http",  # TLS in TLS
    0x40: "http",  # a channel, which nobody can have bound yet
    0x47: "http",  # GET
    0x50: "http",  # POST, and the preface of HTTP/2
    0xFF: "http",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return make(tmp_path_factory.mktemp("certificates"))


class Echo(asyncio.Protocol):
    def __init__(self, name: bytes, ended: Ended) -> None:
        self.name = name
        self.ended = ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(self.name + data)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.ended()


class World:
    def __init__(self, files: Files) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.place: tuple[str, int] = listener.getsockname()
        self.notes: list[str] = []
        self.listener = TlsListener([listener], self.forward, self.notes.append)
        self.trust = ssl.create_default_context(cafile=str(files.trust))

    def forward(self, transport: asyncio.Transport, first: bytes, ended: Ended) -> None:
        protocol = Echo(b"turn", ended)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(first)

    async def client(self, address: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.place, ssl=self.trust, local_addr=(address, 0))

    async def plain(self, address: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.place, local_addr=(address, 0))


@asynccontextmanager
async def world(files: Files, *, bare: bool = False) -> AsyncIterator[World]:
    made = World(files)
    if not bare:
        made.listener.set_certificate(Certificate(files.chain, files.key))
    made.listener.open(lambda ended: Echo(b"http", ended))
    try:
        async with asyncio.timeout(PATIENCE):
            yield made
    finally:
        made.listener.close()
        await asyncio.sleep(LAST_WORDS)


async def closed(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read(1) == b""
    except OSError:
        return True


@pytest.mark.parametrize(("byte", "who"), FIRST.items())
async def test_the_first_byte_tells(files: Files, byte: int, who: str) -> None:
    async with world(files) as one:
        reader, writer = await one.client()
        for said in (bytes([byte]), b"more"):  # also where one byte comes alone
            writer.write(said)
            assert await reader.readexactly(4 + len(said)) == who.encode() + said
        assert (one.notes, len(one.listener.newcomers)) == ([who], 0)
        writer.close()


async def test_who_says_nothing_has_to_go(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the handshake, within it, and behind it."""
    monkeypatch.setattr(tls_listener, "FIRST_BYTE_SECONDS", 0.5)
    async with world(files) as one:
        ends = [await one.plain(), await one.plain(), await one.client()]
        ends[1][1].write(bytes.fromhex("16030100ff01"))
        for reader, writer in ends:
            assert await closed(reader)
            writer.close()
        while len(one.notes) < 3:
            await asyncio.sleep(0.01)
        assert one.notes == ["silent"] * 3
        assert not one.listener.newcomers
        while one.listener.connections.total:
            await asyncio.sleep(0.01)
        assert one.listener.newcomers_of.amount(b"\x7f\0\0\1") == 0


async def test_a_handshake_drop_by_drop_takes_no_longer(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_listener, "FIRST_BYTE_SECONDS", 0.5)
    async with world(files) as one:
        reader, writer = await one.plain()
        with suppress(ConnectionError):
            for byte in bytes.fromhex("16030100ff010000fb0303") + bytes(1_000):
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.02)
        assert await closed(reader)
        writer.close()


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n\r\n", b"\0\1\0\0\x21\x12\xa4\x42", b"\x16\x03\x01\0\x05hello"]
)
async def test_what_is_no_tls_is_closed(files: Files, said: bytes) -> None:
    async with world(files) as one:
        reader, writer = await one.plain()
        writer.write(said)
        with suppress(ConnectionResetError):
            await reader.read()
        while not one.notes:
            await asyncio.sleep(0.01)
        assert one.notes == ["no handshake"]
        writer.close()


async def test_half_open_ones_of_one_address_keep_out_nobody_else(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_listener, "MAX_NEWCOMERS_OF_ONE", 8)
    async with world(files) as one:
        flood = [await one.plain("127.0.0.9") for _ in range(12)]
        while one.notes.count("too many") < 4:
            await asyncio.sleep(0.01)
        reader, writer = await one.client()
        writer.write(b"GET")
        assert await reader.readexactly(7) == b"httpGET"
        assert len(one.listener.newcomers) == 8
        for _, end in [*flood, (reader, writer)]:
            end.close()


async def test_where_there_is_no_room_the_oldest_newcomer_goes(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_listener, "MAX_NEWCOMERS", 8)
    async with world(files) as one:
        flood = [await one.plain(f"127.0.1.{number + 1}") for number in range(8)]
        while len(one.listener.newcomers) < 8:
            await asyncio.sleep(0.01)
        reader, writer = await one.client()
        writer.write(b"GET")
        assert await reader.readexactly(7) == b"httpGET"
        assert await closed(flood[0][0])
        assert len(one.listener.newcomers) == 7
        for _, end in [*flood, (reader, writer)]:
            end.close()


async def test_handshakes_of_one_address_have_a_rate(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turn.limits.addresses.HANDSHAKES_PER_SECOND", 1 / 1000)
    monkeypatch.setattr("turn.limits.addresses.HANDSHAKE_BURST", 3)
    async with world(files) as one:
        for _ in range(3):
            _, writer = await one.client("127.0.0.9")
            writer.close()
        with pytest.raises(ConnectionError):
            await one.client("127.0.0.9")
        _, writer = await one.client()
        writer.close()


async def test_connections_of_one_address_are_counted_whatever_they_become(files: Files) -> None:
    async with world(files) as one:
        one.listener.connections.per_address = 3
        ends = [await one.plain("127.0.0.9"), await one.client("127.0.0.9"), await one.client("127.0.0.9")]
        for (reader, writer), said in zip(ends[1:], (b"GET", b"\0"), strict=True):
            writer.write(said)
            await reader.readexactly(4)
        with pytest.raises(ConnectionError):
            await one.client("127.0.0.9")
        elsewhere = await one.client()
        for _, writer in [*ends, elsewhere]:
            writer.transport.abort()
        while one.listener.connections.total:
            await asyncio.sleep(0.01)
        _, writer = await one.client("127.0.0.9")
        writer.close()


async def test_before_there_is_a_certificate_nobody_is_answered(files: Files) -> None:
    async with world(files, bare=True) as one:
        reader, writer = await one.plain()
        assert await closed(reader)
        assert one.notes == ["no certificate"]
        writer.close()


async def test_a_new_certificate_is_for_newcomers_and_a_broken_one_for_nobody(
    files: Files, tmp_path: Path
) -> None:
    async with world(files) as one:
        before = await one.client()
        before[1].write(b"GET")
        other = make(tmp_path)
        with pytest.raises(BadCertificate):
            one.listener.set_certificate(Certificate(other.chain, files.key))
        still = await one.client()
        one.listener.set_certificate(Certificate(other.chain, other.key))
        with pytest.raises(ssl.SSLCertVerificationError):
            await one.client()
        one.trust = ssl.create_default_context(cafile=str(other.trust))
        after = await one.client()
        for reader, writer in (before, still, after):
            writer.write(b"GET")
            assert (await reader.readexactly(7)).startswith(b"http")
            writer.close()


async def test_who_is_here_stays_when_the_door_is_left(files: Files) -> None:
    async with world(files) as one:
        reader, writer = await one.client()
        writer.write(b"\0")
        assert await reader.readexactly(5) == b"turn\0"
        one.listener.close_listeners()
        with pytest.raises(ConnectionRefusedError):
            await one.plain()
        writer.write(b"on")
        assert await reader.readexactly(6) == b"turnon"
        writer.close()


@pytest.mark.parametrize("offered", [["http/1.1"], ["h2", "http/1.1"], ["stun.turn"], ["h2"], []])
async def test_the_language_may_be_named(files: Files, offered: list[str]) -> None:
    async with world(files) as one:
        if offered:
            one.trust.set_alpn_protocols(offered)
        _, writer = await one.client()
        chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        assert chosen == next((name for name in offered if name in tls_listener.ALPN), None)
        writer.close()
