"""The contract where two engines are at one address: each keeps its clients, and the older one leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest

from tests.turn.engines.certificates import certificate
from tests.turn.engines.descriptors import need_descriptors
from tests.turn.engines.tcp.streams import CHANNEL
from tests.turn.engines.world import Client, End, Maker, World, framed, stun, unframed
from turn.engines import CannotListen, Engine, Streams
from turn.engines.loop import sockets
from turn.flows import Address, Flow, Packet, Rule, Transport

PLACES = {"v4": (4, "127.0.0.1"), "v6": (6, "::1"), "any v4": (4, "0.0.0.0"), "any v6": (6, "::")}
places = pytest.mark.parametrize("place", PLACES)
streams = pytest.mark.parametrize("transport", ["tcp", "tls"])
HELLO = stun(0x0001, b"")


def older(make: Maker, place: str, transport: Transport = "udp") -> World:
    version, host = PLACES[place]
    return World(make, version, host, transport)


def newer(make: Maker, before: World) -> World:
    """At the same address."""

    def beside(listen: Sequence[Address], streams: Streams) -> Engine:
        return make(listen, streams, partial(sockets.open_listener, shared=True))

    version = 6 if ":" in before.host else 4
    return World(beside, version, transport=before.listener.transport, at=before.listener)


def place_of(world: World) -> Address:
    """The address that clients see."""
    return Address.of(world.host, world.listener.port, world.listener.transport)


def link(world: World, client: Client, peer: Address) -> Flow:
    flow = Flow(client.address, place_of(world), CHANNEL, world.open(), peer)
    world.engine.link(flow, Rule())
    return flow


def crowd(world: World, count: int) -> list[End]:
    return [world.end() for _ in range(count)]


async def punts(world: World, count: int) -> list[Packet]:
    return [await world.punt() for _ in range(count)]


@places
async def test_a_pinned_client_comes_here_although_others_listen(make: Maker, place: str) -> None:
    async with older(make, place) as old:
        clients, there = crowd(old, 40), place_of(old)
        for client in clients:
            old.engine.pin(client.address, there)
        async with newer(make, old) as new:
            for client in clients:
                client.send(HELLO, there)
            assert {packet.remote for packet in await punts(old, 40)} == {one.address for one in clients}
            old.engine.send([Packet(there, client.address, b"answer") for client in clients])
            assert [await one.receive_from() for one in clients] == [(b"answer", there)] * 40
            assert new.punted.empty()


@places
async def test_flows_go_on_while_their_clients_are_kept(make: Maker, place: str) -> None:
    async with older(make, place) as old:
        clients, peer, there = crowd(old, 20), old.end(), place_of(old)
        flows = [link(old, client, peer.address) for client in clients[:10]]
        for client in clients:
            old.engine.pin(client.address, there)
        async with newer(make, old) as new:
            flows += [link(old, client, peer.address) for client in clients[10:]]
            for _ in range(2):
                for client, flow in zip(clients, flows, strict=True):
                    client.send(framed(flow, b"out"), there)
                    assert await peer.receive_from() == (b"out", flow.relay)
                    peer.send(b"back", flow.relay)
                    assert unframed(flow, await client.receive()) == b"back"
                old.engine.stop_listening()
            for flow in flows:
                old.engine.unlink(flow)
            for client in clients:
                client.send(HELLO, there)
            assert [packet.data for packet in await punts(old, 20)] == [HELLO] * 20
            assert new.punted.empty()


@places
async def test_strangers_come_to_who_stays(make: Maker, place: str) -> None:
    async with older(make, place) as old, newer(make, old) as new:
        strangers, there = crowd(new, 60), place_of(old)
        for stranger in strangers:
            stranger.send(HELLO, there)
        old.engine.stop_listening()  # with what waits there unread
        for stranger in strangers:
            stranger.send(b"\0\1 again", there)
        met = [packet.data for packet in await punts(new, 60 + 60 - await waiting(old))]
        assert met.count(b"\0\1 again") == 60
        assert old.punted.qsize() + met.count(HELLO) == 60
        old.engine.stop_listening()


async def waiting(world: World) -> int:
    """How many packets have come up, when all that came before have been read."""
    await asyncio.sleep(0.1)
    return world.punted.qsize()


@places
async def test_who_is_released_is_a_stranger_again(make: Maker, place: str) -> None:
    async with older(make, place) as old, newer(make, old) as new:
        clients, there = crowd(new, 10), place_of(old)
        for client in clients:
            new.engine.pin(client.address, there)
            old.engine.pin(client.address, there)
            new.engine.unpin(client.address, there)
            old.engine.unpin(client.address, there)
            old.engine.unpin(client.address, there)
        old.engine.stop_listening()
        await asyncio.sleep(0.05)
        for client in clients:
            client.send(HELLO, there)
        assert len(await punts(new, 10)) == 10


@places
async def test_the_last_answer_leaves_though_the_listener_is_gone(make: Maker, place: str) -> None:
    async with older(make, place) as old, newer(make, old) as new:
        client, there = old.end(), place_of(old)
        old.engine.pin(client.address, there)
        old.engine.stop_listening()
        await asyncio.sleep(0.05)
        old.engine.unpin(client.address, there)
        old.engine.send([Packet(there, client.address, b"goodbye")])
        assert await client.receive_from() == (b"goodbye", there)
        await asyncio.sleep(0.05)
        client.send(HELLO, there)
        assert (await new.punt()).remote == client.address


async def test_many_are_kept(make: Maker) -> None:
    need_descriptors(3000)
    async with World(make) as old:
        clients = crowd(old, 600)
        for client in clients:
            old.engine.pin(client.address, old.listener)
        async with newer(make, old) as new:
            old.engine.stop_listening()
            for client in clients:
                client.send(HELLO, old.listener)
                assert (await old.punt()).remote == client.address
            assert new.punted.empty()


@streams
@pytest.mark.parametrize("place", ["v4", "any v6"])
async def test_connections_go_on_and_new_ones_come_to_who_stays(
    make: Maker, place: str, transport: Transport
) -> None:
    async with older(make, place, transport) as old, newer(make, old) as new:
        old.listener = new.listener = place_of(old)
        both = [await old.connect() for _ in range(10)]
        old.engine.stop_listening()
        later = [asyncio.create_task(new.connect()) for _ in range(10)]
        both += [await one for one in later]
        await asyncio.sleep(1.0)  # the older one is at no door any more
        for stream in both:
            stream.send(HELLO, stream.there)
        came = await asyncio.wait_for(arrivals(old, new, 20), 5)
        assert came == {stream.address for stream in both}
        fresh = [await new.connect() for _ in range(10)]
        for stream in fresh:
            stream.send(HELLO, stream.there)
        assert {packet.remote for packet in await punts(new, 10)} == {one.address for one in fresh}
        assert old.lost.empty()


async def arrivals(old: World, new: World, count: int) -> set[Address]:
    """Who has come to one or the other."""
    seen: set[Address] = set()
    while len(seen) < count:
        await asyncio.sleep(0.01)
        for world in (old, new):
            while not world.punted.empty():
                seen.add(world.punted.get_nowait().remote)
    return seen


@streams
async def test_a_connection_with_a_flow_goes_on_when_its_engine_leaves(
    make: Maker, transport: Transport
) -> None:
    async with older(make, "v4", transport) as old:
        client, peer = await old.client(), old.end()
        flow = old.link(client, peer.address, CHANNEL)
        async with newer(make, old):
            old.engine.pin(client.address, old.listener)
            old.engine.stop_listening()
            for _ in range(2):
                client.send(framed(flow, b"out"), old.listener)
                assert await peer.receive() == b"out"
                peer.send(b"back", flow.relay)
                assert unframed(flow, await client.receive()) == b"back"
                await asyncio.sleep(1.0)
            old.engine.unpin(client.address, old.listener)


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_who_does_not_share_is_refused(make: Maker, transport: Transport) -> None:
    async with older(make, "v4", transport) as old:
        with pytest.raises(CannotListen):
            make([old.listener], Streams(certificate=certificate()))
