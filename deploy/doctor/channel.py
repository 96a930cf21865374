"""Whether servers tell relays what they know: this relay hears one, and each relay hears this server."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.doctor.machine import Finding, LocalMachine
from deploy.doctor.operator_client import SERVER, OperatorError, request_json

DEAF = "does it run, has it the same secret, and does a firewall drop packets from here to its first port?"
ALONE = "start calln serve with the same secret; there, name this relay in turn.host or turn.more_hosts"


def check_channel(machine: LocalMachine) -> Iterator[Finding]:
    if machine.figures is not None:
        yield hearing(machine)
    try:
        links = request_json(machine.config.site.state_dir, "GET", "/relays", at=SERVER)["relays"]
    except OperatorError:
        return
    for link in links:
        host, problem = link["host"], link["problem"]
        if problem:
            yield Finding(False, f"The relay at {host} does not hear the server: {problem}.", DEAF)
        else:
            yield Finding(True, f"The relay at {host} hears the server.")


def hearing(machine: LocalMachine) -> Finding:
    """One that has users of its own may be meant for them."""
    if sum(one["value"] for one in machine.figures or () if one["name"] == "calln_relay_servers"):
        return Finding(True, "The relay hears from a server which calls were checked and who is banned.")
    text = "No server speaks to the relay: it knows no bans, and refuses a call that comes in its middle."
    return Finding(bool(machine.config.turn.users), text, ALONE)
