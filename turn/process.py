"""The relay as a process: it starts, serves until it is told to end, and lets what lives go on a while."""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from turn import admin, logs, systemd
from turn.config import Turn
from turn.control import Control, Told
from turn.core.relay import Relay
from turn.crew import Alone
from turn.engines import Engine
from turn.flows import Address
from turn.outside import NoAnswer, resolved
from turn.own import own_addresses
from turn.service import (
    ENGINES,
    Service,
    Unavailable,
    check_loopback_peers,
    check_relay_addresses,
    listen,
    settings,
    streams,
)

__all__ = ["Unavailable", "run", "serve"]

log = logging.getLogger("calln.relay")

SOCKETS_PER_ALLOCATION = 3  # a twin, a relayed address, a leg
SPARE_SOCKETS = 100


def run(read: Callable[[], Told], state_dir: Path) -> int:
    """Serve until told to end; the exit code. `read` reads the configuration, at the start and for each
    reload, and raises ValueError with a line for each problem. Raises what `read` raises, and Unavailable."""
    told = read()
    logs.start()
    raise_descriptor_limit(told[0].limits.allocations, told[0].limits.connections)
    asyncio.run(serve(read, told, state_dir))
    return 0


async def serve(read: Callable[[], Told], told: Told, state_dir: Path) -> None:
    """Raises Unavailable."""
    turn, secrets = told
    try:
        turn = await asyncio.to_thread(resolved, turn)
    except NoAnswer as problem:
        raise Unavailable(str(problem)) from None
    own = own_addresses()
    check_relay_addresses(turn, own)
    check_loopback_peers(turn, own)
    engine, listeners = listen(partial(ENGINES[turn.engine], streams=streams(turn)), turn.listen)
    service = Service(Relay(settings(turn, secrets, listeners, own)), engine)
    control = Control(Alone(service, listeners), read, (turn, secrets))
    asyncio.get_running_loop().set_exception_handler(on_loop_failure)
    work: list[asyncio.Task[Any]] = [asyncio.create_task(engine.run(service.punt, service.lost, failed=service.failed))]
    await asyncio.sleep(0)  # it runs now, and closes its sockets whatever comes
    try:
        async with admin.serving(control, state_dir):
            with control.by_signal():
                work += map(
                    asyncio.create_task, (control.ended(), control.watch_addresses(), systemd.say_alive())
                )
                print(start_line(engine, listeners, turn), flush=True)
                systemd.notify("READY=1")
                done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                await cancel(work)
    finally:
        await cancel(work)


async def cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def on_loop_failure(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """asyncio's own words may name sockets, and with them addresses."""
    log.error("a mistake between packets", exc_info=context.get("exception"))


def start_line(engine: Engine, listeners: Iterable[Address], turn: Turn) -> str:
    places = ", ".join(str(address) for address in listeners)
    low, high = turn.relay_ports
    return f"calln relay: engine {engine.name}, listening at {places}, relaying at ports {low}-{high}"


def raise_descriptor_limit(allocations: int, connections: int = 0) -> None:
    """Let the process have all the sockets that the machine grants it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    need = allocations * SOCKETS_PER_ALLOCATION + connections + SPARE_SOCKETS
    if hard != resource.RLIM_INFINITY and hard < need:
        log.warning(
            "%d open files allowed, %d wanted for turn.limits.allocations: raise LimitNOFILE", hard, need
        )
