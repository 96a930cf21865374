"""What moves packets: the contract that every engine keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from socket import socket
from typing import NamedTuple, Protocol

from host.tls import Certificate
from turn.flows import Address, Flow, Packet, Rule, Traffic
from turn.limits.ledger import Ledger

Bind = Callable[[Address], socket]  # a socket that clients are met at; raises OSError


class Streams(NamedTuple):
    """What holds for clients that come over TCP and TLS: how many connections in all and of one address (0:
    no limit), what an address counts as (None: not at all), and what TLS shows. From the start on, and for
    UDP too: who is a proxy (None: nobody), whether TLS is spoken to who begins with it over TCP, and where
    connections are counted (None: by each engine for itself)."""

    connections: int = 0
    per_address: int = 0
    counted_as: Callable[[bytes], bytes | None] = lambda ip: ip
    certificate: Certificate | None = None
    is_proxy: Callable[[bytes], bool] | None = None
    detect_tls: bool = False
    ledger: Ledger | None = None


class Failure(NamedTuple):
    """What came back for a packet that went, or should have gone, from a relayed address to a peer: ICMP type
    and code (RFC 8656 §11.5), and how large an IP packet may be where this one was too large, else 0."""

    relay: Address
    peer: Address
    kind: int
    code: int
    mtu: int


def raise_again(error: Exception) -> None:
    """Where nobody hears of what no code expected."""
    raise error


class Above(NamedTuple):
    """Whom an engine tells while it runs, and asks.

    `punt`: a packet that no flow claims; from a client, its `here` is a listener's concrete address; from a
    peer, a relayed address. `lost`: a client and the listener that it came in by; whoever ends a connection,
    or has it ended, is lost, and so is a client of a proxy that gives its port to another. `holds` asks
    whether a client has something at a listener: of those who do it is not forgotten by which proxy they
    come. `failed`: a packet to a peer that the network gives back, perhaps one that was sent long ago.
    `mishap`: an error that no code expected; it costs the packet that met it, or the connection, and ends
    nothing else.
    """

    punt: Callable[[Packet], None]
    lost: Callable[[Address, Address], None] = lambda client, listener: None
    holds: Callable[[Address, Address], bool] = lambda client, listener: False
    failed: Callable[[Failure], None] = lambda failure: None
    unexpected: Callable[[Exception], None] = raise_again


NOT_RUNNING = Above(lambda packet: None)


class CannotListen(Exception):
    """An address that cannot be listened at; `reason` is the system's."""

    def __init__(self, address: Address, reason: OSError) -> None:
        super().__init__(f"cannot listen at {address}: {reason.strerror}")
        self.address = address
        self.reason = reason


class Engine(Protocol):
    """Moves packets; knows frames and flows, never what a STUN message says.

    All verbs but `run` are synchronous and are called in the loop that runs `run`, also from within `punt`.
    A linked flow's media is ChannelData of its number, or a Send indication to its peer of nothing but
    XOR-PEER-ADDRESS, DATA and perhaps FINGERPRINT; whatever else its client sends, malformed frames too, is
    punted. A client that comes over TCP or TLS is one connection, and is lost with it; its frames are cut
    from the stream and padded in it (RFC 8656 §12.5). The constructor takes the addresses to listen at, what
    holds for streams, how a socket is bound, and whether it is alone: False where others listen at the same
    addresses for good. It raises CannotListen and BadCertificate.
    """

    name: str  # shown in the start-up line and in the metrics

    async def run(self, above: Above) -> None:
        """Move packets until cancelled. Cancelled: every socket is closed."""

    def reconfigure(self, streams: Streams) -> None:
        """Let this hold for who connects from now on; calls go on. Raises BadCertificate: nothing changes."""

    def open(self, relay: Address) -> bool:
        """Take a relayed address, plain: False if anybody on this machine has it already, or the system has
        no room for it."""

    def close(self, relay: Address) -> None:
        """Give it back and forget the flows through it. Of an address that is not open: nothing happens."""

    def link(self, flow: Flow, rule: Rule) -> None:
        """Carry this flow both ways without asking. Again: the new rule, nothing else changes.

        A flow of the same relayed address and peer, or of the same client and channel, is unlinked for it. A
        rule that the engine cannot keep, or a relayed address that is not open: the flow stays punted. What
        the rule's media does not name is punted by itself: where two flows meet, both rules are asked, and
        the sender's frame is punted.
        Where the peer is itself a relayed address of this engine, packets go from client to client in one
        hop as soon as both directions are linked, and never through the kernel.
        """

    def unlink(self, flow: Flow) -> None:
        """Punt this flow's packets again. Of a flow that is not linked: nothing happens."""

    def pin(self, client: Address, listener: Address) -> None:
        """Others listen at this listener too, or soon: what this client sends goes on coming here, whether it
        has a linked flow or not. Each may cost a socket, beyond all limits; where the system has none left,
        the client may be lost to the others."""

    def unpin(self, client: Address, listener: Address) -> None:
        """No longer so. Of a client that is not kept: nothing happens."""

    def stop_listening(self) -> None:
        """Listen no longer, while others do or nobody: who waits is still met, connections and kept clients
        go on. Again: nothing happens."""

    def send(self, batch: Sequence[Packet]) -> None:
        """Send each packet from `here` to `there`; what the kernel refuses is dropped. A packet to a
        relayed address of this engine is handed over inside: through a flow that claims it, else punted.
        One that must not be fragmented and is too large has failed; that is told in the loop's next turn."""

    def traffic(self) -> Mapping[Flow, Traffic]:
        """A live view of what each linked flow has carried."""

    def refused_connections(self) -> Mapping[str, int]:
        """How many connections were not let in, by the limit that they met."""
