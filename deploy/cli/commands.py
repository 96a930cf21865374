"""The subcommands of `calln`: one row of a table for each."""

from __future__ import annotations

import argparse
import importlib
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from config.deploy import Destination, parse_destination
from config.file import Config, load_config
from config.ice import ice_settings
from config.ice_tokens import ice_tokens
from config.look import read_look
from config.password import site_password
from config.secrets import relay_config, turn_secret
from deploy.cli import bans, check, ready, uses, watch
from deploy.cli import relay as relays
from deploy.cli import run as both
from deploy.cli.spelling import spelled_output
from deploy.doctor import local
from deploy.remote.orders import DeployError
from host.startup import refuse_root
from server import run as web_process
from turn.process import run as relay_process


class Option(NamedTuple):
    """One argument of a command, with its settings for argparse."""

    name: str
    settings: dict[str, Any]


class Command(NamedTuple):
    """The words after `calln`, a description, the function and its arguments."""

    words: str
    sentence: str
    run: Callable[[Config, Namespace], int]
    options: tuple[Option, ...] = ()
    reads: bool = True  # whether the file of --config is read first


def run_both(config: Config, options: Namespace) -> int:
    refuse_root(config.site.state_dir)
    turn_secret(config)  # made now, before two processes want to make it
    print(f"Calln starts at {check.page_url(config)}. Press Ctrl-C to stop it.", flush=True)
    return both.run(options.config)


def run_server(config: Config, options: Namespace) -> int:
    return web_process.run(web_config(config), lambda: web_config(load_config(options.config)))


def web_config(config: Config) -> web_process.WebConfig:
    """The configuration of the server, for its start and each reload. Raises ConfigError."""
    ice, password = ice_settings(config, turn_secret(config)), site_password(config)
    mode, trusted = config.turn.encrypted_only, config.turn.limits.trusted
    who = config.site, config.server, config.geo, ice, password
    return web_process.WebConfig(*who, mode, trusted, read_look(config), ice_tokens(config))


def run_relay(config: Config, options: Namespace) -> int:
    return relay_process.run(lambda: relay_config(options.config), config.site.state_dir)


def run_check(config: Config, _: Namespace) -> int:
    return check.run(config)


def run_deploy(config: Config, options: Namespace) -> int:
    """Raises DeployError."""
    commands = deploying("deploy.cli.deploy")
    return run_spelled(commands.COMMANDS[options.words.removeprefix("deploy ")], config, options)


def run_setup(config: Config, options: Namespace) -> int:
    """Raises DeployError."""
    return run_spelled(deploying("deploy.cli.setup").set_up, config, options)


def deploying(module: str) -> ModuleType:
    """Load the code for other machines only now: a machine that only serves does not have what it needs.

    Raises DeployError.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        raise DeployError(
            f"calln deploy needs {missing.name}; install it with: pip install 'calln[deploy]'"
        ) from None


def run_spelled(run: Callable[[Config, Namespace], int], config: Config, options: Namespace) -> int:
    with spelled_output():
        return run(config, options)


def destination(text: str) -> Destination:
    try:
        return parse_destination(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


GROUPS = {
    "ban": "Ban addresses: add, list, remove.",
    "deploy": "Install and update Calln on your machines: init, plan, apply, status, doctor and more.",
    "deploy secrets": "Change the secret of server and relay: rotate.",
}
ADDRESS = Option("address", {"help": "an address or a network, such as 192.0.2.7 or 2001:db8::/48"})
CONNECTING = (
    Option(
        "--accept-host-key",
        {
            "action": "store_true",
            "help": "accept the SSH host key of a machine that is not known yet, and remember it",
        },
    ),
    Option(
        "--host",
        {"type": destination, "metavar": "USER@NAME", "help": "only this machine of deploy.hosts"},
    ),
)
RENAME = Option(
    "--rename",
    {"action": "store_true", "help": "the machine's site has got another site.url; its old name may end"},
)
COMMANDS = (
    Command("run", "Run server and relay together on this machine.", run_both),
    Command("serve", "Run the server: page, matching and signalling.", run_server),
    Command("relay", "Run the relay (STUN and TURN).", run_relay),
    Command("relay sessions", "List the sessions of the running relay.", relays.list_sessions),
    Command(
        "relay kill",
        "End one session of the running relay, or all sessions of a user.",
        relays.kill_sessions,
        (
            Option("id", {"nargs": "?", "help": "the id that calln relay sessions shows"}),
            Option("--user", {"metavar": "NAME", "help": "end all sessions of this user"}),
        ),
    ),
    Command(
        "relay drain",
        "Let the relay accept no new clients and end after its last session.",
        relays.drain_relay,
    ),
    Command("relay stats", "Show the counters of the running relay.", relays.show_stats),
    Command(
        "relay uses",
        "Print what another service needs to use this relay: Nextcloud Talk, Matrix, Jitsi and more.",
        uses.show_uses,
        (
            Option(
                "service",
                {"choices": tuple(uses.SERVICES), "metavar": "SERVICE", "help": ", ".join(uses.SERVICES)},
            ),
        ),
    ),
    Command(
        "relay credentials",
        "Print a user name and a password for a TURN client, valid for an hour.",
        uses.show_credentials,
        (
            Option("--user", {"default": "test", "metavar": "NAME", "help": "the user that limits count"}),
            Option(
                "--seconds", {"type": int, "default": 3600, "help": "how long it is valid (default: 3600)"}
            ),
        ),
    ),
    Command("relay reload", "Let the running relay read its configuration again.", relays.reload_relay),
    Command("check", "Check the configuration and show what it means.", run_check),
    Command(
        "ready",
        "Say whether server and relay of this machine are ready; the exit code tells, too.",
        ready.run_ready,
        (Option("part", {"nargs": "?", "choices": tuple(ready.PARTS), "help": "only this one"}),),
    ),
    Command("doctor", "Check this machine and the running relay, and say what to do.", local.run),
    Command("watch", "Tell those of deploy.alert what is not well and new, or over.", watch.run),
    Command(
        "ban add",
        "Ban an address or a network. Its open pages are closed within a second.",
        bans.add_ban,
        (
            Option("address", {**ADDRESS.settings, "nargs": "?"}),
            Option(
                "--report",
                {"metavar": "CODE", "help": "ban the visitor of a report, by the code of the report"},
            ),
            Option("--reason", {"default": "", "help": "a note for you; visitors do not see it"}),
            Option(
                "--for",
                {"dest": "duration", "default": "7d", "help": "how long: 30m, 12h, 7d or ever (default: 7d)"},
            ),
        ),
    ),
    Command("ban list", "List all bans.", bans.list_bans),
    Command("ban remove", "Remove a ban.", bans.remove_ban, (ADDRESS,)),
    Command("reports", "List the reports of visitors in the last 30 minutes.", bans.list_reports),
    Command(
        "setup",
        "Make this machine serve: ask six questions, or take the answers that are there.",
        run_setup,
        (
            RENAME,
            Option(
                "--upgrade",
                {"action": "store_true", "help": "only if calln setup was here; the package does it"},
            ),
            Option(
                "--remove",
                {"action": "store_true", "help": "stop and remove what it put here; the package does it"},
            ),
        ),
        reads=False,
    ),
    Command(
        "deploy init", "Ask six questions and write the configuration file.", run_deploy, (), reads=False
    ),
    Command(
        "deploy plan",
        "Show the steps of apply on each machine, and what would change in files. Nothing is changed.",
        run_deploy,
        (
            *CONNECTING,
            RENAME,
            Option("--contents", {"action": "store_true", "help": "show what is in new files, too"}),
        ),
    ),
    Command(
        "deploy apply",
        "Install or update Calln on every machine. Running calls go on.",
        run_deploy,
        (*CONNECTING, RENAME),
    ),
    Command("deploy status", "Show the releases that run on each machine.", run_deploy, CONNECTING),
    Command(
        "deploy doctor",
        "Check the service from here and on each machine, and say what to do.",
        run_deploy,
        CONNECTING,
    ),
    Command(
        "deploy logs",
        "Show the logs of server and relay.",
        run_deploy,
        (
            *CONNECTING,
            Option("--lines", {"type": int, "default": 100, "help": "number of lines (default: 100)"}),
            Option("--follow", {"action": "store_true", "help": "show new lines until Ctrl-C"}),
        ),
    ),
    Command(
        "deploy rollback",
        "Go back to an earlier release and its configuration. Running calls go on.",
        run_deploy,
        (
            *CONNECTING,
            Option(
                "version",
                {"nargs": "?", "help": "a release that calln deploy status shows (default: the one before)"},
            ),
        ),
    ),
    Command(
        "deploy restart",
        "Start the same release anew, as after an update of Python. Running calls go on.",
        run_deploy,
        CONNECTING,
    ),
    Command(
        "deploy secrets rotate",
        "Give server and relay a new secret. Running calls go on.",
        run_deploy,
        (
            *CONNECTING,
            Option(
                "--withdraw-after",
                {
                    "type": int,
                    "default": 86_400,
                    "metavar": "SECONDS",
                    "help": "end the old secret, and calls that still use it, after this time (default: one "
                    "day)",
                },
            ),
        ),
    ),
    Command(
        "deploy backup",
        "Save configuration, secrets, certificates and bans of each machine in a file here.",
        run_deploy,
        (
            *CONNECTING,
            Option(
                "folder",
                {
                    "type": Path,
                    "nargs": "?",
                    "default": Path(),
                    "help": "folder for the files (default: this one)",
                },
            ),
        ),
    ),
    Command(
        "deploy restore",
        "Write a backup back to a machine.",
        run_deploy,
        (*CONNECTING, Option("file", {"type": Path, "help": "a file from calln deploy backup"})),
    ),
    Command(
        "deploy proxy",
        "Print the configuration for another web server in front of Calln.",
        run_deploy,
        (Option("kind", {"choices": ("nginx", "caddy", "apache")}),),
    ),
    Command(
        "deploy firewall",
        "Print the ports of each machine for a cloud's firewall: as a table, or as commands.",
        run_deploy,
        (
            Option(
                "form",
                {
                    "nargs": "?",
                    "choices": ("table", "terraform", "aws", "hcloud", "gcloud"),
                    "default": "table",
                    "help": "table (default), terraform, aws, hcloud (Hetzner) or gcloud (Google)",
                },
            ),
        ),
    ),
    Command(
        "deploy cloud-init",
        "Print user data with which a cloud makes a new machine this site.",
        run_deploy,
        (
            Option(
                "--package",
                {
                    "required": True,
                    "metavar": "URL",
                    "help": "where the machine fetches the Debian package (make deb builds it)",
                },
            ),
            Option("--sha256", {"default": "", "metavar": "DIGITS", "help": "what sha256sum says of it"}),
        ),
    ),
    Command(
        "deploy destroy",
        "Remove Calln from the machines, or from any with --host. Its data stays, except with --purge.",
        run_deploy,
        (
            *CONNECTING,
            Option("--purge", {"action": "store_true", "help": "remove bans, secrets and certificates, too"}),
            Option("--yes", {"action": "store_true", "help": "do not ask for confirmation"}),
        ),
    ),
)
