"""Connections made to wear the relay out: floods of them, half a handshake, TLS that no client speaks."""

from __future__ import annotations

import asyncio
import os
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

import pytest

from tests.turn.engines.listening import door_of
from tests.turn.engines.tcp.hello import NAME, client_hello
from tests.turn.engines.tcp.streams import CHANNEL, HELLO, streams
from tests.turn.engines.world import PATIENCE, Client, Maker, StreamEnd, World, framed
from turn.engines import Streams
from turn.engines.tcp.acceptor import Acceptor
from turn.engines.tcp.connection_limits import MAX_SILENT
from turn.engines.tcp.handshake_queue import PER_TURN
from turn.engines.tcp.tls_connection import MAX_WITHOUT_DATA, TLS_HANDSHAKE_SECONDS
from turn.flows import Flow, Transport

FLOOD = (
    400  # connections at once: more than one address may hold without a word, and little enough for a test
)
HELLOS = 10 * PER_TURN  # at once


def named(name: bytes) -> bytes:
    """A ClientHello for any name, even one that no library would send."""
    hello, old = client_hello(), NAME.encode()
    at, more = hello.index(old), len(name) - len(old)
    hello = hello.replace(old, name)
    extensions = 9 + 2 + 32  # record, handshake and version, random
    extensions += 1 + hello[extensions]
    extensions += 2 + int.from_bytes(hello[extensions : extensions + 2])
    extensions += 1 + hello[extensions]
    for place, size in ((3, 2), (6, 3), (extensions, 2), (at - 7, 2), (at - 5, 2), (at - 2, 2)):
        longer = int.from_bytes(hello[place : place + size]) + more
        hello = hello[:place] + longer.to_bytes(size) + hello[place + size :]
    return hello


def records(kind: int, body: bytes, size: int = 16 << 10) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(struct.pack("!BHH", kind, 0x0303, len(part)) + part for part in parts)


CERTIFICATE = b"\x0b" + (1 << 20).to_bytes(3) + bytes(1 << 20)  # one of a mebibyte, that nobody asked for
OLD_HELLO = b"\1\0\0\x29\3\0" + bytes(32) + b"\0\0\2\0\x2f\1\0"

SAID: dict[str, Callable[[], bytes]] = {
    "SSL 2": lambda: b"\x80\x2e\1\0\2\0\x15\0\0\0\x10" + bytes(37),
    "SSL 3": lambda: b"\x16\3\0" + len(OLD_HELLO).to_bytes(2) + OLD_HELLO,
    "a name of no bytes": lambda: named(b""),
    "a name of 256 bytes": lambda: named(b"x" * 256),
    "a name of zeros": lambda: named(bytes(208)),
    "a name of 10,000 bytes": lambda: named(b"x" * 10_000),
    "a client's certificate of a mebibyte": lambda: (
        client_hello(ssl.TLSVersion.TLSv1_2) + records(22, CERTIFICATE)
    ),
    "alerts without end": lambda: client_hello() + records(21, b"\1\0", 2) * 5000,
    "records of no bytes": lambda: client_hello() + b"\x16\3\3\0\0" * 20_000,
    "changes of cipher without end": lambda: client_hello() + b"\x14\3\3\0\1\1" * 20_000,
    "data before the handshake is over": lambda: client_hello() + records(23, bytes(1 << 20)),
    "heartbeats": lambda: client_hello() + b"\x18\3\3\0\3\1\xff\xff" * 100,
}


async def call(world: World) -> tuple[Client, Flow]:
    """A call over the same door, which must notice nothing."""
    client, peer = await world.client(), world.end()
    return client, world.link(client, peer.address, CHANNEL)


async def is_heard(world: World, client: Client, flow: Flow) -> None:
    client.send(framed(flow, b"voice"), world.listener)
    peer = next(end for end in world.ends if end.address == flow.peer)
    assert await peer.receive() == b"voice"


async def pour(stream: StreamEnd, data: bytes) -> None:
    """All of it, as far as it is taken."""
    with suppress(ConnectionError):
        for at in range(0, len(data), 4096):
            stream.writer.write(data[at : at + 4096])
            await stream.writer.drain()
            await asyncio.sleep(0)


@pytest.mark.parametrize("name", SAID)
async def test_what_no_client_says_ends_or_waits_and_calls_go_on(make: Maker, name: str) -> None:
    async with World(make, transport="tls") as world:
        client, flow = await call(world)
        stream = await world.connect(plain=True)
        await pour(stream, SAID[name]())
        await is_heard(world, client, flow)
        for connection in [*door_of(world).connections.values()]:
            assert (
                connection.has_punted
                or connection.read_by < asyncio.get_running_loop().time() + TLS_HANDSHAKE_SECONDS
            )
        door_of(world).close_overdue(asyncio.get_running_loop().time() + TLS_HANDSHAKE_SECONDS + 1)
        await stream.ended()
        await is_heard(world, client, flow)
        assert list(door_of(world).connections) == [(client.address, world.listener)]


async def test_renegotiation_without_end_is_refused(make: Maker) -> None:
    """`openssl s_client` begins a new handshake for each line that is an R."""
    async with World(make, transport="tls") as world:
        client, flow = await call(world)
        command = f"yes R | openssl s_client -tls1_2 -connect 127.0.0.1:{world.listener.port}"
        null = asyncio.subprocess.DEVNULL
        flood = await asyncio.create_subprocess_shell(command, stdout=null, stderr=null)
        async with asyncio.timeout(PATIENCE):
            await flood.wait()
        await is_heard(world, client, flow)
        assert list(door_of(world).connections) == [(client.address, world.listener)]


@streams
async def test_a_flood_of_connections_that_say_nothing(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport, streams=Streams()) as world:
        client, flow = await call(world)
        open_files = files()
        ends = [await world.connect(plain=True) for _ in range(FLOOD)]
        await asyncio.gather(*(end.ended() for end in ends[MAX_SILENT:]))
        await is_heard(world, client, flow)
        limits = door_of(world).limits
        assert (limits.total, limits.silent.amount(b"\x7f\0\0\1")) == (MAX_SILENT + 1, MAX_SILENT)
        assert world.engine.refused_connections() == {"silent connections": FLOOD - MAX_SILENT}
        for end in ends:
            end.reset()
        await emptied(world)
        assert (limits.total, limits.silent.amount(b"\x7f\0\0\1")) == (1, 0)
        assert files() <= open_files
        await is_heard(world, client, flow)
        await world.client()


async def emptied(world: World) -> None:
    """Until only those are left who have spoken."""
    async with asyncio.timeout(PATIENCE):
        while not all(connection.has_punted for connection in door_of(world).connections.values()):
            await asyncio.sleep(0.01)


def files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_a_flood_of_hellos_takes_a_few_of_each_turn(make: Maker) -> None:
    """What the loop's turn costs is counted in handshakes; all of them go on, and calls between them."""
    async with World(make, transport="tls", streams=Streams(is_trusted=lambda ip: True)) as world:
        client, flow = await call(world)
        ends = [await world.connect(plain=True) for _ in range(HELLOS)]
        begun = begun_at(door_of(world))
        hello = client_hello()
        for end in ends:
            end.writer.write(hello)
        client.send(framed(flow, b"between"), world.listener)
        turns, carried = [0], [0]
        async with asyncio.timeout(PATIENCE):
            while len(begun) < HELLOS:
                await asyncio.sleep(0)
                turns.append(len(begun))
                carried.append(world.engine.traffic()[flow].packets_out)
        assert max(after - before for before, after in pairwise(turns)) == PER_TURN
        assert turns[carried.index(1)] < HELLOS
        for end in ends:
            assert (await end.reader.read(1)) == b"\x16"
        for end in ends[: HELLOS // 2]:
            end.reset()
        assert not door_of(world).handshakes.waiting


async def test_who_leaves_before_its_turn_is_forgotten(make: Maker) -> None:
    async with World(make, transport="tls", streams=Streams(is_trusted=lambda ip: True)) as world:
        door = door_of(world)
        ends = [await world.connect(plain=True) for _ in range(HELLOS)]
        while len(door.connections) < HELLOS:
            await asyncio.sleep(0)
        begun, hello = begun_at(door), client_hello()
        for end in ends:
            end.writer.write(hello)
        while not door.handshakes.waiting:
            await asyncio.sleep(0)
        for connection in list(door.connections.values()):
            connection.close()
        assert not door.handshakes.waiting
        await asyncio.gather(*(end.ended() for end in ends))
        assert len(begun) <= PER_TURN


def begun_at(door: Acceptor) -> list[object]:
    """Grows by one with each handshake that begins at a door."""
    begun: list[object] = []
    assert door.context is not None
    door.context.sni_callback = lambda *said: begun.append(said[1])
    return begun


async def test_who_shakes_hands_too_often_waits(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turn.limits.addresses.HANDSHAKES_PER_SECOND", 1 / 1000)
    monkeypatch.setattr("turn.limits.addresses.HANDSHAKE_BURST", 3)
    async with World(make, transport="tls") as world:
        for _ in range(3):
            client = await world.client()
            client.close()
            assert await world.lost.get()
        stream = await world.connect(plain=True)
        assert await stream.ended() == b""
        assert world.engine.refused_connections() == {"handshakes of an address": 1}
        assert door_of(world).limits.total == 0


async def test_half_a_handshake_holds_no_more_than_a_little(make: Maker) -> None:
    """Half a ClientHello from each: kept as long as a handshake may take, at its own size."""
    async with World(make, transport="tls") as world:
        client, flow = await call(world)
        half = client_hello()[:-1]
        ends = [await world.connect(plain=True) for _ in range(MAX_SILENT)]
        for end in ends:
            end.writer.write(half)
        await asyncio.sleep(0.2)
        await is_heard(world, client, flow)
        for connection in door_of(world).connections.values():
            assert connection.without_data <= MAX_WITHOUT_DATA  # type: ignore[attr-defined]
            assert connection.queue is None
        door_of(world).close_overdue(asyncio.get_running_loop().time() + TLS_HANDSHAKE_SECONDS + 1)
        assert [await end.ended() for end in ends] == [b""] * len(ends)
        await is_heard(world, client, flow)


@streams
async def test_coming_and_going_leaves_no_descriptor(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        await call(world)
        before = files()
        for number in range(100):
            stream = await world.connect()
            if number % 3:
                stream.writer.write(HELLO[: number % 21])
            if number % 2:
                stream.reset()
            else:
                stream.writer.close()
            with suppress(OSError):
                await stream.writer.wait_closed()
        async with asyncio.timeout(PATIENCE):
            while len(door_of(world).connections) > 1:
                await asyncio.sleep(0.01)
        assert files() == before
