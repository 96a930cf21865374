"""Whether servers tell relays what they know: this relay hears one, and each relay hears this server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from deploy.doctor.machine import Finding, LocalMachine
from deploy.doctor.operator_client import RELAY, SERVER, OperatorError, request_json

LOOKS, LOOK_SECONDS = 10, 1.0  # where both have just started, they find each other within some seconds
DEAF = "does it run, has it the same secret, and does a firewall drop packets from here to its first port?"
ALONE = "start calln serve with the same secret; there, name this relay in turn.host or turn.more_hosts"


def check_channel(machine: LocalMachine) -> Iterator[Finding]:
    if machine.figures is not None:
        yield hearing(machine)
    for link in links(machine):
        host, problem = link["host"], link["problem"]
        if problem:
            yield Finding(False, f"The relay at {host} does not hear the server: {problem}.", DEAF)
        else:
            yield Finding(True, f"The relay at {host} hears the server.")


def links(machine: LocalMachine) -> list[dict[str, Any]]:
    """What the server says of each relay; nothing if there is no server here."""
    rows: list[dict[str, Any]] = []
    for look in range(LOOKS):
        time.sleep(LOOK_SECONDS * bool(look))
        try:
            rows = request_json(machine.config.site.state_dir, "GET", "/relays", at=SERVER)["relays"]
        except OperatorError:
            return []
        if not any(row["problem"] for row in rows):
            break
    return rows


def hearing(machine: LocalMachine) -> Finding:
    """A relay that has users of its own may be meant for them."""
    figures, has_users = machine.figures or [], bool(machine.config.turn.users)
    for look in range(1 if has_users else LOOKS):
        if look:
            time.sleep(LOOK_SECONDS)
            figures = request_json(machine.config.site.state_dir, "GET", "/stats", at=RELAY)["figures"]
        if sum(one["value"] for one in figures if one["name"] == "calln_relay_servers"):
            return Finding(True, "The relay hears from a server which calls were checked and who is banned.")
    text = "No server speaks to the relay: it knows no bans, and refuses a call that comes in its middle."
    return Finding(has_users, text, ALONE)
