"""Ports that are reserved for a second allocation of the same user, by EVEN-PORT (RFC 8656 §7.2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from turn.deadlines import Deadlines
from turn.errors import InsufficientCapacity
from turn.flows import Address

LIFETIME = 30.0  # seconds, the least that RFC 8656 §7.2 allows: with more, a client could hoard ports
TOKEN_BYTES = 8


class Reservation(NamedTuple):
    """A reserved port. The quota counts it for the user and for `charged_ip`."""

    relay: Address
    user: str
    charged_ip: bytes


class Reservations:
    def __init__(self) -> None:
        self._by_token: dict[bytes, Reservation] = {}
        self._relays: set[Address] = set()
        self._deadlines: Deadlines[bytes] = Deadlines()

    def __len__(self) -> int:
        return len(self._by_token)

    def __contains__(self, relay: Address) -> bool:
        return relay in self._relays

    def add(self, token: bytes, reservation: Reservation, now: float) -> None:
        self._by_token[token] = reservation
        self._relays.add(reservation.relay)
        self._deadlines.set(token, now + LIFETIME)

    def check_owner(self, token: bytes, user: str) -> None:
        """Raises InsufficientCapacity if the token is not one of this user (RFC 8656 §7.2)."""
        found = self._by_token.get(token)
        if found is None or found.user != user:
            raise InsufficientCapacity("token")

    def claim(self, token: bytes) -> Reservation:
        self._deadlines.drop(token)
        reservation = self._by_token.pop(token)
        self._relays.discard(reservation.relay)
        return reservation

    def expire(self, now: float) -> Iterator[Reservation]:
        """The reservations that nobody has used in time; each is forgotten."""
        for token in self._deadlines.due(now):
            yield self.claim(token)

    def next_expiry(self) -> float | None:
        return self._deadlines.next()
