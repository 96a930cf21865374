"""What real routers say of packets that did not arrive, through the error queue of the sender's socket."""

from __future__ import annotations

import asyncio
import os
from contextlib import closing

import pytest

from tests.turn.engines import land
from tests.turn.engines.land import NARROW
from tests.turn.engines.world import PATIENCE, End, World, framed
from turn.engines import NOT_RUNNING, Failure
from turn.engines.loop import icmp, sockets
from turn.engines.loop.epoll import ROUNDS, Epoll
from turn.engines.portable.engine import Portable
from turn.engines.transmit import push
from turn.flows import Address, Flow, Packet, Rule

CHANNEL = 0x4001
WIDE = bytes(NARROW)  # with its headers, more than fits between the routers
FIRST_LINK = 1500  # bytes that fit on the relay's own
PORT = 9999  # nobody is there
FLOOD = 300  # packets that are refused
versions = pytest.mark.parametrize("version", [4, 6])
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

# Where a packet goes, and the ICMP type and code that come back, by the version of IP.
ROADS = {
    "a closed port": (land.THERE, {4: (3, 3), 6: (1, 4)}),
    "an unreachable network": (land.UNREACHABLE, {4: (3, 1), 6: (1, 0)}),
    "a prohibited network": (land.PROHIBITED, {4: (3, 13), 6: (1, 1)}),
    "a ring of routers": (land.ENDLESS, {4: (11, 0), 6: (3, 0)}),
}
TOO_LARGE = {4: (3, 4), 6: (2, 0)}


class Routed(World):
    """An engine whose relayed addresses face the routers; its clients are at home."""

    def __init__(self, version: int) -> None:
        super().__init__(Portable, version)
        self.version = version

    def open(self) -> Address:
        with closing(End(land.HERE[self.version])) as probe:
            free = probe.address
        assert self.engine.open(free)
        return free


@needs_root
@versions
@pytest.mark.parametrize("is_linked", [False, True], ids=["sent", "carried"])
@pytest.mark.parametrize("road", ROADS)
async def test_what_does_not_arrive_has_failed(
    places: dict[str, land.Place], version: int, road: str, is_linked: bool
) -> None:
    hosts, told = ROADS[road]
    peer = Address.of(hosts[version], PORT)
    async with Routed(version) as world:
        client = world.end()
        flow = world.flow(client, peer, CHANNEL)
        if is_linked:
            world.engine.link(flow, Rule())
            client.send(framed(flow, b"lost"), world.listener)
        else:
            world.engine.send([Packet(flow.relay, peer, b"lost")])
        assert await world.failure() == Failure(flow.relay, peer, *told[version], 0)


@needs_root
@versions
async def test_several_that_fail_on_one_socket_are_told_apart(
    places: dict[str, land.Place], version: int
) -> None:
    async with Routed(version) as world:
        relay = world.open()
        roads = [
            ROADS[name] for name in ("a closed port", "a ring of routers")
        ]  # Linux is sparing of the rest
        failures = {
            Failure(relay, Address.of(hosts[version], port), *told[version], 0)
            for hosts, told in roads
            for port in (PORT, PORT + 1)
        }
        world.engine.send([Packet(relay, failure.peer, b"lost") for failure in failures])
        assert {await world.failure() for _ in failures} == failures


@needs_root
@versions
@pytest.mark.parametrize("is_linked", [False, True], ids=["sent", "carried"])
async def test_what_is_too_large_on_the_way_has_failed_with_the_size_that_fits(
    places: dict[str, land.Place], version: int, is_linked: bool
) -> None:
    """A linked flow has a socket of its own, which the router's word goes to."""
    with places["peer"].inside():
        peer = End(land.THERE[version])
    async with Routed(version) as world:
        world.ends.append(peer)
        client = world.end()
        flow = world.flow(client, peer.address, CHANNEL)
        if is_linked:
            world.engine.link(flow, Rule())
        whole = Packet(flow.relay, peer.address, WIDE, dont_fragment=True)
        for _ in range(2):
            world.engine.send([whole])
            failure = Failure(flow.relay, peer.address, *TOO_LARGE[version], NARROW)
            assert await world.failure() == failure
        world.engine.send([whole._replace(data=b"small", dont_fragment=True)])
        assert await peer.receive() == b"small"
        await arrives_in_pieces(world, flow, client, peer)


@needs_root
@versions
async def test_what_is_too_large_for_the_first_link_has_failed_once(
    places: dict[str, land.Place], version: int
) -> None:
    """The sender is told at once; what the system puts into the queue about it is no router's word."""
    async with Routed(version) as world:
        relay, peer = world.open(), Address.of(land.NEAR[version], PORT)
        whole = Packet(relay, peer, bytes(FIRST_LINK), dont_fragment=True)
        world.engine.send([whole, whole._replace(data=b"to nobody", dont_fragment=False)])
        failures = {await world.failure() for _ in range(2)}
        assert failures == {
            Failure(relay, peer, *TOO_LARGE[version], FIRST_LINK),
            Failure(relay, peer, *ROADS["a closed port"][1][version], 0),
        }
        assert world.failed.empty()


@needs_root
@versions
async def test_what_comes_back_late_is_heard_too(places: dict[str, land.Place], version: int) -> None:
    async with Routed(version) as world:
        relay, peer = world.open(), Address.of(land.THERE[version], PORT)
        whole = Packet(relay, peer, WIDE, dont_fragment=True)
        with land.slow(places["near"], "relay"):
            for _ in range(4):  # the link takes two at once, of IPv6 one
                world.engine.send([whole])
            failures = [await world.failure() for _ in range(4)]
        assert failures == [Failure(relay, peer, *TOO_LARGE[version], NARROW)] * 4


async def arrives_in_pieces(world: Routed, flow: Flow, client: End, peer: End) -> None:
    """What may be fragmented is, by a router or, in IPv6, by the relay when it has been told."""
    world.engine.send([Packet(flow.relay, peer.address, WIDE)])
    client.send(framed(flow, WIDE), world.listener)
    packets = [peer.receive() for _ in range(1 + (flow in world.engine.traffic()))]
    assert set(await asyncio.gather(*packets)) == {WIDE}


@versions
async def test_a_refusal_causes_no_further_wake_ups(version: int) -> None:
    """Neither of a peer, linked or not, nor of a client, whose errors are not read."""
    async with World(Portable, version) as world:
        assert isinstance(world.engine, Portable)
        client, gone, peer = world.end(), world.end(), world.end()
        flow = world.link(client, gone.address, CHANNEL)
        back = world.flow(client, peer.address, CHANNEL + 1, flow.relay)
        world.engine.link(back, Rule())
        gone.close()
        for _ in range(FLOOD):
            client.send(framed(flow, b"refused"), world.listener)
            world.engine.send([Packet(flow.relay, gone.address, b"too")])
            await asyncio.sleep(0)
        client.close()
        for _ in range(FLOOD):
            peer.send(b"refused", flow.relay)
            world.engine.send([Packet(world.listener, client.address, b"too")])
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE):
            while world.engine.traffic()[back].packets_in < FLOOD:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert world.engine.epoll.epoll.poll(0) == []
        assert 0 < world.failed.qsize() <= 2 * FLOOD
        assert {world.failed.get_nowait()[:2] for _ in range(world.failed.qsize())} == {
            (flow.relay, gone.address)
        }


async def test_a_wake_up_reads_a_bounded_number_of_errors() -> None:
    told: list[Failure] = []
    epoll = Epoll()
    epoll.above = NOT_RUNNING._replace(failed=told.append)
    with closing(End()) as gone:
        peer = gone.address
    sock = sockets.open_relayed(Address.of("127.0.0.1", 0))
    here = sockets.address(sock.getsockname()[:2])
    epoll.register(sock, lambda most: None)
    icmp.report_errors(epoll, sock, here)
    for _ in range(FLOOD):
        push(lambda data: sock.sendto(data, sockets.sockaddr(peer)), memoryview(b"refused"))
    epoll.wake_up()
    assert told == [Failure(here, peer, 3, 3, 0)] * sum(ROUNDS)
    epoll.close_socket(sock)
    assert not epoll.error_readers
    epoll.close()
