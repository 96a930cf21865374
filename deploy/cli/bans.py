"""`calln ban` and `calln reports`: the ban list on disk, and the reports that the running server holds."""

from __future__ import annotations

import re
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from config.file import Config
from config.problems import one_line
from deploy.doctor.operator_client import OperatorError, request_json
from server.store import Network, StoreError
from server.store.bans import MAX_REASON, Bans, network_of
from server.store.sqlite import open_store

UNITS = {"m": 60, "h": 3600, "d": 86400}
EVER = "ever"
UNWRITTEN = (
    "the ban is in force, but only in the memory of the running server, which writes it when the file can be "
    "used again; a restart before that forgets it"
)
REASON_WIDTH = 6  # letters of the longest reason that is usual


class UsageError(Exception):
    """The command line makes no sense; says what to write instead."""


@contextmanager
def ban_list(config: Config) -> Iterator[Bans]:
    """The list that the server reads. Raises StoreError: a new list in the wrong folder would ban nobody."""
    with closing(open_store(config.site.state_dir, create=False)) as store:
        yield Bans(store)


def add_ban(config: Config, options: Namespace) -> int:
    """Ban an address, or the visitor of a report. A running server notices it within a second."""
    seconds = seconds_of(options.duration)
    if bool(options.address) == bool(options.report):
        raise UsageError("write either an address or --report CODE")
    if options.report:
        return ban_reported(config.site.state_dir, options, seconds)
    network, reason = parse_network(options.address), clean_reason(options.reason)
    try:
        with ban_list(config) as bans:
            until, problem = bans.add(network, time.time(), seconds, reason).until, None
    except StoreError as failure:
        until, problem = ban_in_memory(config.site.state_dir, network, seconds, reason, failure), failure
    print(f"Banned {network} {until_text(until)}.")
    warn_of(problem)
    return 0


def ban_in_memory(
    state_dir: Path, network: Network, seconds: int | None, reason: str, failure: StoreError
) -> int | None:
    """Let the running server keep the ban; returns its end. Raises the StoreError if there is no server."""
    body = {"network": str(network), "seconds": seconds, "reason": reason}
    try:
        until: int | None = request_json(state_dir, "POST", "/bans", body)["until"]
    except OperatorError:
        raise failure from None
    return until


def ban_reported(state_dir: Path, options: Namespace, seconds: int | None) -> int:
    body = {"code": options.report.upper(), "seconds": seconds, "reason": clean_reason(options.reason)}
    ban = request_json(state_dir, "POST", "/bans", body)
    print(f"Banned the visitor of report {body['code']} {until_text(ban['until'])}.")
    warn_of(ban.get("problem"))
    return 0


def warn_of(problem: object) -> None:
    if problem is not None:
        print(f"calln: {problem}; {UNWRITTEN}", file=sys.stderr)


def remove_ban(config: Config, options: Namespace) -> int:
    wanted = parse_network(options.address)
    with ban_list(config) as bans:
        removed = bans.remove(wanted)
    if not removed:
        print(f"calln: {wanted} is not in the ban list; see: calln ban list", file=sys.stderr)
        return 1
    print(f"Removed the ban of {wanted}.")
    return 0


def list_bans(config: Config, _: Namespace) -> int:
    with ban_list(config) as bans:
        rows = bans.list(time.time())
    if not rows:
        print("The ban list is empty.")
    width = max((len(str(ban.network)) for ban in rows), default=0)
    for ban in rows:
        print(f"{ban.network!s:<{width}}  {until_text(ban.until):<22}  {one_line(ban.reason)}".rstrip())
    return 0


def list_reports(config: Config, _: Namespace) -> int:
    """Print each report, with names for the networks of both that hold for a day; never an address."""
    reports = request_json(config.site.state_dir, "GET", "/reports")["reports"]
    if not reports:
        print("No reports in the last 30 minutes.")
    for report in reports:
        names = f"of {report['reported']} by {report['reporter']}"
        print(f"{report['code']}  {local_time(report['time'])}  {report['reason']:<{REASON_WIDTH}}  {names}")
    return 0


def seconds_of(duration: str) -> int | None:
    """The seconds of 30m, 12h or 7d; None means for ever. Raises UsageError."""
    if duration == EVER:
        return None
    match = re.fullmatch(r"([0-9]{1,5})([mhd])", duration)
    if not match or not int(match[1]):
        raise UsageError(f"--for {duration}: write 30m, 12h, 7d or ever")
    return int(match[1]) * UNITS[match[2]]


def parse_network(text: str) -> Network:
    try:
        return network_of(text)
    except ValueError as wrong:
        raise UsageError(str(wrong)) from None


def clean_reason(reason: str) -> str:
    """The reason in one line, without control characters."""
    return " ".join(one_line(reason).split())[:MAX_REASON]


def until_text(end: int | None) -> str:
    return "until you remove the ban" if end is None else f"until {local_time(end)}"


def local_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
