"""Who has a twin of the listener, and who does with the shared socket."""

from __future__ import annotations

import resource

from tests.turn.engines.world import World
from turn.engines.listener import MAX_TWINS, Listener
from turn.engines.portable import Portable

CHANNEL = 0x4000


async def test_a_twin_goes_to_the_client_that_waited_longest() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    async with World(Portable) as world:
        peer = world.end()
        flows = [world.link(world.end(), peer.address, CHANNEL) for _ in range(MAX_TWINS + 2)]
        listener = listener_of(world)
        assert len(listener.twins) == MAX_TWINS
        waiting = [client.address for client in listener.shared]
        assert waiting == [flow.client for flow in flows[-2:]]
        world.engine.unlink(flows[0])
        assert len(listener.twins) == MAX_TWINS
        assert [client.address for client in listener.shared] == waiting[1:]


def listener_of(world: World) -> Listener:
    assert isinstance(world.engine, Portable)
    listener = world.engine.listeners[world.listener]
    assert isinstance(listener, Listener)
    return listener
