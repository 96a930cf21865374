"""`calln deploy firewall`: the ports of each machine for a cloud's firewall, which only its user opens."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from deploy.remote.hosts import ConfigFile, Target, targets
from deploy.remote.render import HTTP, HTTPS, Port, environment, machine_config, open_ports

FORMS = ("table", "terraform", "aws", "hcloud", "gcloud")
NAMES = {("server", "turn"): "calln", ("server",): "calln-server", ("turn",): "calln-relay"}  # by roles

PURPOSES = {
    "udp": "STUN and TURN over UDP",
    "tcp": "TURN over TCP",
    "tls": "TURN over TLS",
    "": "calls that go through the relay",
}


class CloudRule(NamedTuple):
    """Ports from `first` to `last` that everybody may reach."""

    protocol: str
    first: int
    last: int
    purpose: str

    @property
    def range(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


class Group(NamedTuple):
    """Machines with the same rules."""

    name: str
    machines: tuple[str, ...]
    rules: tuple[CloudRule, ...]


def render_firewall(source: ConfigFile, form: str) -> str:
    """The rules as a table, as commands of a cloud's own program, or for Terraform. Raises ConfigError."""
    fill = environment()
    fill.filters["shell"] = shlex.quote
    return fill.get_template(f"firewall/{form}.txt").render(groups=groups(source))


def groups(source: ConfigFile) -> list[Group]:
    """By the roles of the machines, and where ports differ, by the ports, too."""
    found: dict[tuple[str, tuple[CloudRule, ...]], list[str]] = {}
    for target in targets(source.config):
        key = NAMES[tuple(sorted(target.roles))], rules(source, target)
        found.setdefault(key, []).append(target.name)
    made: list[Group] = []
    for (name, same), machines in found.items():
        taken = sum(group.name.startswith(name) for group in made)
        made.append(Group(f"{name}-{taken + 1}" if taken else name, tuple(machines), same))
    return made


def rules(source: ConfigFile, target: Target) -> tuple[CloudRule, ...]:
    """What one machine needs from outside: its services, and SSH for the next deployment."""
    found = [
        CloudRule(port.protocol, *ends(port), purpose(source, target, port))
        for port in open_ports(source, target)
    ]
    if target.host.is_local:
        return tuple(found)
    ssh = target.host.address.port
    return CloudRule("tcp", ssh, ssh, "SSH, for make deploy; your own address is enough"), *found


def ends(port: Port) -> tuple[int, int]:
    low, _, high = port.range.partition("-")
    return int(low), int(high or low)


def purpose(source: ConfigFile, target: Target, port: Port) -> str:
    if port == ("tcp", str(HTTP)):
        return "certificates, and the way to HTTPS" if target.serves else "certificates"
    if port == ("tcp", str(HTTPS)) and target.serves:
        return "pages, calls by WebSocket, TURN over TLS"
    listen = machine_config(source, target).turn.listen
    ways = {("udp" if at.transport == "udp" else "tcp", str(at.port)): at.transport for at in listen}
    return PURPOSES[ways.get(port, "")]
