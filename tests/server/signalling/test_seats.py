"""Seats: a visitor takes one and frees it; an address without limits has no share."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from server.signalling.matching import Queue
from server.signalling.seats import Seats
from server.signalling.visitors import Dependencies, Visitor

OFFICE = ip_address("198.51.100.7")


def seats(*, exempt: bool) -> tuple[Seats, Visitor]:
    dependencies = Dependencies(lambda user, hosts: {}, lambda: "", is_exempt=lambda address: exempt)
    return Seats(dependencies, Queue(300.0)), Visitor("v", "token", OFFICE, None, "", "")


@pytest.mark.parametrize("exempt", [False, True])
def test_a_seat_is_taken_once_and_freed_once(exempt: bool) -> None:
    all_seats, visitor = seats(exempt=exempt)
    shares = all_seats.queue.households.shares
    for _ in range(2):
        all_seats.take(visitor, 1.0)
    assert [share.seats for share in shares.values()] == ([] if exempt else [1])
    for _ in range(2):
        all_seats.free(visitor, 1.0)
    assert visitor.seat is None
    assert all(share.seats == 0 for share in shares.values())


@pytest.mark.parametrize("exempt", [False, True])
def test_who_leaves_uses_up_the_share_of_its_network(exempt: bool) -> None:
    all_seats, visitor = seats(exempt=exempt)
    all_seats.count_leaving(visitor, 1.0)
    assert bool(all_seats.queue.households.shares) is not exempt


@pytest.mark.parametrize("exempt", [False, True])
def test_a_person_has_a_household_unless_many_share_its_address(exempt: bool) -> None:
    all_seats, visitor = seats(exempt=exempt)
    assert all_seats.person_of(visitor).household == (None if exempt else OFFICE.packed)
    visitor.move_to(None)
    assert all_seats.person_of(visitor).household is None
