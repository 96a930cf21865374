"""Which users may relay, to which peers, and how much: small policies with safe defaults."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import NamedTuple, Protocol

from turn.credentials import expiry_of, is_live, passwords_for, user_of


class Network(NamedTuple):
    """A range of addresses, as bytes: bytes of equal length compare as numbers do."""

    first: bytes
    last: bytes

    @classmethod
    def of(cls, text: str) -> Network:
        """Make one from text such as 10.1.0.0/16. Raises ValueError if it is not a network."""
        network = ip_network(text)
        return cls(network.network_address.packed, network.broadcast_address.packed)

    def __contains__(self, ip: object) -> bool:
        return isinstance(ip, bytes) and len(ip) == len(self.first) and self.first <= ip <= self.last


def networks(text: str) -> tuple[Network, ...]:
    """The networks in a text, separated by spaces."""
    return tuple(Network.of(word) for word in text.split())


LOOPBACK = networks("127.0.0.0/8 ::1/128")

# Never a peer, even if an operator allows it: this host and network, multicast, cloud metadata, and the IPv6
# forms of an IPv4 address (mapped, compatible, translated, NAT64, 6to4, Teredo), which would get past the
# tables of IPv4 addresses.
NEVER = networks(
    "0.0.0.0/8 224.0.0.0/4 255.255.255.255/32 169.254.169.254/32"
    " ::/96 ::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 2001::/32 2002::/16"
    " ff00::/8 fd00:ec2::254/128"
)

# Not the public Internet (IANA's special-purpose registries, and other ranges where no browser can be).
SPECIAL = networks(
    "10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24"
    " 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15"
    " 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4"
    " ::/3 4000::/2 8000::/1"  # only 2000::/3 of IPv6 is routed on the public Internet
    " 2001::/23 2001:db8::/32 2620:4f:8000::/48 3fff::/20"
)

ISATAP = (bytes.fromhex("00005efe"), bytes.fromhex("02005efe"))  # an IPv4 address follows (RFC 5214 §6.1)


class AddressSet:
    """A set of addresses, looked up by bisection."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._firsts: dict[int, list[bytes]] = {4: [], 16: []}
        self._lasts: dict[int, list[bytes]] = {4: [], 16: []}
        for first, last in sorted(networks):
            self._add(self._firsts[len(first)], self._lasts[len(first)], first, last)

    @staticmethod
    def _add(firsts: list[bytes], lasts: list[bytes], first: bytes, last: bytes) -> None:
        if lasts and first <= lasts[-1]:
            lasts[-1] = max(lasts[-1], last)
            return
        firsts.append(first)
        lasts.append(last)

    def __contains__(self, ip: bytes) -> bool:
        at = bisect_right(self._firsts[len(ip)], ip) - 1
        return at >= 0 and ip <= self._lasts[len(ip)][at]


class Peers(Protocol):
    """Which peers packets may be sent to. The relay checks its own addresses itself."""

    def allows(self, ip: bytes) -> bool:
        """Whether packets may be sent to this address."""


class PeerTable:
    """The public Internet, and what an operator allows and denies."""

    def __init__(
        self, allow: Iterable[Network] = (), deny: Iterable[Network] = (), *, loopback: bool = False
    ) -> None:
        self._loopback = AddressSet(LOOPBACK if loopback else ())
        self._never = AddressSet((*NEVER, *LOOPBACK, *deny))
        self._allowed = AddressSet(allow)
        self._special = AddressSet(SPECIAL)

    def allows(self, ip: bytes) -> bool:
        if ip in self._loopback:
            return True
        if ip in self._never or self._carries_denied(ip):
            return False
        return ip in self._allowed or ip not in self._special

    def _carries_denied(self, ip: bytes) -> bool:
        return len(ip) == 16 and ip[8:12] in ISATAP and not self.allows(ip[12:])


class Login(NamedTuple):
    """The passwords of a username, any of which is right, and the `user` that limits count."""

    user: str
    passwords: tuple[str, ...]


class Users(Protocol):
    """Which users may relay."""

    def login(self, username: str, wall: float) -> Login | None:
        """None if the name is unknown or has expired at `wall`, in seconds since 1970."""

    def guessed_name(self, username: str) -> str | None:
        """The name that a wrong password for this one counts for; None: it is minted, not chosen."""

    def names(self) -> Iterable[str]:
        """The names that a client may give as a hash (USERHASH, RFC 8489 §14.4)."""


@dataclass(frozen=True)
class Accounts:
    """Static users with passwords, and time-limited ones under any of the secrets. The default is no user.

    `spellings` are other forms in which clients may write the names of static users, with these names.
    """

    static: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[bytes, ...] = ()
    spellings: Mapping[str, str] = field(default_factory=dict)

    def login(self, username: str, wall: float) -> Login | None:
        name = self.spellings.get(username, username)
        if name in self.static:
            return Login(name, (self.static[name],))
        if self.secrets and is_live(username, wall):
            return Login(user_of(username), passwords_for(username, self.secrets))
        return None

    def guessed_name(self, username: str) -> str | None:
        name = self.spellings.get(username, username)
        return name if name in self.static or expiry_of(name) is None else None

    def names(self) -> Iterable[str]:
        return self.static


@dataclass(frozen=True)
class Limits:
    """How much may be used; 0 means no limit. `trusted` networks have no limits per address."""

    allocations_per_user: int = 24
    allocations_per_address: int = 200
    allocations: int = 4000
    packets_per_second: int = 2500
    bits_per_second: int = 10_000_000
    unauthenticated_per_second: int = 50
    unauthenticated_in_all: int = 10_000
    wrong_passwords: int = 5
    new_peers_per_second: int = 5
    permissions: int = 64
    channels: int = 64
    connections: int = 5000
    connections_per_address: int = 400
    trusted: tuple[Network, ...] = ()

    def is_trusted(self, ip: bytes) -> bool:
        return bool(self.trusted) and any(ip in network for network in self.trusted)


class StrangerLimits(NamedTuple):
    """How many answers a sender gets over UDP that has not shown yet that it reads them; a rate of 0 is no
    limit. Networks are counted as in turn.limits.addresses.

    Args:
        per_second: for each network.
        burst: the most for each network at once.
        in_all: for all networks together in a second, and at once.
        trusted: networks without limits.
    """

    per_second: float
    burst: float
    in_all: float
    trusted: tuple[Network, ...] = ()
