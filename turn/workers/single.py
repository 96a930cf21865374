"""Those that carry the packets, as an operator's wishes reach them: one process, or several of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Protocol

from turn.config.section import Turn
from turn.core.relay import AllocationSummary
from turn.flows import Address
from turn.service.from_config import relay_settings
from turn.service.gate_news import GateNews
from turn.service.gate_sync import GateSync
from turn.service.metrics import MetricsPage, RelayMetrics
from turn.service.service import Service

LOOK_SECONDS = 0.25  # how soon the end of a relayed address in another process of ours is noticed

SessionRow = dict[
    str, Any
]  # a session, as an operator reads it; addresses are for a terminal, never for a log


class Workers(Protocol):
    """Whoever holds the sessions. What a process that has just died held is nobody's any more."""

    @property
    def draining(self) -> bool: ...

    @property
    def name(self) -> str:
        """What carries the packets, for the start-up line."""

    @property
    def listeners(self) -> Sequence[Address]: ...

    def is_healthy(self) -> bool:
        """Whether all that should answer do."""

    async def run(self, ready: asyncio.Event) -> None:
        """Serve clients, until cancelled; it is `ready` when it does. Raises Unavailable."""

    async def sessions(self) -> list[SessionRow]: ...

    async def session_count(self) -> int:
        """How many sessions there are."""

    async def kill(self, *, user: str | None = None, name: str | None = None) -> int:
        """End a user's sessions, or one by its name; how many there were."""

    async def apply_streams(self, turn: Turn) -> None:
        """Let who connects from now on find the certificate and the limits as they are now. Raises
        Unavailable, and then a certificate that cannot be used is shown to nobody."""

    async def apply_config(self, turn: Turn, secrets: Sequence[bytes], own: frozenset[bytes]) -> None:
        """Go by this from now on."""

    async def drain(self, alternate: Address | None) -> None:
        """Take nobody new; `alternate` is where they are sent instead, if there is one."""

    async def start_sharing(self) -> None:
        """Another version is at our listeners too, or soon: whoever holds a session goes on coming to us."""

    async def stop_sharing(self) -> None:
        """We are alone again."""

    async def leave_listeners(self) -> None:
        """Be at the listeners no longer; sessions go on."""

    def free_dead_ports(self) -> None:
        """Forget the relayed ports of processes that have died: anybody may have them now."""

    async def metrics(self) -> MetricsPage:
        """The figures as they are now."""


class SingleProcess:
    """A crew of one: the service in this process."""

    def __init__(
        self, service: Service, listeners: Sequence[Address], herald: GateNews | None = None
    ) -> None:
        self.service = service
        self.news = herald
        self.listeners = listeners
        self.name = f"engine {service.engine.name}"
        self.figures = RelayMetrics(service, service.engine.name)

    @property
    def draining(self) -> bool:
        return self.service.draining

    def is_healthy(self) -> bool:
        return True

    async def run(self, ready: asyncio.Event) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.service.run())
                tasks.create_task(self.check_others())
                if self.news is not None:
                    tasks.create_task(GateSync(self.service, self.news).run())
                ready.set()
        finally:
            self.service.ports.close()

    async def check_others(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.service.check_others()

    def living(self) -> list[AllocationSummary]:
        return list(self.service.relay.sessions(time.monotonic()))

    async def sessions(self) -> list[SessionRow]:
        return [session_row(session) for session in self.living()]

    async def session_count(self) -> int:
        return len(self.living())

    async def kill(self, *, user: str | None = None, name: str | None = None) -> int:
        before = self.living()
        relay = next((session.relay for session in before if name_of(session) == name), None)
        self.service.apply(self.service.relay.kill(user=user, relay=relay))
        return len(before) - len(self.living())

    async def apply_streams(self, turn: Turn) -> None:
        self.service.reload_streams(turn)

    async def apply_config(self, turn: Turn, secrets: Sequence[bytes], own: frozenset[bytes]) -> None:
        told = relay_settings(turn, secrets, self.listeners, own)
        self.service.apply(self.service.relay.reload(told, time.monotonic()))
        self.service.schedule_expiry()

    async def drain(self, alternate: Address | None) -> None:
        self.service.drain(alternate)

    async def start_sharing(self) -> None:
        await self.service.start_sharing()

    async def stop_sharing(self) -> None:
        await self.service.stop_sharing()

    async def leave_listeners(self) -> None:
        self.service.stop_listening()

    def free_dead_ports(self) -> None:
        self.service.ports.free_dead()

    async def metrics(self) -> MetricsPage:
        return self.figures


def name_of(session: AllocationSummary) -> str:
    """What an operator calls a session: its relayed address, of which there is one."""
    return str(session.relay).partition("://")[2]


def session_row(session: AllocationSummary) -> SessionRow:
    return {
        "id": name_of(session),
        "user": session.user,
        "client": str(session.client),
        "seconds_left": int(session.seconds_left),
        "permissions": session.permissions,
        "channels": session.channels,
        "flows": session.flows,
    }
