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
from turn.engines.table import Client
from turn.engines.transmit import Transmit
from turn.engines.udp.peer_sockets import Joined
from turn.flows import Address

LOOK = 256  # clients weighed per tick (2 µs each), so that thousands keep no packet waiting
SWAPS = 16  # changes of place per round through all clients: each opens and closes a socket
CLEARLY = 2.0  # times as busy, and
MORE = 10.0  # packets a second beyond that: else two alike would change places for ever

Owner = tuple[Address, Address]  # a client, and the concrete address that it knows us by
Stray = Callable[[int, SockAddr, bytes], None]  # size, source, our ip: what a new twin caught of another's


class Twins:
    """`most`: how many may have one for speed; `sender` is the way to a client without one; `catch_up` reads
    what the shared socket holds."""

    def __init__(
        self,
        epoll: Epoll,
        most: int,
        stray: Stray,
        sender: Callable[[Address, Address], Transmit],
        catch_up: Callable[[], None],
    ) -> None:
        self.epoll = epoll
        self.most = most
        self.stray = stray
        self.sender = sender
        self.catch_up = catch_up
        self.held: dict[Owner, Joined] = {}
        self.linked: dict[Owner, Client] = {}
        self.waiting: dict[Owner, None] = {}  # linked and without a twin, longest waiting first
        self.kept: set[Owner] = set()
        self.round: Iterator[Owner] = iter(())
        self.marks: dict[Owner, tuple[int, float]] = {}  # packets carried, and when that was
        self.rates: dict[Owner, float] = {}  # packets a second, of those weighed in this round

    def greet(self, client: Client) -> None:
        """A client with its first linked flow."""
        owner = (client.address, client.listener)
        self.linked[owner] = client
        if owner not in self.held and (len(self.held) >= self.most or not self.pair(owner)):
            client.send = self.sender(client.listener, client.address)
            self.waiting[owner] = None
        else:
            self.lend(owner)

    def part(self, client: Client) -> None:
        """A client without its last linked flow: its twin goes to the one that has waited longest."""
        owner = (client.address, client.listener)
        del self.linked[owner]
        self.waiting.pop(owner, None)
        self.marks.pop(owner, None)
        if owner in self.kept and owner in self.held:
            self.held[owner].take = unclaimed
        elif owner in self.held:
            self.held.pop(owner).close()
            self.pass_on()

    def keep(self, owner: Owner) -> None:
        """This client's packets must come here. Where the system has no socket left, they may not."""
        self.kept.add(owner)
        if owner not in self.held and self.pair(owner) and owner in self.linked:
            del self.waiting[owner]
            self.lend(owner)

    def release(self, owner: Owner) -> None:
        """They need not any more: the client has a twin only if it has a linked flow and there is room. That
        is done in the loop's next turn: until then the answer to its last request leaves by the twin."""
        if owner in self.kept:
            self.kept.discard(owner)
            self.epoll.later(lambda: self.reconsider(owner))

    def reconsider(self, owner: Owner) -> None:
        if owner not in self.held or owner in self.kept:
            return
        if owner not in self.linked:
            self.held.pop(owner).close()
            self.pass_on()
        elif len(self.held) > self.most:
            self.retire(owner)

    def pair(self, owner: Owner) -> bool:
        """Give the client a twin; False if the system has none left."""
        there, here = owner
        try:
            twin = Joined(self.epoll, sockets.joined(here, there), here, there)
        except OSError:
            return False
        twin.start(unclaimed, lambda size, source: self.stray(size, source, here.ip))
        self.held[owner] = twin
        return True

    def lend(self, owner: Owner) -> None:
        """Let its linked flows have the twin."""
        client, twin = self.linked[owner], self.held[owner]
        twin.take = client.carry
        client.send = Sender(twin.sock, self.epoll.gather)

    def retire(self, owner: Owner) -> None:
        """Back to the shared socket; what waits in the twin goes up before what comes there, and how packets
        are marked is read no more."""
        client = self.linked[owner]
        client.send = self.sender(client.listener, client.address)
        for lane in client.lanes():
            if isinstance(lane.outward, Sender):
                lane.outward.mark(dscp.BEST_EFFORT)
        self.waiting[owner] = None
        self.held.pop(owner).close()

    def pass_on(self) -> None:
        heir = next(iter(self.waiting), None)
        if heir is not None and len(self.held) < self.most:
            self.promote(heir)

    def promote(self, owner: Owner) -> None:
        if self.pair(owner):
            del self.waiting[owner]
            self.lend(owner)

    def look(self, now: float) -> None:
        """Weigh a few; when everybody has been, the busiest who wait change places with the idlest."""
        if not self.waiting:
            self.forget()
            return
        some = list(islice(self.round, LOOK))
        for owner in some:
            if owner in self.linked:
                self.weigh(owner, now)
        if len(some) < LOOK:
            self.swap()
            self.round = iter(list(self.linked))

    def forget(self) -> None:
        self.round = iter(())
        self.marks.clear()
        self.rates.clear()

    def weigh(self, owner: Owner, now: float) -> None:
        carried, mark = self.linked[owner].carried(), self.marks.get(owner)
        self.marks[owner] = (carried, now)
        if mark is not None and now > mark[1]:
            self.rates[owner] = (carried - mark[0]) / (now - mark[1])

    def swap(self) -> None:
        rates, self.rates = self.rates, {}
        busy = nlargest(SWAPS, (one for one in self.waiting if one in rates), key=rates.__getitem__)
        spare = (one for one in self.held if one in rates and one in self.linked and one not in self.kept)
        for newcomer, idle in zip(busy, nsmallest(SWAPS, spare, key=rates.__getitem__), strict=False):
            if rates[newcomer] < CLEARLY * rates[idle] + MORE:
                break
            self.retire(idle)
            self.promote(newcomer)
        self.catch_up()  # or what the new twins receive would overtake what their clients sent before

    def close(self) -> None:
        for twin in self.held.values():
            self.epoll.drop(twin.sock)
        self.held.clear()


def unclaimed(_view: memoryview, _start: int, _size: int) -> bool:
    """What a client without a linked flow sends goes up."""
    return False
