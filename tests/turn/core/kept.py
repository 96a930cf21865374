"""A relay that dies, and the next one, which knows only what the first has said of its allocations."""

from __future__ import annotations

from tests.turn.network import Network
from turn.core.relay import KeptAllocation, Relay, Settings
from turn.flows import Address


class Mortal:
    """Keeps what the relay of a network says, until it dies."""

    def __init__(self, net: Network, given: Settings) -> None:
        self.net, self.given = net, given
        self.kept: dict[Address, KeptAllocation] = {}
        net.relay.keep_allocations()

    def note(self) -> None:
        changes = self.net.relay.changes(self.net.now) + self.net.relay.renewals(1000, self.net.now)
        for relay, kept in changes:
            if kept is None:
                self.kept.pop(relay, None)
            else:
                self.kept[relay] = kept

    def die(self, given: Settings | None = None, *, seconds: float = 1.0) -> None:
        """The next process of this network begins so many seconds later."""
        self.note()
        net = self.net
        net.relay = Relay(given or self.given)
        net.open, net.links, net.pinned = set(), {}, set()
        net.now += seconds
        kept, self.kept = list(self.kept.values()), {}
        net.relay.keep_allocations()
        net.run(net.relay.restore(kept, net.now))
        net.run(net.relay.link_restored(net.now))
        self.note()
