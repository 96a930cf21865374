"""An epoll of our own: one reader in asyncio's loop, hundreds of sockets, one buffer that all read into."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from functools import partial
from time import monotonic

from turn.engines import NOBODY, Above, Failure
from turn.engines.framing import LARGEST, ROOM, TAIL
from turn.engines.loop.batching import Gather
from turn.flows import Address, Packet

READY = 64  # sockets served per wake-up, so that a flood cannot keep the loop from everything else
LAST_START = ROOM + LARGEST  # where in the buffer the last of several packets may begin

# Packets taken from each in the rounds of one wake-up, 16 in all. Mostly there is one packet, and to ask for
# all sockets again (0.3 µs) is cheaper than to read one until it refuses (1.2 µs: an exception).
ROUNDS = (1, 4, 11)
CROWD = (
    4  # where more are ready than are served, a socket of many senders has its turn each time, so many fold
)

# Where packets come close together, a wake-up waits for the next itself: asyncio's way round for each would
# cost more than to carry it. The loop's own work (timers) waits for no longer than STAY.
CLOSE = 0.001  # seconds between packets, at most; also the shortest wait that epoll knows
STAY = 0.004

TICK = 1.0  # seconds between looks at what takes too long

Drain = Callable[[int], None]  # takes at most so many packets


class Epoll:
    """Calls each ready socket's drain. What is in the buffer has left when a drain returns, or punts."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(LAST_START + LARGEST + TAIL))
        self.gather = Gather()
        self.left = 0.0
        self.body = self.view[ROOM : ROOM + LARGEST]
        self.drains: dict[int, Drain] = {}
        self.errors: dict[int, Drain] = {}  # of sockets whose error queue is read
        self.looks: dict[int, Drain] = {}  # each for one wake-up per tick, in a drain's place
        self.crowded: list[Drain] = []
        self.epoll = select.epoll()
        self.waiting: list[Callable[[], object]] = []
        self.ticks: list[Callable[[float], None]] = []
        self.above = NOBODY  # before it runs, and afterwards

    async def run(self, above: Above) -> None:
        """Serve until cancelled."""
        loop = asyncio.get_running_loop()
        self.above = above
        loop.add_reader(self.epoll.fileno(), self.serve)
        try:
            while self.ticks:
                await asyncio.sleep(TICK)
                for tick in self.ticks:
                    self.attempt(partial(tick, monotonic()))
            await loop.create_future()
        finally:
            loop.remove_reader(self.epoll.fileno())
            self.above = NOBODY

    def close(self) -> None:
        self.epoll.close()

    def watch(self, sock: socket.socket, drain: Drain) -> None:
        self.drains[sock.fileno()] = drain
        self.epoll.register(sock, select.EPOLLIN)

    def watch_errors(self, sock: socket.socket, read: Drain) -> None:
        """Of a socket that is watched, read the error queue too; else epoll would not stop telling of it."""
        self.errors[sock.fileno()] = read

    def watch_now_and_then(self, sock: socket.socket, look: Drain) -> None:
        """At its next wake-up and once per tick, look; `look` itself puts the drain back."""
        self.drains[sock.fileno()] = self.looks[sock.fileno()] = look

    def look(self, _now: float) -> None:
        self.drains.update(self.looks)

    def heed(self, sock: socket.socket, events: int) -> None:
        """Wake up for these events from now on."""
        self.epoll.modify(sock, events)

    def release(self, sock: socket.socket) -> None:
        """Watch it no longer."""
        del self.drains[sock.fileno()]
        self.errors.pop(sock.fileno(), None)
        self.looks.pop(sock.fileno(), None)
        self.epoll.unregister(sock)

    def drop(self, sock: socket.socket) -> None:
        """Watch it no longer, and close it."""
        self.release(sock)
        sock.close()

    def serve(self) -> None:
        """One wake-up."""
        now = monotonic()
        for most in ROUNDS:
            if not self.round(0, most):
                if now - self.left < CLOSE:
                    self.linger(now + STAY)
                break
        self.left = monotonic()

    def linger(self, until: float) -> None:
        while not self.waiting and monotonic() < until and self.round(CLOSE, 1):
            pass

    def round(self, patience: float, most: int) -> bool:
        """Drain each socket that is ready; False if none was. One's fault is none of the others'."""
        ready = self.epoll.poll(patience, READY)
        for descriptor, events in ready:
            try:
                if events & select.EPOLLERR and descriptor in self.errors:
                    self.errors[descriptor](most)
                drain = self.drains.get(descriptor)  # an earlier one may have closed it
                if drain is not None:
                    drain(most)
            except Exception as error:
                self.survive(error)
        if len(ready) == READY:
            for drain in self.crowded:
                self.attempt(partial(drain, CROWD * most))
        return bool(ready)

    def attempt(self, work: Callable[[], object]) -> None:
        """Do this; what it meets is told and ends nothing else."""
        try:
            work()
        except Exception as error:
            self.survive(error)

    def survive(self, error: Exception) -> None:
        """Tell what no code expected. Raises it again where nobody hears of it."""
        self.gather.discard()
        self.above.mishap(error)

    def up(self, packet: Packet) -> None:
        """What no flow claims."""
        self.above.punt(packet)

    def up_later(self, packet: Packet) -> None:
        """The same in the loop's next turn: for packets met while the core's last answer is being applied."""
        self.later(partial(self.up, packet))

    def fail(self, failure: Failure) -> None:
        """A packet to a peer did not arrive."""
        self.above.failed(failure)

    def fail_later(self, failure: Failure) -> None:
        """The same in the loop's next turn: for what the core's own answer met."""
        self.later(partial(self.fail, failure))

    def lose_later(self, client: Address, listener: Address) -> None:
        """A client's connection is no more; said in the loop's next turn, for the same reason."""
        self.later(partial(self.lose, client, listener))

    def lose(self, client: Address, listener: Address) -> None:
        self.above.lost(client, listener)

    def holds(self, client: Address, listener: Address) -> bool:
        """Whether a client has something here that outlasts its packets."""
        return self.above.holds(client, listener)

    def later(self, work: Callable[[], object]) -> None:
        """Do this in the loop's next turn."""
        if not self.waiting:
            asyncio.get_running_loop().call_soon(self.deliver)
        self.waiting.append(work)

    def deliver(self) -> None:
        waiting, self.waiting = self.waiting, []
        for work in waiting:
            self.attempt(work)
