"""Which clients of a UDP listener have a socket of their own: the busiest ones, and those that must have one.

The kernel finds a connected socket before the shared one. So the packets of its client come to this process,
whichever others listen at the same address. But before Linux 6.13 the kernel's look-up walks all connected
sockets for each packet. So there is a limit to sockets that only make a client faster, and none to those of
clients whose packets would otherwise go to another process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import nlargest, nsmallest
from itertools import islice

from turn.engines.loop import dscp, sockets
from turn.engines.loop.batching import Sender
from turn.engines.loop.epoll import Epoll
from turn.engines.loop.sockets import SockAddr
from turn.engines.table import ClientKey, LinkedClient
from turn.engines.transmit import Outlet
from turn.engines.udp.peer_sockets import ConnectedSocket
from turn.flows import Address

MEASURED_PER_TICK = 256  # clients (2 µs each), so that thousands of them keep no packet waiting
SWAPS = 16  # per round through all clients: each opens one socket and closes another

# A client takes another's socket if it is so many times as busy, and so many packets a second beyond that.
# Otherwise two clients that are alike would change places for ever.
SWAP_FACTOR = 2.0
SWAP_MARGIN = 10.0

OnStray = Callable[[int, SockAddr, bytes], None]  # size, source, our IP address


class ClientSockets:
    """`limit`: how many clients may have a socket for speed; `on_stray` gets what a new socket caught of
    other clients; `sender` makes what sends by the shared socket, and `catch_up` reads what that holds."""

    def __init__(
        self,
        epoll: Epoll,
        limit: int,
        on_stray: OnStray,
        sender: Callable[[Address, Address], Outlet],
        catch_up: Callable[[], None],
    ) -> None:
        self.epoll = epoll
        self.limit = limit
        self.on_stray = on_stray
        self.sender = sender
        self.catch_up = catch_up
        self.by_client: dict[ClientKey, ConnectedSocket] = {}
        self.linked: dict[ClientKey, LinkedClient] = {}
        self.waiting: dict[ClientKey, None] = {}  # linked and without a socket, longest waiting first
        self.pinned: set[ClientKey] = set()
        self.unmeasured: Iterator[ClientKey] = iter(())  # what is left of this round
        self.counts: dict[ClientKey, tuple[int, float]] = {}  # packets carried, and when that was
        self.rates: dict[ClientKey, float] = {}  # packets a second, as measured in this round

    def attach(self, client: LinkedClient) -> None:
        """A client has got its first linked flow."""
        key = (client.address, client.listener)
        self.linked[key] = client
        if key not in self.by_client and (len(self.by_client) >= self.limit or not self.open_socket(key)):
            client.outlet = self.sender(client.listener, client.address)
            self.waiting[key] = None
        else:
            self.use_socket(key)

    def detach(self, client: LinkedClient) -> None:
        """A client has lost its last linked flow: another may have a socket now."""
        key = (client.address, client.listener)
        del self.linked[key]
        self.waiting.pop(key, None)
        self.counts.pop(key, None)
        if key in self.pinned and key in self.by_client:
            self.by_client[key].carry = carry_nothing
        elif key in self.by_client:
            self.by_client.pop(key).close()
            self.promote_next()

    def pin(self, key: ClientKey) -> None:
        """This client's packets must come here. Where the system has no socket left, they may not."""
        self.pinned.add(key)
        if key not in self.by_client and self.open_socket(key) and key in self.linked:
            del self.waiting[key]
            self.use_socket(key)

    def unpin(self, key: ClientKey) -> None:
        """From now on the client has a socket only if it has a linked flow and there is room. It is closed in
        the loop's next turn: until then the answer to the client's last request leaves by it."""
        if key in self.pinned:
            self.pinned.discard(key)
            self.epoll.call_soon(lambda: self.close_unneeded(key))

    def close_unneeded(self, key: ClientKey) -> None:
        if key not in self.by_client or key in self.pinned:
            return
        if key not in self.linked:
            self.by_client.pop(key).close()
            self.promote_next()
        elif len(self.by_client) > self.limit:
            self.demote(key)

    def open_socket(self, key: ClientKey) -> bool:
        """False if the system has no socket left."""
        remote, local = key
        try:
            opened = ConnectedSocket(self.epoll, sockets.open_connected(local, remote), local, remote)
            opened.start_reading(carry_nothing, lambda size, source: self.on_stray(size, source, local.ip))
        except OSError:
            return False
        self.by_client[key] = opened
        return True

    def use_socket(self, key: ClientKey) -> None:
        """Let the client's linked flows use its socket."""
        client, own = self.linked[key], self.by_client[key]
        own.carry = client.carry
        client.outlet = Sender(own.sock, self.epoll.batch)

    def demote(self, key: ClientKey) -> None:
        """Back to the shared socket. What waits in the client's own socket is punted before what comes to the
        shared one, and the marks of its packets are no longer read."""
        client = self.linked[key]
        client.outlet = self.sender(client.listener, client.address)
        for lane in client.lanes():
            if isinstance(lane.outlet_out, Sender):
                lane.outlet_out.mark_packets(dscp.BEST_EFFORT)
        self.waiting[key] = None
        self.by_client.pop(key).close()

    def promote_next(self) -> None:
        """The client that has waited longest gets a socket, if there is room."""
        first = next(iter(self.waiting), None)
        if first is not None and len(self.by_client) < self.limit:
            self.promote(first)

    def promote(self, key: ClientKey) -> None:
        if self.open_socket(key):
            del self.waiting[key]
            self.use_socket(key)

    def rebalance(self, now: float) -> None:
        """Measure a few clients; after all of them, the busiest that wait change places with the idlest."""
        if not self.waiting:
            self.stop_measuring()
            return
        some = list(islice(self.unmeasured, MEASURED_PER_TICK))
        for key in some:
            if key in self.linked:
                self.measure(key, now)
        if len(some) < MEASURED_PER_TICK:
            self.swap()
            self.unmeasured = iter(list(self.linked))

    def stop_measuring(self) -> None:
        self.unmeasured = iter(())
        self.counts.clear()
        self.rates.clear()

    def measure(self, key: ClientKey, now: float) -> None:
        carried, before = self.linked[key].carried(), self.counts.get(key)
        self.counts[key] = (carried, now)
        if before is not None and now > before[1]:
            self.rates[key] = (carried - before[0]) / (now - before[1])

    def swap(self) -> None:
        rates, self.rates = self.rates, {}
        busiest = nlargest(SWAPS, (key for key in self.waiting if key in rates), key=rates.__getitem__)
        held = (key for key in self.by_client if key in self.linked and key not in self.pinned)
        spare = (key for key in held if key in rates)
        for busy, idle in zip(busiest, nsmallest(SWAPS, spare, key=rates.__getitem__), strict=False):
            if rates[busy] < SWAP_FACTOR * rates[idle] + SWAP_MARGIN:
                break
            self.demote(idle)
            self.promote(busy)
        self.catch_up()  # else what the new sockets receive would overtake what their clients sent before

    def close(self) -> None:
        for one in self.by_client.values():
            self.epoll.close_socket(one.sock)
        self.by_client.clear()


def carry_nothing(_view: memoryview, _start: int, _size: int) -> bool:
    """A client without a linked flow: each packet is punted."""
    return False
