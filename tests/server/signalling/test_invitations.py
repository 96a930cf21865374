"""Calls by link: two meet, a third never, and what nobody uses is forgotten."""

from __future__ import annotations

import pytest

from server.signalling.blocks import Person
from server.signalling.invitations import KEPT_SECONDS, MAX_KEPT, MAX_PAGES, Invitations
from server.signalling.returning import RESUME_SECONDS
from tests.server.signalling.visits import Visits

LINK, OTHER_LINK = "L" * 43, "M" * 43


def person(name: str) -> Person:
    return Person(name, None)


def test_two_meet_whichever_comes_first() -> None:
    links = Invitations()
    assert links.wait("x", person("a"), "v1") is None
    assert links.wait("y", person("b"), "v2") is None
    assert links.wait("x", person("c"), "v3") == "v1"
    assert not links.find("x").has_room("d")
    assert links.find("x").has_room("a")


def test_the_newest_page_of_a_browser_is_met_and_its_own_other_page_never() -> None:
    links = Invitations()
    for page in ("v1", "v2"):
        assert links.wait("x", person("a"), page) is None
    assert links.wait("x", person("b"), "v3") == "v2"


def test_what_nobody_uses_is_forgotten_at_once_or_kept_from_others_for_a_while() -> None:
    links = Invitations()
    links.wait("alone", person("a"), "v1")
    links.leave("alone", "v1", 0.0)
    assert links.by_link == {}
    for number, name in enumerate("ab"):
        links.wait("x", person(name), f"v{number}")
    links.leave("x", "v0", 0.0)
    links.expire(1e9)
    links.leave("x", "v1", 0.0)
    links.leave("x", "v1", 100.0)
    links.expire(KEPT_SECONDS - 1)
    assert not links.find("x").has_room("c")
    links.expire(KEPT_SECONDS)
    assert (links.by_link, links.kept) == ({}, {})


def test_a_flood_of_links_is_bounded() -> None:
    links = Invitations()
    for number in range(MAX_KEPT + 50):
        for name in "ab":
            links.wait(f"x{number}", person(name), name)
        for name in "ab":
            links.leave(f"x{number}", name, 0.0)
    assert len(links.by_link) == len(links.kept) == MAX_KEPT


def test_two_by_link_meet_each_other_and_nobody_else() -> None:
    visits = Visits()
    a, b, c, d = (visits.enter(name, "de") for name in "abcd")
    visits.say(c, "start")
    visits.say(a, "start", link=LINK, want=["fr"])
    assert (a.state, visits.last("a", "queue")["why"], len(visits.lobby.queue)) == ("waiting", "link", 1)
    visits.say(d, "start")
    assert c.room is d.room is not None
    visits.say(b, "start", link=LINK)
    assert a.room is b.room is not None
    assert (a.seat, b.seat) == (None, None)
    assert visits.last("a", "matched")["polite"] is False


def test_a_third_is_told_that_the_link_is_taken() -> None:
    visits = Visits()
    a, b, c = (visits.enter(name) for name in "abc")
    for visitor in (a, b):
        visits.say(visitor, "start", link=LINK)
    assert visits.refused(c, "start", link=LINK) == "link_taken"
    assert c.state == "idle"
    for visitor in (a, b):
        visits.say(visitor, "stop")
    assert visits.refused(c, "start", link=LINK) == "link_taken"
    visits.tick(KEPT_SECONDS)
    visits.say(c, "start", link=LINK)
    assert visits.last("c", "queue")["why"] == "link"


def test_the_two_may_use_their_link_again_at_once() -> None:
    visits = Visits()
    a, b = visits.enter("a"), visits.enter("b")
    for how in ("start", "start", "next"):
        for visitor in (a, b):
            visits.say(visitor, how, link=LINK)
        assert a.room is b.room is not None
        if how == "start":
            visits.say(b, "stop")
    assert visits.lobby.queue.households.shares == {}


def test_a_link_is_left_for_anybody_with_next() -> None:
    visits = Visits()
    a, b, c = (visits.enter(name) for name in "abc")
    for visitor in (a, b):
        visits.say(visitor, "start", link=LINK)
    visits.say(a, "next")
    visits.say(c, "start")
    assert a.room is c.room is not None
    visits.say(b, "start", link=OTHER_LINK)
    visits.say(b, "next", link=LINK)
    assert list(visits.lobby.calls.invitations.by_link) == [LINK]


def test_who_is_given_up_leaves_the_other_waiting_by_the_link() -> None:
    visits = Visits()
    a, b, c = (visits.enter(name) for name in "abc")
    for visitor in (a, b):
        visits.say(visitor, "start", link=LINK)
    visits.settle(visits.lobby.suspend(a, visits.now))
    visits.tick(RESUME_SECONDS)
    assert (b.state, len(visits.lobby.queue)) == ("waiting", 0)
    visits.say(c, "start")
    assert c.state == "waiting"
    again = visits.enter("a")
    visits.say(again, "start", link=LINK)
    assert again.room is b.room is not None


def test_who_waits_by_a_link_and_loses_the_socket_is_met_when_it_is_back() -> None:
    visits = Visits()
    a, b = visits.enter("a"), visits.enter("b")
    visits.say(a, "start", link=LINK)
    visits.settle(visits.lobby.suspend(a, visits.now))
    visits.say(b, "start", link=LINK)
    assert b.state == "waiting"
    visits.enter("a", resume=a.resume_secret)
    assert a.room is b.room is not None


def test_another_page_of_the_same_browser_is_told_so() -> None:
    visits = Visits()
    a, again = visits.enter("a"), visits.enter("a2", token=f"{'a':x<16}")
    for visitor in (a, again):
        visits.say(visitor, "start", link=LINK)
    assert visits.last("a2", "queue")["why"] == "tab"
    assert again.room is None


def test_so_many_pages_wait_by_one_link() -> None:
    visits = Visits()
    pages = [visits.enter(f"a{number}", token="a" * 16) for number in range(MAX_PAGES + 1)]
    for page in pages[:-1]:
        visits.say(page, "start", link=LINK)
    assert visits.refused(pages[-1], "start", link=LINK) == "too_many"


@pytest.mark.parametrize("again", ["b", "b2"])
def test_a_block_holds_here_too_also_for_a_new_browser_of_the_household(again: str) -> None:
    visits = Visits()
    a, b, call = visits.couple()
    visits.say(a, "block", call=call)
    visits.say(a, "start", link=LINK)
    other = b if again == "b" else visits.enter(again)
    assert visits.refused(other, "start", link=LINK) == "link_taken"


@pytest.mark.parametrize(
    ("matching", "link", "code"), [("link", None, "link_only"), ("random", LINK, "no_links")]
)
def test_a_site_may_have_one_way_only(matching: str, link: str | None, code: str) -> None:
    visits = Visits(matching=matching)
    a, b = visits.enter("a"), visits.enter("b")
    assert visits.last("a", "hello")["matching"] == matching
    assert visits.refused(a, "start", link=link) == code
    right = LINK if link is None else None
    for visitor in (a, b):
        visits.say(visitor, "start", link=right)
    call = a.room
    assert call is b.room is not None
    assert visits.refused(a, "next", link=link) == code
    assert a.room is call


def test_a_call_by_link_can_be_called_back_and_takes_nobodys_time() -> None:
    visits = Visits()
    a, b = visits.enter("a"), visits.enter("b")
    for visitor in (a, b):
        visits.say(visitor, "start", link=LINK)
    assert a.room is not None
    call = a.room.call
    visits.say(a, "stop")
    for visitor in (a, b):
        visits.say(visitor, "call-back", call=call)
    assert a.room is b.room is not None
