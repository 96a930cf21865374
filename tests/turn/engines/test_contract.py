"""The contract of an engine: what every one of them does, among real sockets."""

from __future__ import annotations

import asyncio
import struct
import sys
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import pytest

from tests.turn.call import VIDEO, VOICE, rtp
from tests.turn.engines.descriptors import need_descriptors
from tests.turn.engines.tcp.streams import CHANNEL
from tests.turn.engines.world import (
    LOOPBACK,
    NO_LIMITS,
    PATIENCE,
    End,
    Maker,
    World,
    attribute,
    framed,
    free,
    send_indication,
    stun,
    unframed,
    with_fingerprint,
    xored,
)
from turn.engines import IN_ORDER, CannotListen
from turn.engines.kernel.engine import Kernel
from turn.flows import Address, Flow, Packet, Rule, Transport
from turn.policies import StrangerLimits
from turn.wire.srtp import INWARD

TOO_LARGE = {4: (3, 4), 6: (2, 0)}  # ICMP type and code
REFUSED_THERE = {4: (3, 3), 6: (1, 4)}
versions = pytest.mark.parametrize("version", [4, 6])
transports = pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
frames = pytest.mark.parametrize("channel", [CHANNEL, None], ids=["channel", "indication"])


@versions
@frames
@transports
async def test_a_linked_flow_goes_both_ways(
    make: Maker, version: int, channel: int | None, transport: Transport
) -> None:
    async with World(make, version, transport=transport) as world:
        client, peer = await world.client(), world.end()
        flow = world.link(client, peer.address, channel)
        for data in (b"", b"a", b"voice", bytes(range(256)) * 4):
            client.send(framed(flow, data), world.listener)
            assert await peer.receive_from() == (data, flow.relay)
            peer.send(data, flow.relay)
            frame, source = await client.receive_from()
            assert (unframed(flow, frame), source) == (data, world.listener)
        assert world.punted.empty()


@versions
@transports
async def test_an_indication_with_a_fingerprint_goes_too(
    make: Maker, version: int, transport: Transport
) -> None:
    async with World(make, version, transport=transport) as world:
        client, peer = await world.client(), world.end()
        flow = world.link(client, peer.address, None)
        client.send(framed(flow, b"voice", fingerprint=True), world.listener)
        assert await peer.receive() == b"voice"


@versions
@transports
async def test_who_asks_for_an_address_gets_it_or_is_punted(
    make: Maker, version: int, transport: Transport
) -> None:
    """From this machine itself nobody is answered without the core."""
    async with World(make, version, transport=transport) as world:
        for limits in (StrangerLimits(50, 200, 1000), None, StrangerLimits(0, 0, 0)):
            world.engine.answer_bindings(limits)
            client = await world.client()
            client.send(stun(1, b""), world.listener)
            assert await world.punt() == Packet(world.listener, client.address, stun(1, b""))
        assert world.engine.answered() == {}


@versions
@frames
@transports
async def test_traffic_is_counted_as_it_flows(
    make: Maker, version: int, channel: int | None, transport: Transport
) -> None:
    async with World(make, version, transport=transport) as world:
        client, peer = await world.client(), world.end()
        flow = world.link(client, peer.address, channel)
        traffic = world.engine.traffic()
        assert list(traffic) == [flow]
        assert traffic[flow] == (0, 0, 0, 0, 0)
        for data in (b"one", b"three"):
            client.send(framed(flow, data), world.listener)
            await peer.receive()
        peer.send(b"back", flow.relay)
        await client.receive()
        assert traffic[flow] == (2, 8, 1, 4, 0)
        assert world.engine.unlink(flow) == (2, 8, 1, 4, 0)
        assert not traffic
        assert world.engine.unlink(flow) == (0, 0, 0, 0, 0)


@frames
@transports
async def test_what_is_no_longer_linked_is_punted(
    make: Maker, channel: int | None, transport: Transport
) -> None:
    async with World(make, transport=transport) as world:
        client, peer = await world.client(), world.end()
        flow = world.link(client, peer.address, channel)
        client.send(framed(flow, b"linked"), world.listener)
        assert await peer.receive() == b"linked"
        world.engine.unlink(flow)
        world.engine.unlink(flow)
        client.send(framed(flow, b"not"), world.listener)
        assert await world.punt() == Packet(world.listener, client.address, framed(flow, b"not"))
        peer.send(b"back", flow.relay)
        assert await world.punt() == Packet(flow.relay, peer.address, b"back")


async def test_what_waits_when_a_flow_is_unlinked_is_carried_or_punted(make: Maker) -> None:
    """None is lost, none comes twice, and the flow's last count says how many were carried."""
    async with World(make) as world:
        client, peer = world.end(), world.end()
        flow = world.link(client, peer.address, CHANNEL)
        for data in (b"one", b"two", b"three"):
            client.send(framed(flow, data), world.listener)
            peer.send(data, flow.relay)
        last = world.engine.unlink(flow)
        client.send(framed(flow, b"late"), world.listener)
        peer.send(b"late", flow.relay)
        up = [await world.punt() for _ in range(8 - last.packets_out - last.packets_in)]
        out = [framed(flow, await peer.receive()) for _ in range(last.packets_out)]
        out += [packet.data for packet in up if packet.local == world.listener]
        assert out == [framed(flow, data) for data in (b"one", b"two", b"three", b"late")]
        into = [unframed(flow, await client.receive()) for _ in range(last.packets_in)]
        into += [packet.data for packet in up if packet.local == flow.relay]
        assert into == [b"one", b"two", b"three", b"late"]
        assert world.punted.empty()


@frames
@transports
async def test_a_new_rule_holds_at_once(make: Maker, channel: int | None, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        client, peer = await world.client(), world.end()
        flow = world.link(client, peer.address, channel, Rule(packets=1))
        before = world.engine.traffic()[flow]
        for _ in range(10):
            client.send(framed(flow, b"limited"), world.listener)
        assert await peer.receive() == b"limited"
        world.engine.link(flow, Rule())
        for _ in range(10):
            client.send(framed(flow, b"free"), world.listener)
        arrived = [await peer.receive() for _ in range(10)]
        assert arrived.count(b"free") + arrived.count(b"limited") == 10
        assert world.engine.traffic()[flow].packets_out > before.packets_out


@transports
async def test_limits_are_of_the_allocation_and_count_both_ways(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        client, one, two = await world.client(), world.end(), world.end()
        relay = world.open()
        flows = [world.flow(client, peer.address, CHANNEL + n, relay) for n, peer in enumerate((one, two))]
        for flow in flows:
            world.engine.link(flow, Rule(packets=4))
        for _ in range(8):
            client.send(framed(flows[0], b"out"), world.listener)
            client.send(framed(flows[1], b"out"), world.listener)
            one.send(b"in", relay)
        await passed(world, 24)
        counts = [world.engine.traffic()[flow] for flow in flows]
        assert sum(count.packets_out + count.packets_in + count.dropped for count in counts) == 24
        assert 4 <= sum(count.packets_out + count.packets_in for count in counts) < 24


async def test_bits_are_limited_too(make: Maker) -> None:
    async with World(make) as world:
        client, peer = world.end(), world.end()
        flow = world.link(client, peer.address, CHANNEL, Rule(bits=8 * 100_000))
        for _ in range(20):
            client.send(framed(flow, bytes(10_000)), world.listener)
            await asyncio.sleep(0)
        await passed(world, 20)
        count = world.engine.traffic()[flow]
        assert count.bytes_out == 10_000 * count.packets_out
        assert 10 <= count.packets_out < 20


async def passed(world: World, packets: int) -> None:
    """Wait until so many packets were carried or dropped."""
    async with asyncio.timeout(PATIENCE):
        while (
            sum(c.packets_out + c.packets_in + c.dropped for c in world.engine.traffic().values()) < packets
        ):
            await asyncio.sleep(0.01)


def overtaken(numbers: list[int]) -> int:
    """How many of them arrived after a later one. In the kernel that may happen to one packet of 65,536,
    whose checksum does not show whether it is finished: that one goes by the process."""
    latest = list(accumulate(numbers, max))
    return sum(number < before for number, before in zip(numbers, latest, strict=True))


@transports
async def test_order_is_kept(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        client, peer = await world.client(), world.end()
        flow = world.link(client, peer.address, CHANNEL)
        for number in range(150):
            client.send(framed(flow, struct.pack("!H", number)), world.listener)
        arrived = [struct.unpack("!H", await peer.receive())[0] for _ in range(150)]
        assert sorted(arrived) == list(range(150))
        assert overtaken(arrived) <= isinstance(world.engine, Kernel)


@versions
@frames
async def test_a_burst_of_many_sizes_arrives_whole(make: Maker, version: int, channel: int | None) -> None:
    sizes = [0, 1, 1, 160, 160, 160, 161, 1200, 1200, 1232, 1233, 1300, 1300, 9000, 9000, 40000, 3, 3]
    burst = [bytes([number]) * size for number, size in enumerate(sizes * 2)]
    async with World(make, version) as world:
        client, peer = world.end(), world.end()
        flow = world.link(client, peer.address, channel)
        for _ in range(2):
            for part in (burst[:12], burst[12:]):
                for data in part:
                    client.send(framed(flow, data), world.listener)
                arrives_whole([await peer.receive() for _ in part], part)
                for data in part:
                    peer.send(data, flow.relay)
                arrives_whole([unframed(flow, await client.receive()) for _ in part], part)
            await asyncio.sleep(0.2)  # a new socket's first moments are over


def arrives_whole(arrived: list[bytes], sent: list[bytes]) -> None:
    """Everything, and in order what the contract keeps in order."""
    assert sorted(arrived) == sorted(sent)
    short = [[data for data in part if len(data) <= IN_ORDER] for part in (arrived, sent)]
    assert short[0] == short[1]


@transports
async def test_a_burst_with_requests_among_it_keeps_its_order(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        client, peer = await world.client(), world.end()
        flow = world.link(client, peer.address, CHANNEL)
        await asyncio.sleep(0.2)
        client.send(framed(flow, b"first"), world.listener)
        assert await peer.receive() == b"first"
        for number in range(20):
            client.send(framed(flow, bytes([number]) * 100), world.listener)
            client.send(framed(flow, bytes([number]) * 100), world.listener)
            client.send(stun(0x0001, bytes([number]) * 4), world.listener)
        assert [(await peer.receive())[0] for _ in range(40)] == [number // 2 for number in range(40)]
        assert [(await world.punt()).data[20] for _ in range(20)] == list(range(20))


async def test_a_client_that_leaves_within_its_burst(make: Maker) -> None:
    """What it said afterwards arrives or is punted: none is lost, none comes twice."""
    async with World(make) as world:
        client, peer = world.end(), world.end()
        flow = world.link(client, peer.address, CHANNEL)
        await asyncio.sleep(0.2)
        client.send(framed(flow, b"first"), world.listener)
        assert await peer.receive() == b"first"
        world.react = lambda packet: world.engine.close(flow.relay)
        voice = [framed(flow, bytes([number]) * 100) for number in range(12)]
        for data in (*voice[:6], b"\0\1 leave", *voice[6:], b"\0\1 left"):
            client.send(data, world.listener)
        up: list[bytes] = []
        while b"\0\1 left" not in up:
            up.append((await world.punt()).data)
        late = [data for data in up if data in voice]
        arrived = [framed(flow, await peer.receive()) for _ in range(len(voice) - len(late))]
        assert arrived + late == voice
        assert len(arrived) >= 6
        assert world.punted.empty()


TRANSACTION = b"transaction!"
DATA = attribute(0x0013, b"voice")


def channel_data(channel: int, length: int, data: bytes) -> Callable[[Address], bytes]:
    return lambda _peer: struct.pack("!HH", channel, length) + data


def indication(before: bytes = b"", after: bytes = DATA, kind: int = 0x0016) -> Callable[[Address], bytes]:
    return lambda peer: stun(kind, before + attribute(0x0012, xored(peer, TRANSACTION)) + after)


def fingerprinted(spoil: int) -> Callable[[Address], bytes]:
    return lambda peer: with_fingerprint(
        attribute(0x0012, xored(peer, TRANSACTION)) + DATA, TRANSACTION, spoil
    )


FRAMES: dict[str, tuple[Callable[[Address], bytes], bool]] = {  # what a client sends; does "voice" arrive?
    "channel data": (channel_data(CHANNEL, 5, b"voice"), True),
    "padded": (channel_data(CHANNEL, 5, b"voice\0\0\0"), True),
    "four bytes too many": (channel_data(CHANNEL, 5, b"voice\0\0\0\0"), False),
    "longer than the datagram": (channel_data(CHANNEL, 35510, b"voi"), False),
    "another channel": (channel_data(CHANNEL + 1, 5, b"voice"), False),
    "half a header": (lambda _: b"\x40\x01\0", False),
    "nothing": (lambda _: b"", False),
    "send": (indication(), True),
    "data first": (indication(before=DATA, after=b""), True),
    "fingerprint": (fingerprinted(0), True),
    "wrong fingerprint": (fingerprinted(1), False),
    "fingerprint in the middle": (indication(before=attribute(0x8028, bytes(4))), False),
    "short fingerprint": (indication(after=DATA + attribute(0x8028, b"\0")), False),
    "two peers": (lambda peer: indication(before=attribute(0x0012, xored(peer, TRANSACTION)))(peer), False),
    "two data": (indication(after=DATA + DATA), False),
    "another peer": (lambda peer: indication()(peer._replace(port=peer.port ^ 1)), False),
    "a peer of the other family": (lambda peer: indication()(Address.of("::1", peer.port)), False),
    "short peer": (lambda _: stun(0x0016, attribute(0x0012, b"\0\1") + DATA), False),
    "no peer": (lambda _: stun(0x0016, DATA + attribute(0x8022, b"abcd")), False),
    "no data": (indication(after=attribute(0x8022, b"abcd")), False),
    "dont-fragment": (indication(before=attribute(0x001A, b"")), False),
    "attribute past the end": (indication(after=b"\0\x13\0\x09voice123"), False),
    "wrong length": (lambda peer: indication()(peer) + bytes(4), False),
    "wrong cookie": (lambda peer: indication()(peer).replace(b"\x21\x12\xa4\x42", bytes(4), 1), False),
    "a request": (indication(kind=0x0001), False),
    "a data indication": (indication(kind=0x0017), False),
    "a request of nothing": (lambda _: stun(0x0001, b""), False),
}


@pytest.mark.parametrize("name", FRAMES)
async def test_only_media_passes_and_all_else_is_punted(make: Maker, name: str) -> None:
    build, passes = FRAMES[name]
    async with World(make) as world:
        client, bound, unbound = world.end(), world.end(), world.end()
        world.link(client, bound.address, CHANNEL)
        world.link(client, unbound.address, None)
        frame = build(unbound.address)
        client.send(frame, world.listener)
        if passes:
            assert await (bound if frame[0] == 0x40 else unbound).receive() == b"voice"
        else:
            assert await world.punt() == Packet(world.listener, client.address, frame)


@frames
@transports
async def test_a_rule_may_name_the_streams_and_all_else_is_punted(
    make: Maker, channel: int | None, transport: Transport
) -> None:
    """From the first packet on, in the middle, and no longer."""
    voice, video = rtp(VOICE, 1), rtp(VIDEO, 1)
    async with World(make, transport=transport) as world:
        client, peer = await world.client(), world.end()
        flow = world.link(client, peer.address, channel, Rule(frozenset({VOICE, VIDEO | INWARD})))
        for _ in range(2):
            client.send(framed(flow, video), world.listener)
            assert (await world.punt()).local == world.listener
            client.send(framed(flow, voice), world.listener)
            assert await peer.receive() == voice
            peer.send(voice, flow.relay)
            assert await world.punt() == Packet(flow.relay, peer.address, voice)
            peer.send(video, flow.relay)
            assert unframed(flow, await client.receive()) == video
            world.engine.link(flow, Rule())
            peer.send(b"anything", flow.relay)
            assert unframed(flow, await client.receive()) == b"anything"
            client.send(framed(flow, b"anything"), world.listener)
            assert await peer.receive() == b"anything"
            world.engine.link(flow, Rule(frozenset({VOICE, VIDEO | INWARD})))
        assert world.engine.traffic()[flow].packets_out == 4


@transports
async def test_what_a_mirroring_flow_may_not_carry_is_handed_over_and_punted(
    make: Maker, transport: Transport
) -> None:
    """The sender's frame first, and what the core then sends as from a peer."""
    voice = rtp(VOICE, 1)
    async with World(make, transport=transport) as world:
        one, two = await world.client(), await world.client()
        here, there = world.open(), world.open()
        forth, back = world.flow(one, there, CHANNEL, here), world.flow(two, here, CHANNEL, there)
        world.engine.link(forth, Rule())
        world.engine.link(back, Rule(frozenset({VIDEO | INWARD})))
        one.send(framed(forth, voice), world.listener)
        assert (await world.punt()).local == world.listener
        world.engine.send([Packet(here, there, voice)])
        assert await world.punt() == Packet(there, here, voice)


@versions
@frames
@transports
async def test_two_flows_that_mirror_each_other_join(
    make: Maker, version: int, channel: int | None, transport: Transport
) -> None:
    async with World(make, version, transport=transport) as world:
        one, two = await world.client(), await world.client()
        first, second = world.open(), world.open()
        there = world.flow(one, second, channel, first)
        back = world.flow(two, first, CHANNEL, second)
        world.engine.link(there, Rule())
        world.engine.link(back, Rule())
        for data in (b"hello", bytes(1200)):
            one.send(framed(there, data), world.listener)
            assert unframed(back, await two.receive()) == data
            two.send(framed(back, data), world.listener)
            assert unframed(there, await one.receive()) == data
        traffic = world.engine.traffic()
        assert traffic[there] == traffic[back] == (2, 1205, 2, 1205, 0)


@transports
async def test_half_a_pair_is_punted_as_from_the_peer(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        one, two = await world.client(), await world.client()
        first, second = world.open(), world.open()
        there = world.flow(one, second, CHANNEL, first)
        back = world.flow(two, first, CHANNEL, second)
        world.engine.link(there, Rule())
        one.send(framed(there, b"hello"), world.listener)
        assert await world.punt() == Packet(second, first, b"hello")
        world.engine.link(back, Rule())
        world.engine.unlink(there)
        two.send(framed(back, b"anybody?"), world.listener)
        assert await world.punt() == Packet(first, second, b"anybody?")


async def test_nothing_reaches_a_relayed_address_that_was_closed(make: Maker) -> None:
    async with World(make) as world:
        one, peer = world.end(), world.end()
        first, second = world.open(), world.open()
        there = world.flow(one, second, CHANNEL, first)
        world.engine.link(there, Rule())
        world.engine.close(second)
        squatter = End(second.host, second.port)
        world.ends.append(squatter)
        one.send(framed(there, b"stray"), world.listener)
        await passed(world, 1)
        peer.send(b"mine", second)
        assert await squatter.receive() == b"mine"
        assert world.punted.empty()


async def test_send_goes_from_any_address_of_ours(make: Maker) -> None:
    async with World(make) as world:
        client, peer = world.end(), world.end()
        relay = world.open()
        world.engine.send(
            [Packet(world.listener, client.address, b"answer"), Packet(relay, peer.address, b"data")]
        )
        assert await client.receive_from() == (b"answer", world.listener)
        assert await peer.receive_from() == (b"data", relay)


async def test_send_to_a_client_with_a_flow_leaves_from_the_listener(make: Maker) -> None:
    async with World(make) as world:
        client, peer = world.end(), world.end()
        world.link(client, peer.address, CHANNEL)
        world.engine.send([Packet(world.listener, client.address, b"answer")])
        assert await client.receive_from() == (b"answer", world.listener)


async def test_send_to_a_relayed_address_of_ours_stays_inside(make: Maker) -> None:
    async with World(make) as world:
        client = world.end()
        ours, theirs = world.open(), world.open()
        world.engine.send([Packet(ours, theirs, b"unclaimed")])
        assert await world.punt() == Packet(theirs, ours, b"unclaimed")
        flow = world.flow(client, ours, CHANNEL, theirs)
        world.engine.link(flow, Rule())
        world.engine.send([Packet(ours, theirs, b"claimed")])
        assert unframed(flow, await client.receive()) == b"claimed"


@versions
async def test_what_must_not_be_fragmented_goes_whole_or_is_told(make: Maker, version: int) -> None:
    async with World(make, version) as world:
        peer = world.end()
        relay = world.open()
        whole = Packet(relay, peer.address, bytes(1000), dont_fragment=True)
        large = whole._replace(data=bytes(65530))
        world.engine.send([whole, large, large._replace(dont_fragment=False), whole])
        failure = await world.failure()
        assert failure[:4] == (relay, peer.address, *TOO_LARGE[version])
        assert failure.mtu >= 1280
        assert [await peer.receive() for _ in range(2)] == [bytes(1000)] * 2
        assert world.failed.empty()


@versions
@frames
async def test_what_a_peer_refuses_has_failed(make: Maker, version: int, channel: int | None) -> None:
    async with World(make, version) as world:
        client, peer = world.end(), world.end()
        flow = world.link(client, peer.address, channel)
        peer.close()
        failure = (flow.relay, peer.address, *REFUSED_THERE[version], 0)
        client.send(framed(flow, b"refused"), world.listener)
        assert await world.failure() == failure
        world.engine.send([Packet(flow.relay, peer.address, b"too")])
        assert await world.failure() == failure
        assert world.failed.empty()


@versions
@pytest.mark.parametrize("dont_fragment", [False, True], ids=["plain", "whole"])
async def test_who_refuses_costs_nobody_else_a_packet(make: Maker, version: int, dont_fragment: bool) -> None:
    async with World(make, version) as world:
        peer, gone = world.end(), world.end()
        relay = world.open()
        gone.close()
        for number in range(10):
            refused = Packet(relay, gone.address, b"refused", dont_fragment)
            world.engine.send([refused, Packet(relay, peer.address, bytes([number]), dont_fragment)])
            assert await peer.receive() == bytes([number])
            assert await world.failure() == (relay, gone.address, *REFUSED_THERE[version], 0)


REFUSED = {
    "unroutable": Address.of("240.0.0.1", 9),
    "port 0": Address.of("127.0.0.1", 0),
    "broadcast": Address.of("255.255.255.255", 9),
    "another family": Address.of("::1", 9),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_the_kernel_refuses_is_dropped(make: Maker, name: str) -> None:
    async with World(make) as world:
        peer = world.end()
        relay = world.open()
        world.engine.send(
            [
                Packet(relay, REFUSED[name], b"x"),
                Packet(world.listener, REFUSED[name], b"x"),
                Packet(Address.of("127.0.0.9", 9), peer.address, b"not ours"),
                Packet(relay, peer.address, bytes(65536)),
                Packet(relay, peer.address, b"fine"),
            ]
        )
        assert await peer.receive() == b"fine"


@versions
async def test_a_relayed_address_is_taken_or_it_is_not(make: Maker, version: int) -> None:
    async with World(make, version) as world:
        client, peer = world.end(), world.end()
        relay = world.open()
        assert not world.engine.open(relay)
        assert not world.engine.open(peer.address)
        world.engine.link(world.flow(client, peer.address, CHANNEL, relay), Rule())
        assert await in_another_process(relay) == "False"
        world.engine.close(relay)
        assert await in_another_process(relay) == "True"
        assert world.engine.open(relay)


async def in_another_process(relay: Address) -> str:
    """What a second engine answers that is asked for the same address."""
    script = (
        "from turn.engines.portable.engine import Portable; from turn.flows import Address;"
        f"engine = Portable([]); print(engine.open(Address({relay.ip!r}, {relay.port}))); engine.shut()"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    return (await process.communicate())[0].decode().strip()


async def test_a_listener_is_taken_or_it_is_not(make: Maker) -> None:
    async with World(make) as world:
        world.link(world.end(), world.end().address, CHANNEL)
        with pytest.raises(CannotListen) as caught:
            make([world.listener])
        assert caught.value.address == world.listener


@transports
async def test_closing_forgets_the_flows(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        client, peer = await world.client(), world.end()
        flow = world.link(client, peer.address, CHANNEL)
        world.engine.close(flow.relay)
        world.engine.close(flow.relay)
        assert not world.engine.traffic()
        client.send(framed(flow, b"late"), world.listener)
        assert (await world.punt()).data == framed(flow, b"late")


@transports
async def test_linking_without_a_relayed_address_changes_nothing(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        client, peer = await world.client(), world.end()
        relay = world.open()
        world.engine.close(relay)
        flow = world.flow(client, peer.address, CHANNEL, relay)
        world.engine.link(flow, Rule())
        world.engine.link(world.flow(client, peer.address, CHANNEL)._replace(listener=relay), Rule())
        assert not world.engine.traffic()
        client.send(framed(flow, b"up"), world.listener)
        assert (await world.punt()).data == framed(flow, b"up")


@transports
async def test_one_flow_between_a_relayed_address_and_a_peer(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        client, peer = await world.client(), world.end()
        sending = world.link(client, peer.address, None)
        bound = sending._replace(channel=CHANNEL)
        world.engine.link(bound, Rule())
        assert list(world.engine.traffic()) == [bound]
        client.send(framed(bound, b"voice"), world.listener)
        assert await peer.receive() == b"voice"
        peer.send(b"back", bound.relay)
        assert unframed(bound, await client.receive()) == b"back"
        client.send(framed(sending, b"voice"), world.listener)
        assert (await world.punt()).data == framed(sending, b"voice")


@transports
async def test_one_flow_per_channel_of_a_client(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        client, one, two = await world.client(), world.end(), world.end()
        first = world.link(client, one.address, CHANNEL)
        second = world.link(client, two.address, CHANNEL)
        assert list(world.engine.traffic()) == [second]
        client.send(framed(first, b"voice"), world.listener)
        assert await two.receive() == b"voice"


@frames
async def test_a_peer_or_client_that_refuses_is_no_end(make: Maker, channel: int | None) -> None:
    async with World(make) as world:
        client, peer = world.end(), world.end()
        flow = world.link(client, peer.address, channel)
        peer.close()
        for _ in range(3):
            client.send(framed(flow, b"refused"), world.listener)
        await passed(world, 3)
        world.ends[1] = peer = End(peer.address.host, peer.address.port)
        client.send(framed(flow, b"heard"), world.listener)
        assert await peer.receive() == b"heard"
        client.close()
        for _ in range(3):
            peer.send(b"refused", flow.relay)
        await passed(world, 7)
        world.ends[0] = client = End(client.address.host, client.address.port)
        peer.send(b"heard", flow.relay)
        assert unframed(flow, await client.receive()) == b"heard"


async def test_the_largest_datagrams(make: Maker) -> None:
    async with World(make) as world:
        client, peer = world.end(), world.end()
        flow = world.link(client, peer.address, CHANNEL)
        client.send(framed(flow, bytes(65503)), world.listener)
        assert await peer.receive() == bytes(65503)
        peer.send(bytes(65507), flow.relay)  # no room for the frame: lost
        peer.send(bytes(65503), flow.relay)
        assert unframed(flow, await client.receive()) == bytes(65503)


@pytest.mark.parametrize(("wildcard", "host"), [("0.0.0.0", "127.0.0.2"), ("::", "::1")])
async def test_a_wildcard_listener_knows_its_own_address(make: Maker, wildcard: str, host: str) -> None:
    async with World(make, listen=wildcard) as world:
        here = Address.of(host, world.listener.port)
        client, peer, stranger = world.end(host), world.end(host), world.end(host)
        world.host = host
        client.send(b"\0\1 hello", here)
        assert await world.punt() == Packet(here, client.address, b"\0\1 hello")
        world.engine.send([Packet(here, client.address, b"answer")])
        assert await client.receive_from() == (b"answer", here)
        flow = Flow(client.address, here, CHANNEL, world.open(), peer.address)
        world.engine.link(flow, Rule())
        client.send(framed(flow, b"voice"), here)
        assert await peer.receive() == b"voice"
        peer.send(b"back", flow.relay)
        assert await client.receive_from() == (framed(flow, b"back"), here)
        stranger.send(framed(flow, b"voice"), here)
        assert await world.punt() == Packet(here, stranger.address, framed(flow, b"voice"))


async def test_several_listeners(make: Maker) -> None:
    probes = [End(LOOPBACK[4]), End(LOOPBACK[6])]
    listen = [probe.address for probe in probes]
    for probe in probes:
        probe.close()
    world = World(lambda _, streams=NO_LIMITS, *__, **___: make(listen, streams))
    async with world:
        for address in listen:
            client = world.end(address.host)
            client.send(b"\0\1 hello", address)
            assert await world.punt() == Packet(address, client.address, b"\0\1 hello")


@frames
async def test_more_clients_than_have_a_socket_of_their_own(make: Maker, channel: int | None) -> None:
    need_descriptors(3000)
    async with World(make) as world:
        peer = world.end()
        flows = [(client := world.end(), world.link(client, peer.address, channel)) for _ in range(600)]
        for round_ in range(2):
            for client, flow in flows:
                client.send(framed(flow, b"out"), world.listener)
                assert await peer.receive_from() == (b"out", flow.relay)
                peer.send(b"in", flow.relay)
                assert unframed(flow, await client.receive()) == b"in"
            for _, flow in flows[:200] if not round_ else []:
                world.engine.unlink(flow)
            flows = flows[200:]
        assert world.punted.empty()


async def test_a_flood_of_junk_stops_nothing(make: Maker) -> None:
    async with World(make) as world:
        client, peer, stranger = world.end(), world.end(), world.end()
        flow = world.link(client, peer.address, CHANNEL)
        for number in range(256):
            for junk in (bytes([number]), bytes([number]) * 21, send_indication(peer.address, b"")[:number]):
                stranger.send(junk, world.listener)
                stranger.send(junk, flow.relay)
            client.send(framed(flow, bytes([number])), world.listener)
            assert await peer.receive() == bytes([number])


@frames
async def test_datagrams_of_nearly_every_length_there_is(make: Maker, channel: int | None) -> None:
    """Where a frame has no room left for them they are lost alone, and counted."""
    async with World(make, 6) as world:
        client, peer = world.end(), world.end()
        flow = world.link(client, peer.address, channel)
        arrived, lengths = [], range(65480, 65528)
        for length in lengths:
            peer.send(bytes(length), flow.relay)
            peer.send(b"next", flow.relay)
            while (data := unframed(flow, await client.receive())) != b"next":
                arrived.append(len(data))
        assert arrived == [length for length in lengths if channel and length <= 65523]
        assert world.engine.traffic()[flow].dropped == len(lengths) - len(arrived)


@frames
async def test_a_datagram_too_long_for_its_frame_shows_nobody_others_packets(
    make: Maker, channel: int | None
) -> None:
    async with World(make, 6) as world:
        client, peer, other, others_peer = (world.end() for _ in range(4))
        flow = world.link(client, peer.address, channel)
        others = world.link(other, others_peer.address, CHANNEL)
        await asyncio.sleep(0.15)  # sockets that are new are read one by one
        for _ in range(3):
            for data in (b"a" * 100, b"b" * 100, b"c" * 100, bytes(65527), b"d"):
                peer.send(data, flow.relay)
            other.send(framed(others, b"of another call " * 50), world.listener)
            assert await others_peer.receive() == b"of another call " * 50
            heard = [unframed(flow, await client.receive()) for _ in range(4)]
            assert heard == [b"a" * 100, b"b" * 100, b"c" * 100, b"d"]


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_a_frame_may_be_too_long_for_who_hears_it(make: Maker, transport: Transport) -> None:
    there = free(LOOPBACK[4], "udp")
    async with World(lambda at, streams: make([*at, there], streams), transport=transport) as world:
        client, other, relays = await world.client(), world.end(), (world.open(), world.open())
        flow = Flow(client.address, world.listener, CHANNEL, *relays)
        back = Flow(other.address, there, None, *relays[::-1])
        for one in (flow, back):
            world.engine.link(one, Rule())
        for data in (b"before", bytes(65528), b"after"):
            client.send(framed(flow, data), world.listener)
        assert [unframed(back, await other.receive()) for _ in range(2)] == [b"before", b"after"]
        assert world.engine.traffic()[back].dropped == 1
