"""The machines of a configuration: their roles, and their names for browsers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from config.deploy import Destination, Host, Role
from config.file import Config, parse_config
from config.problems import ConfigError
from config.yaml_text import compose, read_text

Values = Mapping[str, Mapping[str, Any]]


class ConfigFile(NamedTuple):
    """The file of the operator: checked, and as plain values for the configuration of each machine.
    `found_pair` is what one machine has in turn.external_ip although it is not written, PUBLIC/PRIVATE."""

    config: Config
    values: Values
    text: str = ""
    found_pair: str = ""


class Target(NamedTuple):
    """One machine: its host, its name for browsers and its roles."""

    host: Host
    name: str
    roles: tuple[Role, ...]

    @property
    def serves(self) -> bool:
        return "server" in self.roles

    @property
    def relays(self) -> bool:
        return "turn" in self.roles


def read_config_file(path: Path) -> ConfigFile:
    """Raises ConfigError."""
    return parse_config_file(read_text(path), path)


def parse_config_file(text: str, path: Path) -> ConfigFile:
    """Raises ConfigError."""
    config = parse_config(text, path)
    _, values = compose(text, path)
    kept = values if isinstance(values, dict) else {}
    return ConfigFile(config, {name: section or {} for name, section in kept.items()}, text)


def targets(config: Config) -> tuple[Target, ...]:
    """The machines of the file. Raises ConfigError if they do not fit together."""
    site = site_name(config)
    hosts = config.deploy.hosts or (Host(address=Destination("root", site, 22)),)
    made = tuple(Target(host, name_for(host, site), host.roles) for host in hosts)
    refuse_same_names(config, made)
    if config.deploy.tls == "acme":
        refuse_addresses(made)
    return made


def refuse_same_names(config: Config, made: Sequence[Target]) -> None:
    """Browsers find relays by their names. Raises ConfigError."""
    names = [target.name for target in made if target.relays]
    if len(set(names)) < len(names):
        raise ConfigError(
            [
                "deploy.hosts: two relays have the same name; of the machines with the role server, only one "
                "may have the role turn"
            ]
        )
    if len(names) > 1 and (config.turn.host or config.turn.more_hosts):
        raise ConfigError(["turn.host: remove it; the names of the relays come from deploy.hosts"])
    if len(names) > 1 and config.turn.countries:
        raise ConfigError(["turn.countries: write countries at the relays in deploy.hosts, and remove this"])


def site_name(config: Config) -> str:
    """The host of site.url. Raises ConfigError."""
    if not config.site.url or not config.site.url.startswith("https://"):
        raise ConfigError(
            ["site.url: write the address that visitors will open, such as https://call.example.org"]
        )
    parts = urlsplit(config.site.url)
    if parts.port not in (None, 443) and not config.server.trusted_proxies:
        raise ConfigError(["site.url: remove the port; the service uses port 443"])
    return parts.hostname or ""


def name_for(host: Host, site: str) -> str:
    """The host of site.url for a server; a relay alone has a name of its own. Raises ConfigError."""
    if "server" in host.roles:
        return site
    if host.name is None and host.is_local:
        raise ConfigError(["deploy.hosts: a machine with only the role turn needs a name"])
    return host.name or host.address.address


def refuse_addresses(made: tuple[Target, ...]) -> None:
    for target in made:
        if is_address(target.name):
            raise ConfigError(
                [
                    f"deploy.hosts: Let's Encrypt gives no certificate for the address {target.name}; give "
                    "the machine a name"
                ]
            )


def browser_names(config: Config, target: Target) -> tuple[str, ...]:
    """The names by which browsers reach a machine over TLS, its own first: its certificate must have them."""
    if not target.serves:
        return (target.name,)
    parts = [urlsplit(url) for url in config.site.more_urls]
    more = [one.hostname or "" for one in parts if one.scheme == "https" and one.port in (None, 443)]
    return tuple(dict.fromkeys((target.name, *(name for name in more if may_be_issued(name)))))


def may_be_issued(name: str) -> bool:
    """Whether an authority may give a certificate for it: no address, and no name of Tor."""
    return not is_address(name.strip("[]")) and not name.endswith(".onion")


def is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
