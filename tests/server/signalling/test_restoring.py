"""A server that crashed has lost its calls; the one after it takes them up by the tickets of both pages."""

from __future__ import annotations

from typing import Any

import pytest

from server.signalling.call_tickets import RETURN_SECONDS, CallTickets
from server.signalling.effects import CallVouched, KeepPlace
from server.signalling.messages import Answer, Hello
from server.signalling.returning import RESUME_SECONDS
from server.signalling.visitors import Visitor
from tests.server.signalling.descriptions import sdp
from tests.server.signalling.visits import ADDRESSES, Visits


class Crash:
    """A call of two at a server, and the server that starts after it."""

    def __init__(self, **start: Any) -> None:
        self.wall = 5_000.0
        before = Visits(tickets=self.tickets())
        _, _, self.call = before.couple(**start)
        self.matched = {name: before.last(name, "matched") for name in "ab"}
        self.before = before
        self.wall += 100.0
        self.visits = Visits(tickets=self.tickets(), now=20.0)

    def tickets(self) -> CallTickets:
        return CallTickets(lambda: b"one key for both", lambda: self.wall)

    def back(self, name: str, **more: Any) -> Visitor:
        """A page comes back with its ticket."""
        return self.visits.enter(
            name, {"a": "de", "b": "fr"}[name], ticket=self.matched[name]["ticket"], **more
        )

    def both(self) -> tuple[Visitor, Visitor]:
        return self.back("a"), self.back("b")


def test_both_are_in_their_call_again() -> None:
    crash = Crash()
    a, b = crash.both()
    assert a.room is not None
    assert (a.room, a.room.call) == (b.room, crash.call)
    for name in "ab":
        hello = crash.visits.last(name, "hello")
        assert [hello[key] for key in ("resumed", "state", "call", "heard")] == [
            False,
            "calling",
            crash.call,
            0,
        ]
    assert [word["state"] for word in crash.visits.said["b"] if word["type"] == "partner"] == ["back"]
    states = [word["state"] for word in crash.visits.said["a"] if word["type"] == "partner"]
    assert states == ["away", "back"]
    assert crash.visits.counts.count(("restored", "")) == 2


def test_all_that_a_call_has_is_there() -> None:
    crash = Crash()
    a, b = crash.both()
    visits, call = crash.visits, crash.call
    visits.say(a, "text", call=call, text="still here?")
    assert visits.last("b", "text")["text"] == "still here?"
    visits.say(b, "report", call=call, reason="spam")
    (report,) = visits.lobby.reports.all(visits.now)
    assert report.address == ADDRESSES["a"]
    visits.say(a, "block", call=call)
    assert visits.last("b", "ended")["reason"] == "left"
    visits.say(a, "start")
    visits.say(b, "start")
    assert a.room is b.room is None


def test_their_names_at_relays_are_those_of_before() -> None:
    crash = Crash()
    a, b = crash.both()
    visits = crash.visits
    for visitor, name in ((a, "a"), (b, "b")):
        visits.say(visitor, "ice")
        assert visits.last(name, "ice")["ice"] == crash.matched[name]["ice"]
    visits.say(a, "offer", call=crash.call, sdp=sdp())
    effects = visits.lobby.receive(b, Answer(call=crash.call, sdp=sdp()), visits.now)
    (vouched,) = [effect for effect in effects if isinstance(effect, CallVouched)]
    assert vouched.users == tuple(crash.matched[name]["ice"]["user"] for name in "ab")


def test_a_call_that_was_hidden_is_hidden() -> None:
    crash = Crash(hide_address=True)
    a, b = crash.both()
    assert a.room is not None
    assert a.room.hidden
    assert (a.hides_address, b.hides_address) == (True, False)


def test_the_call_is_as_long_as_it_was() -> None:
    crash = Crash()
    a, _ = crash.both()
    crash.visits.now += 20
    crash.visits.say(a, "stop")
    assert crash.visits.calls == [120.0]


@pytest.mark.parametrize("first", ["a", "b"])
def test_either_may_be_the_first(first: str) -> None:
    crash = Crash()
    one = crash.back(first)
    assert one.room is not None
    lost, other = one.room.partner_of(one.id), "ab".replace(first, "")
    assert crash.back(other).id == lost
    places = [one.visitor for one in one.room.participants]
    assert places == [{first: one.id, other: lost}[name] for name in "ab"]


def test_what_is_said_to_who_is_not_back_waits() -> None:
    crash = Crash()
    one = crash.back("a")
    crash.visits.say(one, "text", call=crash.call, text="are you there?")
    crash.back("b")
    assert crash.visits.heard("b", 3) == ["hello", "partner", "text"]
    assert crash.visits.last("b", "text")["text"] == "are you there?"


def test_a_place_is_kept_for_who_may_come() -> None:
    crash = Crash()
    lobby = crash.visits.lobby
    hello = Hello(token=f"{'a':x<16}", ticket=crash.matched["a"]["ticket"])
    visitor, _, effects = lobby.join(hello, ADDRESSES["a"], "de", crash.visits.now)
    assert visitor.room is not None
    kept = [effect.visitor for effect in effects if isinstance(effect, KeepPlace)]
    assert kept == [visitor.room.partner_of(visitor.id)]


def test_who_does_not_come_back_has_vanished_after_a_minute() -> None:
    crash = Crash()
    a = crash.back("a")
    crash.visits.tick(RESUME_SECONDS)
    assert crash.visits.last("a", "ended")["reason"] == "vanished"
    assert a.state == "waiting"
    assert list(crash.visits.lobby.visitors.values()) == [a]


def test_a_reply_that_gets_lost_costs_nobody_the_seat() -> None:
    crash = Crash()
    a, b = crash.both()
    assert crash.back("a") is a
    assert a.room is b.room is not None
    secret = crash.visits.last("a", "hello")["resume"]
    assert crash.visits.enter("a", resume=secret) is a


def test_a_call_that_has_ended_since_is_over() -> None:
    crash = Crash()
    a, _ = crash.both()
    crash.visits.say(a, "stop")
    again = crash.back("b")
    assert again.room is None
    assert crash.visits.last("b", "hello").keys() & {"call", "state"} == set()


def test_a_ticket_is_good_with_its_own_token_only() -> None:
    crash = Crash()
    stranger = crash.visits.enter("c", ticket=crash.matched["a"]["ticket"])
    assert stranger.room is None
    assert not crash.visits.lobby.calls.rooms


def test_the_server_that_made_the_call_takes_no_ticket() -> None:
    crash = Crash()
    crash.before.tick(RESUME_SECONDS)
    assert crash.before.enter("a", ticket=crash.matched["a"]["ticket"]).room is None


def test_a_minute_after_the_start_nothing_is_remembered() -> None:
    crash = Crash()
    crash.both()
    calls = crash.visits.lobby.calls
    assert calls.restored == {crash.call}
    crash.wall += RETURN_SECONDS + 1
    crash.visits.tick(1)
    assert not calls.restored
    assert crash.call in calls.rooms


def test_a_server_that_ends_takes_nothing_up() -> None:
    crash = Crash()
    crash.visits.lobby.drain(crash.visits.now)
    assert crash.back("a").room is None


def test_seats_are_as_before() -> None:
    """Who talks takes of its household's share, and gives it back."""
    crash = Crash()
    a, b = crash.both()
    assert a.seat == a.networks
    assert b.seat == b.networks
    crash.visits.say(a, "stop")
    assert a.seat is b.seat is None


def test_those_who_met_by_a_link_take_no_seat() -> None:
    crash = Crash()
    link = "L" * 43
    before = crash.before = Visits(tickets=crash.tickets())
    a, b = before.enter("a"), before.enter("b")
    before.say(a, "start", link=link)
    before.say(b, "start", link=link)
    crash.matched = {name: before.last(name, "matched") for name in "ab"}
    crash.wall += 1
    crash.visits = Visits(tickets=crash.tickets())
    a, b = crash.both()
    assert a.seat is b.seat is None
    assert a.room is not None
    assert (a.room.by_link, a.link) == (True, link)
    crash.visits.say(a, "stop")
