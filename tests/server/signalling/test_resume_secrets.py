"""The secrets with which pages come back: one for each greeting, until the page speaks again."""

from __future__ import annotations

import pytest

from tests.server.signalling.visits import Visits


def test_a_greeting_that_gets_lost_costs_nobody_the_seat() -> None:
    visits = Visits()
    a, _, call = visits.couple()
    first = visits.last("a", "hello")["resume"]
    for _ in range(3):
        assert visits.enter("a", resume=first) is a
    newest = visits.last("a", "hello")["resume"]
    assert visits.enter("a", resume=newest) is a
    assert visits.enter("a", resume=first) is not a
    assert visits.enter("a", resume=newest) is a
    visits.say(a, "ping")
    assert visits.enter("a", resume=newest) is not a
    assert a.room is not None
    assert a.room.call == call


@pytest.mark.parametrize("token", ["someone-elses-token", ""])
def test_a_secret_is_good_with_its_own_token_only(token: str) -> None:
    visits = Visits()
    a = visits.enter("a")
    again = visits.enter("a", token=token, resume=a.resume_secret)
    assert (again is a) == (token == "")
    assert visits.last("a", "hello")["resumed"] == (token == "")
