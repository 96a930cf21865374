"""Whole visits without a socket: meeting, every way to leave, coming back, blocking, reporting, draining."""

from __future__ import annotations

import itertools
from contextlib import suppress

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from server.signalling.messages import CHANNEL, MessageError
from server.signalling.server_messages import SERVER_MESSAGES
from server.signalling.visitors import Visitor
from tests.server.signalling.descriptions import HOST, sdp
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


def test_a_picture_that_came_too_fast_is_cancelled() -> None:
    visits = Visits()
    a, _, call = visits.couple()
    assert visits.lobby.cancel_picture(a) == []
    visits.say(a, "picture", call=call, picture=3, size=100, mime="image/png")
    visits.settle(visits.lobby.cancel_picture(a))
    assert visits.dropped == [3]
    assert visits.heard("a") == visits.heard("b") == ["picture-cancel"]


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
        lobby.secrets.visitors,
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
        assert set(lobby.secrets.visitors) == secrets | former


TestModel = Machine.TestCase
TestModel.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
