"""The settings of a relay: what the operator decided, and what is known of the machine."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field

from turn.flows import Address
from turn.gate.gate import Mode
from turn.limits.ledger import Ledger, LocalLedger
from turn.policies import Accounts, Limits, Peers, PeerTable, Users


@dataclass(frozen=True)
class Settings:
    """All but the first two have safe defaults. Without `users` nobody may relay."""

    nonce_key: bytes  # 32 random bytes, new at each start but one after a death
    choose: Callable[[int], int]  # secrets.randbelow: nobody must be able to guess relayed ports
    realm: str = "call"
    sha256: bool = False  # offer SHA-256 for passwords and signatures (RFC 8489 §9.2)
    behaviour_discovery: bool = False  # answer the requests of RFC 5780
    encrypted_only: Mode = "enforce"  # whether packets must be encrypted
    classic_stun: bool = False  # answer clients of RFC 3489, the first STUN
    strict_expiry: bool = False  # a user whose credentials have expired cannot refresh an allocation
    icmp_to_all: bool = False  # report ICMP errors to all clients, not only to those of RFC 8656
    users: Users = field(default_factory=Accounts)
    server_keys: tuple[bytes, ...] = ()  # one of them signs what our server tells; none: we hear nothing
    peers: Peers = field(default_factory=PeerTable)
    limits: Limits = field(default_factory=Limits)
    ports: tuple[int, int] = (49152, 65535)  # of relayed addresses, inclusive
    relay_addresses: tuple[bytes, ...] = ()  # if there are none: the address that the client sent to
    externals: Mapping[bytes, bytes] = field(default_factory=dict)  # local to public address (1:1 NAT)
    default_sources: frozenset[bytes] = frozenset()  # own addresses that packets to the Internet leave from
    unknown_families: frozenset[int] = (
        frozenset()
    )  # bytes of an address: there our public one is not known yet
    listeners: frozenset[Address] = frozenset()  # a wildcard stands here as every own address with its port
    own_addresses: frozenset[bytes] = frozenset()  # all addresses of this machine
    ledger: Ledger = field(default_factory=LocalLedger)  # where the use of limits is counted
    relayed_elsewhere: Container[Address] = frozenset()  # relayed addresses of other processes of ours
    many_processes: bool = False  # they share the clients: a client's next packet may come to another one
