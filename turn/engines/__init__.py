"""What moves packets: the contract that every engine keeps, and the list of engines, best first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from turn.flows import Address, Flow, Packet, Rule, Traffic

Punt = Callable[[Packet], None]


class Engine(Protocol):
    """Moves packets; knows frames and flows, never what a STUN message says.

    All verbs are synchronous and are called from the thread that runs `run`.
    """

    name: str  # shown in the start-up line and in the metrics

    async def run(self, punt: Punt) -> None:
        """Move packets until cancelled; what no flow claims is punted: from a client, `packet.here` is a
        listener's concrete address; from a peer, a relayed address."""

    def open(self, relay: Address) -> bool:
        """Take a relayed address, plain: False if anybody on this machine has it already."""

    def close(self, relay: Address) -> None:
        """Give it back and forget the flows through it. Of an address that is not open: nothing happens."""

    def link(self, flow: Flow, rule: Rule) -> None:
        """Carry this flow both ways without asking. Again: the new rule, nothing else changes.

        Where the peer is itself a relayed address of this engine, packets go from client to client in one
        hop as soon as both directions are linked, and never through the kernel.
        """

    def unlink(self, flow: Flow) -> None:
        """Punt this flow's packets again. Of a flow that is not linked: nothing happens."""

    def send(self, batch: Sequence[Packet]) -> None:
        """Send each packet from `here` to `there`; what the kernel refuses is dropped. A packet to a
        relayed address of this engine is handed over inside: through a flow that claims it, else punted."""

    def traffic(self) -> Mapping[Flow, Traffic]:
        """A live view of what each linked flow has carried."""
