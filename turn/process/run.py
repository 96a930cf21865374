"""The relay as a process: it starts, serves until it is told to end, and lets what lives go on a while."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from host import logs, systemd
from host.startup import Unavailable, raise_descriptor_limit
from host.unix_socket import GROUP_TOO, RELAY, VersionedSocket
from turn.config.limits import RelayLimits
from turn.config.section import Turn
from turn.core.relay import Relay
from turn.engines import Bind
from turn.engines.loop.sockets import open_listener
from turn.engines.portable.reuseport import ReuseportGroups
from turn.engines.tcp.unix_acceptor import UNIX_LISTENER
from turn.flows import Address
from turn.process import admin, upgrade
from turn.process.control import Control, Told
from turn.process.upgrade import OlderVersions
from turn.service.from_config import relay_settings, stream_settings
from turn.service.gate_sync import open_news
from turn.service.own_addresses import own_addresses
from turn.service.preflight import (
    ENGINES,
    check_certificate,
    check_loopback_peers,
    check_relay_addresses,
    open_listeners,
)
from turn.service.public_address import NoAnswer, with_public_addresses
from turn.service.relayed_ports import FILE, RelayedPorts
from turn.service.service import Service
from turn.workers.pool import WorkerPool
from turn.workers.single import SingleProcess, Workers

__all__ = ["Unavailable", "run", "serve"]

log = logging.getLogger("calln.relay")

SOCKETS_PER_ALLOCATION = 3  # a twin, a relayed address, a leg; who finds none for more legs shares
SPARE_SOCKETS = 100

Addresses = Sequence[Address]


def run(read: Callable[[], Told], state_dir: Path) -> int:
    """Serve until told to end; the exit code. `read` reads the configuration, at the start and for each
    reload, and raises ValueError with a line for each problem. Raises what `read` raises, and Unavailable."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # until it can be heeded; it would end us
    told = read()
    logs.start_logging()
    warn_of_few_descriptors(raise_descriptor_limit(), told[0].limits)
    gc.freeze()  # what is loaded stays: to look through it for garbage would stop all for 50 ms
    asyncio.run(serve(read, told, state_dir))
    return 0


async def serve(read: Callable[[], Told], told: Told, state_dir: Path) -> None:
    """Beside older versions that still have calls. Raises Unavailable."""
    turn, secrets = told
    try:
        turn = await asyncio.to_thread(with_public_addresses, turn)
    except NoAnswer as problem:
        raise Unavailable(str(problem)) from None
    own = own_addresses()
    check_relay_addresses(turn, own)
    check_loopback_peers(turn, own)
    check_certificate(turn)
    asyncio.get_running_loop().set_exception_handler(logs.on_loop_failure)
    make = single_process if turn.workers == 1 else worker_pool
    async with upgrade.sharing(state_dir) as older:
        with VersionedSocket(state_dir / RELAY, GROUP_TOO) as server_socket:
            bind = binding(server_socket, beside=bool(older))
            crew = make((turn, secrets), own, state_dir, bind, (UNIX_LISTENER,))
            await serve_workers(Control(crew, read, (turn, secrets)), older, state_dir, server_socket)


def binding(server_socket: VersionedSocket, *, beside: bool) -> Bind:
    """What all have in common is bound already."""
    return lambda here: (
        server_socket.sock.dup() if here == UNIX_LISTENER else open_listener(here, shared=beside)
    )


async def serve_workers(
    control: Control, older: OlderVersions, state_dir: Path, server_socket: VersionedSocket
) -> None:
    """Raises Unavailable."""
    crew, turn, ready = control.workers, control.turn, asyncio.Event()
    beside = [asyncio.create_task(control.share_with_older(older.until_left()))] if older else []
    work: list[asyncio.Task[Any]] = [asyncio.create_task(crew.run(ready))]
    try:
        await until_ready(work[0], ready)
        async with admin.operator_serving(control, state_dir, beside=bool(older)):
            older.unlock()
            with suppress(Unavailable):  # such as a full disk: who came over TCP and UDP has no need of it
                server_socket.publish()
            with control.shutdown.on_signals(control.on_hangup):
                also = (
                    control.until_ended(),
                    control.watch_addresses(),
                    systemd.feed_watchdog(crew.is_healthy),
                )
                work += map(asyncio.create_task, also)
                print(start_line(crew, turn), flush=True)
                systemd.notify("READY=1")
                done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                await cancel(work)
    finally:
        await cancel([*work, *beside])


def single_process(
    told: Told, own: frozenset[bytes], state_dir: Path, bind: Bind, also: Addresses = ()
) -> Workers:
    """This process carries the packets, of those too who come in `also`. Raises Unavailable."""
    turn, secrets = told
    live = open_relayed_ports(state_dir)
    try:
        make = partial(ENGINES[turn.engine], streams=stream_settings(turn), bind=bind)
        engine, listeners = open_listeners(lambda here: make((*here, *also)), turn.listen)
    except Unavailable:
        live.close()
        raise
    known = replace(relay_settings(turn, secrets, listeners, own), relayed_elsewhere=live)
    return SingleProcess(Service(Relay(known), engine, live), listeners, open_news(state_dir))


def worker_pool(
    told: Told, own: frozenset[bytes], state_dir: Path, bind: Bind, also: Addresses = ()
) -> Workers:
    """Others carry them. Raises Unavailable."""
    turn, live = told[0], open_relayed_ports(state_dir, claim=False)
    make = partial(ReuseportGroups, members=turn.workers, bind=bind)
    try:
        groups, listeners = open_listeners(lambda here: make((*here, *also)), turn.listen)
    except Unavailable:
        live.close()
        raise
    return WorkerPool(told, own, groups, listeners, live, state_dir)


def open_relayed_ports(state_dir: Path, *, claim: bool = True) -> RelayedPorts:
    """Raises Unavailable."""
    try:
        return RelayedPorts(state_dir, claim=claim)
    except OSError as error:
        place = state_dir / FILE
        raise Unavailable(f"{place}: {error.strerror or error}; point site.state_dir elsewhere") from None


async def until_ready(task: asyncio.Task[Any], event: asyncio.Event) -> None:
    """Wait for the event, or raise what ended the task before it."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()


async def cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """All of them, also where one fails at its end. Raises what the first of them failed of."""
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    for failure in ends:
        if isinstance(failure, BaseException) and not isinstance(failure, asyncio.CancelledError):
            raise failure


def start_line(crew: Workers, turn: Turn) -> str:
    places = ", ".join(str(address) for address in crew.listeners)
    low, high = turn.relay_ports
    return f"calln relay: {crew.name}, listening at {places}, relaying at ports {low}-{high}"


def warn_of_few_descriptors(allowed: int | None, limits: RelayLimits) -> None:
    need = limits.allocations * SOCKETS_PER_ALLOCATION + limits.connections + SPARE_SOCKETS
    if allowed is not None and allowed < need:
        log.warning(
            "%d open files allowed, %d wanted for turn.limits.allocations: raise LimitNOFILE", allowed, need
        )
