"""An epoll of our own: one reader in asyncio's loop, hundreds of sockets, one buffer that all read into."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Protocol

from turn.engines import NOT_RUNNING, Above, Failure
from turn.engines.framing import HEADROOM, LARGEST, TAILROOM
from turn.engines.loop.batching import Batch
from turn.flows import Address, Packet, Sample

MAX_READY = 64  # sockets served per round, so that a flood cannot keep the loop from everything else
LAST_START = HEADROOM + LARGEST  # where in the buffer the last of several packets may begin

# Packets taken from each socket in the rounds of one wake-up, 16 in all. Mostly there is one packet. To ask
# for all ready sockets again (0.3 µs) is cheaper than to read one socket until it is empty (1.2 µs: an
# exception).
ROUNDS = (1, 4, 11)

# Where more sockets are ready than one round serves, a socket that many clients share has a turn in each
# round anyway, and so many times as many packets.
SHARED_FACTOR = 4

# Where packets come close together, a wake-up waits for the next one itself: to go back through asyncio for
# each would cost more than to carry it. The loop's own work (timers) waits no longer than MAX_LINGER.
MAX_GAP = 0.001  # seconds between packets, at most; also the shortest wait that epoll knows
MAX_LINGER = 0.004  # seconds

TICK = 1.0  # seconds between two calls of each tick: they look for what takes too long

Reader = Callable[[int], None]  # called when its socket is ready; takes at most so many packets


class Readable(Protocol):
    """A socket, or anything else that epoll can watch."""

    def fileno(self) -> int: ...


class Epoll:
    """Calls the reader of each ready socket. A reader has sent or punted what it put into the shared buffer
    before it returns."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(LAST_START + LARGEST + TAILROOM))
        self.batch = Batch()
        self.last_wake_up = 0.0
        self.body = self.view[HEADROOM : HEADROOM + LARGEST]
        self.readers: dict[int, Reader] = {}  # by the socket's descriptor
        self.error_readers: dict[int, Reader] = {}  # of sockets whose error queue is read
        self.samplers: dict[int, Reader] = {}  # each takes its reader's place for one wake-up per tick
        self.shared_readers: dict[int, Reader] = {}  # of sockets that many clients share
        self.epoll = select.epoll()
        self.next_turn: list[Callable[[], object]] = []
        self.samples: list[Sample] = []  # of packets that were carried, for the core
        self.ticks: list[Callable[[float], None]] = []
        self.above = NOT_RUNNING

    async def run(self, above: Above) -> None:
        """Serve until cancelled."""
        loop = asyncio.get_running_loop()
        self.above = above
        loop.add_reader(self.epoll.fileno(), self.wake_up)
        try:
            while self.ticks:
                await asyncio.sleep(TICK)
                for tick in self.ticks:
                    self.attempt(partial(tick, monotonic()))
            await loop.create_future()
        finally:
            loop.remove_reader(self.epoll.fileno())
            self.above = NOT_RUNNING

    def close(self) -> None:
        self.epoll.close()

    def register(self, sock: Readable, reader: Reader) -> None:
        """Raises OSError: the system watches no more sockets."""
        self.epoll.register(sock, select.EPOLLIN)
        self.readers[sock.fileno()] = reader

    def register_shared(self, sock: socket.socket, reader: Reader) -> None:
        """A socket that many clients send to has its turn however many sockets are ready."""
        self.register(sock, reader)
        self.shared_readers[sock.fileno()] = reader

    def register_errors(self, sock: socket.socket, reader: Reader) -> None:
        """Read the error queue of a registered socket, too; otherwise epoll would report it without end."""
        self.error_readers[sock.fileno()] = reader

    def register_sampler(self, sock: socket.socket, sampler: Reader) -> None:
        """Call the sampler at the next wake-up, and once per tick; it puts the reader back itself."""
        self.readers[sock.fileno()] = self.samplers[sock.fileno()] = sampler

    def start_sampling(self, _now: float) -> None:
        self.readers.update(self.samplers)

    def modify(self, sock: Readable, events: int) -> None:
        """Wake up for these events from now on."""
        self.epoll.modify(sock, events)

    def unregister(self, sock: socket.socket) -> None:
        descriptor = sock.fileno()
        del self.readers[descriptor]
        for readers in (self.error_readers, self.samplers, self.shared_readers):
            readers.pop(descriptor, None)
        self.epoll.unregister(sock)

    def close_socket(self, sock: socket.socket) -> None:
        """Unregister and close. Of a socket that is closed: nothing happens."""
        if sock.fileno() in self.readers:
            self.unregister(sock)
        sock.close()

    def wake_up(self) -> None:
        """Serve what is ready, in a few rounds."""
        now = monotonic()
        for most in ROUNDS:
            if not self.poll_once(0, most):
                if now - self.last_wake_up < MAX_GAP:
                    self.linger(now + MAX_LINGER)
                break
        if self.samples:
            self.show_samples()
        self.last_wake_up = monotonic()

    def linger(self, until: float) -> None:
        while not self.next_turn and monotonic() < until and self.poll_once(MAX_GAP, 1):
            pass

    def poll_once(self, patience: float, most: int) -> bool:
        """Call the reader of each ready socket; False if none was ready. Errors end nothing else."""
        ready = self.epoll.poll(patience, MAX_READY)
        for descriptor, events in ready:
            try:
                if events & select.EPOLLERR and descriptor in self.error_readers:
                    self.error_readers[descriptor](most)
                reader = self.readers.get(descriptor)  # an earlier reader may have closed this socket
                if reader is not None:
                    reader(most)
            except Exception as error:
                self.report_error(error)
        if len(ready) == MAX_READY:
            for reader in list(self.shared_readers.values()):
                self.attempt(partial(reader, SHARED_FACTOR * most))
        return bool(ready)

    def show_samples(self) -> None:
        """Samples go to the core together, and when no packet waits in the buffer: its answer may close
        sockets."""
        samples = self.samples[:]
        self.samples.clear()
        self.attempt(partial(self.above.inspect, samples))

    def attempt(self, work: Callable[[], object]) -> None:
        """Do this; an error is reported and ends nothing else."""
        try:
            work()
        except Exception as error:
            self.report_error(error)

    def report_error(self, error: Exception) -> None:
        """Report an error that no code expected. Raises it again where the engine is not running."""
        self.batch.discard()
        self.above.unexpected(error)

    def punt(self, packet: Packet) -> None:
        """A packet that no flow claims goes to the core."""
        self.above.punt(packet)

    def punt_later(self, packet: Packet) -> None:
        """The same in the loop's next turn: for packets met while the core's last answer is being applied."""
        self.call_soon(partial(self.punt, packet))

    def report_failure(self, failure: Failure) -> None:
        """A packet to a peer did not arrive."""
        self.above.failed(failure)

    def report_failure_later(self, failure: Failure) -> None:
        """The same in the loop's next turn: for a packet that the core itself has sent."""
        self.call_soon(partial(self.report_failure, failure))

    def report_lost_later(self, client: Address, listener: Address) -> None:
        """A client's connection has closed; reported in the loop's next turn, for the same reason."""
        self.call_soon(partial(self.report_lost, client, listener))

    def report_lost(self, client: Address, listener: Address) -> None:
        self.above.lost(client, listener)

    def holds(self, client: Address, listener: Address) -> bool:
        """Whether a client has an allocation at this listener."""
        return self.above.holds(client, listener)

    def call_soon(self, work: Callable[[], object]) -> None:
        """Do this in the loop's next turn."""
        if not self.next_turn:
            asyncio.get_running_loop().call_soon(self.run_next_turn)
        self.next_turn.append(work)

    def run_next_turn(self) -> None:
        waiting, self.next_turn = self.next_turn, []
        for work in waiting:
            self.attempt(work)
