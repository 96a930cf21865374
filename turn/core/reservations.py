"""Ports kept for a second allocation of the same user: EVEN-PORT's sibling, until its token is shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from turn.deadlines import Deadlines
from turn.errors import InsufficientCapacity
from turn.flows import Address

LIFETIME = 30.0  # RFC 8656 §7.2 asks for at least so much; a longer one would let a client hoard ports
TOKEN_BYTES = 8


class Reservation(NamedTuple):
    """`charged` is whose address the quota counts it for, beside the user."""

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
        """Raises InsufficientCapacity for a token that this user does not hold (RFC 8656 §7.2)."""
        found = self._by_token.get(token)
        if found is None or found.user != user:
            raise InsufficientCapacity("token")

    def claim(self, token: bytes) -> Reservation:
        self._deadlines.drop(token)
        reservation = self._by_token.pop(token)
        self._relays.discard(reservation.relay)
        return reservation

    def expire(self, now: float) -> Iterator[Reservation]:
        """Those that nobody came for."""
        for token in self._deadlines.due(now):
            yield self.claim(token)

    def next_expiry(self) -> float | None:
        return self._deadlines.next()
