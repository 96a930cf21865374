"""The contract between the relay's core and what moves its packets: every engine keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from socket import socket
from typing import NamedTuple, Protocol

from host.tls import Certificate
from turn.flows import Address, Flow, Packet, Rule, Sample, Traffic
from turn.limits.ledger import Ledger
from turn.policies import StrangerLimits

IN_ORDER = 1176  # bytes: with all headers and a fingerprint they fill an IPv6 packet that any path carries

Bind = Callable[[Address], socket]  # opens a listening socket at an address; raises OSError


class Streams(NamedTuple):
    """Settings for clients that connect over TCP and TLS, and for proxies.

    `Engine.reconfigure` changes the first four; the last three hold from the start on. `is_proxy` counts for
    UDP, too.

    Args:
        connections: how many connections there may be in all; 0 for no limit.
        per_address: how many connections one address may have; 0 for no limit (turn.limits.addresses).
        is_trusted: whether an IP address (4 or 16 bytes) has no limits by address.
        certificate: what TLS shows. A listener for TLS needs one.
        is_proxy: whether the proxy at an IP address is trusted; None: there are no proxies.
        detect_tls: whether a TCP listener speaks TLS to a client whose first byte is TLS.
        ledger: where connections are counted together with other processes; None: this process for itself.
    """

    connections: int = 0
    per_address: int = 0
    is_trusted: Callable[[bytes], bool] = lambda ip: False
    certificate: Certificate | None = None
    is_proxy: Callable[[bytes], bool] | None = None
    detect_tls: bool = False
    ledger: Ledger | None = None


class Failure(NamedTuple):
    """The network could not deliver a packet from a relayed address to a peer: ICMP type and code (RFC 8656
    §11.5), and how many bytes an IP packet may have where this one was too large, else 0."""

    relay: Address
    peer: Address
    kind: int
    code: int
    mtu: int


def raise_again(error: Exception) -> None:
    """Where nobody handles unexpected errors."""
    raise error


class Above(NamedTuple):
    """What an engine calls while it runs; the relay's core stands behind it.

    Args:
        punt: takes a packet that no flow claims. Its `local` is a concrete address: a listener's, if a client
            sent the packet; a relayed one, if a peer did.
        lost: told a client and its listener when the client's connection has ended, whichever side ended it,
            or when a proxy gives the client's port to another client.
        holds: whether a client has an allocation at a listener. The engine remembers by which proxy such a
            client comes.
        failed: told of a packet to a peer that could not be delivered, perhaps long after it was sent.
        unexpected: told of an error that no code expected. It costs the packet, or the connection, that met
            it, and ends nothing else.
        inspect: takes copies of packets that flows have carried, soon after they were sent: one of each 19 to
            26 packets of each stream that a rule names.
    """

    punt: Callable[[Packet], None]
    lost: Callable[[Address, Address], None] = lambda client, listener: None
    holds: Callable[[Address, Address], bool] = lambda client, listener: False
    failed: Callable[[Failure], None] = lambda failure: None
    unexpected: Callable[[Exception], None] = raise_again
    inspect: Callable[[Sequence[Sample]], None] = lambda samples: None


NOT_RUNNING = Above(lambda packet: None)


class CannotListen(Exception):
    """No socket can listen at this address; `reason` is the system's error."""

    def __init__(self, address: Address, reason: OSError) -> None:
        super().__init__(f"cannot listen at {address}: {reason.strerror}")
        self.address = address
        self.reason = reason


class Engine(Protocol):
    """Moves packets. It knows frames and flows, and never what a STUN message says.

    All methods but `run` are synchronous, and are called in the event loop that runs `run`, also from within
    `Above.punt`. What an engine carries for a linked flow is ChannelData of the flow's number, or a Send
    indication to the peer as the flow names it, which holds nothing but XOR-PEER-ADDRESS, DATA and perhaps
    FINGERPRINT. Everything else from the client is punted, malformed frames too. What a flow carries keeps
    its order, except that packets with more than IN_ORDER bytes of data may be overtaken, and in the kernel
    one of 65,536. A client that uses TCP or TLS is one connection, and is lost with it. Its frames are cut
    from the stream, and padded in it.

    The constructor's arguments are: the addresses to listen at, a Streams, a Bind, and whether the engine is
    `exclusive`; it is not where other processes listen at the same addresses for good. The constructor raises
    CannotListen and BadCertificate.

    See: RFC 8656 §11.2 and §12.6 (what is carried), §12.5 (frames in a stream).
    """

    name: str  # shown in the start-up line and in the metrics
    reason: str  # why it was taken instead of a faster one; empty: nobody asked for another

    async def run(self, above: Above) -> None:
        """Move packets until cancelled, then close every socket.

        Args:
            above: what gets the packets that no flow claims, and hears of clients that are lost.
        """

    def reconfigure(self, streams: Streams) -> None:
        """Use other settings for clients that connect from now on; calls go on.

        Args:
            streams: the new settings. Without a certificate, the old one stays.

        Raises:
            BadCertificate: the certificate cannot be used; nothing changes.
        """

    def open(self, relay: Address) -> bool:
        """Bind a relayed address.

        Args:
            relay: a concrete address of this machine, with its UDP port.

        Returns:
            False if another socket of this machine has the address, or the system has no socket left.
        """

    def close(self, relay: Address) -> None:
        """Give back a relayed address, and unlink the flows through it.

        Args:
            relay: an address that was opened. Of another one: nothing happens.
        """

    def link(self, flow: Flow, rule: Rule) -> None:
        """Carry a flow both ways without asking. Of a linked flow: only the rule changes.

        Another flow with the same relayed address and peer, or whose frames would be the same (by client and
        channel, or client and name of the peer), is unlinked.
        Where the peer is itself a relayed address of this engine, packets go from client to client in one hop
        as soon as both directions are linked, and never through the kernel. Then both rules must allow a
        packet, or the sender's frame is punted; and it is the sender's flow whose packets are shown.

        Args:
            flow: what to carry. Its packets are still punted where its relayed address is not open, or the
                engine cannot keep the rule.
            rule: which media streams are carried, and how many packets and bits per second. Streams that the
                rule does not name are punted.
        """

    def unlink(self, flow: Flow) -> Traffic:
        """Punt a flow's packets again.

        Args:
            flow: a linked flow. Of another one: nothing happens.

        Returns:
            What the flow has carried in all, zeros for a flow that is not linked. No packet is carried after
            it was counted.
        """

    def pin(self, client: Address, listener: Address) -> None:
        """Make sure that a client's packets still come here when other processes listen at the same address.

        This may cost a socket for each client, beyond all limits. Where the system has none left, another
        process may get the client's packets.

        Args:
            client: the client, with linked flows or without.
            listener: the concrete address of ours that the client sends to.
        """

    def unpin(self, client: Address, listener: Address) -> None:
        """Undo `pin`.

        Args:
            client: a pinned client. Of another one: nothing happens.
            listener: as for `pin`.
        """

    def stop_listening(self) -> None:
        """Take no new clients, whether other processes listen at the same addresses or not.

        Those that wait already are still served; connections and pinned clients go on. Called again: nothing
        happens.
        """

    def send(self, batch: Sequence[Packet]) -> None:
        """Send each packet from its `local` to its `remote`.

        What the kernel refuses is dropped. A packet to a relayed address of this engine is delivered inside:
        by the flow that claims it, or it is punted. A packet that must not be fragmented and is too large is
        reported to `Above.failed`, in the loop's next turn.

        Args:
            batch: from listeners to clients, and from relayed addresses to peers.

        See: RFC 8656 §14 (Don't Fragment).
        """

    def traffic(self) -> Mapping[Flow, Traffic]:
        """What each linked flow has carried.

        Returns:
            A live view, in packets and bytes.
        """

    def rode(self) -> int:
        """How many packets linked flows have carried in the kernel, past this process.

        Returns:
            A number that never falls: of all flows since the start, and as `traffic` counts them.
        """

    def answer_bindings(self, limits: StrangerLimits | None) -> None:
        """Answer Binding requests of UDP clients without asking, as the core would, where the engine can.

        What it answers or refuses so is not punted. A request that it cannot answer counts for the limits,
        too, where the core would count it.

        Args:
            limits: how often strangers are answered; None: all are punted.

        See: RFC 8489 §6.3.1.
        """

    def answered(self) -> Mapping[str, int]:
        """How many strangers' requests the engine has answered and refused.

        Returns:
            The numbers since the start, by the names by which the core counts the same. They never fall.
        """

    def refused_connections(self) -> Mapping[str, int]:
        """How many connections were refused.

        Returns:
            A live view: the count by the name of the limit that was met.
        """
