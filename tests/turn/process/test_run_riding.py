"""A relay in a process of its own whose calls ride in the kernel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aioice import stun

from tests.turn.engines import land
from tests.turn.engines.world import PATIENCE, End, framed, unframed
from tests.turn.process.relay_process import Elsewhere, elsewhere
from tests.turn.servers import SECRET, TellingServer, ban
from tests.turn.service.caller import Caller
from turn.engines.kernel import loader
from turn.engines.kernel.engine import SETTLE
from turn.flows import Address, Flow, Packet
from turn.service.engines import PINS

CHANNEL = 0x4000
MANY = 50


async def begin(relay: Elsewhere, peer: Address) -> tuple[Caller, Flow]:
    caller = relay.caller()
    there = await caller.allocate()
    assert await caller.bind(CHANNEL, peer) is stun.Class.RESPONSE
    return caller, Flow(caller.end.address, relay.listener, CHANNEL, there, peer)


async def figures(relay: Elsewhere, name: str) -> int:
    async with relay.operator() as operator:
        found = (await operator.get("/stats")).json()["figures"]
    return int(sum(one["value"] for one in found if one["name"] == f"calln_relay_{name}"))


async def kill(relay: Elsewhere) -> None:
    async with relay.operator() as operator:
        assert (await operator.post("/kill", json={"user": "alice"})).json() == {"ended": 1}


class Wire:
    """How a server of ours reaches the relay."""

    def __init__(self) -> None:
        self.end = End()
        self.end.sock.settimeout(PATIENCE)

    def deliver(self, there: Address, here: Address, data: bytes) -> list[Packet]:
        self.end.send(data, there)
        return [Packet(there, here, self.end.sock.recv(2048))]


async def ban_all(relay: Elsewhere) -> None:
    wire = Wire()
    server = TellingServer(wire, listener=relay.listener)  # type: ignore[arg-type]
    assert await asyncio.to_thread(server.tell, ban("127.0.0.0/8")) == 0
    wire.end.close()


@pytest.mark.parametrize("end", [kill, ban_all])
async def test_a_session_that_is_ended_rides_no_more(
    place: land.Place, tmp_path: Path, end: Callable[[Elsewhere], Awaitable[None]]
) -> None:
    async with elsewhere(tmp_path, engine="kernel", secret=SECRET.decode()) as relay:
        peer = relay.end()
        caller, flow = await begin(relay, peer.address)
        for _ in range(MANY):
            caller.end.send(framed(flow, b"hello"), relay.listener)
            assert await peer.receive() == b"hello"
        assert await figures(relay, "packets_in_kernel_total") == MANY
        await end(relay)
        for _ in range(MANY):  # on loopback, what rides is there as soon as it is sent
            caller.end.send(framed(flow, b"hello"), relay.listener)
        with pytest.raises(BlockingIOError):
            peer.sock.recv(1)


async def test_of_calls_that_ride_no_packet_is_lost_when_the_relay_dies(
    pins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of two clients of its own, in one hop. Root has loaded the program beside it."""
    loader.load(pins, 1, 64, loopback=True)
    monkeypatch.setenv(PINS, str(pins))
    async with elsewhere(tmp_path, engine="kernel", limits={"allocations_per_user": 0}) as relay:
        peer = relay.end()
        caller, flow = await begin(relay, peer.address)
        one, two = relay.caller(), relay.caller()
        here, there = await one.allocate(), await two.allocate()
        for end, other in ((one, there), (two, here)):
            assert await end.bind(CHANNEL, other) is stun.Class.RESPONSE
        hop = Flow(one.end.address, relay.listener, CHANNEL, here, there)
        for _ in range(2):
            death, sent = asyncio.create_task(relay.die()), 0
            while not death.done():
                caller.end.send(framed(flow, b"on"), relay.listener)
                one.end.send(framed(hop, b"and on"), relay.listener)
                sent += 1
                await asyncio.sleep(0.03)  # all must fit into the buffers of their sockets
            await death
            for _ in range(sent):
                assert await peer.receive_from() == (b"on", flow.relay)
                assert unframed(hop, await two.end.receive()) == b"and on"
            await asyncio.sleep(SETTLE + 1)
        caller.end.send(framed(flow, b"and now"), relay.listener)
        assert await peer.receive() == b"and now"
        assert await figures(relay, "packets_in_kernel_total") >= 1
