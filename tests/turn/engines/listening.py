"""What the engine under test listens with, by its type."""

from __future__ import annotations

from tests.turn.engines.world import (
    World,
)
from turn.engines.portable.engine import Portable
from turn.engines.tcp.acceptor import Acceptor
from turn.engines.udp.listener import UdpListener


def door_of(world: World) -> Acceptor:
    engine = world.engine
    assert isinstance(engine, Portable)
    door = engine.listeners[world.listener]
    assert isinstance(door, Acceptor)
    return door


def listener_of(world: World) -> UdpListener:
    assert isinstance(world.engine, Portable)
    listener = world.engine.listeners[world.listener]
    assert isinstance(listener, UdpListener)
    return listener
