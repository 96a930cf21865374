"""Marks of packets: which are copied from one leg to the other, and which stay behind."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from functools import partial

import pytest

from tests.turn.engines.listening import listener_of
from tests.turn.engines.loop.marked import (
    ASSURED,
    BEST_EFFORT,
    CONGESTED,
    EXPEDITED,
    OWN_TTL,
    ROUTING,
    Marked,
)
from tests.turn.engines.world import PATIENCE, World, framed, unframed
from turn.engines.loop import dscp
from turn.engines.portable.engine import Portable
from turn.flows import Packet, Rule, Transport

CHANNEL = 0x4001
versions = pytest.mark.parametrize("version", [4, 6])
frames = pytest.mark.parametrize("channel", [CHANNEL, None], ids=["channel", "indication"])

SAID = [  # level, kind and data of a control message -> the mark that a packet leaves with
    (socket.IPPROTO_IP, socket.IP_TOS, b"\xb8", EXPEDITED),
    (socket.IPPROTO_IP, socket.IP_TOS, b"\xbb", EXPEDITED),
    (socket.IPPROTO_IP, socket.IP_TOS, b"\x03", 0),
    (socket.IPPROTO_IP, socket.IP_TOS, b"\xbf", 0xBC),
    (socket.IPPROTO_IP, socket.IP_TOS, b"\xc0", 0),
    (socket.IPPROTO_IP, socket.IP_TOS, b"\xff", 0),
    (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, struct.pack("i", 0xB9), EXPEDITED),
    (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, struct.pack("i", 0xE0), 0),
    (socket.IPPROTO_IP, 8, bytes(12), 0),
]


@pytest.mark.parametrize(("level", "kind", "data", "mark"), SAID)
def test_congestion_and_network_control_are_not_copied(level: int, kind: int, data: bytes, mark: int) -> None:
    assert dscp.mark_of([(level, kind, data)]) == mark


def test_what_says_nothing_is_best_effort() -> None:
    assert dscp.mark_of([]) == 0


class Road(World):
    """An engine, two clients and a peer, whose packets are marked."""

    def __init__(self, version: int = 4, transport: Transport = "udp") -> None:
        super().__init__(Portable, version, transport=transport)
        self.version = version

    def marked(self, mark: int = BEST_EFFORT) -> Marked:
        end = Marked(self.version)
        self.ends.append(end)
        end.mark(mark)
        return end


async def comes_marked(send: Callable[[], None], there: Marked, mark: int) -> set[int]:
    """Soon, what is sent again and again has this mark; which ones it had until then."""
    marks: set[int] = set()
    seen: set[tuple[int, int]] = set()
    async with asyncio.timeout(PATIENCE):
        while {came for came, _ in seen} != {mark}:
            send()
            await asyncio.sleep(0.01)
            seen = there.seen()
            marks |= {came for came, _ in seen}
            assert all(ttl > OWN_TTL for _, ttl in seen)
    return marks


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turn.engines.loop.epoll.TICK", 0.02)


@versions
@frames
async def test_a_flow_copies_the_marks_of_both_its_ends(version: int, channel: int | None) -> None:
    async with Road(version) as world:
        client, peer = world.marked(), world.marked()
        flow = world.link(client, peer.address, channel)

        def out() -> None:
            client.send(framed(flow, b"voice"), world.listener)

        def back() -> None:
            peer.send(b"voice", flow.relay)

        for one, other in ((EXPEDITED, ASSURED), (ASSURED | CONGESTED, BEST_EFFORT), (ROUTING, EXPEDITED)):
            client.mark(one)
            peer.mark(other)
            await comes_marked(out, peer, one & dscp.DSCP if one < ROUTING else BEST_EFFORT)
            await comes_marked(back, client, other)
        assert world.punted.empty()


async def test_a_flow_of_two_of_our_clients_copies_them_too() -> None:
    async with Road() as world:
        one, two = world.marked(EXPEDITED), world.marked(ASSURED)
        first, second = world.open(), world.open()
        there = world.flow(one, second, CHANNEL, first)
        back = world.flow(two, first, CHANNEL, second)
        for flow in (there, back):
            world.engine.link(flow, Rule())
        await comes_marked(lambda: one.send(framed(there, b"voice"), world.listener), two, EXPEDITED)
        await comes_marked(lambda: two.send(framed(back, b"voice"), world.listener), one, ASSURED)


async def test_what_no_flow_carries_is_best_effort() -> None:
    async with Road() as world:
        client, peer = world.marked(EXPEDITED), world.marked()
        relay = world.open()
        world.react = lambda packet: world.engine.send([Packet(relay, peer.address, packet.data)])
        for _ in range(10):
            sent = partial(client.send, b"up", world.listener)
            assert await comes_marked(sent, peer, BEST_EFFORT) == {BEST_EFFORT}


async def test_clients_that_share_a_socket_send_and_get_best_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turn.engines.udp.listener.MAX_CLIENT_SOCKETS", 0)
    async with Road() as world:
        client, peer = world.marked(EXPEDITED), world.marked(ASSURED)
        flow = world.link(client, peer.address, CHANNEL)
        out = partial(client.send, framed(flow, b"voice"), world.listener)
        back = partial(peer.send, b"voice", flow.relay)
        for _ in range(20):
            assert await comes_marked(out, peer, BEST_EFFORT) == {BEST_EFFORT}
            assert await comes_marked(back, client, BEST_EFFORT) == {BEST_EFFORT}


async def test_who_loses_its_socket_sends_best_effort_from_then_on() -> None:
    """To a peer, and to another client of ours."""
    async with Road() as world:
        client, peer, other = world.marked(EXPEDITED), world.marked(), world.marked()
        flow = world.link(client, peer.address, CHANNEL)
        relay = world.open()
        there = world.flow(client, relay, CHANNEL + 1, flow.relay)
        for one in (there, world.flow(other, flow.relay, CHANNEL, relay)):
            world.engine.link(one, Rule())
        outs = [partial(client.send, framed(one, b"voice"), world.listener) for one in (flow, there)]
        for out, end in zip(outs, (peer, other), strict=True):
            await comes_marked(out, end, EXPEDITED)
        listener_of(world).client_sockets.demote((client.address, world.listener))
        for out, end in zip(outs, (peer, other), strict=True):
            assert await comes_marked(out, end, BEST_EFFORT) == {BEST_EFFORT}


async def test_a_stream_has_no_marks() -> None:
    async with Road(transport="tcp") as world:
        client, peer = await world.client(), world.marked(EXPEDITED)
        flow = world.link(client, peer.address, CHANNEL)
        for _ in range(10):
            peer.send(b"in", flow.relay)
            assert unframed(flow, await client.receive()) == b"in"
            sent = partial(client.send, framed(flow, b"out"), world.listener)
            assert await comes_marked(sent, peer, BEST_EFFORT) == {BEST_EFFORT}


async def test_what_is_looked_at_and_not_carried_goes_up() -> None:
    async with Road() as world:
        client, peer = world.marked(EXPEDITED), world.marked()
        flow = world.link(client, peer.address, CHANNEL)
        for number in range(20):
            client.send(b"\0\1 a request", world.listener)
            assert (await world.punt()).data == b"\0\1 a request"
            client.send(framed(flow, bytes([number])), world.listener)
            await asyncio.sleep(0.02)
        await comes_marked(lambda: client.send(framed(flow, b"voice"), world.listener), peer, EXPEDITED)
