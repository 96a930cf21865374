"""Levels: what raises them, and that they come down again."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from server.signalling.households import FORGET_SECONDS, LEVELS, MOST_LEFT, Households
from turn.limits.addresses import counted_networks


def networks(address: str) -> tuple[tuple[bytes, int], ...]:
    return counted_networks(ip_address(address).packed)


HOME = networks("192.0.2.1")


# Visitors who look for partners or talk, partners left, seconds since then: the level.
LEVEL = [
    (0, 0, 0.0, 0),
    (1, 3, 0.0, 0),
    (4, 0, 0.0, 0),
    (5, 0, 0.0, 1),
    (1, 4, 0.0, 1),
    (1, 4, FORGET_SECONDS, 0),
    (12, 0, 0.0, 1),
    (13, 0, 0.0, 2),
    (64, 0, 3600.0, 2),
    (1, 1000, 0.0, 2),
    (1, 1000, MOST_LEFT * FORGET_SECONDS, 0),
]


@pytest.mark.parametrize(("seats", "left", "seconds", "level"), LEVEL)
def test_the_level(seats: int, left: int, seconds: float, level: int) -> None:
    households = Households()
    households.change(HOME, 0.0, seats=seats, left=left)
    households.relax(seconds)
    assert households.level(HOME) == level
    assert households.level(networks("192.0.2.2")) == 0


def test_a_wide_network_has_twice_the_share_of_one_household() -> None:
    households = Households()
    for number in range(2 * LEVELS[0]):
        households.change(networks(f"2001:db8:0:{number}::1"), 0.0, seats=1)
    assert households.level(networks("2001:db8:0:ffff::1")) == 0
    households.change(networks("2001:db8:0:8::1"), 0.0, seats=1)
    assert households.level(networks("2001:db8:0:ffff::1")) == 1
    assert households.level(networks("2001:db8:1::1")) == 0


def test_who_waits_is_told_when_the_level_changes() -> None:
    households = Households()
    households.change(HOME, 0.0, seats=1)
    households.join(HOME, "me", 0.0)
    assert households.change(HOME, 0.0, left=3) == []
    assert households.change(HOME, 0.0, left=1) == ["me"]
    assert households.relax(FORGET_SECONDS - 1) == []
    assert households.relax(FORGET_SECONDS) == ["me"]
    households.leave(HOME, "me")
    assert households.change(HOME, FORGET_SECONDS, left=9) == []


def test_nothing_is_kept_of_a_household_that_has_gone() -> None:
    households = Households()
    for number in range(1000):
        home = networks(f"2001:db8:{number:x}::1")
        households.change(home, 0.0, seats=20, left=2.0)
        households.join(home, "me", 0.0)
        households.leave(home, "me")
        households.change(home, 0.0, seats=-20)
    for tick in range(1, 4):
        households.relax(tick * FORGET_SECONDS)
    assert (households.shares, households.raised) == ({}, {})
