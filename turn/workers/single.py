"""Those that carry the packets, as an operator's wishes reach them: one process, or several of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Protocol

from turn.config.section import Turn
from turn.core.relay import AllocationSummary
from turn.flows import Address
from turn.service.from_config import settings
from turn.service.gate_news import Herald
from turn.service.gate_sync import Memory
from turn.service.metrics import Metrics, Shown
from turn.service.service import Service

LOOK_SECONDS = 0.25  # how soon the end of a relayed address in another process of ours is noticed

Row = dict[str, Any]  # a session, as an operator reads it; addresses are for a terminal, never for a log


class Crew(Protocol):
    """Whoever holds the sessions. What a process that has just died held is nobody's any more."""

    @property
    def draining(self) -> bool: ...

    @property
    def name(self) -> str:
        """What carries the packets, for the start-up line."""

    @property
    def listeners(self) -> Sequence[Address]: ...

    def is_well(self) -> bool:
        """Whether all that should answer do."""

    async def run(self, ready: asyncio.Event) -> None:
        """Serve clients, until cancelled; it is `ready` when it does. Raises Unavailable."""

    async def sessions(self) -> list[Row]: ...

    async def count(self) -> int:
        """How many sessions there are."""

    async def kill(self, *, user: str | None = None, name: str | None = None) -> int:
        """End a user's sessions, or one by its name; how many there were."""

    async def present(self, turn: Turn) -> None:
        """Let who connects from now on find the certificate and the limits as they are now. Raises
        Unavailable, and then a certificate that cannot be used is shown to nobody."""

    async def adopt(self, turn: Turn, secrets: Sequence[bytes], own: frozenset[bytes]) -> None:
        """Go by this from now on."""

    async def drain(self, alternate: Address | None) -> None:
        """Take nobody new; `alternate` is where they are sent instead, if there is one."""

    async def share(self) -> None:
        """Another version is at our listeners too, or soon: whoever holds a session goes on coming to us."""

    async def share_no_more(self) -> None:
        """We are alone again."""

    async def leave(self) -> None:
        """Be at the listeners no longer; sessions go on."""

    def sweep(self) -> None:
        """Forget the relayed ports of processes that have died: anybody may have them now."""

    async def metrics(self) -> Shown:
        """The figures as they are now."""


class Alone:
    """A crew of one: the service in this process."""

    def __init__(self, service: Service, listeners: Sequence[Address], herald: Herald | None = None) -> None:
        self.service = service
        self.herald = herald
        self.listeners = listeners
        self.name = f"engine {service.engine.name}"
        self.figures = Metrics(service, service.engine.name)

    @property
    def draining(self) -> bool:
        return self.service.draining

    def is_well(self) -> bool:
        return True

    async def run(self, ready: asyncio.Event) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.service.run())
                tasks.create_task(self.look_again())
                if self.herald is not None:
                    tasks.create_task(Memory(self.service, self.herald).run())
                ready.set()
        finally:
            self.service.live.leave()

    async def look_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.service.look_again()

    def live(self) -> list[AllocationSummary]:
        return list(self.service.relay.sessions(time.monotonic()))

    async def sessions(self) -> list[Row]:
        return [row(session) for session in self.live()]

    async def count(self) -> int:
        return len(self.live())

    async def kill(self, *, user: str | None = None, name: str | None = None) -> int:
        before = self.live()
        relay = next((session.relay for session in before if name_of(session) == name), None)
        self.service.apply(self.service.relay.kill(user=user, relay=relay))
        return len(before) - len(self.live())

    async def present(self, turn: Turn) -> None:
        self.service.present(turn)

    async def adopt(self, turn: Turn, secrets: Sequence[bytes], own: frozenset[bytes]) -> None:
        told = settings(turn, secrets, self.listeners, own)
        self.service.apply(self.service.relay.reload(told, time.monotonic()))
        self.service.wake_in_time()

    async def drain(self, alternate: Address | None) -> None:
        self.service.drain(alternate)

    async def share(self) -> None:
        await self.service.share()

    async def share_no_more(self) -> None:
        await self.service.share_no_more()

    async def leave(self) -> None:
        self.service.leave()

    def sweep(self) -> None:
        self.service.live.sweep()

    async def metrics(self) -> Shown:
        return self.figures


def name_of(session: AllocationSummary) -> str:
    """What an operator calls a session: its relayed address, of which there is one."""
    return str(session.relay).partition("://")[2]


def row(session: AllocationSummary) -> Row:
    return {
        "id": name_of(session),
        "user": session.user,
        "client": str(session.client),
        "seconds_left": int(session.seconds_left),
        "permissions": session.permissions,
        "channels": session.channels,
        "flows": session.flows,
    }
