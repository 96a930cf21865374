"""Connections by proxies, and TLS that is told by its first byte: whose they are, who counts, who waits."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable

import pytest

from tests.turn.engines.certificates import certificate
from tests.turn.engines.listening import door_of
from tests.turn.engines.tcp.hello import client_hello
from tests.turn.engines.tcp.streams import (
    BEHIND,
    CHANNEL,
    HELLO,
    OTHER_PROXY,
    PROXY,
    PROXY_IP,
    numbered,
    streams,
)
from tests.turn.engines.world import PATIENCE, Maker, StreamEnd, World, framed, stun
from tests.turn.wire.proxy_headers import CASES, LOCAL_HEADER, header_for, titles
from turn.engines import Streams
from turn.engines.tcp.connection_limits import MAX_SILENT, MAX_UNNAMED
from turn.engines.tcp.first_bytes import FIRST_BYTES_SECONDS as ARRIVAL
from turn.engines.tcp.first_bytes import PendingConnection
from turn.flows import Address, Packet, Transport
from turn.wire.proxy_protocol import LARGEST, SIGNATURE

DETECTING = Streams(certificate=certificate(), detect_tls=True)
CLIENT = Address.of("203.0.113.9", 51000, "tcp")
ANSWER = stun(0x0101, b"")


async def arrive(
    world: World, said: bytes = b"", *, tls: bool = False, host: str = PROXY, pieces: int = 0
) -> StreamEnd:
    """A connection from there that begins so, in pieces of a few bytes where asked."""
    there = world.listener
    reader, writer = await asyncio.open_connection(there.host, there.port, local_addr=(host, 0))
    stream = StreamEnd(reader, writer, there)
    world.streams.append(stream)
    for at in range(0, len(said), pieces or LARGEST):
        writer.write(said[at : at + (pieces or LARGEST)])
        await asyncio.sleep(0.001 if pieces else 0)
    if tls:
        trust = ssl.create_default_context(cafile=certificate().chain)
        async with asyncio.timeout(PATIENCE):
            await writer.start_tls(trust, server_hostname="localhost")
    return stream


async def speaks_as(world: World, stream: StreamEnd, client: Address) -> None:
    """What it says comes from this client, and what is sent to the client comes to it."""
    stream.send(HELLO, world.listener)
    assert await world.punt() == Packet(world.listener, client, HELLO)
    world.engine.send([Packet(world.listener, client, ANSWER)])
    assert await stream.receive() == ANSWER


def nothing_is_left(world: World) -> None:
    assert counts(world, CLIENT.ip) == counts(world, PROXY_IP) == (0, 0, 0, 0)
    assert not door_of(world).pending
    assert not door_of(world).connections


def counts(world: World, ip: bytes) -> tuple[int, int, int, int]:
    """How many connections there are; of this address, all, those that hold nothing, and those that it
    has yet to name a client for."""
    limits = door_of(world).limits
    return limits.total, limits.of_address.amount(ip), limits.silent.amount(ip), limits.unnamed.amount(ip)


@streams
@pytest.mark.parametrize("pieces", [0, 1, 5])
async def test_a_client_is_whom_the_proxy_names(make: Maker, transport: Transport, pieces: int) -> None:
    async with World(make, transport=transport, streams=BEHIND) as world:
        client = CLIENT._replace(transport=transport)
        stream = await arrive(world, header_for(client), tls=transport == "tls", pieces=pieces)
        await speaks_as(world, stream, client)
        assert (counts(world, client.ip), counts(world, PROXY_IP)) == ((1, 1, 1, 0), (1, 0, 0, 0))
        stream.reset()
        assert await world.lost.get() == (client, world.listener)
        nothing_is_left(world)


READ, REFUSED = ([row for row in CASES[kind] if row["transport"] == "tcp"] for kind in ("read", "refused"))


@pytest.mark.parametrize("case", READ, ids=titles(READ))
async def test_all_that_can_be_said_of_a_client(make: Maker, case: dict[str, str]) -> None:
    async with World(make, transport="tcp", streams=BEHIND) as world:
        stream = await arrive(world, bytes.fromhex(case["bytes"]) + HELLO + numbered(1))
        packets = [await world.punt(), await world.punt()]
        assert [packet.data for packet in packets] == [HELLO, numbered(1)]
        there = str(packets[0].remote).partition("://")[2]
        assert there == (case["client"] or str(stream.address).partition("://")[2])


@pytest.mark.parametrize("case", REFUSED, ids=titles(REFUSED))
async def test_what_names_nobody_is_closed(
    make: Maker, case: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async with World(make, transport="tcp", streams=BEHIND) as world:
        stream = await arrive(world, bytes.fromhex(case["bytes"]))
        assert await stream.ended() == b""
        assert world.punted.empty()
        nothing_is_left(world)
        assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == [case["reason"]]


@streams
async def test_a_header_from_anybody_else_is_bad_bytes(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport, streams=BEHIND) as world:
        stream = await arrive(world, header_for(CLIENT) + HELLO, host="127.0.0.1")
        assert HELLO not in await stream.ended()
        assert world.punted.empty()
        nothing_is_left(world)
        plain = await arrive(world, tls=transport == "tls", host="127.0.0.1")
        await speaks_as(world, plain, plain.address)


async def test_a_call_by_a_proxy(make: Maker) -> None:
    async with World(make, transport="tcp", streams=BEHIND) as world:
        stream, peer = await arrive(world, header_for(CLIENT)), world.end()
        await speaks_as(world, stream, CLIENT)
        stream.address = CLIENT
        flow = world.link(stream, peer.address, CHANNEL)
        stream.send(framed(flow, b"voice"), world.listener)
        assert await peer.receive() == b"voice"
        peer.send(b"and back", flow.relay)
        assert await stream.receive() == framed(flow, b"and back")


async def test_the_client_counts_and_not_its_proxy(make: Maker) -> None:
    async with World(make, transport="tcp", streams=BEHIND._replace(per_address=1)) as world:
        first = await arrive(world, header_for(CLIENT))
        await speaks_as(world, first, CLIENT)
        assert await (await arrive(world, header_for(CLIENT._replace(port=2)))).ended() == b""
        other = Address.of("203.0.113.10", 51000, "tcp")
        await speaks_as(world, await arrive(world, header_for(other)), other)
        assert (counts(world, CLIENT.ip), counts(world, other.ip)) == ((2, 1, 1, 0), (2, 1, 1, 0))


async def test_clients_of_a_proxy_that_say_nothing_have_their_limit(make: Maker) -> None:
    async with World(make, transport="tcp", streams=BEHIND) as world:
        silent = [await arrive(world, header_for(CLIENT._replace(port=1 + n))) for n in range(MAX_SILENT + 1)]
        assert await silent[-1].ended() == b""
        other = Address.of("203.0.113.10", 51000, "tcp")
        await speaks_as(world, await arrive(world, header_for(other)), other)


@pytest.mark.parametrize("said", [b"", SIGNATURE, header_for(CLIENT)[:-1]])
async def test_a_proxy_that_names_nobody_is_closed_in_time(make: Maker, said: bytes) -> None:
    async with World(make, transport="tcp", streams=BEHIND) as world:
        stream = await arrive(world, said)
        pending = await waiting(world)
        assert counts(world, PROXY_IP) == (1, 0, 0, 1)
        door_of(world).close_overdue(pending.due - 0.1)
        assert not stream.reader.at_eof()
        door_of(world).close_overdue(pending.due + 0.1)
        assert await stream.ended() == b""
        nothing_is_left(world)


async def waiting(world: World) -> PendingConnection:
    async with asyncio.timeout(PATIENCE):
        while not door_of(world).pending:
            await asyncio.sleep(0.01)
    (pending,) = door_of(world).pending
    return pending


async def test_a_proxy_that_leaves_before_it_names_anybody(make: Maker) -> None:
    async with World(make, transport="tcp", streams=BEHIND) as world:
        for said in (b"", SIGNATURE):
            stream = await arrive(world, said)
            await waiting(world)
            stream.writer.write_eof()
            assert await stream.ended() == b""
            stream = await arrive(world, said)
            stream.reset()
        async with asyncio.timeout(PATIENCE):
            while door_of(world).pending:
                await asyncio.sleep(0.01)
        nothing_is_left(world)
        assert world.lost.empty()


async def test_a_proxy_may_have_many_unnamed_and_not_without_end(make: Maker) -> None:
    async with World(make, transport="tcp", streams=BEHIND) as world:
        unnamed = [await arrive(world) for _ in range(MAX_UNNAMED + 1)]
        assert await unnamed[-1].ended() == b""
        other = await arrive(world, header_for(CLIENT), host=OTHER_PROXY)
        await speaks_as(world, other, CLIENT)
        unnamed[0].writer.write(header_for(CLIENT._replace(port=2)))
        await speaks_as(world, unnamed[0], CLIENT._replace(port=2))
        assert counts(world, PROXY_IP) == (MAX_UNNAMED + 1, 0, 0, MAX_UNNAMED - 1)


async def test_all_connections_have_one_limit(make: Maker) -> None:
    async with World(make, transport="tcp", streams=BEHIND._replace(connections=2)) as world:
        await arrive(world)
        named = await arrive(world, header_for(CLIENT))
        await speaks_as(world, named, CLIENT)
        assert await (await arrive(world, header_for(CLIENT._replace(port=2)))).ended() == b""


async def test_one_place_by_two_ways_are_two_people(make: Maker) -> None:
    """Behind one NAT two may have the same address and port, where they go by different ways."""
    async with World(make, transport="tcp", streams=BEHIND) as world:
        first = await arrive(world, header_for(CLIENT))
        await speaks_as(world, first, CLIENT)
        assert await (await arrive(world, header_for(CLIENT), host=OTHER_PROXY)).ended() == b""
        await speaks_as(world, first, CLIENT)
        direct = await arrive(world, host="127.0.0.1")
        await speaks_as(world, direct, direct.address)
        assert await (await arrive(world, header_for(direct.address))).ended() == b""
        await speaks_as(world, direct, direct.address)
        again = await arrive(world, header_for(CLIENT))
        assert await first.ended() == b""
        assert await world.lost.get() == (CLIENT, world.listener)
        await speaks_as(world, again, CLIENT)


SAID: list[tuple[Streams, bytes, Address | None]] = [
    (DETECTING, b"", None),
    (DETECTING._replace(is_proxy=BEHIND.is_proxy), header_for(CLIENT), CLIENT),
    (DETECTING._replace(is_proxy=BEHIND.is_proxy), LOCAL_HEADER, None),
]


@pytest.mark.parametrize(("told", "header", "client"), SAID)
@pytest.mark.parametrize("tls", [False, True])
async def test_tls_is_told_by_its_first_byte(
    make: Maker, told: Streams, header: bytes, client: Address | None, tls: bool
) -> None:
    async with World(make, transport="tcp", streams=told) as world:
        stream = await arrive(world, header, tls=tls)
        there = (client or stream.address)._replace(transport="tls" if tls else "tcp")
        await speaks_as(world, stream, there)
        stream.reset()
        assert await world.lost.get() == (there, world.listener)
        nothing_is_left(world)


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n\r\n", b"\x80", b"\x15\3\1\0\2\1\0\0", b"\x16\xff\xff\0\0"]
)
async def test_what_is_neither_is_closed(make: Maker, said: bytes) -> None:
    async with World(make, transport="tcp", streams=DETECTING) as world:
        stream = await arrive(world, said)
        assert b"\1\1" not in await stream.ended()
        assert world.punted.empty()
        nothing_is_left(world)


@pytest.mark.parametrize("pieces", [1, 100])
async def test_a_hello_in_pieces(make: Maker, pieces: int) -> None:
    async with World(make, transport="tcp", streams=DETECTING) as world:
        stream = await arrive(world, client_hello(), pieces=pieces)
        async with asyncio.timeout(PATIENCE):
            assert (await stream.reader.readexactly(1))[0] == 22


async def test_who_says_nothing_is_closed_where_tls_may_come(make: Maker) -> None:
    async with World(make, transport="tcp", streams=DETECTING) as world:
        streams_ = [await arrive(world, host="127.0.0.1") for _ in range(MAX_SILENT + 1)]
        assert await streams_[-1].ended() == b""
        all_pending: Iterable[PendingConnection] = list(door_of(world).pending)
        assert max(pending.due for pending in all_pending) <= asyncio.get_running_loop().time() + ARRIVAL
        door_of(world).close_overdue(asyncio.get_running_loop().time() + ARRIVAL + 1)
        assert [await stream.ended() for stream in streams_] == [b""] * len(streams_)
        nothing_is_left(world)


@streams
async def test_every_socket_is_closed_with_the_engine(make: Maker, transport: Transport) -> None:
    async with World(make, transport=transport, streams=BEHIND) as world:
        stream = await arrive(world, SIGNATURE)
        pending = await waiting(world)
        world.task.cancel()
        assert await stream.ended() == b""
        assert pending.sock.fileno() == -1
