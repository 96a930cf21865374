"""The `calln` command: a row for each thing it can do."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from config import EX_CONFIG, Config, ConfigError, load, told_relay, turn_secret
from deploy import bans, check, doctor, together
from deploy import relay as relays
from deploy.control import ControlError
from deploy.ice import ice_settings
from server import app
from server.geo import GeoError
from server.state import StateError
from turn import process

EX_USAGE = 2  # as argparse ends
EX_UNAVAILABLE = 69  # sysexits.h: something needed is taken, or does not answer

# An error that says what to do, and the exit code that stands for it.
ENDS: tuple[tuple[type[Exception], int], ...] = (
    (bans.UsageError, EX_USAGE),
    (ConfigError, EX_CONFIG),
    (GeoError, EX_CONFIG),
    (StateError, EX_UNAVAILABLE),
    (ControlError, EX_UNAVAILABLE),
    (process.Unavailable, EX_UNAVAILABLE),
    (app.Unavailable, EX_UNAVAILABLE),
)

Options = argparse.Namespace


class Option(NamedTuple):
    """One argument of a command, as argparse takes it."""

    name: str
    settings: dict[str, Any]


class Command(NamedTuple):
    """The words behind `calln`, one sentence, the function, and its own arguments."""

    words: str
    sentence: str
    run: Callable[[Config, Options], int]
    options: tuple[Option, ...] = ()


def run_both(config: Config, options: Options) -> int:
    turn_secret(config)  # made here, before two processes ask for it
    print(f"Calln will be at {check.page(config)} in a moment. Ctrl-C ends it.", flush=True)
    return together.run(options.config)


def serve(config: Config, _: Options) -> int:
    ice = ice_settings(config, turn_secret(config))
    return app.run(config.site, config.server, config.geo, ice, encrypted_only=config.turn.encrypted_only)


def relay(config: Config, options: Options) -> int:
    return process.run(lambda: told_relay(options.config), config.site.state_dir)


def run_check(config: Config, _: Options) -> int:
    return check.run(config)


GROUPS = {"ban": "Ban addresses: add, list, remove."}
ADDRESS = Option("address", {"help": "an address or a network, such as 192.0.2.7 or 2001:db8::/48"})
COMMANDS = (
    Command("run", "Serve everything on this machine: server and relay together.", run_both),
    Command("serve", "Serve the page, matching and signalling.", serve),
    Command("relay", "Run the STUN/TURN relay.", relay),
    Command("relay sessions", "List who holds which relayed address of the running relay.", relays.sessions),
    Command(
        "relay kill",
        "End a session of the running relay, or all of a user.",
        relays.kill,
        (
            Option("id", {"nargs": "?", "help": "the session, as calln relay sessions names it"}),
            Option("--user", {"metavar": "NAME", "help": "every session of this user"}),
        ),
    ),
    Command("relay drain", "Have the relay take nobody new and end with its last allocation.", relays.drain),
    Command("relay stats", "Show what the running relay holds, carried and dropped.", relays.stats),
    Command("relay reload", "Have the running relay read its configuration anew.", relays.reload),
    Command("check", "Read the configuration and say what it comes to.", run_check),
    Command("doctor", "Look at this machine and the running relay, and say what to do.", doctor.run),
    Command(
        "ban add",
        "Ban an address or a network; its open pages are closed within a second.",
        bans.add,
        (
            Option("address", {**ADDRESS.settings, "nargs": "?"}),
            Option(
                "--report", {"metavar": "CODE", "help": "ban whom a visitor reported, by the report's code"}
            ),
            Option("--reason", {"default": "", "help": "a note for yourself"}),
            Option(
                "--for", {"dest": "duration", "default": "7d", "help": "30m, 12h, 7d or ever (default: 7d)"}
            ),
        ),
    ),
    Command("ban list", "List the bans in force.", bans.list_all),
    Command("ban remove", "Lift a ban.", bans.remove, (ADDRESS,)),
    Command("reports", "List what visitors reported in the last half hour.", bans.list_reports),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code is the command's own, or that of the error it met."""
    options = parser().parse_args(arguments)
    run: Callable[[Config, Options], int] = options.run
    try:
        return run(load(options.config), options)
    except tuple(kind for kind, _ in ENDS) as error:
        print(f"calln: {error}", file=sys.stderr)
        return next(code for kind, code in ENDS if isinstance(error, kind))


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        "calln", description="A private voice-calling service on a machine of your own."
    )
    groups = {"": top.add_subparsers(metavar="COMMAND", required=True)}
    parsers: dict[str, argparse.ArgumentParser] = {}
    for command in COMMANDS:
        group, _, word = command.words.rpartition(" ")
        if group not in groups:
            alone = group in parsers  # means something without a further word
            inner = parsers.get(group) or groups[""].add_parser(group, help=GROUPS[group])
            groups[group] = inner.add_subparsers(metavar="COMMAND", required=not alone)
        own = groups[group].add_parser(word, help=command.sentence, description=command.sentence)
        parsers[command.words] = own
        own.add_argument(
            "--config",
            type=Path,
            metavar="FILE",
            default=argparse.SUPPRESS if group in parsers else None,  # named before the further word
            help="without it: defaults, on this machine only",
        )
        for option in command.options:
            own.add_argument(option.name, **option.settings)
        own.set_defaults(run=command.run)
    return top


if __name__ == "__main__":
    sys.exit(main())
