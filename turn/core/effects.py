"""All that the core may ask of an engine."""

from __future__ import annotations

from typing import NamedTuple

from turn.flows import Address, Flow, Packet, Rule


class Open(NamedTuple):
    """Open this relayed address. The answer comes back through `Relay.opened`."""

    relay: Address


class Close(NamedTuple):
    """Close this relayed address, and forget the flows through it."""

    relay: Address


class Link(NamedTuple):
    """Carry this flow from now on without asking. If it is linked already, the new rule replaces the old."""

    flow: Flow
    rule: Rule


class Unlink(NamedTuple):
    """Stop carrying this flow: its packets are punted to the core again."""

    flow: Flow


class Pin(NamedTuple):
    """This client has an allocation now: what it sends to this listener must come to this process."""

    client: Address
    listener: Address


class Unpin(NamedTuple):
    """This client has no allocation any more: its packets may go to any process."""

    client: Address
    listener: Address


class Send(NamedTuple):
    """Send this packet from `packet.local` to `packet.remote`."""

    packet: Packet


Effect = Open | Close | Link | Unlink | Pin | Unpin | Send
