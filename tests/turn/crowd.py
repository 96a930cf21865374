"""A relay of several processes, each of them real, with its operator's side in the test's own process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aioice import stun

from host.tls import Certificate
from tests.turn.engines.certificates import certificate
from tests.turn.engines.world import PATIENCE, Client, End, StreamEnd, close, free
from tests.turn.service.caller import Caller
from tests.turn.service.running import SECRET, turn
from turn.engines.loop.sockets import open_listener
from turn.flows import Address, Transport
from turn.process.run import worker_pool
from turn.service.from_config import RelayConfig
from turn.service.own_addresses import own_addresses
from turn.workers.pool import WorkerPool
from turn.workers.worker_process import WorkerProcess

ALICE = ("alice", "password of hers")
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
TRIES = 60  # clients, each of which comes to one of two workers as a coin falls


class Crowd:
    """At one address of loopback, or at a wildcard that is reached there. Nothing of this machine is a peer
    but the relayed addresses that live."""

    def __init__(
        self, folder: Path, listen: str = "127.0.0.1", transport: Transport = "udp", **keys: object
    ) -> None:
        self.host = LOOPBACK[6 if ":" in listen else 4]
        at = free(listen, transport)
        self.listener = Address.of(self.host, at.port, transport)
        shown: Certificate | None = certificate() if transport == "tls" else None
        given = {
            "workers": 2,
            "users": dict([ALICE]),
            "allow_loopback_peers": False,
            **(shown._asdict() if shown else {}),
            **keys,
        }
        if shown:
            given["certificate"] = given.pop("chain")
        self.turn = turn(listen=str(at), **given)
        self.folder = folder
        self.ends: list[End] = []
        self.streams: list[StreamEnd] = []

    async def start(self) -> None:
        pool = worker_pool(RelayConfig(self.turn, [SECRET]), own_addresses(), self.folder, open_listener)
        assert isinstance(pool, WorkerPool)
        self.pool, ready = pool, asyncio.Event()
        self.task = asyncio.create_task(pool.run(ready))
        waiting = asyncio.create_task(ready.wait())
        async with asyncio.timeout(PATIENCE * 5):
            await asyncio.wait([self.task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self.task.done():
            self.task.result()

    async def stop(self) -> None:
        await close(self.ends, self.streams)
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    def end(self) -> End:
        self.ends.append(End(self.host))
        return self.ends[-1]

    async def client(self) -> Client:
        if self.listener.transport == "udp":
            return self.end()
        self.streams.append(await StreamEnd.connect(self.listener))
        return self.streams[-1]

    async def caller(self, user: tuple[str, str] = ALICE) -> Caller:
        return Caller(self, *user, end=await self.client())

    async def ids(self, process: WorkerProcess) -> list[str]:
        """The sessions of one worker."""
        return [row["id"] for row in await process.call("sessions")]

    async def one_each(self) -> list[tuple[Caller, Address]]:
        """For each worker a caller with a relayed address there."""
        found: dict[int, tuple[Caller, Address]] = {}
        for _ in range(TRIES):
            caller = await self.caller()
            relay = await caller.allocate()
            [at] = [
                process.number for process in self.pool.processes if name(relay) in await self.ids(process)
            ]
            if at in found:
                await caller.ask(stun.Method.REFRESH, LIFETIME=0)
            found.setdefault(at, (caller, relay))
            if len(found) == len(self.pool.processes):
                return [found[number] for number in range(len(found))]
        raise AssertionError("all clients came to one worker")

    async def figures(self) -> dict[str, float]:
        """By name, summed over labels."""
        sums: dict[str, float] = {}
        for row in (await self.pool.metrics()).figures():
            title = str(row["name"]).removeprefix("calln_relay_")
            sums[title] = sums.get(title, 0.0) + float(str(row["value"]))
        return sums


def name(relay: Address) -> str:
    return str(relay).partition("://")[2]


def pid_of(process: WorkerProcess) -> int:
    assert process.process is not None
    return process.process.pid


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@asynccontextmanager
async def crowd(folder: Path, **keys: Any) -> AsyncIterator[Crowd]:
    world = Crowd(folder, **keys)
    await world.start()
    try:
        yield world
    finally:
        await world.stop()
