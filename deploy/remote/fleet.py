"""All machines of a file at once: connect to them and send them orders."""

from __future__ import annotations

import re
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


@contextmanager
def connect_all(config: Config, options: Namespace) -> Iterator[list[Machine]]:
    """Connections to all machines, or to none. Raises DeployError: a line for each machine that failed."""
    hosts = hosts_for(config_or_default(config, options), getattr(options, "host", None))
    ssh.set_output(lambda line: print(PREFIX.sub("", line) if len(hosts) == 1 else line, flush=True))
    machines = in_parallel(hosts, lambda host: ssh.open_machine(host, accept=options.accept_host_key))
    try:
        yield machines
    finally:
        for machine in machines:
            machine.close()


def hosts_for(config: Config, host: Destination | None) -> list[Host]:
    """All hosts of the file, or only the one of --host, which need not be in the file."""
    hosts = [target.host for target in targets(config)]
    if host is None:
        return hosts
    return [one for one in hosts if one.address == host] or [Host(address=host)]


def in_parallel(hosts: Sequence[Host], do: Callable[[Host], Result]) -> list[Result]:
    """Do it for all hosts at once; for this machine in this thread, where one can wait for processes.

    Raises DeployError with all that went wrong.
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
    if wrong:
        raise DeployError("\n".join(wrong))
    return [results[host] for host in hosts]


def on_each(machines: Sequence[Machine], do: Callable[[Machine], Result]) -> list[Result]:
    """Do it for all machines at once. Raises DeployError."""
    by_host = {machine.host: machine for machine in machines}
    return in_parallel(list(by_host), lambda host: do(by_host[host]))


def send_order(machine: Machine, order: dict[str, Any]) -> None:
    """Send an order and print its lines. Raises DeployError."""
    if not machine.order(order, aloud=True)[0]:
        raise DeployError(f"{machine}: failed, see above. What ran before still runs.")
