"""The engine whose calls ride in the kernel: what rides meets no socket of ours, all else is carried."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import socket
import struct
from functools import partial
from pathlib import Path

import pytest

from tests.turn.call import VOICE, rtp
from tests.turn.engines import land
from tests.turn.engines.kernel.riding import ridden
from tests.turn.engines.loop.marked import ASSURED, CONGESTED, EXPEDITED, ROUTING, Marked
from tests.turn.engines.world import PATIENCE, End, World, framed, free, unframed
from tests.turn.network import compose
from turn.engines.kernel.engine import Kernel
from turn.flows import Flow, Packet, Rule
from turn.policies import StrangerLimits
from turn.wire.integrity import add_fingerprint
from turn.wire.srtp import INWARD
from turn.wire.stun import binding_success

CHANNEL = 0x4001
SIZES = [0, 1, 2, 3, 4, 159, 160, 161, 1000, 1176]
UDP_SEGMENT = 103  # from Linux's headers, as what follows
SIOCETHTOOL, SET_TX_CHECKSUM = 0x8946, 0x17
versions = pytest.mark.parametrize("version", [4, 6])
frames = pytest.mark.parametrize("channel", [CHANNEL, None], ids=["channel", "indication"])
make = partial(Kernel, slots=64)


@versions
@frames
async def test_all_of_a_call_rides(place: land.Place, version: int, channel: int | None) -> None:
    async with World(make, version) as world:
        client, peer = world.end(), world.end()
        flow = world.link(client, peer.address, channel)
        for number, size in enumerate(SIZES):
            data = bytes([number]) * size
            client.send(framed(flow, data, fingerprint=bool(number % 2)), world.listener)
            assert await peer.receive_from() == (data, flow.relay)
            peer.send(data, flow.relay)
            frame, source = await client.receive_from()
            assert (unframed(flow, frame), source) == (data, world.listener)
        assert ridden(world, flow) == (len(SIZES), sum(SIZES), len(SIZES), sum(SIZES), 0)
        assert errors() == 0


def errors() -> int:
    """UDP packets with a wrong checksum that the system has met here, of both families."""
    lines = Path("/proc/thread-self/net/snmp").read_text().splitlines()
    names, numbers = (line.split() for line in lines if line.startswith("Udp:"))
    six = dict(line.split() for line in Path("/proc/thread-self/net/snmp6").read_text().splitlines())
    return int(dict(zip(names, numbers, strict=True))["InCsumErrors"]) + int(six["Udp6InCsumErrors"])


@versions
@frames
async def test_from_client_to_client_it_is_one_hop(
    place: land.Place, version: int, channel: int | None
) -> None:
    """Also where the first names the second by another address."""
    async with World(make, version) as world:
        one, two = world.end(), world.end()
        here, there = world.open(), world.open()
        forth, back = world.flow(one, there, channel, here), world.flow(two, here, CHANNEL, there)
        if channel is None:
            forth = forth._replace(shown=there._replace(port=there.port ^ 1))
        world.engine.link(forth, Rule())
        world.engine.link(back, Rule())
        for size in SIZES:
            one.send(framed(forth, bytes(size)), world.listener)
            assert unframed(back, await two.receive()) == bytes(size)
            two.send(framed(back, bytes(size)), world.listener)
            assert unframed(forth, await one.receive()) == bytes(size)
        carried = (len(SIZES), sum(SIZES), len(SIZES), sum(SIZES), 0)
        assert ridden(world, forth) == ridden(world, back) == carried


@versions
async def test_marks_are_those_of_each_packet(place: land.Place, version: int) -> None:
    """See turn/engines/loop/dscp.py; here, no packet is marked as one of a second ago."""
    async with World(make, version) as world:
        client, peer = Marked(version), Marked(version)
        world.ends += [client, peer]
        flow = world.link(client, peer.address, None)
        for mark, left in ((EXPEDITED, EXPEDITED), (ASSURED | CONGESTED, ASSURED), (ROUTING, 0), (0, 0)):
            for end in (client, peer):
                end.mark(mark)
            client.send(framed(flow, b"voice"), world.listener)
            peer.send(b"voice", flow.relay)
            assert peer.seen() == client.seen() == {(left, 64)}


async def test_what_the_rule_does_not_name_comes_up_and_the_rest_rides(place: land.Place) -> None:
    async with World(make) as world:
        client, peer = world.end(), world.end()
        flow = world.link(client, peer.address, CHANNEL, Rule(frozenset({VOICE, VOICE | INWARD})))
        for number in range(50):
            client.send(framed(flow, rtp(VOICE, number)), world.listener)
            client.send(framed(flow, rtp(VOICE + 1, number)), world.listener)
            assert await peer.receive() == rtp(VOICE, number)
            assert (await world.punt()).data == framed(flow, rtp(VOICE + 1, number))
        assert ridden(world, flow).packets_out == 50


async def test_what_is_too_large_is_carried_below(place: land.Place) -> None:
    async with World(make) as world:
        client, peer = world.end(), world.end()
        flow = world.link(client, peer.address, CHANNEL)
        for size in (1300, 9000, 40000):
            client.send(framed(flow, bytes(size)), world.listener)
            assert await peer.receive() == bytes(size)
        assert isinstance(world.engine, Kernel)
        assert world.engine.table[flow].packets_out == 3


@versions
async def test_what_rides_needs_no_socket_and_what_does_not_has_one(place: land.Place, version: int) -> None:
    async with World(partial(Kernel, slots=4), version) as world:
        client, peer, other = world.end(), world.end(), world.end()
        rides = world.link(client, peer.address, CHANNEL, Rule(frozenset({VOICE, VOICE | INWARD})))
        assert isinstance(world.engine, Kernel)
        assert not world.engine.legs
        stays = world.link(client, other.address, CHANNEL + 1)
        assert list(world.engine.legs) == [stays], "there is room for one"
        for flow, there in ((rides, peer), (stays, other)):
            for size in (10, 1500):
                client.send(framed(flow, rtp(VOICE, size, bytes(size))), world.listener)
                assert await there.receive_from() == (rtp(VOICE, size, bytes(size)), flow.relay)
                there.send(rtp(VOICE, size, bytes(size)), flow.relay)
                assert unframed(flow, await client.receive()) == rtp(VOICE, size, bytes(size))
        assert world.engine.unlink(rides).packets_out == 2
        world.engine.link(stays, Rule())
        assert list(world.engine.legs) == [stays]


async def test_a_flow_whose_way_has_gone_gets_a_socket(
    place: land.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with World(make) as world:
        client, peer = world.end(), world.end()
        flow = world.link(client, peer.address, CHANNEL)
        assert isinstance(world.engine, Kernel)
        monkeypatch.setattr(world.engine.routes, "way", lambda source, destination: None)
        assert not world.engine.legs
        world.engine.look_again()
        assert list(world.engine.legs) == [flow]
        client.send(framed(flow, b"hello"), world.listener)
        assert await peer.receive_from() == (b"hello", flow.relay)
        peer.send(b"hello", flow.relay)
        assert await client.receive() == framed(flow, b"hello")
        assert world.engine.table[flow].packets_out == 1


async def test_packets_that_their_sender_has_put_together_arrive_one_by_one(place: land.Place) -> None:
    async with World(make) as world:
        client, peer = world.end(), world.end()
        flow = world.link(client, peer.address, CHANNEL)
        parts = [framed(flow, bytes([number]) * 196) for number in range(20)]
        client.sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, len(parts[0]))
        client.send(b"".join(parts), world.listener)
        assert [await peer.receive() for _ in parts] == [part[4:] for part in parts]


async def test_a_client_by_tcp_is_carried_below(place: land.Place) -> None:
    udp = free("127.0.0.1", "udp")
    async with World(lambda at, streams: make([*at, udp], streams), transport="tcp") as world:
        client, other = await world.client(), world.end()
        relays = world.open(), world.open()
        there = Flow(client.address, world.listener, CHANNEL, *relays)
        back = Flow(other.address, udp, None, *relays[::-1])
        for flow in (there, back):
            world.engine.link(flow, Rule())
        client.send(framed(there, b"hello"), world.listener)
        assert unframed(back, await other.receive()) == b"hello"
        other.send(framed(back, b"hello there"), udp)
        assert unframed(there, await client.receive()) == b"hello there"


async def test_where_a_proxy_may_stand_in_front_nothing_rides(place: land.Place) -> None:
    async with World(lambda at, streams: make(at, streams._replace(is_proxy=lambda ip: False))) as world:
        client, peer = world.end(), world.end()
        flow = world.link(client, peer.address, CHANNEL)
        client.send(framed(flow, b"hello"), world.listener)
        assert await peer.receive() == b"hello"
        assert isinstance(world.engine, Kernel)
        assert world.engine.table[flow].packets_out == 1


async def test_a_new_process_begins_without_what_was(place: land.Place) -> None:
    async with World(make) as world:
        client, peer = world.end(), world.end()
        flow = world.link(client, peer.address, CHANNEL)
        client.send(framed(flow, b"hello"), world.listener)
        assert await peer.receive() == b"hello"
    client, peer = End(), End(port=peer.address.port)
    async with World(make, at=world.listener) as after:
        after.ends += [client, peer]
        client.send(framed(flow, b"hello"), after.listener)
        assert (await after.punt()).data == framed(flow, b"hello")


class Away(World):
    """The relay is here; clients and peers are behind routers."""

    def __init__(self, places: dict[str, land.Place], version: int) -> None:
        super().__init__(make, version, listen=land.HERE[version])
        self.host, self.there, self.far = land.HERE[version], land.THERE[version], places["peer"]

    def end(self, host: str | None = None) -> End:
        with self.far.inside():
            return super().end(host or self.there)


def leave_checksums_to_card(interface: str, *, leave: bool) -> None:
    """Or let the sender finish them itself."""
    value = ctypes.create_string_buffer(struct.pack("II", SET_TX_CHECKSUM, leave), 8)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCETHTOOL, struct.pack("16sP", interface.encode(), ctypes.addressof(value)))


@versions
@frames
@pytest.mark.parametrize("leave", [True, False], ids=["offloaded", "full"])
async def test_checksums_are_right_for_who_checks_them(
    places: dict[str, land.Place], version: int, channel: int | None, leave: bool
) -> None:
    for name, interface in (("relay", "near"), ("near", "relay"), ("far", "peer"), ("peer", "far")):
        with places[name].inside():
            leave_checksums_to_card(interface, leave=leave)
    async with Away(places, version) as world:
        client, peer = world.end(), world.end()
        flow = world.link(client, peer.address, channel)
        for size in SIZES[:-1]:
            data = (bytes(range(256)) * 4)[:size]
            client.send(framed(flow, data, fingerprint=True), world.listener)
            assert await peer.receive_from() == (data, flow.relay)
            peer.send(data, flow.relay)
            assert unframed(flow, await client.receive()) == data
        assert ridden(world, flow).packets_in == len(SIZES) - 1
    with places["peer"].inside():
        assert errors() == 0


@versions
@pytest.mark.parametrize("leave", [True, False], ids=["offloaded", "full"])
async def test_strangers_are_answered_within_their_limit_and_wake_nobody(
    places: dict[str, land.Place], version: int, leave: bool
) -> None:
    for name, interface in (("relay", "near"), ("near", "relay")):
        with places[name].inside():
            leave_checksums_to_card(interface, leave=leave)
    bare, marked = compose(1), compose(1, fingerprint=True)
    async with Away(places, version) as world:
        stranger = world.end()
        world.engine.answer_bindings(StrangerLimits(per_second=0.001, burst=6, in_all=1000))
        for request in (bare, marked) * 3:
            stranger.send(request, world.listener)
            wanted = binding_success(request[8:20], stranger.address)
            answer = add_fingerprint(wanted) if request == marked else wanted
            assert await stranger.receive_from() == (answer, world.listener)
        stranger.send(bare, world.listener)
        other = compose(1, ((0x77, b"nobody knows it"),))
        stranger.send(other, world.listener)
        assert await world.punt() == Packet(world.listener, stranger.address, other)
        assert world.engine.answered() == {"replies.binding": 6, "drops.strangers": 1}
        with places["peer"].inside():
            assert errors() == 0
        world.engine.answer_bindings(None)
        stranger.send(bare, world.listener)
        assert (await world.punt()).data == bare
        assert world.punted.empty()


async def test_who_takes_nobody_new_answers_no_strangers(places: dict[str, land.Place]) -> None:
    async with Away(places, 4) as world:
        assert isinstance(world.engine, Kernel)
        limits = StrangerLimits(50, 200, 1000)
        world.engine.answer_bindings(limits)
        assert len(world.engine.program.entered()) == 1
        world.engine.stop_listening()
        world.engine.answer_bindings(limits)
        assert not world.engine.program.entered()


async def test_strangers_behind_a_proxy_are_left_to_who_reads_what_it_says(place: land.Place) -> None:
    async with World(lambda at, streams: make(at, streams._replace(is_proxy=lambda ip: False))) as world:
        world.engine.answer_bindings(StrangerLimits(50, 200, 1000))
        assert isinstance(world.engine, Kernel)
        assert not world.engine.program.entered()


@versions
async def test_an_interface_goes_and_another_one_comes(version: int) -> None:
    if os.geteuid() != 0:
        pytest.skip("a program in the kernel, and a network of its own, need root")
    with land.country() as places:
        async with Away(places, version) as world:
            client, peer = world.end(), world.end()
            flow = world.link(client, peer.address, CHANNEL)
            client.send(framed(flow, b"before"), world.listener)
            assert await peer.receive() == b"before"
            before = socket.if_nametoindex("near")
            land.ip("link del near")
            land.lay(places, "relay", "near", 1, 1500)
            for form in land.FORMS:
                land.ip("route add " + land.ROUTES["relay"][0].format(**form))
            assert socket.if_nametoindex("near") != before
            assert isinstance(world.engine, Kernel)
            below = world.engine.table[flow]
            async with asyncio.timeout(PATIENCE):
                while world.engine.traffic()[flow].packets_out < 2 + below.packets_out:
                    client.send(framed(flow, b"after"), world.listener)
                    await asyncio.sleep(0.05)
                    below = world.engine.table[flow]
            assert await peer.receive() == b"after"
