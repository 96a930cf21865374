"""A joined socket's first moments and last words: whose packets it holds is read, not assumed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.turn.engines.world import PATIENCE, End
from turn.engines import Above
from turn.engines.loop import sockets
from turn.engines.loop.batching import Sender
from turn.engines.loop.epoll import Epoll
from turn.engines.udp.peer_sockets import ConnectedSocket
from turn.flows import Packet


class Scene:
    """A socket that strangers wrote to before it was connected to its own end."""

    def __init__(self) -> None:
        self.own, self.stranger = End(), End()
        probe = End()
        self.here = probe.address
        probe.close()
        self.epoll = Epoll()
        self.punted: asyncio.Queue[Packet] = asyncio.Queue()
        self.taken: list[bytes] = []
        self.strays: list[tuple[bytes, str, int]] = []

    def connect(self, early: list[tuple[End, bytes]]) -> ConnectedSocket:
        sock = sockets.udp_socket(self.here, sockets.FLOW_BUFFER)
        sock.bind(sockets.sockaddr(self.here))
        for end, data in early:
            end.send(data, self.here)
        sock.connect(sockets.sockaddr(self.own.address))
        connected = ConnectedSocket(self.epoll, sock, self.here, self.own.address)
        connected.start_reading(self.take, self.stray)
        return connected

    def take(self, view: memoryview, start: int, size: int) -> bool:
        self.taken.append(bytes(view[start : start + size]))
        return not self.taken[-1].startswith(b"punt")

    def stray(self, size: int, there: sockets.SockAddr) -> None:
        self.strays.append((bytes(self.epoll.body[:size]), *there))

    async def seen(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.taken) + len(self.strays) < count:
                await asyncio.sleep(0.01)


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    for end in (scene.own, scene.stranger):
        end.close()
    scene.epoll.close()


async def running(scene: Scene) -> asyncio.Task[None]:
    task = asyncio.ensure_future(scene.epoll.run(Above(scene.punted.put_nowait)))
    await asyncio.sleep(0)
    return task


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_early_packets_of_others_are_sorted_out(scene: Scene) -> None:
    task = await running(scene)
    connected = scene.connect([(scene.stranger, b"theirs"), (scene.own, b"mine"), (scene.stranger, b"too")])
    await scene.seen(3)
    assert scene.taken == [b"mine"]
    there = sockets.sockaddr(scene.stranger.address)
    assert scene.strays == [(b"theirs", *there), (b"too", *there)]
    scene.epoll.close_socket(connected.sock)
    await stop(task)


async def test_it_soon_stops_asking(scene: Scene) -> None:
    task = await running(scene)
    connected = scene.connect([])
    watched = scene.epoll.readers[connected.sock.fileno()]
    connected.checked_until = 0.0
    for number in range(3):
        scene.own.send(b"%d" % number, scene.here)
        await scene.seen(number + 1)
    assert scene.epoll.readers[connected.sock.fileno()] != watched
    assert scene.taken == [b"0", b"1", b"2"]
    scene.epoll.close_socket(connected.sock)
    await stop(task)


async def test_strays_are_sorted_out_however_late_they_are_read(scene: Scene) -> None:
    """A loop that was held up reads them when the time to settle is over."""
    early = [(scene.stranger, b"theirs %d" % number) for number in range(40)]
    connected = scene.connect([*early, (scene.own, b"mine")])
    connected.checked_until = 0.0
    task = await running(scene)
    await scene.seen(41)
    assert scene.taken == [b"mine"]
    assert len(scene.strays) == 40
    scene.epoll.close_socket(connected.sock)
    await stop(task)


class Counted(socket.socket):
    """Knows how often it was read."""

    reads = 0

    def recvfrom_into(self, *args: Any) -> tuple[int, Any]:
        self.reads += 1
        return super().recvfrom_into(*args)


async def test_a_socket_that_its_first_packet_closes_is_watched_and_read_no_longer(scene: Scene) -> None:
    """To ask a closed one as often as an open one may be asked would take two milliseconds."""
    connected = scene.connect([(scene.own, b"close me")])
    scene.epoll.unregister(connected.sock)
    connected.sock = counted = Counted(fileno=connected.sock.detach())
    scene.epoll.register(counted, connected.read_first)
    connected.checked_until = 0.0

    def close(*_: object) -> bool:
        scene.epoll.close_socket(connected.sock)
        return True

    connected.carry = close
    task = await running(scene)
    await asyncio.sleep(0.05)
    assert connected.sock.fileno() == -1
    assert not scene.epoll.readers
    assert counted.reads <= 2
    await stop(task)


@pytest.mark.parametrize("settled", [0.0, float("inf")])
async def test_what_is_not_taken_goes_up(scene: Scene, settled: float) -> None:
    task = await running(scene)
    connected = scene.connect([])
    connected.checked_until = settled
    for data in (b"first", b"punt this"):
        scene.own.send(data, scene.here)
        await scene.seen(len(scene.taken) + 1)
    assert await scene.punted.get() == Packet(scene.here, scene.own.address, b"punt this")
    scene.epoll.close_socket(connected.sock)
    await stop(task)


async def test_last_words_go_up_later_and_strays_are_judged_then(scene: Scene) -> None:
    task = await running(scene)
    connected = scene.connect([(scene.stranger, b"theirs"), (scene.own, b"mine")])
    connected.close()
    assert scene.punted.empty()
    assert not scene.strays
    await asyncio.sleep(0)
    assert scene.punted.get_nowait() == Packet(scene.here, scene.own.address, b"mine")
    assert scene.strays == [(b"theirs", *sockets.sockaddr(scene.stranger.address))]
    assert scene.punted.empty()
    assert not scene.taken
    await stop(task)


async def test_what_is_held_leaves_before_the_buffer_is_used_anew(scene: Scene) -> None:
    """So few that long fit into it."""
    heard = End()
    connected = scene.connect([])
    leg = End()
    leg.sock.connect(sockets.sockaddr(heard.address))
    outlet = Sender(leg.sock, scene.epoll.batch)

    def carry(view: memoryview, start: int, size: int) -> bool:
        outlet.put(view[start : start + size])
        return True

    connected.carry = carry
    wanted = [bytes([number]) * 60_000 for number in range(3)]
    heard.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    for data in wanted:
        scene.own.send(data, scene.here)
    connected.on_readable(4)
    assert [await heard.receive() for _ in wanted] == wanted
    scene.epoll.close_socket(connected.sock)
    for end in (heard, leg):
        end.close()
