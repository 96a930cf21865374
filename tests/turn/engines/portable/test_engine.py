"""What is portable's own: how many sockets it takes, and what it does without."""

from __future__ import annotations

import errno
import logging
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from tests.turn.engines.descriptors import descriptors, few_descriptors
from tests.turn.engines.world import World, framed, free, unframed
from turn.engines import Streams
from turn.engines.portable.engine import MAX_LEGS, Portable, warn_of_small_buffers
from turn.flows import Rule, Transport

CHANNEL = 0x4000


def engine_of(world: World) -> Portable:
    assert isinstance(world.engine, Portable)
    return world.engine


async def test_callers_of_one_relay_need_no_socket_between_them() -> None:
    async with World(Portable) as world:
        one, two = world.end(), world.end()
        first, second = world.open(), world.open()
        for client, here, there in ((one, first, second), (two, second, first)):
            world.engine.link(world.flow(client, there, CHANNEL, here), Rule())
        assert not engine_of(world).legs


async def test_without_descriptors_the_shared_sockets_serve() -> None:
    async with World(Portable) as world:
        client, peer = world.end(), world.end()
        flow = world.flow(client, peer.address, CHANNEL)
        with few_descriptors():
            assert not world.engine.open(peer.address)
            world.engine.link(flow, Rule())
        assert not engine_of(world).legs
        for _ in range(3):
            client.send(framed(flow, b"out"), world.listener)
            assert await peer.receive_from() == (b"out", flow.relay)
            peer.send(b"in", flow.relay)
            assert unframed(flow, await client.receive()) == b"in"
        world.engine.unlink(flow)


class Full:
    """The system's epoll, which watches no more sockets (epoll_ctl(2): ENOSPC)."""

    def __init__(self, works: select.epoll) -> None:
        self.works = works

    def register(self, _sock: object, _events: int) -> None:
        raise OSError(errno.ENOSPC, "no more watches")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.works, name)


@contextmanager
def no_more_watches(engine: Portable) -> Iterator[None]:
    works = engine.epoll.epoll
    engine.epoll.epoll = cast("select.epoll", Full(works))
    try:
        yield
    finally:
        engine.epoll.epoll = works


async def test_where_no_more_sockets_are_watched_the_shared_sockets_serve() -> None:
    async with World(Portable) as world:
        client, peer = world.end(), world.end()
        flow = world.flow(client, peer.address, CHANNEL)
        place = free("127.0.0.1", "udp")
        before = descriptors()
        with no_more_watches(engine_of(world)):
            assert not world.engine.open(place)
            world.engine.link(flow, Rule())
        assert descriptors() == before
        assert not engine_of(world).legs
        for _ in range(3):
            client.send(framed(flow, b"out"), world.listener)
            assert await peer.receive_from() == (b"out", flow.relay)
            peer.send(b"in", flow.relay)
            assert unframed(flow, await client.receive()) == b"in"
        assert world.engine.open(place)


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_where_no_more_sockets_are_watched_a_connection_is_closed(transport: Transport) -> None:
    async with World(Portable, transport=transport, streams=Streams(connections=1)) as world:
        with no_more_watches(engine_of(world)):
            stream = await world.connect(plain=True)
            assert await stream.ended() == b""
        assert await world.client()  # the one connection that is allowed


async def test_one_client_takes_few_descriptors_however_many_peers_it_has() -> None:
    async with World(Portable) as world:
        client, relay = world.end(), world.open()
        peers = [world.end() for _ in range(MAX_LEGS + 4)]
        for number, peer in enumerate(peers):
            world.engine.link(world.flow(client, peer.address, CHANNEL + number, relay), Rule())
        assert len(engine_of(world).legs) == MAX_LEGS
        for number, peer in enumerate(peers):
            flow = world.flow(client, peer.address, CHANNEL + number, relay)
            client.send(framed(flow, b"out"), world.listener)
            assert await peer.receive_from() == (b"out", relay)
            peer.send(b"in", relay)
            assert unframed(flow, await client.receive()) == b"in"


async def test_a_thousand_calls_leave_no_descriptor_behind() -> None:
    async with World(Portable) as world:
        client, peer = world.end(), world.end()
        before = descriptors()
        for _ in range(1000):
            flow = world.link(client, peer.address, CHANNEL)
            world.engine.close(flow.relay)
        assert descriptors() == before


async def test_the_last_socket_is_closed_with_the_engine() -> None:
    before = descriptors()
    async with World(Portable) as world:
        flow = world.link(world.end(), world.end().address, CHANNEL)
        assert world.engine.open(flow.peer._replace(port=flow.peer.port)) is False
    assert descriptors() <= before + 1  # asyncio may keep a pipe of its own


def test_small_buffers_are_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, caplog.at_level(logging.WARNING):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        warn_of_small_buffers([sock, sock])
    assert [record.getMessage() for record in caplog.records] == [
        "receive buffers have 65536 bytes instead of 4194304, so bursts of packets may be lost: "
        "set the sysctl net.core.rmem_max to 4194304"
    ]
