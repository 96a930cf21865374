"""Several worker processes as one. This process carries no packets. As long as it lives it holds every
listening socket, so that each client stays with its worker and waits there while a dead worker is replaced.
It also holds the memory of the limits, and asks the workers what an operator wants to know.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from host.attempts import Attempts
from host.logs import describe
from host.startup import Unavailable
from host.tls import BadCertificate, server_context
from turn.config.section import Turn
from turn.engines.loop.sockets import is_wildcard
from turn.engines.portable.reuseport import ReuseportGroups
from turn.flows import Address
from turn.service.from_config import RelayConfig, relay_certificate
from turn.service.keeping import forget_dead, pool_before
from turn.service.metrics import MetricsPage
from turn.service.relayed_ports import RelayedPorts
from turn.workers.merged_metrics import Figure, MergedMetrics, merged
from turn.workers.rpc import CallFailed, NotAnswered
from turn.workers.shared_ledger import SharedLedger, make_memory
from turn.workers.single import SessionRow
from turn.workers.worker import WorkerStart
from turn.workers.worker_process import WorkerProcess

log = logging.getLogger("calln.relay")

KEY_BYTES = 32
LOOK_SECONDS = 2.0  # between two checks whether all answer
LOOKS = 10  # checks before the next fetch of figures, which costs each worker some milliseconds
PAUSE, LONGEST_PAUSE = 0.1, 30.0  # seconds before a dead worker is replaced; doubled if the next dies soon
STEADY_SECONDS = 60.0  # a worker that lived so long did not die of its start


class WorkerPool:
    """See turn.workers.single.Workers. Raises OSError."""

    def __init__(
        self,
        config: RelayConfig,
        own_addresses: frozenset[bytes],
        groups: ReuseportGroups,
        listeners: Sequence[Address],
        ports: RelayedPorts,
        state_dir: Path,
    ) -> None:
        columns = config.turn.workers
        before = pool_before(state_dir, columns)
        key = before.key or secrets.token_bytes(KEY_BYTES)
        self.draining = self.has_left = False
        self.sharing = not before.as_many  # then the kernel would give clients to other workers than before
        self.name = f"engine {config.turn.engine}, {columns} workers"
        self.groups, self.listeners = groups, listeners
        self.memory = make_memory(columns)
        self.ledger = SharedLedger(self.memory, columns, 0, key)
        self.ports = ports
        self.start = WorkerStart(config, own_addresses, {}, state_dir, key, self.memory, columns)
        self.processes = [WorkerProcess(number) for number in range(columns)]
        self.ended_figures: list[Figure] = []  # of workers that have died
        self.deaths = 0
        self.cleaning = Attempts("cleaning up after a worker that has died", log)
        self.asking = Attempts("asking the workers whether they are well", log)

    async def run(self, ready: asyncio.Event) -> None:
        try:
            await self.start_all()
            ready.set()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.asking.repeat(0, self.poll))
                for process in self.processes:
                    tasks.create_task(self.supervise(process))
        finally:
            await asyncio.gather(*(process.stop() for process in self.processes))
            self.ports.close()
            self.groups.close()
            os.close(self.memory)

    async def start_all(self) -> None:
        """Raises Unavailable."""
        results = await asyncio.gather(*map(self.start_one, self.processes), return_exceptions=True)
        for problem in results:
            if isinstance(problem, BaseException):
                raise Unavailable(f"a worker cannot start: {problem}") from problem

    async def start_one(self, process: WorkerProcess) -> None:
        """Raises CannotStart and OSError."""
        listeners = self.groups.descriptors_of(process.number)
        await process.spawn((*listeners.values(), self.memory))
        start = self.start
        await process.begin(start._replace(listeners=listeners, column=process.number))
        await self.catch_up(process, start)

    async def catch_up(self, process: WorkerProcess, start: WorkerStart) -> None:
        """Repeat the calls that were made while it started: they did not reach it."""
        now = self.start
        if now is not start:
            await process.try_call("apply_streams", now.config.turn)
            await process.try_call("apply_config", now.config, now.own_addresses)
        if now.draining and not start.draining:
            await process.try_call("drain", now.alternate)
        if self.sharing:
            await process.try_call("start_sharing")
        if self.has_left:
            await process.try_call("leave_listeners")

    async def supervise(self, process: WorkerProcess) -> None:
        """Replace it whenever it dies."""
        pause = PAUSE
        while True:
            served, lived = process.is_serving, await process.until_ended()
            if served:
                with self.cleaning.attempt():
                    self.clean_up_after(process)
            if self.has_left:
                return
            pause = PAUSE if lived > STEADY_SECONDS else min(pause, LONGEST_PAUSE)
            log.error(
                "worker %d has died; the next takes over its calls, and starts in %.1f s",
                process.number,
                pause,
            )
            await asyncio.sleep(pause)
            pause *= 2
            if self.has_left:
                return
            try:
                await self.start_one(process)
            except Exception as problem:  # the other workers go on; its text may hold addresses
                log.error("worker %d cannot start: %s", process.number, describe(problem))
            else:
                log.info("worker %d is there again", process.number)

    def clean_up_after(self, process: WorkerProcess) -> None:
        """Keep the counters of a dead worker and forget everything that it held."""
        self.deaths += 1
        self.ended_figures = merged([self.ended_figures, process.take_counters()])
        self.ledger.wipe(process.number)
        self.ports.free_dead()

    async def poll(self) -> None:
        """Ask all workers now and then: a worker that hangs is found, and figures of dead ones are known."""
        for _ in range(LOOKS):
            await asyncio.sleep(LOOK_SECONDS)
            await self.call_all("ping")
        await self.fetch_all_figures()

    async def fetch_all_figures(self) -> None:
        """Of a worker that does not answer, the last figures stay."""
        await asyncio.gather(*(process.fetch_figures() for process in self.processes))

    def is_healthy(self) -> bool:
        serving = any(process.is_serving for process in self.processes)
        return serving and not any(process.misses for process in self.processes)

    async def call_all(self, order: str, *values: object) -> list[Any]:
        """The answers of the workers that answer."""
        answers = await asyncio.gather(*(process.try_call(order, *values) for process in self.processes))
        return [answer for answer in answers if not isinstance(answer, NotAnswered | CallFailed)]

    async def sessions(self) -> list[SessionRow]:
        return [row for rows in await self.call_all("sessions") for row in rows]

    async def session_count(self) -> int:
        """A worker that does not answer counts with its last number."""
        return sum(await asyncio.gather(*(process.session_count() for process in self.processes)))

    async def kill(self, *, user: str | None = None, name: str | None = None) -> int:
        return sum(await self.call_all("kill", user, name))

    async def apply_streams(self, turn: Turn) -> None:
        """Try the certificate here first, so that a bad one reaches no worker."""
        try:
            certificate = relay_certificate(turn)
            if certificate is not None:
                server_context(certificate)
        except BadCertificate as problem:
            raise Unavailable(f"turn.certificate, turn.key: {problem}") from None
        calls = (process.try_call("apply_streams", turn) for process in self.processes)
        for answer in await asyncio.gather(*calls):
            if isinstance(answer, CallFailed):
                raise Unavailable(str(answer))

    async def apply_config(self, config: RelayConfig, own_addresses: frozenset[bytes]) -> None:
        self.start = self.start._replace(config=config, own_addresses=own_addresses)  # for later starts
        await self.call_all("apply_config", config, own_addresses)

    async def drain(self, alternate: Address | None) -> None:
        self.draining = True
        self.start = self.start._replace(draining=True, alternate=alternate)
        await self.call_all("drain", alternate)

    async def start_sharing(self) -> None:
        self.sharing = True
        await self.call_all("start_sharing")

    async def stop_sharing(self) -> None:
        """Pinned clients stay pinned, or another worker could get them: the kernel distributes clients among
        the sockets that are open now. At a concrete address the sockets of pinned clients count, too: there
        every client stays pinned."""
        if all(is_wildcard(listener) for listener in self.listeners):
            self.sharing = False
            await self.call_all("share_for_good")

    async def leave_listeners(self) -> None:
        """A worker that dies after this is not replaced: it would have no listeners."""
        self.has_left = True
        await self.call_all("leave_listeners")
        self.groups.close()

    async def forget_calls(self) -> None:
        await self.call_all("forget_calls")
        with self.cleaning.attempt():
            forget_dead(self.start.state_dir)

    def free_dead_ports(self) -> None:
        self.ports.free_dead()

    async def metrics(self) -> MetricsPage:
        await self.fetch_all_figures()
        figures = (process.figures for process in self.processes)
        return MergedMetrics(merged([self.own_figures(), self.ended_figures, *figures]))

    def own_figures(self) -> list[Figure]:
        living = sum(process.is_serving for process in self.processes)
        name, deaths = "calln_relay_workers", "calln_relay_worker_deaths"
        return [
            Figure(name, "Processes that carry packets now.", "gauge", [(name, {}, living)]),
            Figure(deaths, "Those that have died.", "counter", [(f"{deaths}_total", {}, self.deaths)]),
        ]
