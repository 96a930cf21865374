"""The nouns that every part of the relay shares: where packets come from, go to, and belong."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Literal, NamedTuple

Transport = Literal["udp", "tcp", "tls"]


class Address(NamedTuple):
    """A transport address. `ip` holds the 4 or 16 bytes in network order, so that equal means equal."""

    ip: bytes
    port: int
    transport: Transport = "udp"

    @classmethod
    def of(cls, ip: str, port: int, transport: Transport = "udp") -> Address:
        """From text. Raises ValueError for what is no IP address."""
        return cls(ip_address(ip).packed, port, transport)

    @property
    def host(self) -> str:
        """The IP address as text."""
        return str(ip_address(self.ip))

    def __str__(self) -> str:
        """For an operator's terminal; the relay's logs never hold an address."""
        host = self.host if len(self.ip) == 4 else f"[{self.host}]"
        return f"{self.transport}://{host}:{self.port}"


class Packet(NamedTuple):
    """One datagram: `here` is our own end and always concrete (never a wildcard), `there` the other's.

    `dont_fragment` asks for the bit of that name on its way to a peer (RFC 8656 §14).
    """

    local: Address
    remote: Address
    data: bytes
    dont_fragment: bool = False


class Flow(NamedTuple):
    """One path through the relay, both ways: client, listener, channel; relayed address, peer.

    `channel` is the number in front of the data on the client's leg (RFC 8656 §12.4), or None where the
    client's leg carries Send and Data indications instead.
    """

    client: Address
    listener: Address
    channel: int | None
    relay: Address
    peer: Address


class Rule(NamedTuple):
    """What a linked flow may carry, and how fast.

    `media`: None for anything, or the streams that passed the proof, by SSRC and direction as turn.wire.srtp
    names them: all else comes up. `packets` and `bits` are per second and
    shared by all flows of one allocation, which is (client, listener); 0 means no limit.
    """

    media: frozenset[int] | None = None
    packets: int = 0
    bits: int = 0


class Traffic(NamedTuple):
    """What one flow has carried: to the peer, to the client, and what its rule dropped."""

    packets_out: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    bytes_in: int = 0
    dropped: int = 0
