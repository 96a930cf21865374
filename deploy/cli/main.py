"""The `calln` command: its parser, and what becomes of errors."""

from __future__ import annotations

import argparse
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

from config.file import Config, load_config
from config.problems import EX_CONFIG, ConfigError, Unreadable
from deploy.cli import bans
from deploy.cli.commands import COMMANDS, GROUPS
from deploy.cli.spelling import spelled
from deploy.doctor.operator_client import OperatorError
from deploy.remote.orders import DeployError
from host import VERSION
from host.startup import Unavailable
from server.store import StoreError
from server.store.geo import GeoError

EX_USAGE = 2  # as argparse does
EX_UNAVAILABLE = 69  # sysexits.h: something that is needed is not available

# Errors whose text says what to do, and their exit codes.
ENDS: tuple[tuple[type[Exception], int], ...] = (
    (bans.UsageError, EX_USAGE),
    (Unreadable, os.EX_IOERR),
    (ConfigError, EX_CONFIG),
    (GeoError, EX_CONFIG),
    (StoreError, EX_UNAVAILABLE),
    (OperatorError, EX_UNAVAILABLE),
    (DeployError, EX_UNAVAILABLE),
    (Unavailable, EX_UNAVAILABLE),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command of the command line; the exit code comes from the command or from its error."""
    options = parser().parse_args(arguments)
    run: Callable[[Config, Namespace], int] = options.run
    try:
        return run(load_config(options.config if options.reads else None), options)
    except tuple(kind for kind, _ in ENDS) as error:
        print(f"calln: {spelled(str(error))}", file=sys.stderr)
        return next(code for kind, code in ENDS if isinstance(error, kind))


Groups = dict[str, "argparse._SubParsersAction[argparse.ArgumentParser]"]


def open_group(group: str, groups: Groups, parsers: dict[str, argparse.ArgumentParser]) -> None:
    """Make the parser for a group of commands, and for the groups around it."""
    if group in groups:
        return
    outer, _, word = group.rpartition(" ")
    open_group(outer, groups, parsers)
    is_command = group in parsers  # `calln relay` runs the relay, `calln relay stats` is in its group
    inner = parsers.get(group) or groups[outer].add_parser(word, help=GROUPS[group])
    groups[group] = inner.add_subparsers(metavar="COMMAND", required=not is_command)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        "calln", description="A private service for voice calls, on your own machine."
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
            # Without SUPPRESS, a --config before the second word would be lost.
            default=argparse.SUPPRESS if group in parsers else None,
            help="the configuration file (default: built-in settings, for this machine only)",
        )
        for option in command.options:
            own.add_argument(option.name, **option.settings)
        own.set_defaults(run=command.run, reads=command.reads, words=command.words)
    return top
