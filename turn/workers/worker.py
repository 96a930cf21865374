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
from turn.service.from_config import settings, streams
from turn.service.gate_sync import heard
from turn.service.preflight import ENGINES
from turn.service.relayed_ports import Live
from turn.service.service import Service
from turn.workers.merged_metrics import Figure, plain
from turn.workers.rpc import Line, Refused
from turn.workers.shared_ledger import Shared
from turn.workers.single import Alone

NOT_FOR_US = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # who is to end hears it through the line


class Start(NamedTuple):
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
        self.crew: asyncio.Future[Alone] = asyncio.get_running_loop().create_future()
        self.does: dict[str, Callable[..., Awaitable[object]]] = {"start": self.start}

    async def start(self, start: Start) -> None:
        """Raises Refused."""
        try:
            crew = made(start)
        except (Unavailable, OSError) as problem:
            raise Refused(str(problem)) from None
        if start.draining:
            await crew.drain(start.alternate)
        self.does |= {
            "answer": self.answer,
            "sessions": crew.sessions,
            "count": crew.count,
            "kill": lambda user, name: crew.kill(user=user, name=name),
            "present": self.present,
            "adopt": crew.adopt,
            "drain": crew.drain,
            "share": crew.share,
            "share_no_more": self.share_no_more,
            "leave": crew.leave,
            "figures": self.figures,
        }
        self.crew.set_result(crew)

    async def present(self, turn: Turn) -> None:
        """Raises Refused."""
        try:
            await (await self.crew).present(turn)
        except Unavailable as problem:
            raise Refused(str(problem)) from None

    async def share_no_more(self) -> None:
        """Who is kept stays so."""
        (await self.crew).service.sharing = False

    async def answer(self) -> None:
        """That it does not hang."""

    async def figures(self) -> list[Figure]:
        return plain((await self.crew).figures.collect())

    async def run(self) -> None:
        """Serve clients, until cancelled."""
        await (await self.crew).run(asyncio.Event())


def made(start: Start) -> Alone:
    """Raises Unavailable and OSError."""
    listeners = tuple(start.listeners)
    ledger = Shared(start.ledger, start.columns, start.column, start.key)
    live = Live(start.state_dir)
    engine = ENGINES[start.turn.engine](
        listeners,
        streams(start.turn)._replace(ledger=ledger),
        lambda address: socket(fileno=start.listeners[address]),
        exclusive=False,
    )
    told = settings(start.turn, start.secrets, listeners, start.own)
    shared = replace(told, nonce_key=start.key, ledger=ledger, relayed_elsewhere=live, many_processes=True)
    return Alone(Service(Relay(shared), engine, live), listeners, heard(start.state_dir))


async def work(sock: socket) -> None:
    """Until the other end is closed."""
    asyncio.get_running_loop().set_exception_handler(logs.on_loop_failure)
    worker, line = Worker(), await Line.at(sock)
    tasks = [asyncio.create_task(line.serve(worker.does)), asyncio.create_task(worker.run())]
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
    logs.start()
    for number in NOT_FOR_US:
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()  # what is loaded stays: to look through it for garbage would stop all for 50 ms
    asyncio.run(work(socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
