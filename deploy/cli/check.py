"""`calln check`: shows what a configuration means, and warns of what may be wrong."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from config.file import Config
from config.ice import relay_host
from config.ice_tokens import read_ice_tokens
from config.look import read_look
from config.password import read_site_password
from config.secrets import lacks_secret, turn_secret
from host.settings import HostPort
from server.store.geo import open_database
from server.web.promise import promises

CHALLENGE_BYTES = 52  # a 401 reply without the text of its realm: header 20, ERROR-CODE 8, NONCE 20, REALM 4
SMALLEST_ALLOCATE = 28  # bytes of Chromium's first Allocate, the smallest request of an unknown client


def run(config: Config) -> int:
    """Print the report; no file is written. Raises ConfigError and GeoError."""
    if not lacks_secret(config):
        turn_secret(config)
    read_site_password(config)
    read_ice_tokens(config)
    read_look(config)
    for name, value in summary(config):
        print(f"  {name:<10} {value}")
    for warning in warnings(config):
        print(f"  warning    {warning}")
    print("The configuration is valid.")
    return 0


def summary(config: Config) -> Iterator[tuple[str, str]]:
    turn = config.turn
    host = relay_host(config)
    yield "page", page_url(config)
    yield "http", ", ".join(map(host_port, config.server.listen))
    if config.server.tls_listen:
        yield "https", ", ".join(map(host_port, config.server.tls_listen))
    yield "relay", f"{host}, listening at {', '.join(str(address) for address in turn.listen)}"
    yield "ports", f"udp {turn.relay_ports.low}-{turn.relay_ports.high} for relayed addresses"
    yield "carries", f"{promises()[turn.encrypted_only].short} (turn.encrypted_only: {turn.encrypted_only})"
    if config.server.ice_api.token_file:
        yield "ice_api", f"{page_url(config)}/ice, for other web applications that know the token"
    yield "countries", country_source(config)
    yield "state", state_folder(config)


def page_url(config: Config) -> str:
    """The address that visitors open."""
    secure = config.server.tls_listen
    own = f"https://{host_port(secure[0])}" if secure else f"http://{host_port(config.server.listen[0])}"
    return config.site.url or own


def host_port(listen: HostPort) -> str:
    return f"[{listen.host}]:{listen.port}" if ":" in listen.host else f"{listen.host}:{listen.port}"


def country_source(config: Config) -> str:
    if config.geo.database is None:
        return "unknown, because geo.database is not set; visitors cannot choose a country"
    return f"from {open_database(config.geo.database).path}"


def state_folder(config: Config) -> str:
    """The state folder, and what the first start will make in it."""
    folder = config.site.state_dir
    missing = ["this folder"] * (not folder.exists()) + ["a secret"] * lacks_secret(config)
    return f"{folder} ({' and '.join(missing)} will be made at the first start)" if missing else str(folder)


def warnings(config: Config) -> Iterator[str]:
    turn = config.turn
    challenge = CHALLENGE_BYTES + -(-len(turn.realm.encode()) // 4) * 4
    if challenge > 2 * SMALLEST_ALLOCATE:
        yield (
            f"turn.realm: with {turn.realm!r} a request of {SMALLEST_ALLOCATE} bytes from anybody gets a "
            f"reply of {challenge} bytes; use a realm of 4 letters or fewer, so that it is only twice as "
            "large"
        )
    for pair in turn.external_ip:
        if pair.public and not pair.public.is_global:
            yield f"turn.external_ip: {pair.public} is a private address; other networks cannot reach it"
    if turn.allow_peers:
        reachable = ", ".join(map(str, turn.allow_peers))
        yield f"turn.allow_peers: every visitor can reach {reachable} through the relay"
    if turn.allow_loopback_peers:
        yield "turn.allow_loopback_peers: visitors can reach this machine's local ports; for tests only"
    if config.site.url is None and any(ip_address(at.host).is_unspecified for at in config.server.listen):
        yield (
            "server.listen: the server listens at all addresses, but without site.url it answers only "
            "requests for 127.0.0.1, localhost and [::1]; others get the error 421"
        )
    if config.site.url and config.site.url.startswith("http://") and not is_loopback(config.site.url):
        yield "site.url: browsers allow the microphone only on https:// pages"


def is_loopback(url: str) -> bool:
    host = url.split("://", 1)[1].split("/")[0].rsplit(":", 1)[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
