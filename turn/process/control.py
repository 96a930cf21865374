"""What operators, signals and other versions do to a running relay: drain it, reload it, share with it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from host import systemd
from host.attempts import Attempts
from host.logs import describe
from host.settings import waiting
from host.shutdown import Shutdown
from host.startup import Unavailable
from turn.config.section import Turn
from turn.process.addresses import AddressWatch, MachineAddresses, report
from turn.service.from_config import RelayConfig
from turn.service.preflight import check_certificate, check_loopback_peers, check_relay_addresses
from turn.service.public_address import NoServer
from turn.workers.single import Workers

log = logging.getLogger("calln.relay")

POLL_SECONDS = 0.2  # how soon the end of the last allocation is noticed while draining
LAST_COMERS_SECONDS = 2.0  # for clients that came before we left the listeners and have no allocation yet
LOOK_SECONDS = 5.0  # between two looks at this machine's addresses


class Control:
    """`read` reads the configuration again, and raises ValueError with a line for each problem. `config` is
    what the workers have; `addresses` watches over what it says of this machine's addresses."""

    def __init__(
        self,
        workers: Workers,
        read: Callable[[], RelayConfig],
        config: RelayConfig,
        addresses: AddressWatch | None = None,
    ) -> None:
        self.workers = workers
        self.read = read
        self.config = config
        self.started_with = config.turn
        self.addresses = addresses or AddressWatch(config)
        self.looking = Attempts("the look at this machine's addresses and processes", log)
        self.ending = Attempts("sending newcomers elsewhere", log)
        self.shutdown = Shutdown()
        self.one_at_a_time = asyncio.Lock()  # of reloads: the last one read is the one in force
        self.reloading: asyncio.Task[None] | None = None
        self.one_shares = asyncio.Lock()
        self.sharers = self.newer = 0
        self.older = False  # whether older versions listen at our listeners
        self.has_left = asyncio.Event()  # our listeners, to a newer version
        self.passes_on = False  # whether the next process goes on with our calls

    @property
    def turn(self) -> Turn:
        return self.config.turn

    @property
    def is_reachable(self) -> bool:
        """Whether some client can get a relayed address that others reach."""
        families = {len(address.ip) for address in self.turn.listen}
        return not families <= self.config.unknown

    def drain(self) -> None:
        """Take nobody new, and end after the last allocation; like the first SIGTERM."""
        self.shutdown.requested.set()

    def pass_on(self) -> None:
        """End at once: the process that follows goes on with the calls."""
        self.passes_on = True
        self.shutdown.requested.set()
        self.shutdown.repeated.set()

    @asynccontextmanager
    async def sharing(self) -> AsyncIterator[None]:
        """Within, another version listens at our listeners too, or soon will."""
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

    async def share_with_older(self, older_left: Coroutine[Any, Any, None]) -> None:
        """Until the older versions have left our listeners."""
        async with self.sharing():
            self.older = True
            await older_left
            self.older = False
        with self.looking.attempt():
            self.workers.free_dead_ports()

    @asynccontextmanager
    async def with_newer(self) -> AsyncIterator[None]:
        """Within, a newer version is there: if we are to end, it takes the new clients."""
        async with self.sharing():
            self.newer += 1
            try:
                if self.shutdown.requested.is_set():
                    await self.leave_listeners()
                yield
            finally:
                self.newer -= 1

    async def leave_listeners(self) -> None:
        """From now on new clients go to the other version."""
        await self.workers.leave_listeners()
        self.has_left.set()

    async def reload(self) -> list[str]:
        """Read the configuration again; names the changed keys that need a restart. Raises ValueError with a
        line for each problem; then nothing has changed."""
        async with self.one_at_a_time:
            self.unless_ending(systemd.reloading)
            try:
                return await self.reload_now()
            finally:
                self.unless_ending(systemd.ready)

    def unless_ending(self, notify: Callable[[], None]) -> None:
        """After STOPPING=1 a service manager must hear of no reload, and above all no READY=1."""
        if not self.shutdown.requested.is_set():
            notify()

    async def reload_now(self) -> list[str]:
        try:
            written = await asyncio.to_thread(self.read)  # a long file takes a while
            config, machine = await self.addresses.locate(written), MachineAddresses.read()
            check_relay_addresses(config.turn, machine.own)
            check_loopback_peers(config.turn, machine.own)
            check_certificate(config.turn)
            await self.workers.apply_streams(config.turn)
            await self.apply_config(config, machine)
            self.addresses.written = written
        except (Unavailable, NoServer) as problem:
            raise ValueError(str(problem)) from None
        keys = waiting(self.started_with, self.turn)
        log.info("the configuration was read again; changed keys that need a restart: %d", len(keys))
        return keys

    async def apply_config(self, config: RelayConfig, machine: MachineAddresses) -> None:
        """Raises Unavailable."""
        check_relay_addresses(config.turn, machine.own)
        await self.workers.apply_config(config, machine.own)
        before, self.config, self.addresses.machine = self.config, config, machine
        report(before, config)

    async def reload_and_log(self) -> None:
        """For SIGHUP, which nobody answers. The texts of problems may quote what must not be logged."""
        try:
            await self.reload()
        except ValueError as problems:
            number = len(str(problems).splitlines())
            log.error("the configuration has not changed: %d problems; calln check shows them", number)
        except Exception as problem:  # such as no descriptor left to read the file with
            log.error("the configuration was not read: %s", describe(problem))

    def on_hangup(self) -> None:
        # Kept, or it may be collected before it ends.
        self.reloading = asyncio.create_task(self.reload_and_log())

    async def check_machine(self) -> None:
        """Notice addresses that this machine got or lost, also public ones, and ports of processes that have
        died: relaying to our own addresses is allowed only where one of our processes has a relayed port."""
        self.workers.free_dead_ports()
        machine = MachineAddresses.read()
        if self.addresses.is_due(machine):
            async with self.one_at_a_time:
                await self.apply_addresses(machine)

    async def apply_addresses(self, machine: MachineAddresses) -> None:
        before = self.addresses.machine
        config = await self.addresses.locate_again()
        if (config, machine) == (self.config, before):
            return
        try:
            await self.apply_config(config, machine)
        except Unavailable:
            self.addresses.machine = machine
            log.error("this machine has lost an address of turn.relay_addresses")
        else:
            if machine.own != before.own:
                log.info("this machine's addresses have changed: %d now", len(machine.own))

    async def watch_addresses(self) -> None:
        """Until cancelled."""
        await self.looking.repeat(LOOK_SECONDS, self.check_machine)

    async def until_ended(self) -> None:
        """Wait for the request to end; then until the last allocation is over, the time is over, or the
        request is repeated. If another version goes on, it takes the new clients: a newer one or, if an
        upgrade is taken back, an older one. SIGUSR1 leaves them to the process that follows this one."""
        await self.shutdown.requested.wait()
        systemd.notify("STOPPING=1")
        if not self.passes_on:
            await self.drain_and_forget()
        if self.passes_on:
            log.info("ended; %d allocations are left to the next process", await self.workers.session_count())

    async def drain_and_forget(self) -> None:
        """Calls that go on longer than they may are cut off."""
        if self.newer or self.older:
            with self.ending.attempt():
                await self.leave_listeners()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.shutdown.repeated.wait(), LAST_COMERS_SECONDS)
        with self.ending.attempt():
            await self.workers.drain(self.turn.alternate_server)
        seconds = self.turn.drain_seconds
        count = await self.workers.session_count()
        log.info("ending; %d allocations go on for up to %d seconds", count, seconds)
        await self.until_last_session(time.monotonic() + seconds)
        if self.passes_on:
            return
        log.info("ended; %d allocations were cut off", await self.workers.session_count())
        with self.ending.attempt():
            await self.workers.forget_calls()

    async def until_last_session(self, deadline: float) -> None:
        while await self.workers.session_count():
            if time.monotonic() >= deadline or self.shutdown.repeated.is_set():
                return
            await asyncio.sleep(POLL_SECONDS)
