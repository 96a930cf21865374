"""An epoll of our own: one reader in asyncio's loop, hundreds of sockets, one buffer that all read into."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable

from turn.engines import Punt
from turn.engines.framing import LARGEST, ROOM, TAIL
from turn.flows import Packet

READY = 64  # sockets served per wake-up, so that a flood cannot keep the loop from everything else

# Packets taken from each in the rounds of one wake-up, 16 in all. Mostly there is one packet, and to ask for
# all sockets again (0.3 µs) is cheaper than to read one until it refuses (1.2 µs: an exception).
ROUNDS = (1, 4, 11)

Drain = Callable[[int], None]  # takes at most so many packets


class Epoll:
    """Calls each ready socket's drain. A datagram in the buffer is dealt with before the next is read."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(ROOM + LARGEST + TAIL))
        self.body = self.view[ROOM : ROOM + LARGEST]
        self.drains: dict[int, Drain] = {}
        self.epoll = select.epoll()
        self.waiting: list[Packet] = []
        self.punt: Punt | None = None

    async def run(self, punt: Punt) -> None:
        """Serve until cancelled."""
        loop = asyncio.get_running_loop()
        self.punt = punt
        loop.add_reader(self.epoll.fileno(), self.serve)
        try:
            await loop.create_future()
        finally:
            loop.remove_reader(self.epoll.fileno())
            self.punt = None

    def close(self) -> None:
        self.epoll.close()

    def watch(self, sock: socket.socket, drain: Drain) -> None:
        self.drains[sock.fileno()] = drain
        self.epoll.register(sock, select.EPOLLIN)

    def drop(self, sock: socket.socket) -> None:
        """Watch it no longer, and close it."""
        del self.drains[sock.fileno()]
        self.epoll.unregister(sock)
        sock.close()

    def serve(self) -> None:
        """One wake-up."""
        drains = self.drains
        for most in ROUNDS:
            ready = self.epoll.poll(0, READY)
            for descriptor, _ in ready:
                drain = drains.get(descriptor)  # an earlier one of this wake-up may have closed it
                if drain is not None:
                    drain(most)
            if not ready:
                return

    def up(self, packet: Packet) -> None:
        """What no flow claims."""
        if self.punt is not None:
            self.punt(packet)

    def up_later(self, packet: Packet) -> None:
        """The same in the loop's next turn: for packets met while the core's last answer is being applied."""
        if not self.waiting:
            asyncio.get_running_loop().call_soon(self.deliver)
        self.waiting.append(packet)

    def deliver(self) -> None:
        waiting, self.waiting = self.waiting, []
        for packet in waiting:
            self.up(packet)
