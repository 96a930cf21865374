"""Each reason why nobody fits is made to happen in a lobby, and its end with it."""

from __future__ import annotations

from typing import Any

from server.signalling.matching import LOOK_SECONDS, REUNION_SECONDS
from server.signalling.news import NEWS_SECONDS
from server.signalling.visitors import Visitor
from tests.server.signalling.visits import Visits


def news(visits: Visits, name: str) -> dict[str, Any]:
    """What somebody who waits hears within seconds."""
    for _ in range(5):
        visits.tick(NEWS_SECONDS / 4)
    return visits.last(name, "queue")


def parted(how: str) -> tuple[Visits, Visitor, Visitor]:
    """Two who are alone on the site, and whose call one has ended."""
    visits = Visits()
    a, b, _ = visits.couple()
    visits.say(a, how)
    return visits, a, b


def test_nobody_else_waits() -> None:
    visits = Visits()
    a, b, c = (visits.enter(name) for name in "abc")
    visits.say(a, "start")
    assert news(visits, "a") == {"type": "queue", "here": 3, "waiting": 1, "why": "nobody", "seconds": None}
    visits.say(b, "start")
    assert a.room is b.room is not None
    visits.say(c, "start")
    assert news(visits, "c") == {"type": "queue", "here": 3, "waiting": 1, "why": "nobody", "seconds": None}


def test_a_second_tab_is_told_so_and_so_is_the_first() -> None:
    visits = Visits()
    first, second = visits.enter("a"), visits.enter("a2", token=f"{'a':x<16}")
    for page in (first, second):
        visits.say(page, "start")
    for name in ("a", "a2"):
        assert news(visits, name)["why"] == "tab"
        assert visits.last(name, "queue")["waiting"] == 1
    visits.say(first, "stop")
    assert news(visits, "a2")["why"] == "nobody"


def test_a_wish_that_is_too_narrow() -> None:
    visits = Visits()
    a, b = visits.enter("a", "de"), visits.enter("b", "fr")
    visits.say(a, "start", want=["it"])
    visits.say(b, "start")
    assert news(visits, "a")["why"] == "wish"
    assert news(visits, "b")["why"] == "unsuited"
    visits.say(a, "next", want=[])
    assert a.room is b.room is not None


def test_a_wish_is_not_blamed_where_a_wider_one_would_not_help() -> None:
    visits = Visits()
    a, b = visits.enter("a", "de"), visits.enter("b", "fr")
    visits.say(a, "start", want=["it"])
    visits.say(b, "start", want=["it"])
    assert [news(visits, name)["why"] for name in "ab"] == ["unsuited", "unsuited"]


def test_a_busy_household_is_the_second_choice_and_both_are_told_until_when() -> None:
    visits = Visits()
    busy = [visits.enter(f"a{number}", "de") for number in range(5)]
    for page in busy:
        visits.say(page, "start", want=["fr"])
    assert news(visits, "a4")["why"] == "unsuited"
    b = visits.enter("b", "fr")
    visits.say(b, "start")
    for name in ("a0", "b"):
        heard = news(visits, name)
        assert (heard["why"], heard["seconds"]) == ("busy", LOOK_SECONDS[1]) or heard[
            "seconds"
        ] < LOOK_SECONDS[1]
    visits.tick(LOOK_SECONDS[1])
    assert b.room is busy[0].room is not None


def test_after_stop_two_who_start_again_meet_within_seconds_and_know_it() -> None:
    visits, a, b = parted("stop")
    for visitor in (a, b):
        visits.say(visitor, "start")
    for name in "ab":
        assert news(visits, name)["why"] == "reunion"
        assert 0 < visits.last(name, "queue")["seconds"] <= REUNION_SECONDS
    visits.tick(REUNION_SECONDS)
    assert a.room is b.room is not None


def test_who_does_not_want_that_meets_the_other_only_by_consent_of_both() -> None:
    visits, a, b = parted("stop")
    for visitor in (a, b):
        visits.say(visitor, "start")
    visits.say(a, "reunite", agree=False)
    visits.tick(REUNION_SECONDS)
    assert news(visits, "b") == {
        "type": "queue",
        "here": 2,
        "waiting": 2,
        "why": "parted",
        "seconds": 292,
        "asked": False,
    }
    visits.say(b, "reunite", agree=True)
    assert news(visits, "a")["asked"] is True
    assert a.room is None
    visits.say(a, "reunite", agree=True)
    visits.tick(0)
    assert a.room is b.room is not None


def test_after_next_both_must_agree() -> None:
    visits, a, b = parted("next")
    visits.say(b, "start")
    visits.tick(REUNION_SECONDS * 3)
    assert [news(visits, name)["why"] for name in "ab"] == ["parted", "parted"]
    visits.say(a, "reunite", agree=True)
    visits.tick(REUNION_SECONDS * 3)
    assert news(visits, "b")["asked"] is True
    assert news(visits, "a")["asked"] is False
    visits.say(b, "reunite", agree=True)
    visits.tick(0)
    assert a.room is b.room is not None


def test_next_after_a_call_is_for_somebody_else() -> None:
    visits, a, b = parted("stop")
    visits.say(a, "start")
    visits.say(b, "next")
    visits.tick(REUNION_SECONDS)
    assert [news(visits, name)["why"] for name in "ab"] == ["parted", "parted"]
    visits.say(b, "next", want=["de"])
    assert b.may_reunite is False


def test_an_answer_counts_for_one_wait_only() -> None:
    visits, a, b = parted("next")
    visits.say(b, "start")
    for visitor in (a, b):
        visits.say(visitor, "reunite", agree=True)
    visits.tick(0)
    assert a.room is b.room is not None
    assert (a.may_reunite, b.may_reunite) == (None, None)
    assert visits.refused(a, "reunite", agree=True) == "wrong_state"


def test_a_block_is_told_to_nobody() -> None:
    visits = Visits(rematch=0)
    a, b, call = visits.couple()
    visits.say(a, "block", call=call)
    for visitor in (a, b):
        visits.say(visitor, "start")
        visits.say(visitor, "reunite", agree=True)
    assert [news(visits, name)["why"] for name in "ab"] == ["unsuited", "unsuited"]


def test_what_can_be_helped_is_said_first() -> None:
    visits, a, b = parted("next")
    visits.say(b, "start")
    visits.say(a, "next", want=["fr"])
    c = visits.enter("c", "it")
    visits.say(c, "start", want=["de"])
    assert news(visits, "a")["why"] == "wish"
    visits.say(a, "next", want=[])
    assert a.room is c.room is not None
