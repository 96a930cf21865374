"""The files of one machine, made from templates/, which has the same folders as the machine.

A name in a template that has no value is an error, not an empty text.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from ipaddress import ip_address
from typing import Any, NamedTuple

import jinja2
import yaml

from config.example import Dumper
from config.file import Config
from config.look import carried
from config.problems import ConfigError
from deploy.remote.hosts import ConfigFile, Target, targets
from deploy.remote.steps import File
from host.settings import HostPort
from turn.config.section import Turn
from turn.engines.loop.sockets import LISTENER_BUFFER
from turn.process.run import SOCKETS_PER_ALLOCATION, SPARE_SOCKETS

STATE, SECRET = "/var/lib/calln", "/etc/calln/secrets/turn.secret"
PASSWORD = "/etc/calln/secrets/site.password"  # noqa: S105  # the path of a file
TOKENS = "/etc/calln/secrets/ice.tokens"
DNS = "/etc/calln/secrets/acme-dns.ini"  # for certbot, which runs as root
CERTIFICATE, KEY = "/etc/calln/tls/fullchain.pem", "/etc/calln/tls/privkey.pem"
OPERATORS = "/etc/calln/deploy.yaml"  # the operator's own file, so that each backup has it
ALERT = "/etc/calln/alert.json"  # who is to be told, and which parts shall run
ACME = "/var/lib/calln-acme"
RELEASES = "/opt/calln/releases"
EVERY, EVERY6 = "0.0.0.0", "[::]"  # noqa: S104  # a public service
HTTP, HTTPS, TURN, TURNS = 80, 443, 3478, 5349
LOWEST = 1024  # lower ports need a capability
STOP_SECONDS = 10  # beyond drain_seconds, for the last messages
FEWEST_FILES = 65_536
MOST_FILES = 1_048_576
CONFIG_DIGITS = 6
LOOPBACK, LINK = "127.0.0.0/8 ::1/128", "169.254.0.0/16 fe80::/10"
STUB = "127.0.0.53/32 127.0.0.54/32"  # systemd-resolved, which resolves the names of STUN servers and relays


class Traits(NamedTuple):
    """What the files depend on: container or not, IPv6 or not, and firewall chains that drop packets."""

    container: bool = False
    ipv6: bool = True
    chains: tuple[str, ...] = ()


PLAIN = Traits()  # a machine of its own, with IPv6 and without a firewall


class SecretFiles(NamedTuple):
    """The secret (empty: the machine keeps its own), certificate, key, and if there are any: the password of
    the site, the tokens of other web applications, and what certbot changes the DNS with."""

    secret: str
    certificate: str = ""
    key: str = ""
    password: str = ""
    tokens: str = ""
    dns: str = ""


class Port(NamedTuple):
    protocol: str
    range: str


class Template(NamedTuple):
    """A template, and the machines that get it."""

    path: str
    wanted: Callable[[Config, Target, Traits], bool]
    mode: int = 0o644


ROWS = (
    Template("etc/sysusers.d/calln.conf", lambda config, target, traits: True),
    Template("etc/tmpfiles.d/calln.conf", lambda config, target, traits: True),
    Template(
        "etc/sysctl.d/60-calln.conf", lambda config, target, traits: target.relays and not traits.container
    ),
    Template("etc/systemd/journald@calln.conf", lambda config, target, traits: True),
    Template("etc/systemd/system/calln-relay@.service", lambda config, target, traits: target.relays),
    Template(
        "etc/systemd/system/calln-kernel@.service",
        lambda config, target, traits: target.relays and may_ride(config.turn),
    ),
    Template(
        "etc/udev/rules.d/60-calln.rules",
        lambda config, target, traits: target.relays and may_ride(config.turn),
    ),
    Template("etc/systemd/system/calln-server@.service", lambda config, target, traits: target.serves),
    Template("etc/systemd/system/calln-shutdown.service", lambda config, target, traits: True),
    Template("etc/systemd/system/calln-backup.service", lambda config, target, traits: makes_backups(config)),
    Template("etc/systemd/system/calln-backup.timer", lambda config, target, traits: makes_backups(config)),
    Template("etc/systemd/system/calln-watch.service", lambda config, target, traits: watches(config)),
    Template("etc/systemd/system/calln-watch.timer", lambda config, target, traits: watches(config)),
    Template("etc/needrestart/conf.d/calln.conf", lambda config, target, traits: True),
    Template("etc/systemd/system/calln-update.service", lambda config, target, traits: restarts(config)),
    Template("etc/systemd/system/calln-update.timer", lambda config, target, traits: restarts(config)),
    Template("etc/systemd/system/calln-withdraw.service", lambda config, target, traits: True),
    Template("usr/local/sbin/calln-reload", lambda config, target, traits: True, 0o755),
    Template("usr/local/sbin/calln-withdraw", lambda config, target, traits: True, 0o755),
    Template("etc/systemd/system/calln.service", lambda config, target, traits: True),
    Template(
        "etc/systemd/system/calln-http.socket", lambda config, target, traits: owns_http_ports(config, target)
    ),
    Template(
        "etc/systemd/system/calln-https.socket",
        lambda config, target, traits: owns_http_ports(config, target),
    ),
    Template(
        "etc/systemd/system/calln-ports.service",
        lambda config, target, traits: config.deploy.firewall == "nft" and bool(traits.chains),
    ),
    Template(
        "usr/local/sbin/calln-ports",
        lambda config, target, traits: config.deploy.firewall == "nft" and bool(traits.chains),
        0o755,
    ),
    Template("etc/ufw/applications.d/calln", lambda config, target, traits: config.deploy.firewall == "ufw"),
    Template(
        "etc/letsencrypt/renewal-hooks/deploy/calln",
        lambda config, target, traits: config.deploy.tls == "acme",
        0o755,
    ),
    Template("usr/local/bin/calln", lambda config, target, traits: True, 0o755),
)
PROXIES = {
    "nginx": "etc/nginx/sites-available/calln",
    "caddy": "etc/caddy/Caddyfile",
    "apache": "etc/apache2/sites-available/calln.conf",
}


def owns_http_ports(config: Config, target: Target) -> bool:
    """Whether Calln itself uses ports 80 and 443, and no proxy does."""
    return target.serves and not config.server.trusted_proxies


def watches(config: Config) -> bool:
    """Whether somebody wants to be told when something is not well."""
    return bool(config.deploy.alert.mail or config.deploy.alert.webhook)


def restarts(config: Config) -> bool:
    return config.deploy.restart_after_updates


def makes_backups(config: Config) -> bool:
    return config.deploy.backup.keep > 0


def may_ride(turn: Turn) -> bool:
    """Whether calls ride in the kernel, where a machine allows it."""
    return turn.engine != "portable"


def environment() -> jinja2.Environment:
    return jinja2.Environment(  # noqa: S701  # no HTML is made here
        loader=jinja2.FileSystemLoader(str(files("templates"))),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(
    source: ConfigFile, target: Target, secrets: SecretFiles, traits: Traits = PLAIN
) -> tuple[File, ...]:
    """All files of a machine except its configuration, which is in the release."""
    config, fill = source.config, environment()
    plain = tuple(
        File(
            f"/{row.path}",
            fill.get_template(row.path).render(template_values(row.path, source, target, traits)),
            row.mode,
        )
        for row in ROWS
        if row.wanted(config, target, traits)
    )
    own = [operators_file(source), *([alert_file(config, target)] if watches(config) else [])]
    return (*plain, *own, *secret_files(config, target, secrets))


def alert_file(config: Config, target: Target) -> File:
    """Addresses may hold passwords: for root alone."""
    alert = config.deploy.alert
    said = {
        "mail": alert.mail,
        "smtp": list(alert.smtp) if alert.smtp else None,
        "webhook": alert.webhook,
        "site": config.site.url,
        "machine": target.name,
        "roles": list(target.roles),
    }
    return File(ALERT, json.dumps(said, indent=1) + "\n", 0o600)


def operators_file(source: ConfigFile) -> File:
    turn = source.config.turn
    secret = bool(turn.users or turn.secret.get_secret_value())
    return File(OPERATORS, source.text, 0o600 if secret else 0o644)


def secret_files(config: Config, target: Target, secrets: SecretFiles) -> Iterator[File]:
    """Files that the account of the services may read. An empty secret is not written."""
    if secrets.secret:
        yield File(SECRET, secrets.secret, 0o640, "root", "calln")
    if secrets.password and target.serves:
        yield File(PASSWORD, secrets.password, 0o640, "root", "calln")
    if secrets.tokens and target.serves:
        yield File(TOKENS, secrets.tokens, 0o640, "root", "calln")
    if secrets.dns:
        yield File(DNS, secrets.dns, 0o600)
    if config.deploy.tls != "acme":
        yield File(CERTIFICATE, secrets.certificate, 0o640, "root", "calln")
        yield File(KEY, secrets.key, 0o640, "root", "calln")


def template_values(path: str, source: ConfigFile, target: Target, traits: Traits) -> dict[str, Any]:
    """The names and values for a template."""
    machine = machine_config(source, target)
    low, high = machine.turn.relay_ports
    ports = open_ports(source, target)
    return {
        "relay_ports": f"{low}-{high}",
        "receive_buffer": LISTENER_BUFFER,
        "ipv6": traits.ipv6,
        "chains": traits.chains,
        "ports": ports,
        "ufw": "|".join(f"{port.range.replace('-', ':')}/{port.protocol}" for port in ports),
        "backup": source.config.deploy.backup,
        "proxied": not owns_http_ports(machine, target),
        **(relay_unit(machine.turn) if "relay@" in path else server_unit(machine)),
    }


def relay_unit(turn: Turn) -> dict[str, Any]:
    heard = [turn.metrics_listen] if turn.metrics_listen else []
    places = [(one.transport, one.port) for one in (*turn.listen, *heard)]
    binds = dict.fromkeys(f"{'udp' if how == 'udp' else 'tcp'}:{port}" for how, port in places)
    low, high = turn.relay_ports
    beside = [ip_address(one.ip).is_loopback for one in (*turn.listen, *heard)]
    return {
        "drain": turn.drain_seconds + STOP_SECONDS,
        "capabilities": "CAP_NET_BIND_SERVICE" if any(port < LOWEST for _, port in places) else "",
        "denied": LINK if any(beside) else f"{LOOPBACK} {LINK}",
        "allowed": STUB if turn.stun_servers and not any(beside) else "",
        "binds": [f"udp:{low}-{high}", *binds],
        "files": files_of(turn),
        "rides": may_ride(turn),
    }


def files_of(turn: Turn) -> int:
    """The number of open files that a relay needs; a limit of 0 means no limit."""
    limits = turn.limits
    if not limits.allocations or not limits.connections:
        return MOST_FILES
    need = limits.allocations * SOCKETS_PER_ALLOCATION + limits.connections + SPARE_SOCKETS
    return min(max(need, FEWEST_FILES), MOST_FILES)


def server_unit(config: Config) -> dict[str, Any]:
    server = config.server
    heard = [server.metrics_listen] if server.metrics_listen else []
    proxied = list(server.listen) if server.trusted_proxies else []
    beside = any(ip_address(one.host).is_loopback for one in (*heard, *proxied))
    return {
        "drain": server.drain_seconds + STOP_SECONDS,
        "capabilities": "",
        "denied": LINK if beside else f"{LOOPBACK} {LINK}",
        "allowed": "" if beside else STUB,  # for the addresses of relays on other machines
        "binds": list(dict.fromkeys(f"tcp:{one.port}" for one in (*heard, *proxied))),
        "files": FEWEST_FILES,
    }


def open_ports(source: ConfigFile, target: Target) -> tuple[Port, ...]:
    """The ports that a firewall must open."""
    machine, ports = machine_config(source, target), []
    if owns_http_ports(source.config, target):
        ports += [Port("tcp", str(HTTP)), Port("tcp", str(HTTPS))]
    elif source.config.deploy.answers_at_port_80 and not target.serves:
        ports.append(Port("tcp", str(HTTP)))  # certbot answers there itself
    if target.relays:
        low, high = machine.turn.relay_ports
        ports += [Port("udp" if at.transport == "udp" else "tcp", str(at.port)) for at in machine.turn.listen]
        ports.append(Port("udp", f"{low}-{high}"))
    return tuple(dict.fromkeys(ports))


def machine_config(source: ConfigFile, target: Target) -> Config:
    """The configuration of one machine, checked."""
    return Config.model_validate(machine_values(source, target))


def config_file(source: ConfigFile, target: Target, name: str) -> File:
    """The configuration file of one machine in the release `name`; secret if it contains passwords."""
    values = machine_values(source, target)
    text = yaml.dump(values, Dumper=Dumper, sort_keys=False, width=100, allow_unicode=True)
    secret = bool(source.config.turn.users)
    path = f"{RELEASES}/{name}/config.yaml"
    return File(path, text, 0o640, "root", "calln") if secret else File(path, text)


def release_name(tree: str, source: ConfigFile, target: Target) -> str:
    """The name of the code and a digest of the configuration; each pair is one release."""
    text = config_file(source, target, "").text
    return f"{tree}-{hashlib.sha256(text.encode()).hexdigest()[:CONFIG_DIGITS]}"


def machine_values(source: ConfigFile, target: Target) -> dict[str, dict[str, Any]]:
    """The configuration of the operator, with the values that depend on the machine."""
    values = {name: dict(section) for name, section in copy.deepcopy(dict(source.values)).items()}
    values.pop("deploy", None)
    turn, server = values.setdefault("turn", {}), values.setdefault("server", {})
    site = values.setdefault("site", {})
    site["state_dir"] = STATE
    if site.pop("password_file", None) and target.serves:
        site["password_file"] = PASSWORD
    ice_api = server.get("ice_api") or {}
    if ice_api.pop("token_file", None) and target.serves:
        ice_api["token_file"] = TOKENS
    for name in ("rules_file", "logo"):
        site.pop(name, None)
    if target.serves:
        site |= carried(source.config)
    turn.pop("secret", None)
    others = [one for one in targets(source.config) if one.relays and one.name != target.name]
    relay, *more = [target, *others] if target.relays else others
    turn |= {"secret_file": SECRET, "certificate": CERTIFICATE, "key": KEY}
    turn.setdefault("host", relay.name)
    if more and target.serves:
        turn["more_hosts"] = [as_written(one) for one in more]
    if relay.host.countries and target.serves:
        turn["countries"] = list(relay.host.countries)
    turn.setdefault("listen", relay_places(relay))
    if source.config.deploy.network == "private":
        turn.setdefault("allow_peers", [str(network) for network in source.config.deploy.private_networks])
        values.pop("geo", None)
    if owns_http_ports(source.config, target):
        server |= {"listen": at_every_address(HTTP), "tls_listen": at_every_address(HTTPS)}
        server |= {"certificate": CERTIFICATE, "key": KEY, "acme_dir": ACME}
    values["turn"] = turn
    return {name: section for name, section in values.items() if section}


def as_written(relay: Target) -> str | dict[str, Any]:
    """A further relay, as turn.more_hosts has it."""
    countries = list(relay.host.countries)
    return {"host": relay.name, "countries": countries} if countries else relay.name


def relay_places(relay: Target) -> list[str]:
    """The listeners of a relay. Port 443 belongs to the server if both are on one machine."""
    ports = [TURNS] if relay.serves else [TURNS, HTTPS]
    return [
        *at_every_address(TURN),
        *(f"tls://{place}" for port in ports for place in at_every_address(port)),
    ]


def at_every_address(port: int) -> list[str]:
    return [f"{EVERY}:{port}", f"{EVERY6}:{port}"]


def render_proxy(source: ConfigFile, kind: str) -> str:
    """The configuration for another web server in front of Calln. Raises ConfigError."""
    target = next((one for one in targets(source.config) if one.serves), None)
    if target is None:
        raise ConfigError(["deploy.hosts: no machine has the role server, so nothing needs a proxy"])
    listen: HostPort = source.config.server.listen[0]
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    return (
        environment()
        .get_template(PROXIES[kind])
        .render(
            name=target.name,
            upstream=f"{host}:{listen.port}",
            certificate=CERTIFICATE,
            key=KEY,
            acme_dir=ACME,
        )
    )
