"""All machines of a file at once: connect to them and send them orders."""

from __future__ import annotations

import os
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from config.deploy import Destination, Host
from config.file import Config, load_config
from deploy.remote import ssh
from deploy.remote.hosts import targets
from deploy.remote.orders import DeployError
from deploy.remote.ssh import Machine

Result = TypeVar("Result")

FILE = Path("config.yaml")
PREFIX = re.compile(r"^\[[^]]*\] ?")  # the machine's name before each line; one machine alone needs none


def config_or_default(config: Config, options: Namespace) -> Config:
    """The file of --config, or else config.yaml in this folder. Raises DeployError and ConfigError."""
    if options.config is not None:
        return config
    if not FILE.exists():
        raise DeployError(
            f"there is no {FILE} in this folder; make one with calln deploy init, or name your file with "
            "--config"
        )
    return load_config(FILE)


class Fleet:
    """The machines that a command works on. One that fails does not stop the others."""

    def __init__(self, machines: list[Machine], missing: int = 0) -> None:
        self.machines = machines
        self.missing = missing  # those that could not be reached, and those that failed since

    def __len__(self) -> int:
        return len(self.machines) + self.missing

    def on_each(self, do: Callable[[Machine], Result]) -> dict[Machine, Result]:
        """Do it for all at once. What went wrong is printed, and that machine is left out from then on."""
        by_host = {machine.host: machine for machine in self.machines}
        results, wrong = try_each(list(by_host), lambda host: do(by_host[host]))
        complain(wrong)
        self.missing += len(wrong)
        self.machines = [by_host[host] for host in results]
        return {by_host[host]: result for host, result in results.items()}

    def code(self, *, well: bool = True) -> int:
        """The exit code: 69 (EX_UNAVAILABLE) if a machine is missing, 1 if something is not well."""
        return os.EX_UNAVAILABLE if self.missing else int(not well)


@contextmanager
def connect_all(
    config: Config, options: Namespace, *, needs_all: bool = False, listed: bool = True
) -> Iterator[Fleet]:
    """Connections to all machines that can be reached. What is wrong with the others is printed at once; they
    make the exit code (`Fleet.code`). Raises DeployError if there is no machine at all."""
    hosts = hosts_for(config_or_default(config, options), getattr(options, "host", None), listed=listed)
    ssh.set_output(lambda line: print(PREFIX.sub("", line) if len(hosts) == 1 else line, flush=True))
    made, wrong = try_each(hosts, lambda host: ssh.open_machine(host, accept=options.accept_host_key))
    try:
        if not made or (wrong and needs_all):
            raise DeployError("\n".join(wrong))
        complain(wrong)
        yield Fleet(list(made.values()), len(wrong))
    finally:
        for machine in made.values():
            machine.close()


def complain(problems: Sequence[str]) -> None:
    for problem in problems:
        print(f"calln: {problem}", file=sys.stderr, flush=True)


def hosts_for(config: Config, host: Destination | None, *, listed: bool = True) -> list[Host]:
    """All hosts of the file, or only that of --host. Raises DeployError if it must be `listed` and is not."""
    hosts = [target.host for target in targets(config)]
    if host is None:
        return hosts
    found = [one for one in hosts if one.address == host]
    if listed and not found:
        names = ", ".join(str(one.address) for one in hosts)
        raise DeployError(f"--host {host} is not in deploy.hosts; there are: {names}")
    return found or [Host(address=host)]


def try_each(hosts: Sequence[Host], do: Callable[[Host], Result]) -> tuple[dict[Host, Result], list[str]]:
    """Do it for all hosts at once; for this machine in this thread, where one can wait for processes.

    The results in the order of the hosts, and what went wrong with those that have none.
    """
    results: dict[Host, Result] = {}
    wrong: list[str] = []
    with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
        tasks = {host: pool.submit(do, host) for host in hosts if not host.is_local}
        for host in hosts:
            try:
                results[host] = tasks[host].result() if host in tasks else do(host)
            except DeployError as problem:
                wrong.append(str(problem))
    return {host: results[host] for host in hosts if host in results}, wrong


def send_order(machine: Machine, order: dict[str, Any]) -> None:
    """Send an order and print its lines. Raises DeployError."""
    if not machine.order(order, aloud=True)[0]:
        raise DeployError(f"{machine}: failed, see above. What ran before still runs.")
