"""What follows from each end, for both sides."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from server.signalling.messages import FAILURES
from server.signalling.visitors import Visitor
from tests.server.signalling.visits import Visits

# What ends a call -> what the one who ends it and the partner hear last, and the partner's state afterwards.
ENDS: dict[str, tuple[Callable[[Visits, Visitor, str], None], str, list[str], str]] = {
    "stop": (lambda visits, a, call: visits.say(a, "stop"), "left", ["stopped"], "idle"),
    "next": (lambda visits, a, call: visits.say(a, "next"), "next", ["waiting"], "idle"),
    "block": (lambda visits, a, call: visits.say(a, "block", call=call), "left", ["ended"], "idle"),
    "close": (
        lambda visits, a, call: visits.settle(visits.lobby.leave(a, "left", visits.now)),
        "left",
        [],
        "idle",
    ),
    "vanish": (
        lambda visits, a, call: visits.settle(visits.lobby.leave(a, "vanished", visits.now)),
        "vanished",
        [],
        "waiting",
    ),
    "ban": (
        lambda visits, a, call: visits.settle(
            visits.lobby.kick_banned(lambda ip: ip == a.address, visits.now)
        ),
        "banned",
        [],
        "idle",
    ),
}


@pytest.mark.parametrize("how", ENDS)
def test_ends(how: str) -> None:
    act, reason, own, state = ENDS[how]
    visits = Visits()
    a, b, call = visits.couple()
    visits.now += 42.0
    before = len(visits.said["a"])
    act(visits, a, call)
    assert [word["type"] for word in visits.said["a"][before:]] == own
    assert visits.last("b", "ended") == {"type": "ended", "call": call, "reason": reason}
    assert visits.calls == [42.0]
    assert (b.state, b.room) == (state, None)
    assert (visits.heard("b") == ["waiting"]) == (state == "waiting")
    assert visits.lobby.calls.rooms == {}
    assert visits.refused(b, "text", call=call, text="too late") == "wrong_call"


def test_a_partner_who_vanishes_puts_nobody_before_those_who_came_earlier() -> None:
    visits = Visits()
    first = visits.enter("c", "fr")
    visits.say(first, "start", want=["de"])
    friend, late = visits.enter("a", "it"), visits.enter("b", "fr")
    visits.say(late, "start", want=["it"])
    visits.say(friend, "start", want=["fr"])
    assert friend.room is late.room is not None
    visits.settle(visits.lobby.leave(friend, "vanished", visits.now))
    visits.say(late, "next", want=["de"])
    wanted = visits.enter("d", "de")
    visits.say(wanted, "start")
    assert wanted.room is first.room is not None
    assert late.state == "waiting"


def test_the_deserted_waits_at_its_old_place() -> None:
    visits = Visits()
    a, b, _ = visits.couple()
    c = visits.enter("c", "it")
    visits.say(c, "start", want=["es"])
    d = visits.enter("d", "es")
    visits.settle(visits.lobby.leave(a, "vanished", visits.now))
    visits.say(d, "start")
    assert d.room is b.room is not None
    assert c.state == "waiting"


@pytest.mark.parametrize("reason", FAILURES)
def test_a_call_that_failed_is_not_told_as_desertion(reason: str) -> None:
    visits = Visits()
    a, b, _ = visits.couple()
    visits.say(a, "stop", reason=reason)
    assert visits.last("b", "ended")["reason"] == reason
    assert (a.state, b.state) == ("idle", "idle")


@pytest.mark.parametrize("how", ["stop", "vanish"])
def test_draining_ends_with_the_last_call(how: str) -> None:
    visits = Visits()
    a, _, call = visits.couple()
    visits.settle(visits.lobby.drain(visits.now))
    ENDS[how][0](visits, a, call)
    assert visits.shut["b"] == 1012
    assert not visits.lobby.visitors
