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
from turn.service.from_config import certificate
from turn.service.metrics import Shown
from turn.service.relayed_ports import Live
from turn.workers.merged_metrics import Figure, Together, added
from turn.workers.rpc import Refused, Silent
from turn.workers.shared_ledger import Shared, make
from turn.workers.single import Row
from turn.workers.worker import Start
from turn.workers.worker_process import Seat

log = logging.getLogger("calln.relay")

KEY_BYTES = 32
LOOK_SECONDS = 2.0  # between two looks whether all answer
LOOKS = 10  # before the next one at their figures, which cost each some milliseconds
PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds before a successor starts; doubled where one soon dies
STEADY_SECONDS = 60.0  # who lived so long did not die of its start


class Team:
    """See turn.crew.Crew for the verbs. Raises OSError."""

    def __init__(
        self,
        told: tuple[Turn, Sequence[bytes]],
        own: frozenset[bytes],
        groups: ReuseportGroups,
        listeners: Sequence[Address],
        live: Live,
        state_dir: Path,
    ) -> None:
        turn, known = told
        key, columns = secrets.token_bytes(KEY_BYTES), turn.workers
        self.draining = self.sharing = self.left = False
        self.name = f"engine {turn.engine}, {columns} workers"
        self.groups, self.listeners = groups, listeners
        self.ledger = make(columns)
        self.shared = Shared(self.ledger, columns, 0, key)
        self.live = live
        self.start = Start(turn, known, own, {}, state_dir, key, self.ledger, columns)
        self.seats = [Seat(number) for number in range(columns)]
        self.past: list[Figure] = []  # of the dead
        self.deaths = 0

    async def run(self, ready: asyncio.Event) -> None:
        try:
            await self.begin_all()
            ready.set()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.look())
                for seat in self.seats:
                    tasks.create_task(self.keep(seat))
        finally:
            await asyncio.gather(*(seat.leave() for seat in self.seats))
            self.live.leave()
            self.groups.close()
            os.close(self.ledger)

    async def begin_all(self) -> None:
        """Raises Unavailable."""
        begun = await asyncio.gather(*map(self.begin, self.seats), return_exceptions=True)
        for problem in begun:
            if isinstance(problem, BaseException):
                raise Unavailable(f"a worker cannot start: {problem}") from problem

    async def begin(self, seat: Seat) -> None:
        """Raises CannotSit and OSError."""
        listeners = self.groups.descriptors_of(seat.number)
        await seat.sit((*listeners.values(), self.ledger))
        told = self.start
        await seat.begin(told._replace(listeners=listeners, column=seat.number))
        await self.catch_up(seat, told)

    async def catch_up(self, seat: Seat, told: Start) -> None:
        """What was ordered while it started has not reached it."""
        now = self.start
        if now is not told:
            await seat.tell("present", now.turn)
            await seat.tell("adopt", now.turn, now.secrets, now.own)
        if now.draining and not told.draining:
            await seat.tell("drain", now.alternate)
        if self.sharing:
            await seat.tell("share")
        if self.left:
            await seat.tell("leave")

    async def keep(self, seat: Seat) -> None:
        """Whoever dies has a successor."""
        pause = PAUSE
        while True:
            served, lived = seat.serves, await seat.ended()
            if served:
                self.bury(seat)
            if self.left:
                return
            pause = PAUSE if lived > STEADY_SECONDS else min(pause, LONGEST_PAUSE)
            log.error("worker %d has died and its calls with it; another in %d s", seat.number, pause)
            await asyncio.sleep(pause)
            pause *= 2
            if self.left:
                return
            try:
                await self.begin(seat)
            except Exception as problem:  # whatever it is, the others go on; its words may hold addresses
                log.error("worker %d cannot start: %s", seat.number, type(problem).__name__)
            else:
                log.info("worker %d is there again", seat.number)

    def bury(self, seat: Seat) -> None:
        """Nothing that the dead one held counts any more, but what it has carried."""
        self.deaths += 1
        self.past = added([self.past, seat.bury()])
        self.shared.wipe(seat.number)
        self.live.sweep()

    async def look(self) -> None:
        """At all of them, now and then: who hangs is found, and of the dead the figures are known."""
        while True:
            for _ in range(LOOKS):
                await asyncio.sleep(LOOK_SECONDS)
                await self.ask_all("answer")
            await self.count_all()

    async def count_all(self) -> None:
        """Who does not answer has counted what it told last."""
        await asyncio.gather(*(seat.look() for seat in self.seats))

    def is_well(self) -> bool:
        """Whether all that live answer, and one serves."""
        return any(seat.serves for seat in self.seats) and not any(seat.misses for seat in self.seats)

    async def ask_all(self, order: str, *values: object) -> list[Any]:
        """The answers of those that live and can."""
        answers = await asyncio.gather(*(seat.tell(order, *values) for seat in self.seats))
        return [answer for answer in answers if not isinstance(answer, Silent | Refused)]

    async def sessions(self) -> list[Row]:
        return [row for rows in await self.ask_all("sessions") for row in rows]

    async def count(self) -> int:
        """Who lives and does not answer counts as what it said last."""
        return sum(await asyncio.gather(*(seat.count() for seat in self.seats)))

    async def kill(self, *, user: str | None = None, name: str | None = None) -> int:
        return sum(await self.ask_all("kill", user, name))

    async def present(self, turn: Turn) -> None:
        """Tried here first, so that what cannot be used reaches nobody."""
        try:
            shown = certificate(turn)
            if shown is not None:
                server_context(shown)
        except BadCertificate as problem:
            raise Unavailable(f"turn.certificate, turn.key: {problem}") from None
        for told in await asyncio.gather(*(seat.tell("present", turn) for seat in self.seats)):
            if isinstance(told, Refused):
                raise Unavailable(str(told))

    async def adopt(self, turn: Turn, secrets: Sequence[bytes], own: frozenset[bytes]) -> None:
        self.start = self.start._replace(turn=turn, secrets=secrets, own=own)  # for who starts meanwhile
        await self.ask_all("adopt", turn, secrets, own)

    async def drain(self, alternate: Address | None) -> None:
        self.draining = True
        self.start = self.start._replace(draining=True, alternate=alternate)
        await self.ask_all("drain", alternate)

    async def share(self) -> None:
        self.sharing = True
        await self.ask_all("share")

    async def share_no_more(self) -> None:
        """Who is kept stays so, or might be given to another worker: the kernel shares clients out among the
        sockets that there are now. Under a concrete address twins count among those: there all are kept."""
        if all(is_wildcard(listener) for listener in self.listeners):
            self.sharing = False
            await self.ask_all("share_no_more")

    async def leave(self) -> None:
        """Who dies from now on has no successor: there is nothing left to meet strangers with."""
        self.left = True
        await self.ask_all("leave")
        self.groups.close()

    def sweep(self) -> None:
        self.live.sweep()

    async def metrics(self) -> Shown:
        await self.count_all()
        return Together(added([self.own_figures(), self.past, *(seat.figures for seat in self.seats)]))

    def own_figures(self) -> list[Figure]:
        living = sum(seat.serves for seat in self.seats)
        name, deaths = "calln_relay_workers", "calln_relay_worker_deaths"
        return [
            Figure(name, "Processes that carry packets now.", "gauge", [(name, {}, living)]),
            Figure(deaths, "Those that have died.", "counter", [(f"{deaths}_total", {}, self.deaths)]),
        ]
