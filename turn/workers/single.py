"""The processes that carry packets, as the rest of the relay sees them; at the simplest this one alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from turn.config.section import Turn
from turn.core.relay import AllocationSummary
from turn.flows import Address
from turn.service.from_config import RelayConfig, relay_settings
from turn.service.gate_sync import GateSync
from turn.service.metrics import MetricsPage, RelayMetrics
from turn.service.service import Service

LOOK_SECONDS = 0.25  # how soon we notice that another process has closed a relayed address

SessionRow = dict[str, Any]  # a session for an operator's terminal; its addresses are never logged


class Workers(Protocol):
    """The one or more processes that carry packets.

    All methods are called in the loop that runs `run`. The sessions of a process that has died are gone until
    the next one is there, and those of clients over TCP and TLS for good.
    """

    @property
    def draining(self) -> bool:
        """Whether nobody new is taken.

        Returns:
            True from `drain` on.
        """

    @property
    def name(self) -> str:
        """The name for the start-up line.

        Returns:
            The engine's name, and the number of processes if there are several.
        """

    @property
    def listeners(self) -> Sequence[Address]:
        """Where clients reach the relay.

        Returns:
            The concrete addresses, with their transports.
        """

    def is_healthy(self) -> bool:
        """Whether the relay works as a whole.

        Returns:
            True if every process answers and at least one serves.
        """

    async def run(self, ready: asyncio.Event) -> None:
        """Serve clients until cancelled.

        Args:
            ready: set as soon as clients are served.

        Raises:
            Unavailable: a process cannot start.
        """

    async def sessions(self) -> list[SessionRow]:
        """Every session that lives now.

        Returns:
            A row for each: `id`, `user`, `client`, `seconds_left`, `permissions`, `channels`, `flows`.
        """

    async def session_count(self) -> int:
        """Count the sessions that live now.

        Returns:
            The sum over all processes.
        """

    async def kill(self, *, user: str | None = None, name: str | None = None) -> int:
        """End sessions at once.

        Args:
            user: end all sessions of this user.
            name: end the one session with this `id`.

        Returns:
            How many have ended.
        """

    async def apply_streams(self, turn: Turn) -> None:
        """Use certificate and limits as they are now for new connections; existing ones go on.

        Args:
            turn: the relay's section of the file.

        Raises:
            Unavailable: the certificate cannot be used; nothing has changed.
        """

    async def apply_config(self, config: RelayConfig, own_addresses: frozenset[bytes]) -> None:
        """Go by another configuration; sessions that it no longer allows end.

        Args:
            config: the relay's section of the file, and the secrets.
            own_addresses: all addresses of this machine, 4 or 16 bytes each.
        """

    async def drain(self, alternate: Address | None) -> None:
        """Take nobody new; sessions go on.

        Args:
            alternate: the relay that new clients are sent to; None: they are refused.

        See: RFC 8489 §10 (ALTERNATE-SERVER).
        """

    async def start_sharing(self) -> None:
        """Another version listens at our listeners too, or soon will: our clients stay with us."""

    async def stop_sharing(self) -> None:
        """No other version listens at our listeners any more."""

    async def leave_listeners(self) -> None:
        """Leave new clients to the other versions; sessions go on."""

    async def forget_calls(self) -> None:
        """The relay ends for good: no process that starts later goes on with its calls."""

    def free_dead_ports(self) -> None:
        """Forget the relayed ports of processes that have died: any program may have them now."""

    async def metrics(self) -> MetricsPage:
        """The figures as they are now.

        Returns:
            What the page of the metrics is made of.
        """


class SingleProcess:
    """The service in this process; see Workers. Without a `state_dir` it knows of no other processes."""

    def __init__(self, service: Service, listeners: Sequence[Address], state_dir: Path | None = None) -> None:
        self.service = service
        self.state_dir = state_dir
        self.listeners = listeners
        self.name = f"engine {service.engine.name}"
        self.figures = RelayMetrics(service)

    @property
    def draining(self) -> bool:
        return self.service.draining

    def is_healthy(self) -> bool:
        return True

    async def run(self, ready: asyncio.Event) -> None:
        try:
            self.service.restore()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.service.run())
                tasks.create_task(self.check_others())
                tasks.create_task(self.service.keeper.run())
                if self.state_dir is not None:
                    tasks.create_task(GateSync(self.service, self.state_dir).run())
                ready.set()
        finally:
            self.service.keeper.close()
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

    async def apply_config(self, config: RelayConfig, own_addresses: frozenset[bytes]) -> None:
        settings = relay_settings(config, self.listeners, own_addresses)
        self.service.reload(settings)

    async def drain(self, alternate: Address | None) -> None:
        self.service.drain(alternate)

    async def start_sharing(self) -> None:
        await self.service.start_sharing()

    async def stop_sharing(self) -> None:
        await self.service.stop_sharing()

    async def leave_listeners(self) -> None:
        self.service.stop_listening()

    async def forget_calls(self) -> None:
        self.service.keeper.forget()

    def free_dead_ports(self) -> None:
        self.service.ports.free_dead()

    async def metrics(self) -> MetricsPage:
        return self.figures


def name_of(session: AllocationSummary) -> str:
    """The name of a session for operators: its relayed address, which no other session has."""
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
