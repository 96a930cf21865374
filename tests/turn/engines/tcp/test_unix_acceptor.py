"""The socket that a server of this machine hands TURN clients on through: who is known by what it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from host.unix_socket import VersionedSocket
from turn.engines import Above, Streams
from turn.engines.portable.engine import Portable
from turn.engines.tcp.unix_acceptor import UNIX_LISTENER
from turn.flows import Address, Packet
from turn.wire.proxy_protocol import SIGNATURE, build_header

PATIENCE = 10.0
CLIENT, REACHED = Address.of("192.0.2.7", 50000, "tls"), Address.of("203.0.113.5", 443, "tls")
FRAME = bytes.fromhex("000100002112a442") + b"transaction!"
LOCAL = SIGNATURE + bytes((0x20, 0, 0, 0))


class Upstairs:
    """What came up, and who was lost."""

    def __init__(self) -> None:
        self.packets: asyncio.Queue[Packet] = asyncio.Queue()
        self.lost: asyncio.Queue[tuple[Address, Address]] = asyncio.Queue()


@asynccontextmanager
async def indoors(folder: Path, per_address: int = 0) -> AsyncIterator[tuple[Portable, Path, Upstairs]]:
    with VersionedSocket(folder / "x.sock") as inner:
        inner.publish()
        engine, up = (
            Portable([UNIX_LISTENER], Streams(per_address=per_address), lambda _here: inner.sock.dup()),
            Upstairs(),
        )
        above = Above(up.packets.put_nowait, lambda *who: up.lost.put_nowait(who))
        running = asyncio.create_task(engine.run(above))
        await asyncio.sleep(0)
        try:
            yield engine, inner.path, up
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def say(place: Path, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_unix_connection(str(place))
    writer.write(data)
    return reader, writer


async def test_the_client_and_where_it_came_to_are_those_of_the_header(tmp_path: Path) -> None:
    async with asyncio.timeout(PATIENCE), indoors(tmp_path) as (engine, place, up):
        reader, writer = await say(place, build_header(CLIENT, REACHED) + FRAME)
        assert await up.packets.get() == Packet(REACHED, CLIENT, FRAME)
        engine.send([Packet(REACHED, CLIENT, b"answered")])
        assert await reader.readexactly(8) == b"answered"
        writer.close()
        assert await up.lost.get() == (CLIENT, REACHED)


@pytest.mark.parametrize(
    "data", [LOCAL + FRAME, FRAME * 2, b"PROXY TCP4 1.2.3.4 ", SIGNATURE + b"\x31\x11\0\0"]
)
async def test_who_is_not_named_is_closed(tmp_path: Path, data: bytes) -> None:
    async with asyncio.timeout(PATIENCE), indoors(tmp_path) as (_, place, up):
        reader, writer = await say(place, data)
        assert await closed(reader)
        assert up.packets.empty()
        writer.close()


async def test_an_address_has_its_limit_here_too(tmp_path: Path) -> None:
    async with asyncio.timeout(PATIENCE), indoors(tmp_path, per_address=2) as (engine, place, up):
        ends = [
            await say(place, build_header(CLIENT._replace(port=port), REACHED) + FRAME) for port in (1, 2)
        ]
        for _ in ends:
            await up.packets.get()
        reader, writer = await say(place, build_header(CLIENT._replace(port=3), REACHED) + FRAME)
        assert await closed(reader)
        other = build_header(Address.of("192.0.2.8", 3, "tls"), REACHED)
        ends.append(await say(place, other + FRAME))
        assert (await up.packets.get()).remote.host == "192.0.2.8"
        assert engine.refused_connections()["connections of an address"] == 1
        for _, end in [*ends, (reader, writer)]:
            end.close()


async def test_who_leaves_meets_nobody_new_and_keeps_who_is_there(tmp_path: Path) -> None:
    async with asyncio.timeout(PATIENCE), indoors(tmp_path) as (engine, place, up):
        reader, writer = await say(place, build_header(CLIENT, REACHED) + FRAME)
        await up.packets.get()
        engine.stop_listening()
        while True:
            try:
                (await say(place, b""))[1].close()
            except OSError:
                break
            await asyncio.sleep(0.05)
        engine.send([Packet(REACHED, CLIENT, b"still here")])
        assert (await reader.readexactly(12))[:10] == b"still here"
        writer.close()


async def closed(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read(1) == b""
    except ConnectionResetError:
        return True
