"""The relay as a process: it starts, serves until it is asked to end, and lets calls go on for a while."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from socket import socket
from typing import Any

from host import logs, systemd
from host.startup import (
    StateUnavailable,
    Unavailable,
    forbid_core_dumps,
    in_state_dir,
    raise_descriptor_limit,
    refuse_root,
)
from host.unix_socket import GROUP_TOO, RELAY, VersionedSocket
from turn.config.limits import RelayLimits
from turn.engines import Bind
from turn.engines.loop.sockets import open_listener
from turn.engines.portable.reuseport import ReuseportGroups
from turn.engines.tcp.unix_acceptor import UNIX_LISTENER
from turn.flows import Address
from turn.process import admin, upgrade
from turn.process.addresses import AddressWatch, report
from turn.process.control import Control
from turn.process.upgrade import OlderVersions
from turn.service.engines import ENGINES
from turn.service.from_config import RelayConfig, relay_settings, stream_settings
from turn.service.keeping import Keeping, kept_relay
from turn.service.own_addresses import own_addresses
from turn.service.preflight import (
    check_certificate,
    check_loopback_peers,
    check_relay_addresses,
    open_listeners,
)
from turn.service.public_address import NoServer
from turn.service.relayed_ports import FILE, RelayedPorts, this_process
from turn.service.service import Service
from turn.workers.pool import WorkerPool
from turn.workers.single import SingleProcess, Workers

log = logging.getLogger("calln.relay")

EARLY = (signal.SIGHUP, signal.SIGUSR1)  # signals that may come before we serve
SOCKETS_PER_ALLOCATION = 3  # the client's, the relayed address, a peer's; without room peers share one
SPARE_SOCKETS = 100
MEMORY = Path("/dev/shm")  # noqa: S108  # a file system that no disk is behind


def run(read: Callable[[], RelayConfig], state_dir: Path) -> int:
    """Serve until asked to end; the exit code. `read` reads the configuration, now and at each reload, and
    raises ValueError with a line for each problem. Raises what `read` raises, and Unavailable."""
    signal.pthread_sigmask(signal.SIG_BLOCK, EARLY)  # they would end us before we can handle them
    config = read()
    refuse_root(state_dir)
    logs.start_logging()
    forbid_core_dumps()
    warn_of_few_descriptors(raise_descriptor_limit(), config.turn.limits)
    gc.freeze()  # what is loaded stays: to look through it for garbage would stop all for 50 ms
    asyncio.run(serve(read, config, state_dir))
    return 0


async def serve(read: Callable[[], RelayConfig], config: RelayConfig, state_dir: Path) -> None:
    """Beside older versions that still have calls. Clients need no state folder: where it cannot be used, the
    relay has a folder of its own as long as it runs. Raises Unavailable."""
    try:
        await serve_in(state_dir, read, config)
    except StateUnavailable as problem:
        log.error(
            "%s: %s; this relay serves without it, so calln relay and port 443 reach it only after a restart",
            *(problem, logs.describe(problem.error)),
        )
        with tempfile.TemporaryDirectory(prefix="calln-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
            await serve_in(Path(folder), read, config)


async def serve_in(state_dir: Path, read: Callable[[], RelayConfig], config: RelayConfig) -> None:
    """With this state folder. Raises Unavailable, and before anybody is served StateUnavailable."""
    addresses = AddressWatch(config)
    try:
        config = await addresses.locate(config)
    except NoServer as problem:
        raise Unavailable(str(problem)) from None
    report(None, config)
    turn, own = config.turn, own_addresses()
    check_relay_addresses(turn, own)
    check_loopback_peers(turn, own)
    check_certificate(turn)
    asyncio.get_running_loop().set_exception_handler(logs.LoopErrors(log))
    make = single_process if turn.workers == 1 else worker_pool
    async with upgrade.sharing(state_dir) as older:
        with VersionedSocket(state_dir / RELAY, GROUP_TOO) as server_socket:
            bind = binding(server_socket, beside=bool(older))
            workers = make(config, own, state_dir, bind, (UNIX_LISTENER,))
            control = Control(workers, read, config, addresses)
            await serve_workers(control, older, state_dir, server_socket)


def binding(server_socket: VersionedSocket, *, beside: bool) -> Bind:
    """How listeners are bound; the Unix socket for the server is bound already."""

    def bind(listener: Address) -> socket:
        return (
            server_socket.sock.dup() if listener == UNIX_LISTENER else open_listener(listener, shared=beside)
        )

    return bind


async def serve_workers(
    control: Control, older: OlderVersions, state_dir: Path, server_socket: VersionedSocket
) -> None:
    """Raises Unavailable."""
    workers, ready = control.workers, asyncio.Event()
    beside = [asyncio.create_task(control.share_with_older(older.until_left()))] if older else []
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(workers.run(ready))]
    try:
        await until_ready(tasks[0], ready)
        async with admin.operator_serving(control, state_dir, beside=bool(older)):
            older.unlock()
            with suppress(Unavailable):  # such as a full disk: clients of UDP and TCP do not need it
                server_socket.publish()
            with control.shutdown.on_signals(control.on_hangup, control.pass_on):
                watchdog = systemd.feed_watchdog(workers.is_healthy)
                more = (control.until_ended(), control.watch_addresses(), watchdog)
                tasks += map(asyncio.create_task, more)
                with suppress(OSError):  # such as a full disk behind standard output
                    print(start_line(control), flush=True)
                systemd.notify("READY=1")
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                await cancel(tasks)
    finally:
        await cancel([*tasks, *beside])


def single_process(
    config: RelayConfig,
    own_addresses: frozenset[bytes],
    state_dir: Path,
    bind: Bind,
    more: Sequence[Address] = (),
) -> Workers:
    """This process carries the packets, also of clients at `more` listeners. Raises Unavailable."""
    turn, ports = config.turn, open_relayed_ports(state_dir)
    try:
        make = partial(ENGINES[turn.engine], streams=stream_settings(turn), bind=bind)
        engine, listeners = open_listeners(lambda listeners: make((*listeners, *more)), turn.listen)
    except Unavailable:
        ports.close()
        raise
    settings = replace(relay_settings(config, listeners, own_addresses), relayed_elsewhere=ports)
    relay, keeper = kept_relay(settings, state_dir, Keeping(this_process()))
    return SingleProcess(Service(relay, engine, ports, keeper), listeners, state_dir)


def worker_pool(
    config: RelayConfig,
    own_addresses: frozenset[bytes],
    state_dir: Path,
    bind: Bind,
    more: Sequence[Address] = (),
) -> Workers:
    """Worker processes carry the packets. Raises Unavailable."""
    turn, ports = config.turn, open_relayed_ports(state_dir, claim=False)
    make = partial(ReuseportGroups, members=turn.workers, bind=bind)
    try:
        groups, listeners = open_listeners(lambda listeners: make((*listeners, *more)), turn.listen)
    except Unavailable:
        ports.close()
        raise
    return WorkerPool(config, own_addresses, groups, listeners, ports, state_dir)


def open_relayed_ports(state_dir: Path, *, claim: bool = True) -> RelayedPorts:
    """Raises Unavailable."""
    with in_state_dir(state_dir / FILE):
        return RelayedPorts(state_dir, claim=claim)


async def until_ready(task: asyncio.Task[Any], ready: asyncio.Event) -> None:
    """Wait for the event. Raises what ended the task before it."""
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()


async def cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """All of them, also if one fails while it ends. Raises the first failure."""
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for failure in results:
        if isinstance(failure, BaseException) and not isinstance(failure, asyncio.CancelledError):
            raise failure


def start_line(control: Control) -> str:
    workers = control.workers
    listeners = ", ".join(str(address) for address in workers.listeners)
    low, high = control.turn.relay_ports
    return f"calln relay: {workers.name}, listening at {listeners}, relaying at ports {low}-{high}"


def warn_of_few_descriptors(allowed: int | None, limits: RelayLimits) -> None:
    need = limits.allocations * SOCKETS_PER_ALLOCATION + limits.connections + SPARE_SOCKETS
    if allowed is not None and allowed < need:
        log.warning(
            "%d open files allowed, %d wanted for turn.limits.allocations: raise LimitNOFILE", allowed, need
        )
