"""Whether servers tell relays what they know: this relay hears one, and each relay hears and answers this
server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from deploy.doctor.machine import Finding, LocalMachine
from deploy.doctor.operator_client import RELAY, SERVER, OperatorError, request_json

LOOKS, LOOK_SECONDS = 10, 1.0  # where both have just started, they find each other within some seconds
DEAF = "does it run, has it the same secret, and does a firewall drop packets from here to its first port?"
SILENT = (
    "does it run, and does a firewall drop UDP from here to its first port? A minute after its first answer "
    "pages are told of it again"
)
FEWER = "lift old bans with calln ban remove, or ban a wider network in place of many addresses"
ALONE = "start a server with the same secret; there, name this relay in turn.host or turn.more_hosts"


def check_channel(machine: LocalMachine) -> Iterator[Finding]:
    if machine.figures is not None:
        yield hearing(machine)
    answer = ask_server(machine)
    for link in answer.get("relays", ()):
        host, problem = link["host"], link["problem"]
        if problem:
            yield Finding(False, f"The relay at {host} does not hear the server: {problem}.", DEAF)
        else:
            yield Finding(True, f"The relay at {host} hears the server.")
        if not link.get("answers", True):
            yield Finding(False, f"The relay at {host} does not answer the server.", SILENT)
        elif not link.get("lives", True):
            yield Finding(True, f"The relay at {host} answers again; pages are told of it after a minute.")
    if answer.get("bans_left_out"):
        count = answer["bans_left_out"]
        yield Finding(False, f"The relays do not hear of the {count} oldest bans: there are too many.", FEWER)


def ask_server(machine: LocalMachine) -> dict[str, Any]:
    """What the server says of its relays; nothing if there is no server here."""
    answer: dict[str, Any] = {}
    for look in range(LOOKS):
        time.sleep(LOOK_SECONDS * bool(look))
        try:
            answer = request_json(machine.config.site.state_dir, "GET", "/relays", at=SERVER)
        except OperatorError:
            return {}
        if not any(row["problem"] or not row.get("answers", True) for row in answer["relays"]):
            break
    return answer


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
