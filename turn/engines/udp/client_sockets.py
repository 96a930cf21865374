"""Which clients have a socket of the listener to themselves: the busiest of many, and whoever must.

The kernel finds such a twin before the shared socket, so its client's packets come here whoever else listens
at the same address. But before Linux 6.13 each packet's look-up walks all twins: there is a limit to those
that only make things faster, and none to those of clients that would otherwise be another listener's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import nlargest, nsmallest
from itertools import islice

from turn.engines.loop import dscp, sockets
from turn.engines.loop.batching import Sender
from turn.engines.loop.epoll import Epoll
from turn.engines.loop.sockets import SockAddr
from turn.engines.table import LinkedClient
from turn.engines.transmit import Transmit
from turn.engines.udp.peer_sockets import ConnectedSocket
from turn.flows import Address

MEASURED_PER_TICK = 256  # clients weighed per tick (2 µs each), so that thousands keep no packet waiting
SWAPS = 16  # changes of place per round through all clients: each opens and closes a socket
SWAP_FACTOR = 2.0  # times as busy, and
SWAP_MARGIN = 10.0  # packets a second beyond that: else two alike would change places for ever

ClientKey = tuple[Address, Address]  # a client, and the concrete address that it knows us by
Stray = Callable[[int, SockAddr, bytes], None]  # size, source, our ip: what a new twin caught of another's


class ClientSockets:
    """`most`: how many may have one for speed; `sender` is the way to a client without one; `catch_up` reads
    what the shared socket holds."""

    def __init__(
        self,
        epoll: Epoll,
        limit: int,
        on_stray: Stray,
        sender: Callable[[Address, Address], Transmit],
        catch_up: Callable[[], None],
    ) -> None:
        self.epoll = epoll
        self.limit = limit
        self.on_stray = on_stray
        self.sender = sender
        self.catch_up = catch_up
        self.by_client: dict[ClientKey, ConnectedSocket] = {}
        self.linked: dict[ClientKey, LinkedClient] = {}
        self.waiting: dict[ClientKey, None] = {}  # linked and without a twin, longest waiting first
        self.pinned: set[ClientKey] = set()
        self.unmeasured: Iterator[ClientKey] = iter(())
        self.counts: dict[ClientKey, tuple[int, float]] = {}  # packets carried, and when that was
        self.rates: dict[ClientKey, float] = {}  # packets a second, of those weighed in this round

    def attach(self, client: LinkedClient) -> None:
        """A client with its first linked flow."""
        owner = (client.address, client.listener)
        self.linked[owner] = client
        if owner not in self.by_client and (len(self.by_client) >= self.limit or not self.open_socket(owner)):
            client.send = self.sender(client.listener, client.address)
            self.waiting[owner] = None
        else:
            self.use_socket(owner)

    def detach(self, client: LinkedClient) -> None:
        """A client without its last linked flow: its twin goes to the one that has waited longest."""
        owner = (client.address, client.listener)
        del self.linked[owner]
        self.waiting.pop(owner, None)
        self.counts.pop(owner, None)
        if owner in self.pinned and owner in self.by_client:
            self.by_client[owner].carry = unclaimed
        elif owner in self.by_client:
            self.by_client.pop(owner).close()
            self.promote_next()

    def pin(self, owner: ClientKey) -> None:
        """This client's packets must come here. Where the system has no socket left, they may not."""
        self.pinned.add(owner)
        if owner not in self.by_client and self.open_socket(owner) and owner in self.linked:
            del self.waiting[owner]
            self.use_socket(owner)

    def unpin(self, owner: ClientKey) -> None:
        """They need not any more: the client has a twin only if it has a linked flow and there is room. That
        is done in the loop's next turn: until then the answer to its last request leaves by the twin."""
        if owner in self.pinned:
            self.pinned.discard(owner)
            self.epoll.call_soon(lambda: self.close_unneeded(owner))

    def close_unneeded(self, owner: ClientKey) -> None:
        if owner not in self.by_client or owner in self.pinned:
            return
        if owner not in self.linked:
            self.by_client.pop(owner).close()
            self.promote_next()
        elif len(self.by_client) > self.limit:
            self.demote(owner)

    def open_socket(self, owner: ClientKey) -> bool:
        """Give the client a twin; False if the system has none left."""
        there, here = owner
        try:
            twin = ConnectedSocket(self.epoll, sockets.open_connected(here, there), here, there)
        except OSError:
            return False
        twin.start_reading(unclaimed, lambda size, source: self.on_stray(size, source, here.ip))
        self.by_client[owner] = twin
        return True

    def use_socket(self, owner: ClientKey) -> None:
        """Let its linked flows have the twin."""
        client, twin = self.linked[owner], self.by_client[owner]
        twin.carry = client.carry
        client.send = Sender(twin.sock, self.epoll.batch)

    def demote(self, owner: ClientKey) -> None:
        """Back to the shared socket; what waits in the twin goes up before what comes there, and how packets
        are marked is read no more."""
        client = self.linked[owner]
        client.send = self.sender(client.listener, client.address)
        for lane in client.lanes():
            if isinstance(lane.transmit_out, Sender):
                lane.transmit_out.set_mark(dscp.BEST_EFFORT)
        self.waiting[owner] = None
        self.by_client.pop(owner).close()

    def promote_next(self) -> None:
        heir = next(iter(self.waiting), None)
        if heir is not None and len(self.by_client) < self.limit:
            self.promote(heir)

    def promote(self, owner: ClientKey) -> None:
        if self.open_socket(owner):
            del self.waiting[owner]
            self.use_socket(owner)

    def rebalance(self, now: float) -> None:
        """Weigh a few; when everybody has been, the busiest who wait change places with the idlest."""
        if not self.waiting:
            self.stop_measuring()
            return
        some = list(islice(self.unmeasured, MEASURED_PER_TICK))
        for owner in some:
            if owner in self.linked:
                self.measure(owner, now)
        if len(some) < MEASURED_PER_TICK:
            self.swap()
            self.unmeasured = iter(list(self.linked))

    def stop_measuring(self) -> None:
        self.unmeasured = iter(())
        self.counts.clear()
        self.rates.clear()

    def measure(self, owner: ClientKey, now: float) -> None:
        carried, mark = self.linked[owner].carried(), self.counts.get(owner)
        self.counts[owner] = (carried, now)
        if mark is not None and now > mark[1]:
            self.rates[owner] = (carried - mark[0]) / (now - mark[1])

    def swap(self) -> None:
        rates, self.rates = self.rates, {}
        busy = nlargest(SWAPS, (one for one in self.waiting if one in rates), key=rates.__getitem__)
        spare = (
            one for one in self.by_client if one in rates and one in self.linked and one not in self.pinned
        )
        for newcomer, idle in zip(busy, nsmallest(SWAPS, spare, key=rates.__getitem__), strict=False):
            if rates[newcomer] < SWAP_FACTOR * rates[idle] + SWAP_MARGIN:
                break
            self.demote(idle)
            self.promote(newcomer)
        self.catch_up()  # or what the new twins receive would overtake what their clients sent before

    def close(self) -> None:
        for twin in self.by_client.values():
            self.epoll.close_socket(twin.sock)
        self.by_client.clear()


def unclaimed(_view: memoryview, _start: int, _size: int) -> bool:
    """What a client without a linked flow sends goes up."""
    return False
