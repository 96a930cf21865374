"""Hostile visitors wait with hundreds of pages, and the honest still meet each other. Time is simulated."""

from __future__ import annotations

import pytest

from tests.server.signalling.crowd import STRATEGIES, Attack, Day, Strategy, honest_friends

SEED = 1
SHARE = 0.8  # of the honest who meet each other without hostile visitors
BUSY, QUIET = Day(40, 0.1, picky=False), Day(24, 1.0, picky=True)
ATTACKS = [(64, 1, True, BUSY), (64, 1, False, QUIET), (200, 4, True, QUIET), (200, 4, False, BUSY)]


@pytest.mark.parametrize(("seats", "addresses", "one_token", "day"), ATTACKS)
@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.__name__)
def test_honest_visitors_meet_each_other(
    strategy: Strategy, seats: int, addresses: int, one_token: bool, day: Day
) -> None:
    without = honest_friends(day, None, SEED)
    friends = honest_friends(day, Attack(seats, addresses, one_token, strategy), SEED)
    assert len(without) >= SHARE * day.visitors
    assert len(friends) >= SHARE * len(without)
    first = [guest for guest in friends if guest.partners[0].honest]
    assert len(first) >= SHARE * len(friends) - addresses, "one address cannot come first all the time"
