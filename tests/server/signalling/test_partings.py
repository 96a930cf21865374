"""Calling back: both must ask, in time; never after a block, a report or a ban."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from server.signalling.partings import CALL_BACK_SECONDS, Partings
from server.signalling.visitors import Visitor
from tests.server.signalling.visits import Visits


def test_who_asked_is_told_when_it_is_over() -> None:
    partings = Partings()
    for number in range(3):
        partings.open(f"call{number}", {f"one{number}": "v1", f"other{number}": "v2"}, float(number))
    parting = partings.find("call0", "one0")
    assert parting is not None
    parting.asked["one0"] = "v9"
    assert parting.other("one0") == "other0"
    [effect] = partings.expire(CALL_BACK_SECONDS + 1)
    assert (effect.visitor, json.loads(effect.data)["state"]) == ("v9", "gone")
    assert list(partings.by_call) == ["call2"]


def test_only_its_two_browsers_find_a_parting() -> None:
    partings = Partings()
    partings.open("call", {"one": "v1", "other": "v2"}, 0.0)
    assert partings.find("call", "third") is None
    assert partings.find("another", "one") is None
    asking = Visitor("v1", "one", None, None, "", "", asking="another")
    partings.withdraw(asking)
    assert asking.asking is None


def parted(how: str) -> tuple[Visits, Visitor, Visitor, str]:
    visits = Visits()
    a, b, call = visits.couple()
    visits.say(a, how)
    return visits, a, b, call


@pytest.mark.parametrize("how", ["stop", "next"])
@pytest.mark.parametrize("first", [0, 1])
def test_both_ask_and_talk_again(how: str, first: int) -> None:
    visits, a, b, call = parted(how)
    asks, answers = ((a, "a"), (b, "b")) if first == 0 else ((b, "b"), (a, "a"))
    visits.say(asks[0], "call-back", call=call, id="x")
    assert visits.last(asks[1], "call-back") == {
        "type": "call-back",
        "call": call,
        "state": "asked",
        "id": "x",
    }
    assert visits.last(answers[1], "call-back") == {"type": "call-back", "call": call, "state": "wanted"}
    visits.tick(CALL_BACK_SECONDS - 1)
    visits.say(answers[0], "call-back", call=call)
    assert a.room is b.room is not None
    assert visits.last(asks[1], "matched")["polite"] is False
    assert (a.asking, b.asking, a.ticket, b.ticket) == (None, None, None, None)
    assert (visits.lobby.calls.partings.by_call, len(visits.lobby.queue)) == ({}, 0)
    assert visits.lobby.queue.households.shares[a.networks[0][0]].seats == 1


def test_a_failure_of_the_call_allows_it_and_a_changed_key_does_not() -> None:
    for reason, state in (("broken", "asked"), ("changed", "gone")):
        visits = Visits()
        a, b, call = visits.couple()
        visits.say(a, "stop", reason=reason)
        visits.say(b, "call-back", call=call)
        assert visits.last("b", "call-back")["state"] == state


def test_who_vanished_comes_back_as_a_new_visitor_and_calls_back() -> None:
    visits = Visits()
    a, b, call = visits.couple()
    visits.settle(visits.lobby.leave(a, "vanished", visits.now))
    visits.say(b, "call-back", call=call)
    assert (b.state, len(visits.lobby.queue)) == ("idle", 0)
    again = visits.enter("a", "de")
    visits.say(again, "call-back", call=call)
    assert again.room is b.room is not None
    assert not visits.lobby.calls.partings.by_call


SPOILED: dict[str, Callable[[Visits, Visitor, Visitor, str], None]] = {
    "the minute is over": lambda visits, a, b, call: visits.tick(CALL_BACK_SECONDS),
    "it has left": lambda visits, a, b, call: visits.settle(visits.lobby.leave(a, "left", visits.now)),
    "it is banned": lambda visits, a, b, call: visits.settle(
        visits.lobby.kick_banned(lambda address: address == a.address, visits.now)
    ),
    "it has reported": lambda visits, a, b, call: visits.say(a, "report", call=call, reason="abuse"),
    "it has been reported": lambda visits, a, b, call: visits.say(b, "report", call=call, reason="abuse"),
    "it is in another call": lambda visits, a, b, call: meet_another(visits, a),
}


def meet_another(visits: Visits, visitor: Visitor) -> None:
    other = visits.enter("c", "it")
    visits.say(other, "start")
    visits.say(visitor, "start")
    assert visitor.room is other.room is not None


@pytest.mark.parametrize("why", SPOILED)
@pytest.mark.parametrize("asked_before", [True, False])
def test_in_vain(why: str, asked_before: bool) -> None:
    visits, a, b, call = parted("stop")
    if asked_before:
        visits.say(b, "call-back", call=call)
    SPOILED[why](visits, a, b, call)
    if not asked_before:
        visits.say(b, "call-back", call=call)
    assert visits.last("b", "call-back")["state"] == "gone"
    assert (b.state, b.room) == ("idle", None)


def test_never_after_a_block_or_a_report_in_the_call() -> None:
    visits = Visits()
    a, b, call = visits.couple()
    visits.say(a, "block", call=call)
    visits.say(b, "call-back", call=call)
    assert visits.last("b", "call-back")["state"] == "gone"
    visits = Visits()
    a, b, call = visits.couple()
    visits.say(a, "report", call=call, reason="spam")
    visits.say(b, "stop")
    for visitor in (a, b):
        visits.say(visitor, "call-back", call=call)
        visits.say(visitor, "start")
        visits.say(visitor, "reunite", agree=True)
    visits.tick(200)
    assert (a.room, b.room) == (None, None)


@pytest.mark.parametrize("how", ["start", "next", "stop"])
def test_the_wish_is_taken_back(how: str) -> None:
    visits, a, b, call = parted("stop")
    visits.say(b, "call-back", call=call)
    visits.say(b, how)
    visits.say(a, "call-back", call=call)
    assert (a.room, b.room) == (None, None)
    visits.say(b, "call-back", call=call)
    assert a.room is b.room is not None


def test_the_partner_hears_of_it_once_however_often_one_asks() -> None:
    visits, _, b, call = parted("stop")
    for _ in range(5):
        visits.say(b, "call-back", call=call)
        visits.say(b, "stop")
    assert [word["type"] for word in visits.said["a"]].count("call-back") == 1


def test_a_stranger_calls_nobody_back_and_nobody_does_in_a_call() -> None:
    visits, a, _, call = parted("stop")
    c = visits.enter("c")
    visits.say(c, "call-back", call=call)
    assert visits.last("c", "call-back")["state"] == "gone"
    visits.say(c, "start")
    visits.say(a, "next")
    assert a.room is c.room is not None
    assert visits.refused(a, "call-back", call=call) == "wrong_state"
