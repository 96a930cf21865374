"""Which pages may connect, which host names are ours, and the address of the client behind proxies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from starlette.types import Scope

from host.settings import HostPort, IPAddress
from server.config.addresses import parse_origin
from server.config.server import Server
from server.config.site import Site
from server.store import Network

LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
MAX_HOPS = 16  # proxies in a row; a longer list is forged


def origins_of(site: Site, server: Server) -> frozenset[str]:
    """The origins of pages that may connect. Without site.url: this machine's own, at the listening ports."""
    if site.url is not None:
        return frozenset((site.url, *site.more_urls))
    local = local_origins(server.tls_listen, "https") if server.tls_listen else local_origins(server.listen)
    return frozenset((*local, *site.more_urls))


def local_origins(listen: Iterable[HostPort], scheme: str = "http") -> list[str]:
    return [parse_origin(f"{scheme}://{host}:{port}") for _, port in listen for host in LOCAL_HOSTS]


def hosts_of(origins: Iterable[str]) -> dict[str, str]:
    """Each Host header that is ours -> the WebSocket origins of this host, for the content policy."""
    hosts: dict[str, str] = {}
    for origin in sorted(origins):
        parts = urlsplit(origin)
        socket = f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}"
        hosts[parts.netloc] = f"{hosts[parts.netloc]} {socket}" if parts.netloc in hosts else socket
    return hosts


def header(scope: Scope, name: bytes) -> str | None:
    """The value of a header that may appear once; None if it is absent or appears twice."""
    values = [value for key, value in scope["headers"] if key == name]
    return values[0].decode("latin-1") if len(values) == 1 else None


def cookie_values(scope: Scope, name: str) -> list[str]:
    """Every cookie of a name (RFC 6265 §4.2.1): a site of the same domain may have set another."""
    values = [value.decode("latin-1") for key, value in scope["headers"] if key == b"cookie"]
    pairs = [pair.strip().partition("=") for value in values for pair in value.split(";")]
    return [value for key, _, value in pairs if key == name]


def is_own_page(scope: Scope, origins: frozenset[str]) -> bool:
    """Whether the page that asks is ours, by its Origin header (RFC 6454 §6.2)."""
    return header(scope, b"origin") in origins


def client_of(scope: Scope, proxies: Sequence[Network]) -> IPAddress | None:
    """The address of the client: the peer, or what trusted proxies say, read from the right."""
    client = scope.get("client")
    address = parse_address(client[0]) if client else None
    if address is None or not is_proxy(address, proxies):
        return address
    for hop in reversed(forwarded_for(scope)[-MAX_HOPS:]):
        behind = parse_address(hop)
        if behind is None:
            return address
        address = behind
        if not is_proxy(address, proxies):
            return address
    return address


def forwarded_for(scope: Mapping[str, list[tuple[bytes, bytes]]]) -> list[str]:
    """The entries of all X-Forwarded-For headers, in order."""
    values = [value.decode("latin-1") for key, value in scope["headers"] if key == b"x-forwarded-for"]
    return [entry.strip() for value in values for entry in value.split(",")]


def parse_address(text: str) -> IPAddress | None:
    """An address without a port; IPv4 inside IPv6 becomes IPv4. None for anything else."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))  # without its zone
    return address


def is_proxy(address: IPAddress, proxies: Sequence[Network]) -> bool:
    return any(address in network for network in proxies)


class ExemptNetworks:
    """Networks without limits by address: proxies, behind each of which many people are, and those that the
    operator trusts. A reload may replace `trusted`."""

    def __init__(self, proxies: Sequence[Network] = (), trusted: Sequence[Network] = ()) -> None:
        self.proxies, self.trusted = proxies, trusted

    def includes(self, address: IPAddress) -> bool:
        return is_proxy(address, self.proxies) or any(address in network for network in self.trusted)
