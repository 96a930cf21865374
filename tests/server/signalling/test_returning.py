"""A page comes back in time, or it does not."""

from __future__ import annotations

import pytest

from server.signalling.effects import CallLost, NamesEnded
from server.signalling.messages import CHANNEL
from server.signalling.requests import MAX_RENEWALS
from server.signalling.returning import RELOAD_SECONDS, RESUME_SECONDS
from tests.server.signalling.visits import Visits


def test_a_page_that_comes_back_says_anew_what_it_can_do() -> None:
    visits = Visits()
    a = visits.enter("a", features=[CHANNEL])
    visits.enter("a", resume=a.resume_secret)
    assert a.features == frozenset()


def test_a_lost_socket_may_come_back_in_time() -> None:
    visits = Visits()
    a, b, call = visits.couple()
    secret = visits.last("a", "hello")["resume"]
    visits.settle(visits.lobby.suspend(a, visits.now))
    assert visits.last("b", "partner") == {"type": "partner", "call": call, "state": "away"}
    visits.say(b, "text", call=call, text="are you there?")
    visits.tick(RESUME_SECONDS - 1)
    assert visits.enter("a", "de", resume=secret) is a
    hello = visits.last("a", "hello")
    assert (hello["resumed"], hello["state"], hello["call"]) == (True, "calling", call)
    assert hello["resume"] != secret
    assert visits.heard("b", 2) == ["sent", "partner"]
    assert visits.last("b", "partner")["state"] == "back"
    visits.tick(RESUME_SECONDS)
    assert a.room is b.room is not None
    visits.say(a, "ping")
    assert visits.enter("a", "de", resume=secret) is not a


@pytest.mark.parametrize("away", [40, 59])
def test_a_phone_in_a_tunnel_comes_back_into_its_call(away: float) -> None:
    """The page gives a silent call up after a minute, and docs/protocol.md says so."""
    visits = Visits()
    a, b, call = visits.couple()
    visits.settle(visits.lobby.suspend(a, visits.now))
    visits.tick(away)
    assert visits.enter("a", "de", resume=a.resume_secret) is a
    assert visits.last("a", "hello")["call"] == call
    assert a.room is b.room is not None


def test_a_page_that_is_loaded_again_goes_on_with_the_same_partner() -> None:
    visits = Visits()
    a, b, call = visits.couple()
    visits.settle(visits.lobby.suspend(a, visits.now, loading=True))
    assert visits.last("b", "partner") == {"type": "partner", "call": call, "state": "loading"}
    visits.tick(RELOAD_SECONDS - 1)
    visits.enter("a", "de", resume=a.resume_secret)
    visits.say(a, "again", call=call)
    assert visits.last("b", "ended") == {"type": "ended", "call": call, "reason": "renewed"}
    assert a.room is b.room is not None
    first, second = visits.last("a", "matched"), visits.last("b", "matched")
    assert first["call"] == second["call"] != call
    assert (first["polite"], second["polite"]) == (True, False)
    assert visits.refused(a, "again", call=first["call"]) == "wrong_state"
    visits.tick(RESUME_SECONDS)
    assert a.room is b.room is not None


def test_a_page_that_is_loaded_for_ever_is_given_up() -> None:
    visits = Visits()
    a, _, _ = visits.couple()
    for _ in range(MAX_RENEWALS):
        visits.settle(visits.lobby.suspend(a, visits.now, loading=True))
        visits.enter("a", "de", resume=a.resume_secret)
        assert a.room is not None
        visits.say(a, "again", call=a.room.call)
    visits.settle(visits.lobby.suspend(a, visits.now, loading=True))
    visits.enter("a", "de", resume=a.resume_secret)
    assert a.room is not None
    assert visits.refused(a, "again", call=a.room.call) == "wrong_state"


def test_a_page_that_was_closed_has_left_after_a_while() -> None:
    visits = Visits()
    a, b, _ = visits.couple()
    c = visits.enter("c")
    visits.say(c, "start")
    visits.settle(visits.lobby.suspend(c, visits.now))
    visits.settle(visits.lobby.suspend(a, visits.now, loading=True))
    visits.tick(RELOAD_SECONDS)
    assert visits.last("b", "ended")["reason"] == "left"
    assert b.state == "idle"
    assert c.id in visits.lobby.visitors


def test_a_lost_socket_that_stays_away_is_given_up() -> None:
    visits = Visits()
    a, b, _ = visits.couple()
    visits.settle(visits.lobby.suspend(a, visits.now))
    assert visits.room_ends(RESUME_SECONDS) == [NamesEnded]
    assert visits.last("b", "ended")["reason"] == "vanished"
    assert visits.heard("b", 2) == ["waiting", "queue"]
    assert (b.state, visits.shut["a"]) == ("waiting", 1000)
    visits.enter("a", "de", resume=visits.last("a", "hello")["resume"])
    assert visits.last("a", "hello")["resumed"] is False


def test_a_call_whose_pages_were_both_closed_is_over_at_the_relays() -> None:
    """No voice goes on, unlike where two sockets were lost."""
    visits = Visits()
    a, b, _ = visits.couple()
    for visitor in (a, b):
        visits.settle(visits.lobby.suspend(visitor, visits.now, loading=True))
    assert visits.room_ends(RELOAD_SECONDS) == [NamesEnded]


def test_both_lost_and_one_returns_to_the_front_of_the_queue() -> None:
    visits = Visits()
    a, b, _ = visits.couple()
    visits.settle(visits.lobby.suspend(a, visits.now))
    visits.now += 5
    visits.settle(visits.lobby.suspend(b, visits.now))
    assert visits.room_ends(RESUME_SECONDS - 5) == [CallLost]
    assert (b.state, len(visits.lobby.queue)) == ("waiting", 0)
    c = visits.enter("c")
    visits.say(c, "start")
    assert c.state == "waiting"
    visits.enter("b", "fr", resume=b.resume_secret)
    assert visits.last("b", "hello")["state"] == "waiting"
    assert c.room is b.room is not None


def test_who_waits_and_loses_the_socket_is_matched_with_nobody_meanwhile() -> None:
    visits = Visits()
    a, b = visits.enter("a"), visits.enter("b")
    visits.say(a, "start")
    visits.settle(visits.lobby.suspend(a, visits.now))
    visits.say(b, "start")
    assert b.state == "waiting"
    visits.enter("a", resume=a.resume_secret)
    assert a.room is b.room is not None
