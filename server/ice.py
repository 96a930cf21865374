"""What a browser is told about our STUN and TURN servers: addresses, and a credential for a while."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from zlib import crc32

from turn.credentials import mint

# A browser allocates at every relay over every transport, so it gets only a few relays. Two are better, in
# case one is down. A call may move to the other one, which has not seen its handshake. That relay takes it if
# we have checked its descriptions: all relays hear from us which calls these are.
RELAYS = 2


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

    @property
    def hosts(self) -> tuple[str, ...]:
        return (self.host, *self.more_hosts)


class IceServers:
    """The current settings: a reload replaces them."""

    def __init__(self, settings: IceSettings) -> None:
        self.settings = settings

    def current(self) -> IceSettings:
        return self.settings

    def servers(self, user: str, wall: float) -> dict[str, Any]:
        return ice_servers(self.settings, user, wall)

    def servers_for(self, user: str, wall: float, seconds: int) -> dict[str, Any]:
        """The same, with a credential that is valid for another time."""
        return ice_servers(self.settings._replace(seconds=seconds), user, wall)


def ice_servers(settings: IceSettings, user: str, wall: float) -> dict[str, Any]:
    """`iceServers` of an RTCConfiguration for one user, valid for `expires_in` seconds from `wall`."""
    username, password = mint(settings.secret, user, int(wall) + settings.seconds)
    hosts = chosen_hosts(settings.hosts, user)
    relay = {"urls": list(relay_urls(settings, hosts)), "username": username, "credential": password}
    stun = [f"stun:{place}" for place in host_ports(hosts, settings.ports)]
    servers = [{"urls": stun}, relay] if stun else [relay]
    return {"iceServers": servers, "expires_in": settings.seconds}


def chosen_hosts(hosts: Sequence[str], user: str) -> Sequence[str]:
    """Users are spread over the relays by their names: one user always gets the same ones."""
    first = crc32(user.encode()) % len(hosts)
    return (*hosts[first:], *hosts[:first])[:RELAYS]


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
