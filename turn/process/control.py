"""What an operator may do to a running relay: look, end somebody's sessions, drain it, have it read its
configuration anew."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from host import systemd
from host.settings import waiting
from host.shutdown import Shutdown
from host.startup import Unavailable
from turn.config.section import Turn
from turn.service.own_addresses import own_addresses
from turn.service.preflight import check_certificate, check_loopback_peers, check_relay_addresses
from turn.service.public_address import NoAnswer, with_public_addresses
from turn.workers.single import Workers

log = logging.getLogger("calln.relay")

Told = tuple[Turn, Sequence[bytes]]  # the relay's section of the file, and the secrets

POLL_SECONDS = 0.2  # how soon the end of the last allocation is noticed while draining
LAST_COMERS_SECONDS = 2.0  # for who was at a door that we leave, and has not got an allocation yet
LOOK_SECONDS = 5.0  # between two looks at this machine


class Control:
    """`read` reads the configuration anew, and raises ValueError with a line for each problem."""

    def __init__(self, crew: Workers, read: Callable[[], Told], told: Told) -> None:
        self.workers = crew
        self.read = read
        self.turn, self.secrets = told
        self.started_with = self.turn
        self.own = own_addresses()
        self.shutdown = Shutdown()
        self.one_at_a_time = asyncio.Lock()  # of reloads: what was read last is what holds
        self.reloading: asyncio.Task[None] | None = None
        self.one_shares = asyncio.Lock()
        self.sharers = self.newer = 0
        self.older = False  # whether older versions are at our listeners
        self.has_left = asyncio.Event()  # our listeners, to a newer version

    def drain(self) -> None:
        """Take nobody new, and end when the last allocation has ended; like a first SIGTERM."""
        self.shutdown.requested.set()

    @asynccontextmanager
    async def sharing(self) -> AsyncIterator[None]:
        """Another version is at our listeners too, within, or soon."""
        async with self.one_shares:
            self.sharers += 1
            if self.sharers == 1:
                await self.workers.start_sharing()
        try:
            yield
        finally:
            async with self.one_shares:
                self.sharers -= 1
                if not self.sharers and not self.has_left.is_set():
                    await self.workers.stop_sharing()

    async def share_with_older(self, left: Coroutine[Any, Any, None]) -> None:
        """With older versions, while they are at our listeners."""
        async with self.sharing():
            self.older = True
            await left
            self.older = False
        self.workers.free_dead_ports()

    @asynccontextmanager
    async def with_newer(self) -> AsyncIterator[None]:
        """A newer version is here, within: when we are to end, what is new is its own."""
        async with self.sharing():
            self.newer += 1
            try:
                if self.shutdown.requested.is_set():
                    await self.leave_listeners()
                yield
            finally:
                self.newer -= 1

    async def leave_listeners(self) -> None:
        """Strangers are the newer version's from now on."""
        await self.workers.leave_listeners()
        self.has_left.set()

    async def reload(self) -> list[str]:
        """Read the configuration anew; names the keys that wait for the next start. Raises ValueError with
        a line for each problem, and then everything is as it was."""
        async with self.one_at_a_time:
            self.unless_ending(systemd.reloading)
            try:
                return await self.reload_now()
            finally:
                self.unless_ending(systemd.ready)

    def unless_ending(self, say: Callable[[], None]) -> None:
        """A service manager that has heard STOPPING=1 hears of no reload after it, least of all READY=1."""
        if not self.shutdown.requested.is_set():
            say()

    async def reload_now(self) -> list[str]:
        try:
            turn, secrets = await asyncio.to_thread(self.read)  # a long file takes a while
            turn, own = await asyncio.to_thread(with_public_addresses, turn), own_addresses()
            check_relay_addresses(turn, own)
            check_loopback_peers(turn, own)
            check_certificate(turn)
            await self.workers.apply_streams(turn)
            await self.apply_config(turn, secrets, own)
        except (Unavailable, NoAnswer) as problem:
            raise ValueError(str(problem)) from None
        keys = waiting(self.started_with, turn)
        log.info("the configuration was read anew; keys that wait for a start: %d", len(keys))
        return keys

    async def apply_config(self, turn: Turn, secrets: Sequence[bytes], own: frozenset[bytes]) -> None:
        """Raises Unavailable."""
        check_relay_addresses(turn, own)
        self.turn, self.secrets, self.own = turn, secrets, own
        await self.workers.apply_config(turn, secrets, own)

    async def reload_and_log(self) -> None:
        """SIGHUP: as `reload`, where only the log can tell. The problems may quote what it must not hold."""
        try:
            await self.reload()
        except ValueError as problems:
            number = len(str(problems).splitlines())
            log.error("the configuration stays as it was: %d problems, which calln check shows", number)
        except Exception as problem:  # such as no descriptor left to read the file with
            log.error("the configuration was not read anew: %s", type(problem).__name__)

    def on_hangup(self) -> None:
        self.reloading = asyncio.create_task(
            self.reload_and_log()
        )  # kept, or it may be collected before it ends

    async def check_machine(self) -> None:
        """Take in what addresses this machine has now: peers at a new one are ourselves. And what has died
        beside us: peers at its ports are nobody of ours."""
        self.workers.free_dead_ports()
        own = own_addresses()
        if own == self.own:
            return
        async with self.one_at_a_time:
            await self.apply_addresses(own)

    async def apply_addresses(self, own: frozenset[bytes]) -> None:
        try:
            await self.apply_config(self.turn, self.secrets, own)
            log.info("this machine's addresses have changed: %d now", len(own))
        except Unavailable:
            self.own = own
            log.error("an address of turn.relay_addresses is gone")

    async def watch_addresses(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.check_machine()
            except Exception:  # such as no descriptor left to ask with: calls go on
                log.exception("a look at this machine's addresses failed")

    async def until_ended(self) -> None:
        """Until it is time to end: asked for, and the last allocation over, the limit reached, or asked for
        again. Strangers are left to the version that goes on, be it newer or, where an upgrade is taken back,
        older."""
        await self.shutdown.requested.wait()
        systemd.notify("STOPPING=1")
        if self.newer or self.older:
            await self.leave_listeners()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.shutdown.repeated.wait(), LAST_COMERS_SECONDS)
        await self.workers.drain(self.turn.alternate_server)
        seconds = self.turn.drain_seconds
        log.info(
            "ending; %d allocations go on for up to %d seconds", await self.workers.session_count(), seconds
        )
        deadline = time.monotonic() + seconds
        while (
            await self.workers.session_count()
            and time.monotonic() < deadline
            and not self.shutdown.repeated.is_set()
        ):
            await asyncio.sleep(POLL_SECONDS)
        log.info("ended; %d allocations were cut off", await self.workers.session_count())
