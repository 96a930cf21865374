"""An epoll of our own: one reader in asyncio's loop, hundreds of sockets, one buffer that all read into."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from functools import partial
from time import monotonic

from turn.engines import NOT_RUNNING, Above, Failure
from turn.engines.framing import HEADROOM, LARGEST, TAILROOM
from turn.engines.loop.batching import Batch
from turn.flows import Address, Packet

MAX_READY = 64  # sockets served per wake-up, so that a flood cannot keep the loop from everything else
LAST_START = HEADROOM + LARGEST  # where in the buffer the last of several packets may begin

# Packets taken from each in the rounds of one wake-up, 16 in all. Mostly there is one packet, and to ask for
# all sockets again (0.3 µs) is cheaper than to read one until it refuses (1.2 µs: an exception).
ROUNDS = (1, 4, 11)
SHARED_FACTOR = (
    4  # where more are ready than are served, a socket of many senders has its turn each time, so many fold
)

# Where packets come close together, a wake-up waits for the next itself: asyncio's way round for each would
# cost more than to carry it. The loop's own work (timers) waits for no longer than STAY.
MAX_GAP = 0.001  # seconds between packets, at most; also the shortest wait that epoll knows
MAX_LINGER = 0.004

TICK = 1.0  # seconds between looks at what takes too long

Reader = Callable[[int], None]  # takes at most so many packets


class Epoll:
    """Calls each ready socket's drain. What is in the buffer has left when a drain returns, or punts."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(LAST_START + LARGEST + TAILROOM))
        self.batch = Batch()
        self.last_wake_up = 0.0
        self.body = self.view[HEADROOM : HEADROOM + LARGEST]
        self.readers: dict[int, Reader] = {}
        self.error_readers: dict[int, Reader] = {}  # of sockets whose error queue is read
        self.samplers: dict[int, Reader] = {}  # each for one wake-up per tick, in a drain's place
        self.shared_readers: list[Reader] = []
        self.epoll = select.epoll()
        self.next_turn: list[Callable[[], object]] = []
        self.ticks: list[Callable[[float], None]] = []
        self.above = NOT_RUNNING  # before it runs, and afterwards

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

    def register(self, sock: socket.socket, drain: Reader) -> None:
        self.readers[sock.fileno()] = drain
        self.epoll.register(sock, select.EPOLLIN)

    def register_errors(self, sock: socket.socket, read: Reader) -> None:
        """Of a socket that is watched, read the error queue too; else epoll would not stop telling of it."""
        self.error_readers[sock.fileno()] = read

    def register_sampler(self, sock: socket.socket, look: Reader) -> None:
        """At its next wake-up and once per tick, look; `look` itself puts the drain back."""
        self.readers[sock.fileno()] = self.samplers[sock.fileno()] = look

    def start_sampling(self, _now: float) -> None:
        self.readers.update(self.samplers)

    def modify(self, sock: socket.socket, events: int) -> None:
        """Wake up for these events from now on."""
        self.epoll.modify(sock, events)

    def unregister(self, sock: socket.socket) -> None:
        """Watch it no longer."""
        del self.readers[sock.fileno()]
        self.error_readers.pop(sock.fileno(), None)
        self.samplers.pop(sock.fileno(), None)
        self.epoll.unregister(sock)

    def close_socket(self, sock: socket.socket) -> None:
        """Watch it no longer, and close it."""
        self.unregister(sock)
        sock.close()

    def wake_up(self) -> None:
        """One wake-up."""
        now = monotonic()
        for most in ROUNDS:
            if not self.poll_once(0, most):
                if now - self.last_wake_up < MAX_GAP:
                    self.linger(now + MAX_LINGER)
                break
        self.last_wake_up = monotonic()

    def linger(self, until: float) -> None:
        while not self.next_turn and monotonic() < until and self.poll_once(MAX_GAP, 1):
            pass

    def poll_once(self, patience: float, most: int) -> bool:
        """Drain each socket that is ready; False if none was. One's fault is none of the others'."""
        ready = self.epoll.poll(patience, MAX_READY)
        for descriptor, events in ready:
            try:
                if events & select.EPOLLERR and descriptor in self.error_readers:
                    self.error_readers[descriptor](most)
                drain = self.readers.get(descriptor)  # an earlier one may have closed it
                if drain is not None:
                    drain(most)
            except Exception as error:
                self.report_error(error)
        if len(ready) == MAX_READY:
            for drain in self.shared_readers:
                self.attempt(partial(drain, SHARED_FACTOR * most))
        return bool(ready)

    def attempt(self, work: Callable[[], object]) -> None:
        """Do this; what it meets is told and ends nothing else."""
        try:
            work()
        except Exception as error:
            self.report_error(error)

    def report_error(self, error: Exception) -> None:
        """Tell what no code expected. Raises it again where nobody hears of it."""
        self.batch.discard()
        self.above.unexpected(error)

    def punt(self, packet: Packet) -> None:
        """What no flow claims."""
        self.above.punt(packet)

    def punt_later(self, packet: Packet) -> None:
        """The same in the loop's next turn: for packets met while the core's last answer is being applied."""
        self.call_soon(partial(self.punt, packet))

    def report_failure(self, failure: Failure) -> None:
        """A packet to a peer did not arrive."""
        self.above.failed(failure)

    def report_failure_later(self, failure: Failure) -> None:
        """The same in the loop's next turn: for what the core's own answer met."""
        self.call_soon(partial(self.report_failure, failure))

    def report_lost_later(self, client: Address, listener: Address) -> None:
        """A client's connection is no more; said in the loop's next turn, for the same reason."""
        self.call_soon(partial(self.report_lost, client, listener))

    def report_lost(self, client: Address, listener: Address) -> None:
        self.above.lost(client, listener)

    def holds(self, client: Address, listener: Address) -> bool:
        """Whether a client has something here that outlasts its packets."""
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
