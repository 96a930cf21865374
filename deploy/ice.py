"""What the page is told about the relay, from the relay's section: the one place where the two meet."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from config import Config
from server.ice import IceSettings

LOCAL = "127.0.0.1"


def ice_settings(config: Config, secret: bytes) -> IceSettings:
    """Where browsers find the relay and what their credentials are made with."""
    ports = {
        transport: tuple(
            dict.fromkeys(here.port for here in config.turn.listen if here.transport == transport)
        )
        for transport in ("udp", "tcp", "tls")
    }
    seconds = config.turn.credential_seconds
    return IceSettings(relay_host(config), ports["udp"], secret, seconds, ports["tcp"], ports["tls"])


def relay_host(config: Config) -> str:
    """turn.host, else the host of site.url, else the first address that the relay listens at."""
    if config.turn.host:
        return config.turn.host
    if config.site.url:
        return urlsplit(config.site.url).hostname or LOCAL
    first = config.turn.listen[0].host
    return LOCAL if ip_address(first).is_unspecified else first
