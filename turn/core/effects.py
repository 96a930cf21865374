"""What the core may ask of an engine: the whole list."""

from __future__ import annotations

from typing import NamedTuple

from turn.flows import Address, Flow, Packet, Rule


class Open(NamedTuple):
    """Take this relayed address; the answer comes back through `Relay.opened`."""

    relay: Address


class Close(NamedTuple):
    """Give this relayed address back, and forget the flows through it."""

    relay: Address


class Link(NamedTuple):
    """Carry this flow from now on without asking; again with another rule: the new rule holds."""

    flow: Flow
    rule: Rule


class Unlink(NamedTuple):
    """Carry this flow no longer: its packets come up to the core again."""

    flow: Flow


class Pin(NamedTuple):
    """This client has an allocation from now on: what it sends to this listener must come to us."""

    client: Address
    listener: Address


class Unpin(NamedTuple):
    """It has none any more: a stranger again."""

    client: Address
    listener: Address


class Send(NamedTuple):
    """Send this packet from `packet.here` to `packet.there`."""

    packet: Packet


Effect = Open | Close | Link | Unlink | Pin | Unpin | Send
