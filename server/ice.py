"""What a browser is told about our own STUN and TURN server: its addresses, and a credential for a while."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from zlib import crc32

from turn.credentials import mint

# Browsers ask every relay in every way: this bounds how long they look for paths, and allocations.
# Two, for when one is down. But calls may go over to the other, and a relay that has not seen the beginning
# refuses them unless the descriptions were checked here, which the user's name tells.
CHECKED, RELAYS_OF_CHECKED, RELAYS = "c.", 2, 1


class IceSettings(NamedTuple):
    """Where browsers reach the relay, the secret shared with it, and how long a credential is good. `ports`
    are UDP's."""

    host: str
    ports: tuple[int, ...]
    secret: bytes
    seconds: int
    tcp_ports: tuple[int, ...] = ()
    tls_ports: tuple[int, ...] = ()
    more_hosts: tuple[str, ...] = ()  # of further relays with the same ports and the same secret

    @property
    def hosts(self) -> tuple[str, ...]:
        return (self.host, *self.more_hosts)


class IceServers:
    """The settings as they are now: a reload brings new ones."""

    def __init__(self, settings: IceSettings) -> None:
        self.settings = settings

    def servers(self, user: str, wall: float) -> dict[str, Any]:
        return ice_servers(self.settings, user, wall)


def ice_servers(settings: IceSettings, user: str, wall: float) -> dict[str, Any]:
    """An RTCConfiguration's `iceServers` for one user, good for `expires_in` seconds from `wall`."""
    username, password = mint(settings.secret, user, int(wall) + settings.seconds)
    hosts = chosen_hosts(settings.hosts, user)
    relay = {"urls": list(relay_urls(settings, hosts)), "username": username, "credential": password}
    stun = [f"stun:{place}" for place in host_ports(hosts, settings.ports)]
    servers = [{"urls": stun}, relay] if stun else [relay]
    return {"iceServers": servers, "expires_in": settings.seconds}


def chosen_hosts(hosts: Sequence[str], user: str) -> Sequence[str]:
    """Users are spread over the relays by their names, so that one user keeps the same ones."""
    first = crc32(user.encode()) % len(hosts)
    count = RELAYS_OF_CHECKED if user.startswith(CHECKED) else RELAYS
    return (*hosts[first:], *hosts[:first])[:count]


def relay_urls(settings: IceSettings, hosts: Sequence[str]) -> Iterator[str]:
    """The quickest way first (RFC 7065): TLS is for networks that let nothing else out."""
    for scheme, transport, ports in (
        ("turn", "udp", settings.ports),
        ("turn", "tcp", settings.tcp_ports),
        ("turns", "tcp", settings.tls_ports),
    ):
        yield from (f"{scheme}:{place}?transport={transport}" for place in host_ports(hosts, ports))


def host_ports(hosts: Iterable[str], ports: Iterable[int]) -> Iterator[str]:
    """Each port at each relay."""
    for port in ports:
        yield from (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in hosts)
