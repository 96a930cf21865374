"""One of several processes that carry packets: it has its own engine and core, obeys the process that started
it, and ends with that process.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from socket import socket
from typing import NamedTuple

from host import logs
from host.startup import Unavailable
from turn.config.section import Turn
from turn.flows import Address
from turn.service.engines import ENGINES
from turn.service.from_config import RelayConfig, relay_settings, stream_settings
from turn.service.keeping import Keeping, kept_relay
from turn.service.relayed_ports import RelayedPorts, owner_of
from turn.service.service import Service
from turn.workers.merged_metrics import Figure, figures_of
from turn.workers.rpc import CallFailed, Rpc
from turn.workers.shared_ledger import SharedLedger
from turn.workers.single import SingleProcess

log = logging.getLogger("calln.relay")

NOT_FOR_US = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the parent says over the connection when to end


class WorkerStart(NamedTuple):
    """What a worker needs to begin: inherited descriptors (`listeners`, `memory`), its `column` of the
    memory, and the key of nonces and hashes that all workers have."""

    config: RelayConfig
    own_addresses: frozenset[bytes]
    listeners: Mapping[Address, int]
    state_dir: Path
    key: bytes
    memory: int
    columns: int
    column: int = 0
    draining: bool = False
    alternate: Address | None = None


class Worker:
    """What answers the parent's orders; the first one is to begin."""

    def __init__(self) -> None:
        self.single: asyncio.Future[SingleProcess] = asyncio.get_running_loop().create_future()
        self.orders: dict[str, Callable[..., Awaitable[object]]] = {"begin": self.begin}

    async def begin(self, start: WorkerStart) -> None:
        """Raises CallFailed."""
        try:
            single = single_process(start)
        except (Unavailable, OSError) as problem:
            raise CallFailed(str(problem)) from None
        if start.draining:
            await single.drain(start.alternate)
        self.orders |= {
            "ping": self.ping,
            "sessions": single.sessions,
            "session_count": single.session_count,
            "kill": lambda user, name: single.kill(user=user, name=name),
            "apply_streams": self.apply_streams,
            "apply_config": single.apply_config,
            "drain": single.drain,
            "forget_calls": single.forget_calls,
            "start_sharing": single.start_sharing,
            "share_for_good": self.share_for_good,
            "leave_listeners": single.leave_listeners,
            "figures": self.figures,
        }
        self.single.set_result(single)

    async def apply_streams(self, turn: Turn) -> None:
        """Raises CallFailed."""
        try:
            await (await self.single).apply_streams(turn)
        except Unavailable as problem:
            raise CallFailed(str(problem)) from None

    async def share_for_good(self) -> None:
        """Pinned clients stay pinned; new ones are not pinned any more."""
        (await self.single).service.sharing = False

    async def ping(self) -> None:
        """An answer shows that we do not hang."""

    async def figures(self) -> list[Figure]:
        return figures_of((await self.single).figures.collect())

    async def run(self) -> None:
        """Serve clients until cancelled."""
        await (await self.single).run(asyncio.Event())


def single_process(start: WorkerStart) -> SingleProcess:
    """Raises Unavailable and OSError."""
    listeners = tuple(start.listeners)
    ledger = SharedLedger(start.memory, start.columns, start.column, start.key)
    ports = RelayedPorts(start.state_dir)
    engine = ENGINES[start.config.turn.engine](
        listeners,
        stream_settings(start.config.turn)._replace(ledger=ledger),
        lambda address: socket(fileno=start.listeners[address]),
        exclusive=False,
    )
    settings = replace(
        relay_settings(start.config, listeners, start.own_addresses),
        ledger=ledger,
        relayed_elsewhere=ports,
        many_processes=True,
    )
    keeping = Keeping(owner_of(os.getppid()), start.column, start.columns, start.key)
    relay, keeper = kept_relay(replace(settings, nonce_key=start.key), start.state_dir, keeping)
    return SingleProcess(Service(relay, engine, ports, keeper), listeners, start.state_dir)


async def serve_parent(sock: socket) -> None:
    """Until the other end is closed."""
    asyncio.get_running_loop().set_exception_handler(logs.LoopErrors(log))
    worker, rpc = Worker(), await Rpc.open(sock)
    tasks = [asyncio.create_task(rpc.serve_calls(worker.orders)), asyncio.create_task(worker.run())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        rpc.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    logs.start_logging()
    for number in NOT_FOR_US:
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()  # what is loaded stays: to look through it for garbage would stop all for 50 ms
    asyncio.run(serve_parent(socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
