"""What a browser is told about our own STUN and TURN server: its addresses, and a credential for a while."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from turn.credentials import mint


class IceSettings(NamedTuple):
    """Where browsers reach the relay, the secret shared with it, and how long a credential is good. `ports`
    are UDP's."""

    host: str
    ports: tuple[int, ...]
    secret: bytes
    seconds: int
    tcp_ports: tuple[int, ...] = ()
    tls_ports: tuple[int, ...] = ()


class Ice:
    """The settings as they are now: a reload brings new ones."""

    def __init__(self, settings: IceSettings) -> None:
        self.settings = settings

    def servers(self, user: str, wall: float) -> dict[str, Any]:
        return ice_servers(self.settings, user, wall)


def ice_servers(settings: IceSettings, user: str, wall: float) -> dict[str, Any]:
    """An RTCConfiguration's `iceServers` for one user, good for `expires_in` seconds from `wall`."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    username, password = mint(settings.secret, user, int(wall) + settings.seconds)
    relay = {"urls": list(relay_urls(settings, host)), "username": username, "credential": password}
    stun = [f"stun:{host}:{port}" for port in settings.ports]
    servers = [{"urls": stun}, relay] if stun else [relay]
    return {"iceServers": servers, "expires_in": settings.seconds}


def relay_urls(settings: IceSettings, host: str) -> Iterator[str]:
    """The quickest way first (RFC 7065): TLS is for networks that let nothing else out."""
    for scheme, transport, ports in (
        ("turn", "udp", settings.ports),
        ("turn", "tcp", settings.tcp_ports),
        ("turns", "tcp", settings.tls_ports),
    ):
        yield from (f"{scheme}:{host}:{port}?transport={transport}" for port in ports)
