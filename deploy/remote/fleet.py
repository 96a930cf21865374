"""All machines of a file at once: reached, asked, given orders."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from config.deploy import Destination, Host
from config.file import Config, load
from deploy.remote import ssh
from deploy.remote.hosts import targets
from deploy.remote.orders import Halt
from deploy.remote.ssh import Line

Options = argparse.Namespace
Result = TypeVar("Result")

FILE = Path("config.yaml")
PREFIX = re.compile(r"^\[[^]]*\] ?")  # the machine's name before each line, which one machine does not need


def told(config: Config, options: Options) -> Config:
    """The file that is named, else the one that lies here. Raises Halt and ConfigError."""
    if options.config is not None:
        return config
    if not FILE.exists():
        raise Halt(f"there is no {FILE} here: make one with calln deploy init, or name yours with --config")
    return load(FILE)


@contextmanager
def reached(config: Config, options: Options) -> Iterator[list[Line]]:
    """Lines to all machines, or none. Raises Halt with a line for each machine that cannot be worked on."""
    hosts = named(told(config, options), getattr(options, "host", None))
    ssh.say_lines(lambda line: print(PREFIX.sub("", line) if len(hosts) == 1 else line, flush=True))
    lines = side_by_side(hosts, lambda host: ssh.reach(host, accept=options.accept_host_key))
    try:
        yield lines
    finally:
        for line in lines:
            line.close()


def named(config: Config, host: Destination | None) -> list[Host]:
    """All, or the one that is wanted alone, which the file need not name any more."""
    hosts = [target.host for target in targets(config)]
    if host is None:
        return hosts
    return [one for one in hosts if one.address == host] or [Host(address=host)]


def side_by_side(hosts: Sequence[Host], do: Callable[[Host], Result]) -> list[Result]:
    """Do it for all at once, except that this machine's part stays in this thread, where processes can be
    waited for. Raises Halt with what went wrong with each."""
    results: dict[Host, Result] = {}
    wrong: list[str] = []
    with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
        tasks = {host: pool.submit(do, host) for host in hosts if not host.is_local}
        for host in hosts:
            try:
                results[host] = tasks[host].result() if host in tasks else do(host)
            except Halt as problem:
                wrong.append(str(problem))
    if wrong:
        raise Halt("\n".join(wrong))
    return [results[host] for host in hosts]


def on_each(lines: Sequence[Line], do: Callable[[Line], Result]) -> list[Result]:
    """Raises Halt."""
    by_host = {line.host: line for line in lines}
    return side_by_side(list(by_host), lambda host: do(by_host[host]))


def give(line: Line, order: dict[str, Any]) -> None:
    """Raises Halt."""
    if not line.order(order, aloud=True)[0]:
        raise Halt(f"{line}: it was not done; see above. What served there before serves on.")
