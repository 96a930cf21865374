"""What a browser is told about our STUN and TURN servers: addresses, and a credential for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple
from zlib import crc32

from turn.credentials import mint

# A browser allocates at every relay over every transport, so it gets only a few relays. Two are better, in
# case one is down. A call may move to the other one, which has not seen its handshake. That relay takes it if
# we have checked its descriptions: all relays hear from us which calls these are.
RELAYS = 2

Countries = Mapping[str, frozenset[str]]  # of the visitors that each host is near to
NOWHERE: Countries = MappingProxyType({})


class IceSettings(NamedTuple):
    """Where browsers reach the relay, the secret that we share with it, and how many seconds a credential is
    valid. `ports` are UDP ports."""

    host: str
    ports: tuple[int, ...]
    secret: bytes
    seconds: int
    tcp_ports: tuple[int, ...] = ()
    tls_ports: tuple[int, ...] = ()
    more_hosts: tuple[str, ...] = ()  # more relays, with the same ports and the same secret
    served_here: frozenset[bytes] = (
        frozenset()
    )  # addresses of the relay on this machine; zeros: all there are
    near: Countries = NOWHERE

    @property
    def hosts(self) -> tuple[str, ...]:
        return (self.host, *self.more_hosts)


class IceServers:
    """The current settings: a reload replaces them. `lives` says of a host whether its relay answers."""

    def __init__(self, settings: IceSettings, lives: Callable[[str], bool] = lambda host: True) -> None:
        self.settings, self.lives = settings, lives

    def current(self) -> IceSettings:
        return self.settings

    def relays(self, user: str, country: str | None) -> tuple[str, ...]:
        """The hosts of the relays for one user in a country (None: it is not known)."""
        return chosen_hosts(self.settings, user, country, self.lives)

    def servers(self, user: str, hosts: Sequence[str], wall: float) -> dict[str, Any]:
        return ice_servers(self.settings, user, hosts, wall)

    def servers_for(self, user: str, wall: float, seconds: int) -> dict[str, Any]:
        """The same where no country is known, with a credential that is valid for another time."""
        return ice_servers(self.settings._replace(seconds=seconds), user, self.relays(user, None), wall)


def ice_servers(settings: IceSettings, user: str, hosts: Sequence[str], wall: float) -> dict[str, Any]:
    """`iceServers` of an RTCConfiguration for one user at these relays, valid for `expires_in` seconds from
    `wall`."""
    username, password = mint(settings.secret, user, int(wall) + settings.seconds)
    relay = {"urls": list(relay_urls(settings, hosts)), "username": username, "credential": password}
    stun = [f"stun:{place}" for place in host_ports(hosts, settings.ports)]
    servers = [{"urls": stun}, relay] if stun else [relay]
    return {"iceServers": servers, "expires_in": settings.seconds}


def chosen_hosts(
    settings: IceSettings, user: str, country: str | None, lives: Callable[[str], bool]
) -> tuple[str, ...]:
    """The nearest that live; if none does, then of all: perhaps it is we who are cut off.

    Users are spread over relays that are equally near by their names: one user gets the same ones again.
    """
    hosts = settings.hosts
    first = crc32(user.encode()) % len(hosts)
    turned = (*hosts[first:], *hosts[:first])
    living = [host for host in turned if lives(host)]
    return tuple(sorted(living or turned, key=lambda host: distance(settings.near, host, country)))[:RELAYS]


def distance(near: Countries, host: str, country: str | None) -> int:
    """0: it is near to this country; 1: it is for everybody; 2: it is near to others."""
    countries = near.get(host)
    if not countries:
        return 1
    return 0 if country in countries else 2


def relay_urls(settings: IceSettings, hosts: Sequence[str]) -> Iterator[str]:
    """The fastest first (RFC 7065): TLS is for networks that block everything else."""
    for scheme, transport, ports in (
        ("turn", "udp", settings.ports),
        ("turn", "tcp", settings.tcp_ports),
        ("turns", "tcp", settings.tls_ports),
    ):
        yield from (f"{scheme}:{place}?transport={transport}" for place in host_ports(hosts, ports))


def host_ports(hosts: Iterable[str], ports: Iterable[int]) -> Iterator[str]:
    """HOST:PORT for each port of each relay."""
    for port in ports:
        yield from (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in hosts)
