"""The values that every part of the relay uses: addresses, packets, flows and their rules."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Literal, NamedTuple

Transport = Literal["udp", "tcp", "tls"]


class Address(NamedTuple):
    """A transport address. `ip` is 4 or 16 bytes in network order, so equal addresses are equal values."""

    ip: bytes
    port: int
    transport: Transport = "udp"

    @classmethod
    def of(cls, ip: str, port: int, transport: Transport = "udp") -> Address:
        """Make one from text. Raises ValueError if `ip` is not an IP address."""
        return cls(ip_address(ip).packed, port, transport)

    @property
    def host(self) -> str:
        """The IP address as text."""
        return str(ip_address(self.ip))

    def __str__(self) -> str:
        """Text for an operator's terminal. The relay's logs never contain an address."""
        host = self.host if len(self.ip) == 4 else f"[{self.host}]"
        return f"{self.transport}://{host}:{self.port}"


class Packet(NamedTuple):
    """One datagram. `local` is our address, never a wildcard; `remote` is the address of the client or peer.

    `dont_fragment` asks for the "don't fragment" bit on the way to a peer (RFC 8656 §14).
    """

    local: Address
    remote: Address
    data: bytes
    dont_fragment: bool = False


class Flow(NamedTuple):
    """One path through the relay, in both directions: from a client to a peer and back.

    `channel` is the channel number in front of the data between client and relay (RFC 8656 §12.4). It is
    None if that part of the path uses Send and Data indications. These name the peer as `shown`, where the
    client knows it by another address than we do: behind 1:1 NAT, another relayed address of ours.
    """

    client: Address
    listener: Address
    channel: int | None
    relay: Address
    peer: Address
    shown: Address | None = None

    @property
    def named(self) -> Address:
        """The peer as the client's indications name it."""
        return self.shown or self.peer


class Rule(NamedTuple):
    """What a linked flow may carry, and how fast.

    `media` is None if the flow may carry anything. Else it holds the streams that the gate has found to be
    encrypted, by SSRC and direction as in turn.wire.srtp; everything else is punted to the core. Of each
    stream, the engine shows the core one packet of some that it has carried.
    `packets` and `bits` are per second. All flows of one allocation, known by (client, listener), share
    them. 0 means no limit.
    """

    media: frozenset[int] | None = None
    packets: int = 0
    bits: int = 0


# A packet that a flow has carried, and its stream as in Rule.media. A bare tuple, because many are made.
Sample = tuple[Flow, int, bytes]


class Traffic(NamedTuple):
    """What one flow has carried to the peer (out) and to the client (in), and what its limits dropped."""

    packets_out: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    bytes_in: int = 0
    dropped: int = 0
