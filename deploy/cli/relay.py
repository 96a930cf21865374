"""`calln relay …`: commands for the running relay. Addresses of clients appear on the terminal only."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from config.file import Config
from deploy.cli.bans import UsageError
from deploy.doctor.operator_client import RELAY, request_json

COLUMNS = ("id", "user", "client", "seconds_left", "permissions", "channels", "flows")


def post(config: Config, path: str, body: object = None) -> Any:
    return request_json(config.site.state_dir, "POST", path, body, RELAY)


def get(config: Config, path: str) -> Any:
    return request_json(config.site.state_dir, "GET", path, at=RELAY)


def list_sessions(config: Config, _: Namespace) -> int:
    found = get(config, "/sessions")["sessions"]
    if not found:
        print("There are no sessions.")
        return 0
    rows = [COLUMNS, *([printable(str(session[column])) for column in COLUMNS] for session in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())
    return 0


def printable(cell: str) -> str:
    """A cell without control characters: a user's name comes from the network."""
    return "".join(letter if letter.isprintable() else "?" for letter in cell)


def kill_sessions(config: Config, options: Namespace) -> int:
    if bool(options.id) == bool(options.user):
        raise UsageError("write either a session or --user NAME")
    body = {"id": options.id} if options.id else {"user": options.user}
    print(f"Sessions ended: {post(config, '/kill', body)['ended']}.")
    return 0


def drain_relay(config: Config, _: Namespace) -> int:
    left = post(config, "/drain")["sessions"]
    print(f"The relay accepts no new clients. It will end after the last of its {left} sessions.")
    return 0


def show_stats(config: Config, _: Namespace) -> int:
    for figure in get(config, "/stats")["figures"]:
        name = figure["name"].removeprefix("calln_relay_").removesuffix("_total").replace("_", " ")
        print(" ".join([f"{figure['value']:>14.0f}", name, *figure["labels"].values()]))
    return 0


def reload_relay(config: Config, _: Namespace) -> int:
    waiting = post(config, "/reload")["waiting"]
    print("The relay uses the new configuration.")
    if waiting:
        keys = ", ".join(f"turn.{key}" for key in waiting)
        print(f"These keys change only after a restart of the relay: {keys}", file=sys.stderr)
    return 0
