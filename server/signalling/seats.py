"""Seats: whose share of the queue each visitor takes while it looks for a partner or talks."""

from __future__ import annotations

from server.signalling.blocks import Person
from server.signalling.households import Networks
from server.signalling.matching import Queue
from server.signalling.visitors import Dependencies, Visitor


class Seats:
    """Takes and frees them. An address without limits has no share that could be used up."""

    def __init__(self, dependencies: Dependencies, queue: Queue) -> None:
        self.dependencies = dependencies
        self.queue = queue

    def take(self, visitor: Visitor, now: float) -> None:
        if visitor.seat is None:
            visitor.seat = self.limited_networks(visitor)
            self.queue.change_share(visitor.seat, now, seats=1)

    def free(self, visitor: Visitor, now: float) -> None:
        if visitor.seat is not None:
            self.queue.change_share(visitor.seat, now, seats=-1)
            visitor.seat = None

    def count_leaving(self, visitor: Visitor, now: float) -> None:
        """It has ended a call: who does so again and again meets fewer."""
        self.queue.change_share(self.limited_networks(visitor), now, left=1.0)

    def limited_networks(self, visitor: Visitor) -> Networks:
        """The networks whose share a visitor takes of; none for an address without limits."""
        return () if self.is_exempt(visitor) else visitor.networks

    def person_of(self, visitor: Visitor) -> Person:
        """A visitor, without its household where many others share the address."""
        return Person(visitor.token, None) if self.is_exempt(visitor) else visitor.person

    def is_exempt(self, visitor: Visitor) -> bool:
        return visitor.address is not None and self.dependencies.is_exempt(visitor.address)
