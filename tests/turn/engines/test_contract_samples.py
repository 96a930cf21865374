"""The contract of an engine: of the streams that a rule names, the core sees a packet now and then."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from tests.turn.call import VIDEO, VOICE, noise, rtp, srtcp
from tests.turn.engines.tcp.streams import CHANNEL
from tests.turn.engines.world import Client, End, Maker, World, framed, unframed
from turn.flows import Flow, Rule, Transport
from turn.wire.srtp import INWARD, LEAST_BETWEEN, RTCP, SPREAD

frames = pytest.mark.parametrize("channel", [CHANNEL, None], ids=["channel", "indication"])
transports = pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
MEDIA = Rule(frozenset({VOICE, RTCP, VIDEO | INWARD}))
PACKETS = 120  # of each stream
FEWEST, MOST = PACKETS // (LEAST_BETWEEN + SPREAD), PACKETS // (LEAST_BETWEEN + 1) + 1


def spoken(number: int) -> tuple[bytes, bytes, bytes]:
    """Voice, SRTCP and video; some packets are long."""
    return rtp(VOICE, number), srtcp(number), rtp(VIDEO, number, noise(number, 1100))


async def talk(world: World, client: Client, peer: End, flow: Flow) -> None:
    """Everything arrives, once and in its order."""
    for number in range(PACKETS):
        voice, report, video = spoken(number)
        client.send(framed(flow, voice), world.listener)
        client.send(framed(flow, report), world.listener)
        assert [await peer.receive(), await peer.receive()] == [voice, report]
        peer.send(video, flow.relay)
        assert unframed(flow, await client.receive()) == video
    await shown_all(world)


async def shown_all(world: World) -> None:
    """An engine may gather samples for a moment before it shows them."""
    before = -1
    while before < len(world.samples):
        before = len(world.samples)
        await asyncio.sleep(0.1)


@frames
@transports
async def test_of_each_stream_some_packets_are_shown(
    make: Maker, channel: int | None, transport: Transport
) -> None:
    async with World(make, transport=transport) as world:
        client, peer = await world.client(), world.end()
        flow = world.link(client, peer.address, channel, MEDIA)
        await talk(world, client, peer, flow)
        assert world.punted.empty()
        for place, stream in enumerate((VOICE, RTCP, VIDEO | INWARD)):
            every = [(flow, stream, spoken(number)[place]) for number in range(PACKETS)]
            shown = [every.index(sample) for sample in world.samples if sample in every]
            gaps = [after - before for before, after in itertools.pairwise(shown)]
            assert FEWEST <= len(shown) <= MOST
            assert all(LEAST_BETWEEN < gap <= LEAST_BETWEEN + SPREAD for gap in gaps)
            assert shown[0] == 0


@transports
async def test_where_flows_meet_the_sender_s_packets_are_shown(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        one, two = await world.client(), await world.client()
        here, there = world.open(), world.open()
        forth, back = world.flow(one, there, CHANNEL, here), world.flow(two, here, CHANNEL, there)
        world.engine.link(forth, Rule(frozenset({VOICE, VIDEO | INWARD})))
        world.engine.link(back, Rule(frozenset({VIDEO, VOICE | INWARD})))
        for number in range(PACKETS):
            one.send(framed(forth, rtp(VOICE, number)), world.listener)
            assert unframed(back, await two.receive()) == rtp(VOICE, number)
        await shown_all(world)
        assert {sample[:2] for sample in world.samples} == {(forth, VOICE)}
        assert FEWEST <= len(world.samples) <= MOST


@pytest.mark.parametrize("rule", [Rule(), Rule(packets=1000)])
async def test_what_may_be_anything_is_shown_to_nobody(make: Maker, rule: Rule) -> None:
    async with World(make) as world:
        client, peer = world.end(), world.end()
        flow = world.link(client, peer.address, CHANNEL, rule)
        await talk(world, client, peer, flow)
        assert not world.samples


@frames
@transports
async def test_the_answer_may_end_the_flow_and_no_packet_is_lost(
    make: Maker, channel: int | None, transport: Transport
) -> None:
    """Of a burst, the rest is punted or was carried already."""
    async with World(make, transport=transport) as world:
        client, peer = await world.client(), world.end()
        flow = world.link(client, peer.address, channel, MEDIA)
        world.look = lambda sample: world.engine.unlink(sample[0])
        said = [rtp(VOICE, number) for number in range(40)]
        for voice in said:
            client.send(framed(flow, voice), world.listener)
        last = framed(flow, b"the last one")
        client.send(last, world.listener)
        frames_up: list[bytes] = []
        while last not in frames_up:
            frames_up.append((await world.punt()).data)
        carried = len(said) + 1 - len(frames_up)
        assert [await peer.receive() for _ in range(carried)] == said[:carried]
        assert frames_up == [framed(flow, voice) for voice in said[carried:]] + [last]
        assert world.samples[0] == (flow, VOICE, said[0])
