"""`calln relay uses …` and `calln relay credentials`: the relay for what other people run already."""

from __future__ import annotations

import json
import shlex
import time
from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from config.file import Config
from config.ice import ice_settings
from config.problems import ConfigError
from config.secrets import turn_secret
from deploy.cli.bans import UsageError
from deploy.remote.render import environment
from server.ice import IceSettings, host_ports, relay_urls
from turn.credentials import mint

DAY = 86_400  # seconds that a credential of another service is valid: no call should outlive it
LONGEST = 30 * DAY  # a credential cannot be called back, so none is valid for longer


class Recipient(NamedTuple):
    """Something that hands out our relay: its template, and whether it mints credentials from the secret. If
    not, it needs a user of its own."""

    template: str
    title: str = ""
    mints: bool = True


SERVICES = {
    "nextcloud": Recipient("nextcloud"),
    "synapse": Recipient("synapse"),
    "jitsi": Recipient("prosody", "Jitsi Meet: Prosody's conf.avail/YOUR-SITE.cfg.lua, at its beginning."),
    "prosody": Recipient("prosody", "Prosody: prosody.cfg.lua, before the first VirtualHost."),
    "ejabberd": Recipient("ejabberd"),
    "janus": Recipient("janus", mints=False),
    "livekit": Recipient("livekit", mints=False),
    "asterisk": Recipient("asterisk", mints=False),
}  # fmt: skip


class RelayUrl(NamedTuple):
    """One way to a relay: the scheme of its URL (RFC 7065), host, port and transport."""

    scheme: str
    host: str
    port: int
    transport: str


def show_uses(config: Config, options: Namespace) -> int:
    """Print the lines of one service. Raises ConfigError."""
    print(lines_for(config, options.service), end="")
    return 0


def lines_for(config: Config, name: str) -> str:
    """What to write into the configuration of a service, with our secret. Raises ConfigError."""
    service, secret = SERVICES[name], turn_secret(config)
    settings = ice_settings(config, secret)
    given = {} if service.mints else user_for(config, name)
    values = {
        "kind": name,
        "title": service.title,
        "secret": secret.decode(),
        "seconds": DAY,
        "urls": list(relay_urls(settings, settings.hosts)),
        "relays": list(ways(settings)),
        "stun_places": [(host, port) for port in settings.ports for host in settings.hosts],
        "stun": list(host_ports(settings.hosts, settings.ports)),
        "plain": plain_places(settings),
        "tls": list(host_ports(settings.hosts, settings.tls_ports)),
        "shell": shlex.quote,
        "quoted": partial(json.dumps, ensure_ascii=False),  # YAML, Lua and Janus read the same text
        **given,
    }
    return environment().get_template(f"uses/{service.template}.txt").render(values)


def user_for(config: Config, name: str) -> dict[str, str]:
    """The user of a service that knows no shared secret: the one with its name. Raises ConfigError."""
    password = config.turn.users.get(name)
    if password is None:
        raise ConfigError(
            [
                f"turn.users: {name} knows no shared secret, so it needs a user of its own; "
                f"write: users: {{{name}: PASSWORD}}, and make the password with: openssl rand -hex 16"
            ]
        )
    return {"user": name, "password": password.get_secret_value()}


def ways(settings: IceSettings) -> Iterator[RelayUrl]:
    """All ways to all relays, the fastest first."""
    for scheme, transport, ports in (
        ("turn", "udp", settings.ports),
        ("turn", "tcp", settings.tcp_ports),
        ("turns", "tcp", settings.tls_ports),
    ):
        yield from (RelayUrl(scheme, host, port, transport) for port in ports for host in settings.hosts)


def plain_places(settings: IceSettings) -> list[tuple[str, str]]:
    """HOST:PORT of each relay without TLS, and the transports there as Nextcloud writes them."""
    ports = dict.fromkeys((*settings.ports, *settings.tcp_ports))
    known = (("udp", settings.ports), ("tcp", settings.tcp_ports))
    return [
        (place, ",".join(transport for transport, its in known if port in its))
        for port in ports
        for place in host_ports(settings.hosts, (port,))
    ]


def show_credentials(config: Config, options: Namespace) -> int:
    """Print a credential that a TURN client can use for a while. Raises ConfigError and UsageError."""
    if not 0 < options.seconds <= LONGEST:
        raise UsageError(f"--seconds is a number from 1 to {LONGEST}")
    secret = turn_secret(config)
    settings = ice_settings(config, secret)
    username, password = mint(secret, options.user, int(time.time()) + options.seconds)
    rows: list[tuple[str, Any]] = [("username", username), ("password", password)]
    rows += [("url", url) for url in relay_urls(settings, settings.hosts)]
    for name, value in rows:
        print(f"{name:10}{value}")
    return 0
