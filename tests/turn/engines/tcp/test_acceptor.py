"""Who is let in, who is not, and what a door does when nothing is left."""

from __future__ import annotations

import asyncio
import resource
import socket
from contextlib import ExitStack

import pytest

from host.accept import PAUSE
from host.tls import BadCertificate, Certificate
from tests.turn.engines.certificates import certificate
from tests.turn.engines.listening import door_of
from tests.turn.engines.tcp.certificate_shown import shown
from tests.turn.engines.tcp.streams import streams
from tests.turn.engines.world import Maker, StreamEnd, World, free, stun
from turn.engines import CannotListen, Streams
from turn.engines.portable.engine import Portable
from turn.engines.tcp.tls_connection import TLS_HANDSHAKE_SECONDS
from turn.flows import Transport

HELLO = stun(0x0001, b"")


@streams
async def test_connections_of_one_address_are_limited(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport, streams=Streams(per_address=2)) as world:
        first, second = await world.client(), await world.client()
        third = await world.connect(plain=True)
        assert await third.ended() == b""
        first.close()
        assert await world.lost.get() == (first.address, world.listener)
        assert (await world.client()).address != second.address
        assert door_of(world).limits.total == 2
        world.engine.reconfigure(Streams(per_address=3, certificate=certificate()))
        await world.client()


@streams
async def test_who_says_nothing_is_closed(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        stream = await world.connect()
        (connection,) = door_of(world).connections.values()
        door_of(world).close_overdue(connection.read_by - 0.1)
        assert not connection.closed
        door_of(world).close_overdue(connection.read_by + 0.1)
        assert await stream.ended() == b""
        assert world.lost.empty()
        assert door_of(world).limits.total == 0


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00"])
async def test_a_handshake_has_its_time(make: Maker, said: bytes) -> None:
    async with World(make, transport="tls") as world:
        stream = await world.connect(plain=True)
        stream.writer.write(said)
        door, now = door_of(world), asyncio.get_running_loop().time()
        async with asyncio.timeout(5):
            while not door.connections:
                await asyncio.sleep(0.01)
        (connection,) = door.connections.values()
        assert connection.read_by <= now + TLS_HANDSHAKE_SECONDS + 1
        door.close_overdue(connection.read_by + 0.1)
        assert await stream.ended() == b""


async def test_a_door_without_descriptors_waits_and_goes_on(make: Maker) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with World(make, transport="tcp") as world:
        await world.client()
        door, loop, tries = door_of(world), asyncio.get_running_loop(), list[int]()

        def drain(most: int) -> None:
            tries.append(most)
            door.accept_some(most)

        door.epoll.readers[door.sock.fileno()] = drain
        with ExitStack() as taken:
            mine = [taken.enter_context(socket.socket()) for _ in range(3)]
            resource.setrlimit(resource.RLIMIT_NOFILE, (mine[-1].fileno() + 1, hard))
            begun = loop.time()
            try:
                mine[0].setblocking(False)
                mine[0].connect_ex((world.listener.host, world.listener.port))
                await asyncio.sleep(0.25)
                assert len(door.connections) == 1
                assert 1 <= len(tries) <= 1 + (loop.time() - begun) / PAUSE
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            async with asyncio.timeout(5):
                while len(door.connections) < 2:
                    await asyncio.sleep(0.01)


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_a_door_is_taken_or_it_is_not(make: Maker, transport: Transport) -> None:
    async with World(make, transport="tcp") as world:
        with pytest.raises(CannotListen):
            make([world.listener._replace(transport=transport)], Streams(certificate=certificate()))


def test_tls_without_a_certificate_is_no_start(make: Maker) -> None:
    there = free("127.0.0.1", "tls")
    with pytest.raises(BadCertificate, match="needs a certificate"):
        make([there])
    with pytest.raises(BadCertificate, match="another certificate"):
        make([there], Streams(certificate=Certificate(certificate().chain, certificate("other").key)))


async def test_a_new_certificate_is_for_newcomers_and_calls_go_on(make: Maker) -> None:
    async with World(make, transport="tls") as world:
        client = await world.client()
        assert isinstance(client, StreamEnd)
        old = await shown(world.listener)
        with pytest.raises(BadCertificate):
            world.engine.reconfigure(
                Streams(certificate=Certificate(certificate().chain, certificate("other").key))
            )
        world.engine.reconfigure(Streams())
        assert await shown(world.listener) == old
        world.engine.reconfigure(Streams(certificate=certificate("other")))
        assert await shown(world.listener) not in (old, None)
        client.send(HELLO, world.listener)
        assert (await world.punt()).data == HELLO


async def test_every_socket_is_closed_with_the_engine() -> None:
    async with World(Portable, transport="tls") as world:
        client = await world.client()
        assert isinstance(client, StreamEnd)
        door = door_of(world)
        (connection,) = door.connections.values()
        world.task.cancel()
        assert await client.ended() == b""
        assert (door.sock.fileno(), connection.sock.fileno(), door.connections) == (-1, -1, {})
        assert world.lost.empty()
