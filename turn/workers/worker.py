"""One of several processes that carry packets: it has its own engine and core, and takes orders from the
process that started it, with whose end it ends.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from socket import socket
from typing import NamedTuple

from host import logs
from host.startup import Unavailable
from turn.config.section import Turn
from turn.core.relay import Relay
from turn.flows import Address
from turn.service.from_config import relay_settings, stream_settings
from turn.service.gate_sync import open_news
from turn.service.preflight import ENGINES
from turn.service.relayed_ports import RelayedPorts
from turn.service.service import Service
from turn.workers.merged_metrics import Figure, figures_of
from turn.workers.rpc import CallFailed, Rpc
from turn.workers.shared_ledger import SharedLedger
from turn.workers.single import SingleProcess

NOT_FOR_US = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # who is to end hears it through the line


class WorkerStart(NamedTuple):
    """What a worker is told first. Descriptors are inherited; the key is that of nonces and hashes."""

    turn: Turn
    secrets: Sequence[bytes]
    own: frozenset[bytes]
    listeners: Mapping[Address, int]
    state_dir: Path
    key: bytes
    ledger: int
    columns: int
    column: int = 0
    draining: bool = False
    alternate: Address | None = None


class Worker:
    """What the orders are done by; the first one is to start."""

    def __init__(self) -> None:
        self.single: asyncio.Future[SingleProcess] = asyncio.get_running_loop().create_future()
        self.orders: dict[str, Callable[..., Awaitable[object]]] = {"start": self.begin}

    async def begin(self, start: WorkerStart) -> None:
        """Raises Refused."""
        try:
            crew = single_process(start)
        except (Unavailable, OSError) as problem:
            raise CallFailed(str(problem)) from None
        if start.draining:
            await crew.drain(start.alternate)
        self.orders |= {
            "answer": self.ping,
            "sessions": crew.sessions,
            "count": crew.session_count,
            "kill": lambda user, name: crew.kill(user=user, name=name),
            "present": self.apply_streams,
            "adopt": crew.apply_config,
            "drain": crew.drain,
            "share": crew.start_sharing,
            "share_no_more": self.share_for_good,
            "leave": crew.leave_listeners,
            "figures": self.figures,
        }
        self.single.set_result(crew)

    async def apply_streams(self, turn: Turn) -> None:
        """Raises Refused."""
        try:
            await (await self.single).apply_streams(turn)
        except Unavailable as problem:
            raise CallFailed(str(problem)) from None

    async def share_for_good(self) -> None:
        """Who is kept stays so."""
        (await self.single).service.sharing = False

    async def ping(self) -> None:
        """That it does not hang."""

    async def figures(self) -> list[Figure]:
        return figures_of((await self.single).figures.collect())

    async def run(self) -> None:
        """Serve clients, until cancelled."""
        await (await self.single).run(asyncio.Event())


def single_process(start: WorkerStart) -> SingleProcess:
    """Raises Unavailable and OSError."""
    listeners = tuple(start.listeners)
    ledger = SharedLedger(start.ledger, start.columns, start.column, start.key)
    live = RelayedPorts(start.state_dir)
    engine = ENGINES[start.turn.engine](
        listeners,
        stream_settings(start.turn)._replace(ledger=ledger),
        lambda address: socket(fileno=start.listeners[address]),
        exclusive=False,
    )
    told = relay_settings(start.turn, start.secrets, listeners, start.own)
    shared = replace(told, nonce_key=start.key, ledger=ledger, relayed_elsewhere=live, many_processes=True)
    return SingleProcess(Service(Relay(shared), engine, live), listeners, open_news(start.state_dir))


async def serve_parent(sock: socket) -> None:
    """Until the other end is closed."""
    asyncio.get_running_loop().set_exception_handler(logs.on_loop_failure)
    worker, line = Worker(), await Rpc.connect(sock)
    tasks = [asyncio.create_task(line.serve_calls(worker.orders)), asyncio.create_task(worker.run())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        line.close()
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
