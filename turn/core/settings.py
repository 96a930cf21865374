"""What the relay is told at its start: an operator's decisions, and what is known of the machine."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field

from turn.flows import Address
from turn.gate.gate import Mode
from turn.limits.ledger import Ledger, LocalLedger
from turn.policies import Accounts, Limits, Peers, PeerTable, Users


@dataclass(frozen=True)
class Settings:
    """Everything but the first two has a safe default; without `keys` nobody may relay."""

    nonce_key: bytes  # 32 random bytes, new at each start
    choose: Callable[[int], int]  # secrets.randbelow: relayed ports must not be guessable
    realm: str = "call"
    sha256: bool = False  # offer stronger passwords and signatures (RFC 8489 §9.2)
    behaviour_discovery: bool = False  # answer as RFC 5780 says
    encrypted_only: Mode = "enforce"  # what may be carried
    classic_stun: bool = False  # answer clients of RFC 3489
    strict_expiry: bool = False  # who is no longer known keeps an allocation no longer than it was asked for
    icmp_to_all: bool = False  # also clients that show no sign of RFC 8656 hear what ICMP says of their peers
    users: Users = field(default_factory=Accounts)
    peers: Peers = field(default_factory=PeerTable)
    limits: Limits = field(default_factory=Limits)
    ports: tuple[int, int] = (49152, 65535)  # of relayed addresses, inclusive
    relay_addresses: tuple[bytes, ...] = ()  # none: the address that the client reached
    externals: Mapping[bytes, bytes] = field(default_factory=dict)  # local to public, one to one
    listeners: frozenset[Address] = frozenset()  # concrete: a wildcard is every own address at its port
    own_addresses: frozenset[bytes] = frozenset()  # every address of this machine
    ledger: Ledger = field(default_factory=LocalLedger)  # what limits are kept by
    relayed_elsewhere: Container[Address] = (
        frozenset()
    )  # relayed addresses that live in other processes of ours
    many_processes: bool = False  # processes that share the clients: one's packets may come to another
