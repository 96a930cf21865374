"""The `calln` command: a row for each thing it can do."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from config.deploy import Destination, parse_destination
from config.file import Config, load_config
from config.ice import ice_settings
from config.password import lock_of
from config.problems import EX_CONFIG, ConfigError
from config.secrets import relay_config, turn_secret
from deploy.cli import bans, check
from deploy.cli import relay as relays
from deploy.cli import run as both
from deploy.doctor import local
from deploy.doctor.operator_client import OperatorError
from deploy.remote.orders import DeployError
from host import VERSION
from server import app
from server.store import StoreError
from server.store.geo import GeoError
from turn.process import run as relay_process

EX_USAGE = 2  # as argparse ends
EX_UNAVAILABLE = 69  # sysexits.h: something needed is taken, or does not answer

# An error that says what to do, and the exit code that stands for it.
ENDS: tuple[tuple[type[Exception], int], ...] = (
    (bans.UsageError, EX_USAGE),
    (ConfigError, EX_CONFIG),
    (GeoError, EX_CONFIG),
    (StoreError, EX_UNAVAILABLE),
    (OperatorError, EX_UNAVAILABLE),
    (DeployError, EX_UNAVAILABLE),
    (relay_process.Unavailable, EX_UNAVAILABLE),
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
    reads: bool = True  # the file that --config names, before it runs


def run_both(config: Config, options: Options) -> int:
    turn_secret(config)  # made here, before two processes ask for it
    print(f"Calln will be at {check.page_url(config)} in a moment. Ctrl-C ends it.", flush=True)
    return both.run(options.config)


def run_server(config: Config, options: Options) -> int:
    server, ice, password = server_settings(config)
    return app.run(
        config.site,
        server,
        config.geo,
        ice,
        encrypted_only=config.turn.encrypted_only,
        password=password,
        read=lambda: server_settings(load_config(options.config)),
    )


def server_settings(config: Config) -> app.Reloaded:
    """What a server is told, at its start and again at each reload. Raises ConfigError."""
    return config.server, ice_settings(config, turn_secret(config)), lock_of(config)


def run_relay(config: Config, options: Options) -> int:
    return relay_process.run(lambda: relay_config(options.config), config.site.state_dir)


def run_check(config: Config, _: Options) -> int:
    return check.run(config)


def run_deploy(config: Config, options: Options) -> int:
    """What works on other machines is loaded when it is called: a machine that just serves has not what it
    takes. Raises Halt."""
    try:
        commands = importlib.import_module("deploy.cli.deploy")
    except ModuleNotFoundError as missing:
        raise DeployError(
            f"calln deploy needs {missing.name}; install it with: pip install 'calln[deploy]'"
        ) from None
    code: int = commands.COMMANDS[options.words.removeprefix("deploy ")](config, options)
    return code


def destination(text: str) -> Destination:
    try:
        return parse_destination(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


GROUPS = {
    "ban": "Ban addresses: add, list, remove.",
    "deploy": "Put Calln on your machines: init, plan, apply, status, doctor and more.",
    "deploy secrets": "Change what is secret: rotate.",
}
ADDRESS = Option("address", {"help": "an address or a network, such as 192.0.2.7 or 2001:db8::/48"})
ACCEPT = (
    Option(
        "--accept-host-key",
        {"action": "store_true", "help": "trust a machine's SSH key that is not known yet, and keep it"},
    ),
)
COMMANDS = (
    Command("run", "Serve everything on this machine: server and relay together.", run_both),
    Command("serve", "Serve the page, matching and signalling.", run_server),
    Command("relay", "Run the STUN/TURN relay.", run_relay),
    Command(
        "relay sessions", "List who holds which relayed address of the running relay.", relays.list_sessions
    ),
    Command(
        "relay kill",
        "End a session of the running relay, or all of a user.",
        relays.kill_sessions,
        (
            Option("id", {"nargs": "?", "help": "the session, as calln relay sessions names it"}),
            Option("--user", {"metavar": "NAME", "help": "every session of this user"}),
        ),
    ),
    Command(
        "relay drain", "Have the relay take nobody new and end with its last allocation.", relays.drain_relay
    ),
    Command("relay stats", "Show what the running relay holds, carried and dropped.", relays.show_stats),
    Command("relay reload", "Have the running relay read its configuration anew.", relays.reload_relay),
    Command("check", "Read the configuration and say what it comes to.", run_check),
    Command("doctor", "Look at this machine and the running relay, and say what to do.", local.run),
    Command(
        "ban add",
        "Ban an address or a network; its open pages are closed within a second.",
        bans.add_ban,
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
    Command("ban list", "List the bans in force.", bans.list_bans),
    Command("ban remove", "Lift a ban.", bans.remove_ban, (ADDRESS,)),
    Command("reports", "List what visitors reported in the last half hour.", bans.list_reports),
    Command(
        "deploy init", "Ask six questions and write the configuration file.", run_deploy, (), reads=False
    ),
    Command("deploy plan", "Show what apply would do to each machine; changes nothing.", run_deploy, ACCEPT),
    Command("deploy apply", "Bring every machine to what the file says; calls go on.", run_deploy, ACCEPT),
    Command(
        "deploy status", "Show which release serves on each machine, and which drain.", run_deploy, ACCEPT
    ),
    Command(
        "deploy doctor",
        "Try everything from here and on each machine, and say what to do.",
        run_deploy,
        ACCEPT,
    ),
    Command(
        "deploy logs",
        "Show what the services said.",
        run_deploy,
        (
            *ACCEPT,
            Option("--lines", {"type": int, "default": 100, "help": "how many (default: 100)"}),
            Option("--follow", {"action": "store_true", "help": "go on until Ctrl-C"}),
        ),
    ),
    Command(
        "deploy rollback",
        "Go back to an earlier release and its configuration; calls go on.",
        run_deploy,
        (
            *ACCEPT,
            Option(
                "version", {"nargs": "?", "help": "as calln deploy status names it (default: the one before)"}
            ),
        ),
    ),
    Command(
        "deploy secrets rotate",
        "Give server and relay a new secret; calls go on.",
        run_deploy,
        (
            *ACCEPT,
            Option(
                "--withdraw-after",
                {
                    "type": int,
                    "default": 86_400,
                    "metavar": "SECONDS",
                    "help": "when the old one ends, and calls that began with it and still run (one day)",
                },
            ),
        ),
    ),
    Command(
        "deploy backup",
        "Fetch each machine's configuration, secrets, certificates and bans.",
        run_deploy,
        (
            *ACCEPT,
            Option(
                "folder", {"type": Path, "nargs": "?", "default": Path(), "help": "where to (default: here)"}
            ),
        ),
    ),
    Command(
        "deploy restore",
        "Put a backup onto a machine.",
        run_deploy,
        (*ACCEPT, Option("file", {"type": Path, "help": "as calln deploy backup wrote it"})),
    ),
    Command(
        "deploy proxy",
        "Print a site's configuration for a web server in front.",
        run_deploy,
        (Option("kind", {"choices": ("nginx", "caddy", "apache")}),),
    ),
    Command(
        "deploy destroy",
        "Take Calln off the machines; its data stays unless --purge.",
        run_deploy,
        (
            *ACCEPT,
            Option(
                "--host",
                {"type": destination, "metavar": "USER@NAME", "help": "this one alone, listed or not"},
            ),
            Option("--purge", {"action": "store_true", "help": "bans, secrets and certificates as well"}),
            Option("--yes", {"action": "store_true", "help": "do not ask"}),
        ),
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code is the command's own, or that of the error it met."""
    options = parser().parse_args(arguments)
    run: Callable[[Config, Options], int] = options.run
    try:
        return run(load_config(options.config if options.reads else None), options)
    except tuple(kind for kind, _ in ENDS) as error:
        print(f"calln: {error}", file=sys.stderr)
        return next(code for kind, code in ENDS if isinstance(error, kind))


Groups = dict[str, "argparse._SubParsersAction[argparse.ArgumentParser]"]


def open_group(group: str, groups: Groups, parsers: dict[str, argparse.ArgumentParser]) -> None:
    """The words that others stand behind, and those before them."""
    if group in groups:
        return
    outer, _, word = group.rpartition(" ")
    open_group(outer, groups, parsers)
    alone = group in parsers  # means something without a further word
    inner = parsers.get(group) or groups[outer].add_parser(word, help=GROUPS[group])
    groups[group] = inner.add_subparsers(metavar="COMMAND", required=not alone)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        "calln", description="A private voice-calling service on a machine of your own."
    )
    top.add_argument("--version", action="version", version=f"calln {VERSION}")
    groups = {"": top.add_subparsers(metavar="COMMAND", required=True)}
    parsers: dict[str, argparse.ArgumentParser] = {}
    for command in COMMANDS:
        group, _, word = command.words.rpartition(" ")
        open_group(group, groups, parsers)
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
        own.set_defaults(run=command.run, reads=command.reads, words=command.words)
    return top
