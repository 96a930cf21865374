"""Several processes as one crew. This one carries no packets: it holds every listening socket for all of its
life, so that each client stays with its worker and waits there while a dead one is replaced; it keeps the
memory of their limits; and it asks them what an operator wants to know.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from host.startup import Unavailable
from host.tls import BadCertificate, server_context
from turn.config.section import Turn
from turn.engines.loop.sockets import is_wildcard
from turn.engines.portable.reuseport import ReuseportGroups
from turn.flows import Address
from turn.service.from_config import relay_certificate
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
LOOK_SECONDS = 2.0  # between two looks whether all answer
LOOKS = 10  # before the next one at their figures, which cost each some milliseconds
PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds before a successor starts; doubled where one soon dies
STEADY_SECONDS = 60.0  # who lived so long did not die of its start


class WorkerPool:
    """See turn.crew.Crew for the verbs. Raises OSError."""

    def __init__(
        self,
        told: tuple[Turn, Sequence[bytes]],
        own: frozenset[bytes],
        groups: ReuseportGroups,
        listeners: Sequence[Address],
        live: RelayedPorts,
        state_dir: Path,
    ) -> None:
        turn, known = told
        key, columns = secrets.token_bytes(KEY_BYTES), turn.workers
        self.draining = self.sharing = self.has_left = False
        self.name = f"engine {turn.engine}, {columns} workers"
        self.groups, self.listeners = groups, listeners
        self.ledger = make_memory(columns)
        self.shared_ledger = SharedLedger(self.ledger, columns, 0, key)
        self.ports = live
        self.start = WorkerStart(turn, known, own, {}, state_dir, key, self.ledger, columns)
        self.processes = [WorkerProcess(number) for number in range(columns)]
        self.ended_figures: list[Figure] = []  # of the dead
        self.deaths = 0

    async def run(self, ready: asyncio.Event) -> None:
        try:
            await self.start_all()
            ready.set()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.poll())
                for seat in self.processes:
                    tasks.create_task(self.supervise(seat))
        finally:
            await asyncio.gather(*(seat.stop() for seat in self.processes))
            self.ports.close()
            self.groups.close()
            os.close(self.ledger)

    async def start_all(self) -> None:
        """Raises Unavailable."""
        begun = await asyncio.gather(*map(self.start_one, self.processes), return_exceptions=True)
        for problem in begun:
            if isinstance(problem, BaseException):
                raise Unavailable(f"a worker cannot start: {problem}") from problem

    async def start_one(self, seat: WorkerProcess) -> None:
        """Raises CannotSit and OSError."""
        listeners = self.groups.descriptors_of(seat.number)
        await seat.spawn((*listeners.values(), self.ledger))
        told = self.start
        await seat.begin(told._replace(listeners=listeners, column=seat.number))
        await self.catch_up(seat, told)

    async def catch_up(self, seat: WorkerProcess, told: WorkerStart) -> None:
        """What was ordered while it started has not reached it."""
        now = self.start
        if now is not told:
            await seat.try_call("present", now.turn)
            await seat.try_call("adopt", now.turn, now.secrets, now.own)
        if now.draining and not told.draining:
            await seat.try_call("drain", now.alternate)
        if self.sharing:
            await seat.try_call("share")
        if self.has_left:
            await seat.try_call("leave")

    async def supervise(self, seat: WorkerProcess) -> None:
        """Whoever dies has a successor."""
        pause = PAUSE
        while True:
            served, lived = seat.is_serving, await seat.until_ended()
            if served:
                self.clean_up_after(seat)
            if self.has_left:
                return
            pause = PAUSE if lived > STEADY_SECONDS else min(pause, LONGEST_PAUSE)
            log.error("worker %d has died and its calls with it; another in %d s", seat.number, pause)
            await asyncio.sleep(pause)
            pause *= 2
            if self.has_left:
                return
            try:
                await self.start_one(seat)
            except Exception as problem:  # whatever it is, the others go on; its words may hold addresses
                log.error("worker %d cannot start: %s", seat.number, type(problem).__name__)
            else:
                log.info("worker %d is there again", seat.number)

    def clean_up_after(self, seat: WorkerProcess) -> None:
        """Nothing that the dead one held counts any more, but what it has carried."""
        self.deaths += 1
        self.ended_figures = merged([self.ended_figures, seat.take_counters()])
        self.shared_ledger.wipe(seat.number)
        self.ports.free_dead()

    async def poll(self) -> None:
        """At all of them, now and then: who hangs is found, and of the dead the figures are known."""
        while True:
            for _ in range(LOOKS):
                await asyncio.sleep(LOOK_SECONDS)
                await self.call_all("answer")
            await self.fetch_all_figures()

    async def fetch_all_figures(self) -> None:
        """Who does not answer has counted what it told last."""
        await asyncio.gather(*(seat.fetch_figures() for seat in self.processes))

    def is_healthy(self) -> bool:
        """Whether all that live answer, and one serves."""
        return any(seat.is_serving for seat in self.processes) and not any(
            seat.misses for seat in self.processes
        )

    async def call_all(self, order: str, *values: object) -> list[Any]:
        """The answers of those that live and can."""
        answers = await asyncio.gather(*(seat.try_call(order, *values) for seat in self.processes))
        return [answer for answer in answers if not isinstance(answer, NotAnswered | CallFailed)]

    async def sessions(self) -> list[SessionRow]:
        return [row for rows in await self.call_all("sessions") for row in rows]

    async def session_count(self) -> int:
        """Who lives and does not answer counts as what it said last."""
        return sum(await asyncio.gather(*(seat.session_count() for seat in self.processes)))

    async def kill(self, *, user: str | None = None, name: str | None = None) -> int:
        return sum(await self.call_all("kill", user, name))

    async def apply_streams(self, turn: Turn) -> None:
        """Tried here first, so that what cannot be used reaches nobody."""
        try:
            shown = relay_certificate(turn)
            if shown is not None:
                server_context(shown)
        except BadCertificate as problem:
            raise Unavailable(f"turn.certificate, turn.key: {problem}") from None
        for told in await asyncio.gather(*(seat.try_call("present", turn) for seat in self.processes)):
            if isinstance(told, CallFailed):
                raise Unavailable(str(told))

    async def apply_config(self, turn: Turn, secrets: Sequence[bytes], own: frozenset[bytes]) -> None:
        self.start = self.start._replace(turn=turn, secrets=secrets, own=own)  # for who starts meanwhile
        await self.call_all("adopt", turn, secrets, own)

    async def drain(self, alternate: Address | None) -> None:
        self.draining = True
        self.start = self.start._replace(draining=True, alternate=alternate)
        await self.call_all("drain", alternate)

    async def start_sharing(self) -> None:
        self.sharing = True
        await self.call_all("share")

    async def stop_sharing(self) -> None:
        """Who is kept stays so, or might be given to another worker: the kernel shares clients out among the
        sockets that there are now. Under a concrete address twins count among those: there all are kept."""
        if all(is_wildcard(listener) for listener in self.listeners):
            self.sharing = False
            await self.call_all("share_no_more")

    async def leave_listeners(self) -> None:
        """Who dies from now on has no successor: there is nothing left to meet strangers with."""
        self.has_left = True
        await self.call_all("leave")
        self.groups.close()

    def free_dead_ports(self) -> None:
        self.ports.free_dead()

    async def metrics(self) -> MetricsPage:
        await self.fetch_all_figures()
        return MergedMetrics(
            merged([self.own_figures(), self.ended_figures, *(seat.figures for seat in self.processes)])
        )

    def own_figures(self) -> list[Figure]:
        living = sum(seat.is_serving for seat in self.processes)
        name, deaths = "calln_relay_workers", "calln_relay_worker_deaths"
        return [
            Figure(name, "Processes that carry packets now.", "gauge", [(name, {}, living)]),
            Figure(deaths, "Those that have died.", "counter", [(f"{deaths}_total", {}, self.deaths)]),
        ]
