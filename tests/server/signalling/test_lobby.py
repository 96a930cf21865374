"""Whole visits without a socket: meeting, every way to leave, coming back, blocking, reporting, draining."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from server.signalling.calls import REPORTABLE_SECONDS
from server.signalling.effects import (
    CallLost,
    NamesEnded,
)
from server.signalling.lobby import MAX_RENEWALS, RELOAD_SECONDS, RESUME_SECONDS
from server.signalling.messages import CHANNEL, FAILURES, MessageError
from server.signalling.server_messages import SERVER_MESSAGES
from server.signalling.visitors import Visitor
from tests.server.signalling.descriptions import HOST, RELAY, sdp
from tests.server.signalling.visits import Visits


def test_two_meet_and_are_told_their_parts() -> None:
    visits = Visits()
    a, _, call = visits.couple(id="x1")
    assert visits.said["a"][1] == {"type": "waiting", "id": "x1"}
    assert a.room is not None
    assert visits.said["a"][2] == {
        "type": "matched",
        "call": call,
        "polite": False,
        "relay": False,
        "country": "fr",
        "features": [],
        "ice": {"user": a.room.users[0]},
    }
    matched = visits.said["b"][2]
    assert (matched["polite"], matched["country"], matched["ice"]["user"]) == (True, "de", a.room.users[1])
    assert {name for name, _ in visits.counts} == {"visitor", "wait", "match"}


def test_two_are_told_what_both_can_do() -> None:
    for one, other, both in (([CHANNEL], [CHANNEL], [CHANNEL]), ([CHANNEL], [], []), ([], [], [])):
        visits = Visits()
        for name, features in (("a", one), ("b", other)):
            visits.say(visits.enter(name, features=features), "start")
        assert [visits.last(name, "matched")["features"] for name in "ab"] == [both, both]


def test_a_page_that_comes_back_says_anew_what_it_can_do() -> None:
    visits = Visits()
    a = visits.enter("a", features=[CHANNEL])
    visits.enter("a", resume=a.resume_secret)
    assert a.features == frozenset()


def test_every_word_is_in_the_table() -> None:
    visits = Visits()
    a, b, call = visits.couple()
    visits.say(a, "offer", call=call, sdp=sdp())
    visits.say(b, "answer", call=call, sdp=sdp())
    visits.say(b, "candidate", call=call, candidate={"candidate": HOST})
    visits.say(a, "text", call=call, text="hello", id="t")
    visits.say(a, "picture", call=call, picture=1, size=100, mime="image/png")
    visits.say(a, "picture-cancel", call=call, picture=1)
    visits.say(a, "connected", call=call, path="direct")
    visits.say(a, "ice")
    visits.say(a, "ping", id="p")
    visits.say(b, "report", call=call, reason="abuse")
    visits.settle(visits.lobby.suspend(a, visits.now))
    visits.enter("a", "de", resume=visits.last("a", "hello")["resume"])
    visits.say(a, "next")
    visits.say(b, "start")
    visits.tick(0)
    visits.say(a, "stop")
    visits.say(a, "call-back", call="no call")
    heard = set()
    for word in itertools.chain(*visits.said.values()):
        heard.add(word["type"])
        fields = SERVER_MESSAGES[word["type"]]
        assert {name for name in fields if not name.endswith("?")} <= set(word) - {"type"}
        assert set(word) - {"type"} <= {name.removesuffix("?") for name in fields}
    assert heard == set(SERVER_MESSAGES) - {"welcome", "error", "picture-ack"}


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


def test_the_blocker_hears_blocked_and_they_never_meet_again() -> None:
    visits = Visits(rematch=0)
    a, b, call = visits.couple()
    visits.say(b, "block", call=call)
    assert visits.last("b", "ended")["reason"] == "blocked"
    for visitor in (a, b):
        visits.say(visitor, "start")
    visits.tick(1e6)
    assert [visitor.state for visitor in (a, b)] == ["waiting", "waiting"]


def test_who_just_parted_meets_again_only_later() -> None:
    visits = Visits()
    a, b, _ = visits.couple()
    visits.say(a, "next")
    visits.say(b, "start")
    assert (a.state, b.state) == ("waiting", "waiting")
    visits.tick(299)
    assert a.room is None
    visits.tick(1)
    assert a.room is b.room is not None


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


def test_a_blocked_visitor_does_not_come_back_with_a_new_token() -> None:
    visits = Visits(rematch=0)
    a, b, call = visits.couple()
    visits.say(b, "block", call=call)
    visits.say(b, "start")
    visits.settle(visits.lobby.leave(a, "left", visits.now))
    again = visits.enter("a2", "de")
    visits.say(again, "start")
    for _ in range(40):
        visits.tick(0.5)
    assert (again.state, b.state) == ("waiting", "waiting")
    visits.settle(visits.lobby.leave(b, "left", visits.now))
    new = visits.enter("c", "fr")
    visits.say(new, "start")
    assert new.room is again.room is not None


def test_two_browsers_of_one_machine_meet_at_once() -> None:
    visits = Visits()
    one, other = visits.enter("a1"), visits.enter("a2")
    visits.say(one, "start")
    visits.say(other, "start")
    assert one.room is other.room is not None


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


@pytest.mark.parametrize("reason", FAILURES)
def test_a_call_that_failed_is_not_told_as_desertion(reason: str) -> None:
    visits = Visits()
    a, b, _ = visits.couple()
    visits.say(a, "stop", reason=reason)
    assert visits.last("b", "ended")["reason"] == reason
    assert (a.state, b.state) == ("idle", "idle")


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


@pytest.mark.parametrize("token", ["someone-elses-token", ""])
def test_a_secret_is_good_with_its_own_token_only(token: str) -> None:
    visits = Visits()
    a = visits.enter("a")
    again = visits.enter("a", token=token, resume=a.resume_secret)
    assert (again is a) == (token == "")
    assert visits.last("a", "hello")["resumed"] == (token == "")


WRONG = [
    ("waiting", "start", {}, "wrong_state"),
    ("calling", "start", {}, "wrong_state"),
    ("idle", "hello", {"token": "x" * 16}, "wrong_state"),
    *[
        (state, kind, {"call": "other", **fields}, "wrong_call")
        for state in ("idle", "waiting", "calling")
        for kind, fields in (
            ("offer", {"sdp": sdp()}),
            ("answer", {"sdp": sdp()}),
            ("candidate", {"candidate": None}),
            ("text", {"text": "x"}),
            ("picture", {"picture": 1, "size": 5, "mime": "image/png"}),
            ("picture-ack", {"picture": 1, "bytes": 5}),
            ("picture-cancel", {"picture": 1}),
            ("block", {}),
            ("report", {"reason": "spam"}),
            ("connected", {"path": "relay"}),
        )
    ],
]


@pytest.mark.parametrize(("state", "kind", "fields", "code"), WRONG)
def test_what_may_not_be_said(state: str, kind: str, fields: dict[str, Any], code: str) -> None:
    visits = Visits()
    if state == "calling":
        a, _, _ = visits.couple()
    else:
        a = visits.enter("a")
        if state == "waiting":
            visits.say(a, "start")
    heard = {name: list(words) for name, words in visits.said.items()}
    assert visits.refused(a, kind, **fields) == code
    assert visits.said == heard
    assert a.state == state


def test_a_third_reaches_no_room() -> None:
    visits = Visits()
    _, _, call = visits.couple()
    c = visits.enter("c")
    assert visits.refused(c, "text", call=call, text="let me in") == "wrong_call"


def test_next_with_another_wish_keeps_the_place() -> None:
    visits = Visits()
    a, b = visits.enter("a", "de"), visits.enter("b", "de")
    for visitor in (a, b):
        visits.say(visitor, "start", want=["it"])
    visits.say(a, "next", want=["fr"])
    c = visits.enter("c", "fr")
    visits.say(b, "next", want=[])
    assert b.room is a.room is None
    visits.say(c, "start")
    assert c.room is a.room is not None


def test_next_without_a_wish_keeps_the_last_one() -> None:
    visits = Visits()
    a, _, _ = visits.couple(want=["fr"], hide_address=True)
    visits.say(a, "next")
    assert (a.wanted_countries, a.hides_address) == (frozenset({"fr"}), True)
    visits.say(a, "stop")
    visits.say(a, "start")
    assert (a.wanted_countries, a.hides_address) == (frozenset(), False)


def test_without_countries_a_wish_means_nothing() -> None:
    visits = Visits(countries=False)
    visits.couple(want=["it"])


def test_hiding_makes_a_relayed_room_for_both() -> None:
    visits = Visits()
    a, b, call = visits.couple(hide_address=True)
    assert [visits.last(name, "matched")["relay"] for name in "ab"] == [True, True]
    visits.say(b, "offer", call=call, sdp=sdp(f"a={HOST}"))
    visits.say(b, "candidate", call=call, candidate={"candidate": HOST})
    visits.say(b, "candidate", call=call, candidate={"candidate": RELAY})
    assert visits.heard("a", 2) == ["offer", "candidate"]
    assert "192.168" not in str(visits.said["a"])
    assert "203.0.113" not in str(visits.said["a"])
    visits.say(a, "stop")
    visits.say(a, "ice")
    assert visits.last("a", "ice")["ice"] == {"user": a.user}


def test_a_report_keeps_the_partners_address_under_a_code() -> None:
    visits = Visits()
    a, b, call = visits.couple()
    visits.say(a, "report", call=call, reason="abuse", id="r")
    code = visits.last("a", "reported")["code"]
    report = visits.lobby.reports.lookup(code, visits.now)
    assert report is not None
    assert (report.address, report.reason) == (b.address, "abuse")
    assert a.state == "calling"
    assert ("report", "abuse") in visits.counts


def test_a_report_after_the_call() -> None:
    visits = Visits()
    a, b, call = visits.couple()
    visits.settle(visits.lobby.leave(b, "left", visits.now))
    visits.now += REPORTABLE_SECONDS
    visits.say(a, "report", call=call, reason="minor")
    report = visits.lobby.reports.lookup(visits.last("a", "reported")["code"], visits.now)
    assert report is not None
    assert report.address == b.address
    visits.now += 1
    assert visits.refused(a, "report", call=call, reason="minor") == "wrong_call"


def test_a_partner_who_vanished_can_be_reported_from_the_next_call() -> None:
    visits = Visits()
    a, b, call = visits.couple()
    address = b.address
    visits.settle(visits.lobby.leave(b, "vanished", visits.now))
    c = visits.enter("c")
    visits.say(c, "start")
    assert a.room is not None
    assert a.room.call != call
    visits.say(a, "report", call=call, reason="minor")
    report = visits.lobby.reports.lookup(visits.last("a", "reported")["code"], visits.now)
    assert report is not None
    assert report.address == address


def test_a_picture_that_came_too_fast_is_cancelled() -> None:
    visits = Visits()
    a, _, call = visits.couple()
    assert visits.lobby.cancel_picture(a) == []
    visits.say(a, "picture", call=call, picture=3, size=100, mime="image/png")
    visits.settle(visits.lobby.cancel_picture(a))
    assert visits.dropped == [3]
    assert visits.heard("a") == visits.heard("b") == ["picture-cancel"]


def test_connected_counts_once_for_each() -> None:
    visits = Visits()
    a, b, call = visits.couple()
    visits.say(a, "offer", call=call, sdp=sdp())
    for _ in range(3):
        visits.say(a, "connected", call=call, path="direct")
        visits.say(b, "connected", call=call, path="relay")
    assert [label for name, label in visits.counts if name == "connected"] == ["direct", "relay"]


def test_draining_lets_calls_go_on_and_nobody_wait() -> None:
    visits = Visits()
    a, _, call = visits.couple()
    for name in "cd":
        visits.enter(name)
    visits.settle(visits.lobby.drain(visits.now))
    assert visits.shut == {"c": 1012, "d": 1012}
    visits.say(a, "text", call=call, text="still here")
    assert visits.last("b", "text")["text"] == "still here"
    visits.say(a, "next")
    assert visits.last("b", "ended")["reason"] == "next"
    assert visits.shut == dict.fromkeys("abcd", 1012)
    assert not visits.lobby.visitors


@pytest.mark.parametrize("how", ["stop", "vanish"])
def test_draining_ends_with_the_last_call(how: str) -> None:
    visits = Visits()
    a, _, call = visits.couple()
    visits.settle(visits.lobby.drain(visits.now))
    ENDS[how][0](visits, a, call)
    assert visits.shut["b"] == 1012
    assert not visits.lobby.visitors


def test_closing_tells_both_that_the_call_is_drained() -> None:
    visits = Visits()
    visits.couple()
    visits.settle(visits.lobby.close(visits.now))
    assert [visits.last(name, "ended")["reason"] for name in "ab"] == ["drained", "drained"]
    assert visits.shut == {"a": 1012, "b": 1012}
    assert len(visits.calls) == 1


def test_a_ban_puts_out_whom_it_covers() -> None:
    visits = Visits()
    a, b, _ = visits.couple()
    visits.settle(visits.lobby.kick_banned(lambda address: address == b.address, visits.now))
    assert visits.shut == {"b": 4403}
    assert a.state == "idle"


def test_a_thousand_visits_leave_nothing() -> None:
    visits = Visits(rematch=1)
    for number in range(1000):
        a, b = visits.enter("a"), visits.enter("b")
        for visitor in (a, b):
            visits.say(visitor, "start")
        visits.settle(visits.lobby.leave(a, ("left", "vanished")[number % 2], visits.now))
        visits.settle(visits.lobby.leave(b, "left", visits.now))
        visits.tick(2)
    lobby = visits.lobby
    for memory in (
        lobby.visitors,
        lobby.by_resume_secret,
        lobby.suspended,
        lobby.calls.rooms,
        lobby.queue.seekers,
    ):
        assert not memory
    assert not lobby.queue.recent_pairs.until
    assert not lobby.queue.blocks.present


class Machine(RuleBasedStateMachine):
    """Anybody does anything; nobody is ever in a call with oneself, alone, or with a stranger to the room."""

    def __init__(self) -> None:
        super().__init__()
        self.visits = Visits(rematch=5)
        self.here: list[Visitor] = []
        self.apart: list[set[str]] = []  # since the last seconds: a report keeps two apart for five

    def pick(self, index: int) -> Visitor | None:
        self.here = [
            one for one in self.here if one.id in self.visits.lobby.visitors and one.suspended_since is None
        ]
        return self.here[index % len(self.here)] if self.here else None

    @rule(name=st.sampled_from("abcd"), country=st.sampled_from([None, "de", "fr"]))
    def enter(self, name: str, country: str | None) -> None:
        self.here.append(self.visits.enter(name, country))

    @rule(
        index=st.integers(0, 9),
        kind=st.sampled_from(["start", "next", "stop"]),
        want=st.sampled_from([[], ["de"]]),
        link=st.sampled_from([None, None, "L" * 43]),
    )
    def act(self, index: int, kind: str, want: list[str], link: str | None) -> None:
        visitor = self.pick(index)
        if visitor is not None and not (kind == "start" and visitor.state != "idle"):
            with suppress(MessageError):  # the link is taken
                self.visits.say(visitor, kind, want=want, link=link)

    @rule(index=st.integers(0, 9), agree=st.booleans())
    def reunite(self, index: int, agree: bool) -> None:
        visitor = self.pick(index)
        if visitor is not None and visitor.ticket is not None:
            self.visits.say(visitor, "reunite", agree=agree)

    @rule(index=st.integers(0, 9))
    def call_back(self, index: int) -> None:
        visitor = self.pick(index)
        if visitor is not None and visitor.room is None and visitor.last_call is not None:
            self.visits.say(visitor, "call-back", call=visitor.last_call.call)

    @rule(index=st.integers(0, 9), kind=st.sampled_from(["block", "report"]))
    def refuse(self, index: int, kind: str) -> None:
        visitor = self.pick(index)
        if visitor is not None and visitor.room is not None:
            partner = self.visits.lobby.visitors[visitor.room.partner_of(visitor.id)]
            self.apart.append({visitor.token, partner.token})
            fields = {"reason": "spam"} if kind == "report" else {}
            self.visits.say(visitor, kind, call=visitor.room.call, **fields)
            if visitor.room is not None:
                self.visits.say(visitor, "stop")

    @rule(index=st.integers(0, 9), how=st.sampled_from(["left", "vanished", "banned"]))
    def leave(self, index: int, how: str) -> None:
        visitor = self.pick(index)
        if visitor is not None:
            self.visits.settle(self.visits.lobby.leave(visitor, how, self.visits.now))

    @rule(index=st.integers(0, 9))
    def lose(self, index: int) -> None:
        visitor = self.pick(index)
        if visitor is not None:
            self.visits.settle(self.visits.lobby.suspend(visitor, self.visits.now))

    @rule(index=st.integers(0, 9))
    def resume(self, index: int) -> None:
        lost = list(self.visits.lobby.suspended.values())
        if lost:
            visitor = lost[index % len(lost)]
            name = self.visits.names[visitor.id]
            assert self.visits.enter(name, visitor.country, resume=visitor.resume_secret) is visitor
            self.here.append(visitor)

    @rule(seconds=st.floats(0, 20))
    def tick(self, seconds: float) -> None:
        self.apart.clear()
        self.visits.tick(seconds)

    @invariant()
    def nobody_meets_who_was_blocked_or_reported_just_now(self) -> None:
        for room in self.visits.lobby.calls.rooms.values():
            tokens = {self.visits.lobby.visitors[one.visitor].token for one in room.participants}
            assert tokens not in self.apart

    @invariant()
    def what_is_kept_belongs_to_who_is_here(self) -> None:
        lobby = self.visits.lobby
        calls = lobby.calls
        assert {*calls.news.new, *calls.news.told} <= set(lobby.visitors)
        for link, invitation in calls.invitations.by_link.items():
            assert invitation.users <= set(lobby.visitors)
            assert {*invitation.waiting} <= invitation.users
            assert bool(invitation.users) is (link not in calls.invitations.kept)
            assert len(invitation.people) <= 2
        for parting in calls.partings.by_call.values():
            assert set(parting.asked.values()) <= set(lobby.visitors)

    @invariant()
    def rooms_hold_two_who_know_it(self) -> None:
        lobby = self.visits.lobby
        for room in lobby.calls.rooms.values():
            one, other = (lobby.visitors[one.visitor] for one in room.participants)
            assert one.room is other.room is room
            assert one.token != other.token
        seated = [visitor for visitor in lobby.visitors.values() if visitor.room is not None]
        assert len(seated) == 2 * len(lobby.calls.rooms)

    @invariant()
    def who_waits_is_in_the_queue_and_nobody_else(self) -> None:
        lobby = self.visits.lobby
        waiting = {
            one.id
            for one in lobby.visitors.values()
            if one.state == "waiting" and one.suspended_since is None
        }
        by_link = {one for found in lobby.calls.invitations.by_link.values() for one in found.waiting}
        assert not by_link & set(lobby.queue.seekers)
        assert set(lobby.queue.seekers) | by_link == waiting
        secrets = {one.resume_secret for one in lobby.visitors.values()}
        former = {one.former_secret for one in lobby.visitors.values()} - {None}
        assert set(lobby.by_resume_secret) == secrets | former


TestModel = Machine.TestCase
TestModel.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
