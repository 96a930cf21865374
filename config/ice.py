"""What the page must know about the relay, from the section `turn:`."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from config.file import Config
from server.ice import IceSettings
from turn.config.section import Turn
from turn.flows import Address

LOCAL = "127.0.0.1"
HTTPS = 443


def ice_settings(config: Config, secret: bytes) -> IceSettings:
    """Where browsers find the relay, and the secret for their credentials."""
    turn = config.turn
    udp, tcp = (tuple(here for here in turn.listen if here.transport == kind) for kind in ("udp", "tcp"))
    tls = tuple(here for here in turn.listen if speaks_tls(here, turn))
    seconds, through_tls = (
        turn.credential_seconds,
        tuple(dict.fromkeys((*page_ports(config), *port_numbers(tls)))),
    )
    host, more = relay_host(config), tuple(relay.host for relay in turn.more_hosts)
    ports = port_numbers(udp), secret, seconds, port_numbers(tcp), through_tls
    near = {host: turn.countries, **{one.host: one.countries for one in turn.more_hosts}}
    return IceSettings(
        host, *ports, more, served_here(turn), {one: frozenset(codes) for one, codes in near.items()}
    )


def served_here(turn: Turn) -> frozenset[bytes]:
    """The addresses at which the relay on this machine is reached, if there is one; zeros mean every one."""
    public = (pair.public.packed for pair in turn.external_ip if pair.public)
    return frozenset((*(listener.ip for listener in turn.listen), *public))


def page_ports(config: Config) -> tuple[int, ...]:
    """The ports of the server that also take TURN clients: those of the page, if the relay has its name."""
    url = urlsplit(config.site.url) if config.site.url else None
    if not config.server.tls_listen or (config.turn.host and (not url or config.turn.host != url.hostname)):
        return ()
    return (url.port or HTTPS,) if url else tuple(dict.fromkeys(at.port for at in config.server.tls_listen))


def port_numbers(listeners: Iterable[Address]) -> tuple[int, ...]:
    """The ports, each only once."""
    return tuple(dict.fromkeys(here.port for here in listeners))


def speaks_tls(listener: Address, turn: Turn) -> bool:
    return listener.transport == "tls" or (turn.detect_tls and listener.transport == "tcp")


def relay_host(config: Config) -> str:
    """turn.host, or else the host of site.url, or else the first address in turn.listen."""
    if config.turn.host:
        return config.turn.host
    if config.site.url:
        return urlsplit(config.site.url).hostname or LOCAL
    first = config.turn.listen[0].host
    return LOCAL if ip_address(first).is_unspecified else first
