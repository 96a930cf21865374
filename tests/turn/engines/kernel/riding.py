"""A call that must ride: what it has carried met no socket."""

from __future__ import annotations

from tests.turn.engines.world import World, framed
from turn.engines.kernel.engine import Kernel
from turn.flows import Flow, Traffic

CHANNEL = 0x4001


def ridden(world: World, flow: Flow) -> Traffic:
    """What the program has carried of a flow; nothing of it has met a socket."""
    assert isinstance(world.engine, Kernel)
    assert world.engine.table[flow] == Traffic()
    return world.engine.traffic()[flow]


async def rides(world: World) -> None:
    client, peer = world.end(), world.end()
    flow = world.link(client, peer.address, CHANNEL)
    client.send(framed(flow, b"hello"), world.listener)
    assert await peer.receive() == b"hello"
    peer.send(b"hello", flow.relay)
    assert await client.receive() == framed(flow, b"hello")
    assert ridden(world, flow) == (1, 5, 1, 5, 0)
