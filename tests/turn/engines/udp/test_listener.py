"""The shared socket: which clients it serves itself, and how it ends."""

from __future__ import annotations

import pytest

from tests.turn.engines.listening import listener_of
from tests.turn.engines.world import World
from turn.engines.loop import sockets
from turn.engines.portable.engine import Portable
from turn.engines.udp.listener import MAX_CLIENT_SOCKETS

CHANNEL = 0x4000


@pytest.mark.parametrize(
    ("listen", "exclusive", "most"),
    [
        ("127.0.0.1", True, MAX_CLIENT_SOCKETS),
        ("127.0.0.1", False, 0),
        ("0.0.0.0", True, MAX_CLIENT_SOCKETS),
        ("0.0.0.0", False, MAX_CLIENT_SOCKETS),
    ],
)
async def test_client_sockets_move_no_unknown_client_to_others(
    listen: str, most: int, *, exclusive: bool
) -> None:
    def make(listeners, streams=None):  # type: ignore[no-untyped-def]
        return Portable(listeners, exclusive=exclusive)

    async with World(make, listen=listen) as world:
        assert listener_of(world).client_sockets.limit == most


@pytest.mark.parametrize("exclusive", [True, False])
async def test_what_a_new_client_socket_catches_may_be_for_others(*, exclusive: bool) -> None:
    def make(listeners, streams=None):  # type: ignore[no-untyped-def]
        return Portable(listeners, exclusive=exclusive)

    async with World(make, listen="0.0.0.0") as world:
        listener, stranger, holder = listener_of(world), world.end(), world.end()
        world.holding.add((holder.address, world.listener))
        for end in (stranger, holder):
            listener.epoll.body[:5] = b"hello"
            listener.client_sockets.on_stray(5, sockets.sockaddr(end.address), world.listener.ip)
        caught = [world.punted.get_nowait().remote for _ in range(world.punted.qsize())]
        assert caught == ([stranger.address, holder.address] if exclusive else [holder.address])
