"""Clients of streams: how their bytes become packets, what ends them, and what a slow one costs."""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest

from tests.turn.engines.listening import door_of
from tests.turn.engines.tcp.streams import CHANNEL, HELLO, numbered, streams
from tests.turn.engines.world import (
    NO_LIMITS,
    Client,
    Maker,
    StreamEnd,
    World,
    framed,
    stun,
    unframed,
)
from turn.engines.portable.engine import Portable
from turn.engines.tcp.connection import FRAMES, IDLE, STUCK, WHOLE_FRAME, ClientConnection, padded
from turn.engines.tcp.connection_limits import MAX_SILENT
from turn.engines.tcp.send_queue import ANSWER_BYTES, MEDIA_BYTES, SendQueue
from turn.engines.tcp.tls_connection import TlsConnection
from turn.flows import Flow, Packet, Rule, Transport
from turn.service.engines import ENGINES


def connection_of(world: World, client: Client) -> ClientConnection:
    return door_of(world).connections[client.address, world.listener]


async def punted(world: World, count: int) -> list[bytes]:
    return [(await world.punt()).data for _ in range(count)]


@streams
async def test_one_byte_at_a_time(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        stream = await world.connect()
        for byte in HELLO + numbered(1):
            stream.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert await punted(world, 2) == [HELLO, numbered(1)]


@streams
async def test_many_packets_at_once_keep_their_order(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        stream = await world.connect()
        wanted = [numbered(number) for number in range(FRAMES * 50)]
        stream.writer.write(b"".join(wanted))
        assert await punted(world, len(wanted)) == wanted


@streams
async def test_media_and_requests_in_one_segment(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        client, peer = await world.client(), world.end()
        flow = world.link(client, peer.address, CHANNEL)
        world.react = lambda packet: world.engine.send([packet._replace(data=HELLO)])
        for number in range(100):
            client.send(framed(flow, bytes([number]) * (number % 7)), world.listener)
            client.send(numbered(number), world.listener)
        assert [await peer.receive() for _ in range(100)] == [bytes([n]) * (n % 7) for n in range(100)]
        assert await punted(world, 100) == [numbered(number) for number in range(100)]
        assert world.lost.empty()


@streams
async def test_a_burst_that_ends_in_nonsense_is_carried_so_far(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        client, peer = await world.client(), world.end()
        assert isinstance(client, StreamEnd)
        flow = world.link(client, peer.address, CHANNEL)
        gather = connection_of(world, client).epoll.batch
        burst = b"".join(framed(flow, b"%4d" % number) for number in range(5))
        client.writer.write(burst + b"\xff" + burst)
        assert await client.ended() == b""
        assert [await peer.receive() for _ in range(5)] == [b"%4d" % number for number in range(5)]
        assert (gather.is_open, gather.senders) == (False, [])
        with pytest.raises(BlockingIOError):
            peer.sock.recv(1)


@streams
@pytest.mark.parametrize("channel", [CHANNEL, None])
async def test_a_burst_between_two_clients_stays_whole(
    make: Maker, transport: Transport, channel: int | None
) -> None:
    """However long the other's frames are: they are written around the data where it lies."""
    async with World(make, transport=transport) as world:
        one, other = await world.client(), await world.client()
        assert isinstance(one, StreamEnd)
        first, second = world.open(), world.open()
        out, back = world.flow(one, second, CHANNEL, first), world.flow(other, first, channel, second)
        plain, peer = world.flow(one, (end := world.end()).address, CHANNEL + 1, first), end
        for flow in (out, back, plain):
            world.engine.link(flow, Rule())
        said = [bytes([number]) * (number % 9) for number in range(100)]
        one.writer.write(
            b"".join(padded(memoryview(framed(flow, data))) for data in said for flow in (plain, out))
        )
        assert [unframed(back, await other.receive()) for _ in said] == said
        assert [await peer.receive() for _ in said] == said
        world.engine.unlink(back)
        world.engine.unlink(out)
        assert not any(client.internal_lanes for client in world.engine.traffic().clients.values())  # type: ignore[attr-defined]


@streams
async def test_what_comes_together_goes_together(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        client, peer = await world.client(), world.end()
        assert isinstance(client, StreamEnd)
        world.link(client, peer.address, CHANNEL)
        connection = connection_of(world, client)
        assert connection.client is not None
        gather, outlet = connection.epoll.batch, connection.client.outlet
        for kept in (0, 1):
            gather.is_open = True
            for frame in (b"\x40\x01\0\1a", b"\x40\x01\0\5bcdef"):
                outlet.put(memoryview(frame))
            assert len(gather.senders) == 1
            if kept:
                connection.queue = box = SendQueue(b"")
            gather.finish()
            if kept:
                assert [*box.media] == [b"\x40\x01\0\1a\0\0\0", b"\x40\x01\0\5bcdef\0\0\0"]
                connection.queue = None
            else:
                assert await client.reader.readexactly(20) == b"\x40\x01\0\1a\0\0\0\x40\x01\0\5bcdef\0\0\0"


class Watched:
    """A connection's TLS, and each record that it was given."""

    def __init__(self, tls: Any) -> None:
        self.tls = tls
        self.records: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.records.append(bytes(data))
        return int(self.tls.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tls, name)


async def test_each_frame_is_a_record_of_its_own() -> None:
    """coturn's client reads a record and takes it for one frame: of two in one, it loses the second."""
    async with World(Portable, transport="tls") as world:
        client, peer = await world.client(), world.end()
        assert isinstance(client, StreamEnd)
        world.link(client, peer.address, CHANNEL)
        connection = connection_of(world, client)
        assert isinstance(connection, TlsConnection)
        assert connection.client is not None
        connection.tls = watched = Watched(connection.tls)  # type: ignore[assignment]
        connection.epoll.batch.is_open = True
        for frame in (b"\x40\x01\0\1a", b"\x40\x01\0\5bcdef"):
            connection.client.outlet.put(memoryview(frame))
        connection.epoll.batch.finish()
        assert await client.reader.readexactly(20) == b"\x40\x01\0\1a\0\0\0\x40\x01\0\5bcdef\0\0\0"
        assert watched.records == [b"\x40\x01\0\1a\0\0\0", b"\x40\x01\0\5bcdef\0\0\0"]


@streams
async def test_padding_is_the_streams_own(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        client = await world.client()
        assert isinstance(client, StreamEnd)
        client.send(b"\x40\x05\0\5voice", world.listener)
        assert (await world.punt()).data == b"\x40\x05\0\5voice"
        world.engine.send([Packet(world.listener, client.address, b"\x40\x05\0\5voice")])
        assert await client.reader.readexactly(12) == b"\x40\x05\0\5voice\0\0\0"


BROKEN = {
    "GET": b"GET / HTTP/1.1\r\n\r\n",
    "first byte 0x80": b"\x80",
    "first byte 0xff": b"\xff",
    "channel data before anything": b"\x40\x01\0\4data",
    "another cookie": b"\0\1\0\0\0\0\0\0",
    "the hello of TLS": bytes.fromhex("1603010200010001fc0303"),
    "64 KiB of nothing": bytes(64 << 10),
    "version 1 of the PROXY protocol": b"PROXY TCP4 203.0.113.9 198.51.100.2 51000 3478\r\n",
    "version 2 of the PROXY protocol": bytes.fromhex("0d0a0d0a000d0a515549540a2000 0000"),
    **{f"length {size}": struct.pack("!HH", 1, size) + HELLO for size in range(65520, 65536, 4)},
}


@streams
@pytest.mark.parametrize("name", BROKEN)
async def test_what_is_no_stream_of_frames_is_closed(make: Maker, transport: Transport, name: str) -> None:
    async with World(make, transport=transport) as world:
        stream = await world.connect()
        stream.writer.write(BROKEN[name])
        assert await stream.ended() == b""
        assert world.punted.empty()
        assert not door_of(world).connections


TOO_LONG = [struct.pack("!HH", CHANNEL, size) for size in range(65529, 65536)]


@streams
@pytest.mark.parametrize("said", TOO_LONG, ids=lambda said: str(int.from_bytes(said[2:])))
async def test_channel_data_longer_than_any_ends_the_connection(
    make: Maker, transport: Transport, said: bytes
) -> None:
    async with World(make, transport=transport) as world:
        client = await world.client()
        assert isinstance(client, StreamEnd)
        client.writer.write(said + HELLO)
        assert await client.ended() == b""
        assert world.punted.empty()
        assert await world.lost.get() == (client.address, world.listener)


@streams
async def test_channel_data_of_every_length(make: Maker, transport: Transport) -> None:
    """What no datagram holds goes nowhere, and the stream goes on behind it."""
    async with World(make, transport=transport) as world:
        client, peer = await world.client(), world.end()
        flow = world.link(client, peer.address, CHANNEL)
        for size in (*range(9), 1199, 1200, 16384, 65507, 65508, 65528):
            client.send(framed(flow, bytes(size)), world.listener)
            if size <= 65507:
                assert await peer.receive() == bytes(size)
        client.send(HELLO, world.listener)
        assert (await world.punt()).data == HELLO
        assert world.engine.traffic()[flow].packets_out == 15


@streams
async def test_channel_data_without_its_data_waits_and_is_closed_in_time(
    make: Maker, transport: Transport
) -> None:
    async with World(make, transport=transport) as world:
        client, peer = await world.client(), world.end()
        world.link(client, peer.address, CHANNEL)
        connection = connection_of(world, client)
        client.send(struct.pack("!HH", CHANNEL, 35510) + b"\1\2\3", world.listener)
        await settled(connection, 8)
        door_of(world).close_overdue(connection.read_by + 0.1)
        assert await world.lost.get() == (client.address, world.listener)
        with pytest.raises(BlockingIOError):
            peer.sock.recv(1)


@streams
async def test_padding_left_out_ends_the_connection(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        client = await world.client()
        assert isinstance(client, StreamEnd)
        client.writer.write(b"\x40\x01\0\5voice" + HELLO)
        assert await client.ended() == b""
        assert await world.lost.get() == (client.address, world.listener)


LEAVE: dict[str, tuple[bytes, Callable[[StreamEnd], None]]] = {
    "reset": (b"", lambda stream: stream.reset()),
    "end": (b"", lambda stream: stream.writer.close()),
    "half a message, then reset": (HELLO[:9], lambda stream: stream.reset()),
    "half a message, then end": (HELLO[:9], lambda stream: stream.writer.close()),
}


@streams
@pytest.mark.parametrize("name", LEAVE)
async def test_who_leaves_is_lost_once(make: Maker, transport: Transport, name: str) -> None:
    async with World(make, transport=transport) as world:
        client, peer = await world.client(), world.end()
        flow = world.link(client, peer.address, CHANNEL)
        assert isinstance(client, StreamEnd)
        said, leave = LEAVE[name]
        client.writer.write(said)
        leave(client)
        async with asyncio.timeout(5):
            assert await world.lost.get() == (client.address, world.listener)
        peer.send(b"anybody?", flow.relay)
        world.engine.send([Packet(world.listener, client.address, HELLO)])
        world.engine.unlink(flow)
        await asyncio.sleep(0.05)
        assert world.lost.empty()
        assert not door_of(world).connections


@streams
async def test_what_was_said_before_the_end_is_heard(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        client, peer = await world.client(), world.end()
        assert isinstance(client, StreamEnd)
        flow = world.link(client, peer.address, CHANNEL)
        wanted = [numbered(number) for number in range(FRAMES * 5)]
        client.writer.write(b"".join(wanted) + b"\x40\1\0\4last" + HELLO[:7])
        client.writer.close()
        assert await punted(world, len(wanted)) == wanted
        assert await peer.receive() == b"last"
        assert await world.lost.get() == (flow.client, world.listener)
        assert world.punted.empty()


@streams
async def test_a_storm_of_resets(make: Maker, transport: Transport) -> None:
    """Some have gone before they are met, some while they speak; a call over the same door goes on."""
    async with World(make, transport=transport) as world:
        client, peer = await world.client(), world.end()
        flow = world.link(client, peer.address, CHANNEL)
        for number in range(200):
            with socket.create_connection((world.listener.host, world.listener.port)) as sock:
                sock.send(HELLO[: number % 20] or b"\x16")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if number % 20 == 0:
                client.send(framed(flow, b"voice"), world.listener)
                assert await peer.receive() == b"voice"
        async with asyncio.timeout(5):
            while len(door_of(world).connections) > 1:
                await asyncio.sleep(0.01)
        assert door_of(world).limits.total == 1
        assert world.punted.empty()


async def test_half_a_close_is_a_whole_one(make: Maker) -> None:
    async with World(make, transport="tcp") as world:
        client = await world.client()
        assert isinstance(client, StreamEnd)
        client.writer.write_eof()
        assert await client.ended() == b""
        assert await world.lost.get() == (client.address, world.listener)


@streams
async def test_who_has_said_nothing_is_not_lost(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        stream = await world.connect()
        stream.writer.write(HELLO[:5])
        await asyncio.sleep(0.05)
        stream.reset()
        async with asyncio.timeout(5):
            while door_of(world).connections:
                await asyncio.sleep(0.01)
        assert world.lost.empty()


@streams
async def test_how_long_a_frame_may_take(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        client = await world.client()
        assert isinstance(client, StreamEnd)
        connection = connection_of(world, client)
        assert connection.read_by == math.inf
        client.writer.write(HELLO[:19])
        await settled(connection, 19)
        begun = connection.read_by
        assert not connection.is_overdue(begun - 0.1)
        client.writer.write(HELLO[19:] + HELLO[:3])
        await settled(connection, 3)
        assert connection.read_by > begun
        client.writer.write(HELLO[3:])
        await settled(connection, 0)
        assert connection.read_by == math.inf
        client.writer.write(HELLO[:3])
        await settled(connection, 3)
        door_of(world).close_overdue(connection.read_by - 0.1)
        assert not connection.closed
        door_of(world).close_overdue(connection.read_by + 0.1)
        assert await client.ended() == b""
        assert await world.lost.get() == (client.address, world.listener)


async def settled(connection: ClientConnection, left: int) -> None:
    async with asyncio.timeout(5):
        while len(connection.unread) != left:
            await asyncio.sleep(0.01)


async def slow_reader(world: World) -> tuple[Client, ClientConnection]:
    """A client that reads nothing from now on."""
    client = await world.client()
    assert isinstance(client, StreamEnd)
    client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    return client, connection_of(world, client)


@streams
async def test_a_slow_reader_loses_the_oldest_media_and_reads_whole_packets(
    make: Maker, transport: Transport
) -> None:
    async with World(make, transport=transport) as world:
        client, connection = await slow_reader(world)
        assert isinstance(client, StreamEnd)
        peer = world.end()
        flow = world.link(client, peer.address, CHANNEL)
        sent = [struct.pack("!I", number) * 300 for number in range(2000)]
        for data in sent:
            world.engine.send([Packet(world.listener, client.address, framed(flow, data))])
        world.engine.send([Packet(world.listener, client.address, numbered(7))])
        assert connection.queue is not None
        assert connection.queue.media_size <= MEDIA_BYTES
        assert STUCK - 1 < connection.write_by - asyncio.get_running_loop().time() <= STUCK
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        heard: list[bytes] = []
        while not heard or heard[-1] != sent[-1]:
            frame = await client.receive()
            heard.append(frame if frame == numbered(7) else unframed(flow, frame))
        assert heard.count(numbered(7)) == 1
        voice = [data for data in heard if data != numbered(7)]
        assert len(voice) < len(sent)
        assert voice == [data for data in sent if data in voice]
        async with asyncio.timeout(5):
            while connection.queue is not None:
                await asyncio.sleep(0.01)
        assert connection.write_by == math.inf


@streams
async def test_who_reads_nothing_is_closed(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        client, connection = await slow_reader(world)
        while connection.queue is None:
            world.engine.send([Packet(world.listener, client.address, stun(0x0017, bytes(1000)))])
        door_of(world).close_overdue(connection.write_by - 0.1)
        assert not connection.closed
        door_of(world).close_overdue(connection.write_by + 0.1)
        assert await world.lost.get() == (client.address, world.listener)


@streams
async def test_who_asks_and_never_reads_is_closed(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        client, connection = await slow_reader(world)
        answer = Packet(world.listener, client.address, stun(0x0101, bytes(1000)))
        for _ in range(2000):
            world.engine.send([answer])
        assert connection.closed
        assert connection.queue is not None
        assert connection.queue.answers_size <= ANSWER_BYTES + len(answer.data)
        assert await world.lost.get() == (client.address, world.listener)


@streams
async def test_a_client_that_is_closed_while_its_packets_wait(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        client = await world.client()
        connection = connection_of(world, client)
        world.react = lambda packet: connection.close()
        for number in range(100):
            client.send(numbered(number), world.listener)
        assert (await world.punt()).data == numbered(0)
        assert await world.lost.get() == (client.address, world.listener)
        assert world.punted.empty()


async def test_streams_and_datagrams_at_one_port() -> None:
    async with World(ENGINES["portable"], transport="tcp") as world:
        pass
    both = [world.listener, world.listener._replace(transport="udp")]
    async with World(lambda _, streams=NO_LIMITS, *__, **___: Portable(both, streams)) as pair:
        for pair.listener in both:
            client, peer = await pair.client(), pair.end()
            flow: Flow = pair.link(client, peer.address, CHANNEL)
            client.send(framed(flow, b"voice"), pair.listener)
            assert await peer.receive() == b"voice"


def test_patience_is_ten_seconds() -> None:
    assert WHOLE_FRAME == STUCK == 10


@streams
async def test_a_fault_ends_its_connection_and_no_other(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        one, other = await world.client(), await world.client()
        assert isinstance(one, StreamEnd)

        def fail(packet: Packet) -> None:
            raise KeyError

        world.react = fail
        one.send(HELLO, world.listener)
        assert await one.ended() == b""
        world.react = lambda packet: None
        assert [type(error) for error in world.mishaps] == [KeyError]
        world.mishaps.clear()
        await punted(world, 1)
        other.send(HELLO, world.listener)
        assert (await world.punt()).remote == other.address


@streams
async def test_who_holds_nothing_says_something_now_and_then(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport) as world:
        idle, holder, caller = await world.client(), await world.client(), await world.client()
        assert isinstance(idle, StreamEnd)
        world.holding.add((holder.address, world.listener))
        world.link(caller, world.end().address, CHANNEL)
        door, before = door_of(world), connection_of(world, idle).last_punt
        door.close_overdue(before + IDLE)
        idle.send(HELLO, world.listener)
        await punted(world, 1)
        again = connection_of(world, idle).last_punt
        assert again > before
        for now, left in ((again + IDLE, 3), (again + IDLE + 0.1, 2), (again + 100 * IDLE, 2)):
            door.close_overdue(now)
            assert len(door.connections) == left
        assert await idle.ended() == b""
        assert await world.lost.get() == (idle.address, world.listener)


@streams
async def test_who_holds_nothing_counts_as_silent(make: Maker, transport: Transport) -> None:
    """However much it says: anybody may ask for an address of its own."""
    async with World(make, transport=transport) as world:
        clients = [await world.client() for _ in range(MAX_SILENT)]
        assert await (await world.connect(plain=True)).ended() == b""
        world.holding.add((clients[0].address, world.listener))
        clients[0].send(HELLO, world.listener)
        await punted(world, 1)
        await world.client()
        assert await (await world.connect(plain=True)).ended() == b""
        assert world.engine.refused_connections() == {"silent connections": 2}
