"""Reserved ports: for one user, for thirty seconds, once."""

from __future__ import annotations

import pytest

from turn.core.reservations import Reservation, Reservations
from turn.errors import InsufficientCapacity
from turn.flows import Address

KEPT = Reservation(Address.of("192.0.2.1", 50001), "alice", b"\x08\x08\x08\x08")


def test_a_token_is_its_users_and_good_once() -> None:
    reservations = Reservations()
    reservations.add(b"token", KEPT, 0.0)
    assert KEPT.relay in reservations
    reservations.check_owner(b"token", "alice")
    for token, user in ((b"token", "bob"), (b"other", "alice")):
        with pytest.raises(InsufficientCapacity):
            reservations.check_owner(token, user)
    assert reservations.claim(b"token") == KEPT
    assert KEPT.relay not in reservations
    assert (len(reservations), reservations.next_expiry()) == (0, None)
    with pytest.raises(InsufficientCapacity):
        reservations.check_owner(b"token", "alice")


def test_nobody_came_for_it() -> None:
    reservations = Reservations()
    reservations.add(b"token", KEPT, 5.0)
    assert reservations.next_expiry() == 35.0
    assert list(reservations.expire(34.9)) == []
    assert list(reservations.expire(35.0)) == [KEPT]
    assert (len(reservations), KEPT.relay in reservations) == (0, False)
