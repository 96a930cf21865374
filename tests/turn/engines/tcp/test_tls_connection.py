"""TLS that is meant to wear out its reader, and what is no TLS; all else is tested with the other streams."""

from __future__ import annotations

import asyncio
import struct

import pytest

from tests.turn.engines.listening import door_of
from tests.turn.engines.tcp.streams import CHANNEL, HELLO
from tests.turn.engines.world import Maker, World, framed
from turn.engines.tcp.connection import WHOLE_FRAME


async def test_plain_bytes_at_a_tls_door_end_the_connection(make: Maker) -> None:
    async with World(make, transport="tls") as world:
        stream = await world.connect(plain=True)
        stream.writer.write(HELLO)
        assert HELLO not in await stream.ended()
        assert not door_of(world).connections


async def test_records_that_hold_nothing_end_the_connection(make: Maker) -> None:
    """Key updates without end, as `openssl s_client` sends one for each line that is a k."""
    async with World(make, transport="tls") as world:
        client, peer = await world.client(), world.end()
        flow = world.link(client, peer.address, CHANNEL)
        command = f"yes k | openssl s_client -tls1_3 -connect 127.0.0.1:{world.listener.port}"
        null = asyncio.subprocess.DEVNULL
        flood = await asyncio.create_subprocess_shell(command, stdout=null, stderr=null)
        async with asyncio.timeout(WHOLE_FRAME - 1):
            await flood.wait()
        assert list(door_of(world).connections) == [(client.address, world.listener)]
        client.send(framed(flow, b"voice"), world.listener)
        assert await peer.receive() == b"voice"


@pytest.mark.parametrize("size", [1, 1000])
async def test_a_hello_without_end_ends_the_connection(make: Maker, size: int) -> None:
    async with World(make, transport="tls") as world:
        stream = await world.connect(plain=True)
        body = b"\1\0\xff\xff" + bytes(0xFFFF)  # a ClientHello of 64 KiB
        for at in range(0, len(body), size):
            part = body[at : at + size]
            stream.writer.write(b"\x16\3\1" + struct.pack("!H", len(part)) + part)
        await stream.ended()
        assert not door_of(world).connections
