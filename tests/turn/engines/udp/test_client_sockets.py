"""Which clients have a socket of their own: some of the busiest, and all that must have one."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence

from tests.turn.engines.descriptors import descriptors, few_descriptors
from tests.turn.engines.listening import listener_of
from tests.turn.engines.world import Client, End, World, framed, unframed
from turn.engines.portable.engine import Portable
from turn.engines.udp.client_sockets import SWAP_MARGIN, ClientSockets
from turn.flows import Address, Rule

CHANNEL = 0x4000


class Crowd:
    """Clients with a flow each at a listener that has sockets for a few of them only."""

    def __init__(self, world: World, most: int, clients: int) -> None:
        self.world, self.peer = world, world.end()
        self.sockets: ClientSockets = listener_of(world).client_sockets
        self.sockets.limit = most
        self.sockets.epoll.ticks.clear()  # time passes when a test says so
        self.clients = [world.end() for _ in range(clients)]
        self.flows = [world.link(client, self.peer.address, CHANNEL) for client in self.clients]
        self.now = 0.0

    def with_socket(self) -> list[int]:
        """Which of the clients have a socket of their own."""
        return [n for n, client in enumerate(self.clients) if self.key(client) in self.sockets.by_client]

    def key(self, client: Client) -> tuple[Address, Address]:
        return client.address, self.world.listener

    async def speak(self, *packets: int) -> None:
        """Each client sends so many, and each one is heard; then they are weighed, a second later."""
        for client, flow, count in zip(self.clients, self.flows, packets, strict=True):
            for number in range(count):
                client.send(framed(flow, struct.pack("!H", number)), self.world.listener)
                assert await self.peer.receive_from() == (struct.pack("!H", number), flow.relay)
        self.rebalance()

    def rebalance(self) -> None:
        self.now += 1.0
        self.sockets.rebalance(self.now)


async def test_a_socket_goes_to_the_client_that_waited_longest() -> None:
    async with World(Portable) as world:
        crowd = Crowd(world, 2, 4)
        assert crowd.with_socket() == [0, 1]
        world.engine.unlink(crowd.flows[0])
        assert crowd.with_socket() == [1, 2]
        assert list(crowd.sockets.waiting) == [crowd.key(crowd.clients[3])]


async def test_the_busiest_change_places_with_the_idlest() -> None:
    async with World(Portable) as world:
        crowd = Crowd(world, 2, 5)
        crowd.rebalance()  # the first time only counts
        await crowd.speak(50, 0, 0, 0, 0)
        await crowd.speak(50, 0, 0, 0, 40)
        assert crowd.with_socket() == [0, 4]
        await crowd.speak(50, 60, 60, 0, 0)
        await crowd.speak(50, 60, 60, 0, 0)
        assert len(crowd.with_socket()) == 2
        assert 4 not in crowd.with_socket()
        await crowd.speak(0, 0, 0, 0, 0)
        assert len(crowd.with_socket()) == 2


async def test_those_who_are_alike_stay_where_they_are() -> None:
    async with World(Portable) as world:
        crowd = Crowd(world, 2, 4)
        for ahead in (10, 13, 16, 10):
            await crowd.speak(10, 10, ahead, 10 + int(SWAP_MARGIN))
            assert crowd.with_socket() == [0, 1]


async def test_a_pinned_client_keeps_its_socket() -> None:
    async with World(Portable) as world:
        crowd = Crowd(world, 1, 2)
        world.engine.pin(*crowd.key(crowd.clients[0]))
        for _ in range(3):
            await crowd.speak(0, 50)
            assert crowd.with_socket() == [0]


async def test_nothing_is_lost_or_overtaken_while_places_change() -> None:
    async with World(Portable) as world:
        crowd = Crowd(world, 1, 2)
        with_socket = set()
        for turn in range(8):
            burst = [struct.pack("!H", number) for number in range(60)]
            crowd.rebalance()
            for data in burst:
                client, flow = crowd.clients[turn % 2], crowd.flows[turn % 2]
                client.send(framed(flow, data), world.listener)
                crowd.peer.send(data, flow.relay)
                if data == burst[30]:
                    assert [await crowd.peer.receive() for _ in range(31)] == burst[:31]
                    crowd.rebalance()
            assert [await crowd.peer.receive() for _ in range(29)] == burst[31:]
            assert [unframed(flow, await client.receive()) for _ in burst] == burst
            with_socket |= {*crowd.with_socket()}
        assert with_socket == {0, 1}


async def test_nothing_is_measured_where_no_client_waits() -> None:
    async with World(Portable) as world:
        crowd = Crowd(world, 1, 2)
        await crowd.speak(1, 1)
        await crowd.speak(1, 1)
        assert crowd.sockets.counts
        world.engine.unlink(crowd.flows[1])
        crowd.rebalance()
        assert not crowd.sockets.counts
        assert not crowd.sockets.rates


async def test_kept_clients_are_beyond_the_limit_and_leave_nothing() -> None:
    async with World(Portable) as world:
        crowd = Crowd(world, 2, 4)
        strangers: Sequence[End] = [world.end() for _ in range(3)]
        before = descriptors()
        for client in (*crowd.clients, *strangers):
            for _ in range(2):
                world.engine.pin(*crowd.key(client))
        assert crowd.with_socket() == [0, 1, 2, 3]
        assert descriptors() == before + 2 + 3
        await crowd.speak(1, 1, 1, 1)
        for client in (*crowd.clients, *strangers):
            for _ in range(2):
                world.engine.unpin(*crowd.key(client))
        await asyncio.sleep(0.05)
        assert len(crowd.with_socket()) == len(crowd.sockets.waiting) == 2
        assert descriptors() == before
        await crowd.speak(1, 1, 1, 1)
        assert not crowd.sockets.pinned


async def test_a_pinned_client_whose_flows_come_and_go_has_one_socket() -> None:
    async with World(Portable) as world:
        crowd = Crowd(world, 0, 1)
        client, flow = crowd.clients[0], crowd.flows[0]
        assert not crowd.with_socket()
        world.engine.pin(*crowd.key(client))
        before = descriptors()
        for _ in range(3):
            world.engine.unlink(flow)
            client.send(framed(flow, b"unlinked"), world.listener)
            assert (await world.punt()).data == framed(flow, b"unlinked")
            world.engine.link(flow, Rule())
            await crowd.speak(2)
        assert descriptors() == before


async def test_without_descriptors_the_shared_socket_serves() -> None:
    async with World(Portable) as world:
        crowd = Crowd(world, 2, 4)
        with few_descriptors():
            world.engine.pin(*crowd.key(crowd.clients[3]))
            world.engine.unlink(crowd.flows[0])
        assert crowd.with_socket() == [1]
        await speak_of(crowd)
        world.engine.unpin(*crowd.key(crowd.clients[3]))
        await asyncio.sleep(0.05)
        assert crowd.with_socket() == [1]


async def speak_of(crowd: Crowd) -> None:
    for client, flow in list(zip(crowd.clients, crowd.flows, strict=True))[1:]:
        client.send(framed(flow, b"still"), crowd.world.listener)
        assert await crowd.peer.receive() == b"still"
