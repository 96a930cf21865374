"""Whole visits without a socket: meeting, every way to leave, coming back, blocking, reporting, draining."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from server.signalling.effects import CallEnded, CloseSocket, CountEvent, DropPicture, Effect, SendTo
from server.signalling.lobby import REPORTABLE_SECONDS, RESUME_SECONDS, Lobby
from server.signalling.matching import Queue
from server.signalling.messages import SERVER_MESSAGES, Hello, MessageError, parse_message
from server.signalling.reports import CODE_LETTERS, Reports
from server.signalling.visitors import Dependencies, Visitor
from tests.server.signalling.test_sdp import HOST, RELAY, sdp

ADDRESSES = {name: ip_address(f"192.0.2.{number}") for number, name in enumerate("abcdefgh", 1)}


@dataclass
class House:
    """A lobby with everything that it said and did."""

    countries: bool = True
    rematch: float = 300.0
    now: float = 1000.0
    said: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    shut: dict[str, int] = field(default_factory=dict)
    counts: list[tuple[str, str]] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        numbers = itertools.count()
        letters = itertools.cycle(CODE_LETTERS)
        means = Dependencies(lambda user: {"user": user}, lambda: f"name{next(numbers)}", self.countries)
        self.lobby = Lobby(means, Queue(self.rematch), Reports(lambda: next(letters)))
        self.names: dict[str, str] = {}

    def enter(self, name: str, country: str | None = None, token: str = "", resume: str = "") -> Visitor:
        hello = Hello(token=token or f"{name:x<16}", resume=resume or None)
        visitor, reply, effects = self.lobby.join(hello, ADDRESSES[name[0]], country, self.now)
        self.names[visitor.id] = name
        self.said.setdefault(name, []).append(json.loads(reply))
        self.settle(effects)
        return visitor

    def say(self, visitor: Visitor, kind: str, **fields: Any) -> None:
        self.settle(
            self.lobby.receive(visitor, parse_message(json.dumps({"type": kind, **fields})), self.now)
        )

    def refused(self, visitor: Visitor, kind: str, **fields: Any) -> str:
        with pytest.raises(MessageError) as refused:
            self.say(visitor, kind, **fields)
        assert self.lobby.take_effects() == []
        return refused.value.code

    def settle(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case SendTo(visitor, str(data), _):
                    self.said[self.names[visitor]].append(json.loads(data))
                case SendTo(visitor, data, _):
                    self.said[self.names[visitor]].append({"chunk": data})
                case CloseSocket(visitor, code):
                    self.shut[self.names[visitor]] = code
                case CountEvent(name, label, _):
                    self.counts.append((name, label))
                case CallEnded(seconds):
                    self.calls.append(seconds)
                case DropPicture(_, picture):
                    self.dropped.append(picture)

    def heard(self, name: str, count: int = 1) -> list[str]:
        return [word["type"] for word in self.said[name][-count:]]

    def last(self, name: str, kind: str) -> dict[str, Any]:
        return next(word for word in reversed(self.said[name]) if word.get("type") == kind)

    def tick(self, seconds: float) -> None:
        self.now += seconds
        self.settle(self.lobby.tick(self.now))

    def couple(self, **start: Any) -> tuple[Visitor, Visitor, str]:
        a, b = self.enter("a", "de"), self.enter("b", "fr")
        self.say(a, "start", **start)
        self.say(b, "start")
        assert a.room is not None
        assert a.room is b.room
        return a, b, a.room.call


def test_two_meet_and_are_told_their_parts() -> None:
    house = House()
    a, b, call = house.couple(id="x1")
    assert house.said["a"][1] == {"type": "waiting", "id": "x1"}
    assert house.said["a"][2] == {
        "type": "matched",
        "call": call,
        "polite": False,
        "relay": False,
        "country": "fr",
        "ice": {"user": f"c.{a.id}"},
    }
    matched = house.said["b"][2]
    assert (matched["polite"], matched["country"], matched["ice"]) == (True, "de", {"user": f"c.{b.id}"})
    assert {name for name, _ in house.counts} == {"visitor", "wait", "match"}


def test_every_word_is_in_the_table() -> None:
    house = House()
    a, b, call = house.couple()
    house.say(a, "offer", call=call, sdp=sdp())
    house.say(b, "answer", call=call, sdp=sdp())
    house.say(b, "candidate", call=call, candidate={"candidate": HOST})
    house.say(a, "text", call=call, text="hello", id="t")
    house.say(a, "picture", call=call, picture=1, size=100, mime="image/png")
    house.say(a, "picture-cancel", call=call, picture=1)
    house.say(a, "connected", call=call, path="direct")
    house.say(a, "ice")
    house.say(a, "ping", id="p")
    house.say(b, "report", call=call, reason="abuse")
    house.settle(house.lobby.suspend(a, house.now))
    house.enter("a", "de", resume=house.last("a", "hello")["resume"])
    house.say(a, "stop")
    heard = set()
    for word in itertools.chain(*house.said.values()):
        heard.add(word["type"])
        fields = SERVER_MESSAGES[word["type"]]
        assert {name for name in fields if not name.endswith("?")} <= set(word) - {"type"}
        assert set(word) - {"type"} <= {name.removesuffix("?") for name in fields}
    assert heard == set(SERVER_MESSAGES) - {"welcome", "error", "picture-ack"}


# What ends a call -> what the one who ends it and the partner hear last, and the partner's state afterwards.
ENDS: dict[str, tuple[Callable[[House, Visitor, str], None], str, list[str], str]] = {
    "stop": (lambda house, a, call: house.say(a, "stop"), "left", ["stopped"], "idle"),
    "next": (lambda house, a, call: house.say(a, "next"), "next", ["waiting"], "idle"),
    "block": (lambda house, a, call: house.say(a, "block", call=call), "left", ["ended"], "idle"),
    "close": (
        lambda house, a, call: house.settle(house.lobby.leave(a, "left", house.now)),
        "left",
        [],
        "idle",
    ),
    "vanish": (
        lambda house, a, call: house.settle(house.lobby.leave(a, "vanished", house.now)),
        "vanished",
        [],
        "waiting",
    ),
    "ban": (
        lambda house, a, call: house.settle(house.lobby.kick_banned(lambda ip: ip == a.address, house.now)),
        "banned",
        [],
        "idle",
    ),
}


@pytest.mark.parametrize("how", ENDS)
def test_ends(how: str) -> None:
    act, reason, own, state = ENDS[how]
    house = House()
    a, b, call = house.couple()
    house.now += 42.0
    before = len(house.said["a"])
    act(house, a, call)
    assert [word["type"] for word in house.said["a"][before:]] == own
    assert house.last("b", "ended") == {"type": "ended", "call": call, "reason": reason}
    assert house.calls == [42.0]
    assert (b.state, b.room) == (state, None)
    assert (house.heard("b") == ["waiting"]) == (state == "waiting")
    assert house.lobby.rooms == {}
    assert house.refused(b, "text", call=call, text="too late") == "wrong_call"


def test_the_blocker_hears_blocked_and_they_never_meet_again() -> None:
    house = House(rematch=0)
    a, b, call = house.couple()
    house.say(b, "block", call=call)
    assert house.last("b", "ended")["reason"] == "blocked"
    for visitor in (a, b):
        house.say(visitor, "start")
    house.tick(1e6)
    assert [visitor.state for visitor in (a, b)] == ["waiting", "waiting"]


def test_who_just_parted_meets_again_only_later() -> None:
    house = House()
    a, b, _ = house.couple()
    house.say(a, "next")
    house.say(b, "start")
    assert (a.state, b.state) == ("waiting", "waiting")
    house.tick(299)
    assert a.room is None
    house.tick(1)
    assert a.room is b.room is not None


def test_the_deserted_is_first_in_the_queue() -> None:
    house = House()
    a, b, _ = house.couple()
    c = house.enter("c", "it")
    house.say(c, "start", want=["es"])
    d = house.enter("d", "es")
    house.settle(house.lobby.leave(a, "vanished", house.now))
    house.say(d, "start")
    assert d.room is b.room is not None
    assert c.state == "waiting"


def test_a_lost_socket_may_come_back_in_time() -> None:
    house = House()
    a, b, call = house.couple()
    secret = house.last("a", "hello")["resume"]
    house.settle(house.lobby.suspend(a, house.now))
    assert house.last("b", "partner") == {"type": "partner", "call": call, "state": "away"}
    house.say(b, "text", call=call, text="are you there?")
    house.tick(RESUME_SECONDS - 1)
    assert house.enter("a", "de", resume=secret) is a
    hello = house.last("a", "hello")
    assert (hello["resumed"], hello["state"], hello["call"]) == (True, "calling", call)
    assert hello["resume"] != secret
    assert house.heard("b", 2) == ["sent", "partner"]
    assert house.last("b", "partner")["state"] == "back"
    house.tick(RESUME_SECONDS)
    assert a.room is b.room is not None
    assert house.enter("a", "de", resume=secret) is not a


def test_a_lost_socket_that_stays_away_is_given_up() -> None:
    house = House()
    a, b, _ = house.couple()
    house.settle(house.lobby.suspend(a, house.now))
    house.tick(RESUME_SECONDS)
    assert house.last("b", "ended")["reason"] == "vanished"
    assert house.heard("b") == ["waiting"]
    assert (b.state, house.shut["a"]) == ("waiting", 1000)
    house.enter("a", "de", resume=house.last("a", "hello")["resume"])
    assert house.last("a", "hello")["resumed"] is False


def test_both_lost_and_one_returns_to_the_front_of_the_queue() -> None:
    house = House()
    a, b, _ = house.couple()
    house.settle(house.lobby.suspend(a, house.now))
    house.now += 5
    house.settle(house.lobby.suspend(b, house.now))
    house.tick(RESUME_SECONDS - 5)
    assert (b.state, len(house.lobby.queue)) == ("waiting", 0)
    c = house.enter("c")
    house.say(c, "start")
    assert c.state == "waiting"
    house.enter("b", "fr", resume=b.resume_secret)
    assert house.last("b", "hello")["state"] == "waiting"
    assert c.room is b.room is not None


def test_who_waits_and_loses_the_socket_is_matched_with_nobody_meanwhile() -> None:
    house = House()
    a, b = house.enter("a"), house.enter("b")
    house.say(a, "start")
    house.settle(house.lobby.suspend(a, house.now))
    house.say(b, "start")
    assert b.state == "waiting"
    house.enter("a", resume=a.resume_secret)
    assert a.room is b.room is not None


@pytest.mark.parametrize("token", ["someone-elses-token", ""])
def test_a_secret_is_good_with_its_own_token_only(token: str) -> None:
    house = House()
    a = house.enter("a")
    again = house.enter("a", token=token, resume=a.resume_secret)
    assert (again is a) == (token == "")
    assert house.last("a", "hello")["resumed"] == (token == "")


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
    house = House()
    if state == "calling":
        a, _, _ = house.couple()
    else:
        a = house.enter("a")
        if state == "waiting":
            house.say(a, "start")
    heard = {name: list(words) for name, words in house.said.items()}
    assert house.refused(a, kind, **fields) == code
    assert house.said == heard
    assert a.state == state


def test_a_third_reaches_no_room() -> None:
    house = House()
    _, _, call = house.couple()
    c = house.enter("c")
    assert house.refused(c, "text", call=call, text="let me in") == "wrong_call"


def test_next_with_another_wish_keeps_the_place() -> None:
    house = House()
    a, b = house.enter("a", "de"), house.enter("b", "de")
    for visitor in (a, b):
        house.say(visitor, "start", want=["it"])
    house.say(a, "next", want=["fr"])
    c = house.enter("c", "fr")
    house.say(b, "next", want=[])
    assert b.room is a.room is None
    house.say(c, "start")
    assert c.room is a.room is not None


def test_next_without_a_wish_keeps_the_last_one() -> None:
    house = House()
    a, _, _ = house.couple(want=["fr"], hide_address=True)
    house.say(a, "next")
    assert (a.wanted_countries, a.hides_address) == (frozenset({"fr"}), True)
    house.say(a, "stop")
    house.say(a, "start")
    assert (a.wanted_countries, a.hides_address) == (frozenset(), False)


def test_without_countries_a_wish_means_nothing() -> None:
    house = House(countries=False)
    house.couple(want=["it"])


def test_hiding_makes_a_relayed_room_for_both() -> None:
    house = House()
    a, b, call = house.couple(hide_address=True)
    assert [house.last(name, "matched")["relay"] for name in "ab"] == [True, True]
    assert house.last("b", "matched")["ice"] == {"user": f"r.{b.id}"}
    house.say(b, "offer", call=call, sdp=sdp(f"a={HOST}"))
    house.say(b, "candidate", call=call, candidate={"candidate": HOST})
    house.say(b, "candidate", call=call, candidate={"candidate": RELAY})
    assert house.heard("a", 2) == ["offer", "candidate"]
    assert "192.168" not in str(house.said["a"])
    assert "203.0.113" not in str(house.said["a"])
    house.say(a, "stop")
    house.say(a, "ice")
    assert house.last("a", "ice")["ice"] == {"user": f"r.{a.id}"}


def test_a_report_keeps_the_partners_address_under_a_code() -> None:
    house = House()
    a, b, call = house.couple()
    house.say(a, "report", call=call, reason="abuse", id="r")
    code = house.last("a", "reported")["code"]
    report = house.lobby.reports.lookup(code, house.now)
    assert report is not None
    assert (report.address, report.reason) == (b.address, "abuse")
    assert a.state == "calling"
    assert ("report", "abuse") in house.counts


def test_a_report_after_the_call() -> None:
    house = House()
    a, b, call = house.couple()
    house.settle(house.lobby.leave(b, "left", house.now))
    house.now += REPORTABLE_SECONDS
    house.say(a, "report", call=call, reason="minor")
    report = house.lobby.reports.lookup(house.last("a", "reported")["code"], house.now)
    assert report is not None
    assert report.address == b.address
    house.now += 1
    assert house.refused(a, "report", call=call, reason="minor") == "wrong_call"


def test_a_partner_who_vanished_can_be_reported_from_the_next_call() -> None:
    house = House()
    a, b, call = house.couple()
    address = b.address
    house.settle(house.lobby.leave(b, "vanished", house.now))
    c = house.enter("c")
    house.say(c, "start")
    assert a.room is not None
    assert a.room.call != call
    house.say(a, "report", call=call, reason="minor")
    report = house.lobby.reports.lookup(house.last("a", "reported")["code"], house.now)
    assert report is not None
    assert report.address == address


def test_a_picture_that_came_too_fast_is_cancelled() -> None:
    house = House()
    a, _, call = house.couple()
    assert house.lobby.cancel_picture(a) == []
    house.say(a, "picture", call=call, picture=3, size=100, mime="image/png")
    house.settle(house.lobby.cancel_picture(a))
    assert house.dropped == [3]
    assert house.heard("a") == house.heard("b") == ["picture-cancel"]


def test_connected_counts_once_for_each() -> None:
    house = House()
    a, b, call = house.couple()
    house.say(a, "offer", call=call, sdp=sdp())
    for _ in range(3):
        house.say(a, "connected", call=call, path="direct")
        house.say(b, "connected", call=call, path="relay")
    assert [label for name, label in house.counts if name == "connected"] == ["direct", "relay"]


def test_draining_lets_calls_go_on_and_nobody_wait() -> None:
    house = House()
    a, _, call = house.couple()
    for name in "cd":
        house.enter(name)
    house.settle(house.lobby.drain(house.now))
    assert house.shut == {"c": 1012, "d": 1012}
    house.say(a, "text", call=call, text="still here")
    assert house.last("b", "text")["text"] == "still here"
    house.say(a, "next")
    assert house.last("b", "ended")["reason"] == "next"
    assert house.shut == dict.fromkeys("abcd", 1012)
    assert not house.lobby.visitors


@pytest.mark.parametrize("how", ["stop", "vanish"])
def test_draining_ends_with_the_last_call(how: str) -> None:
    house = House()
    a, _, call = house.couple()
    house.settle(house.lobby.drain(house.now))
    ENDS[how][0](house, a, call)
    assert house.shut["b"] == 1012
    assert not house.lobby.visitors


def test_closing_tells_both_that_the_call_is_drained() -> None:
    house = House()
    house.couple()
    house.settle(house.lobby.close(house.now))
    assert [house.last(name, "ended")["reason"] for name in "ab"] == ["drained", "drained"]
    assert house.shut == {"a": 1012, "b": 1012}
    assert len(house.calls) == 1


def test_a_ban_puts_out_whom_it_covers() -> None:
    house = House()
    a, b, _ = house.couple()
    house.settle(house.lobby.kick_banned(lambda address: address == b.address, house.now))
    assert house.shut == {"b": 4403}
    assert a.state == "idle"


def test_a_thousand_visits_leave_nothing() -> None:
    house = House(rematch=1)
    for number in range(1000):
        a, b = house.enter("a"), house.enter("b")
        for visitor in (a, b):
            house.say(visitor, "start")
        house.settle(house.lobby.leave(a, ("left", "vanished")[number % 2], house.now))
        house.settle(house.lobby.leave(b, "left", house.now))
        house.tick(2)
    lobby = house.lobby
    for memory in (lobby.visitors, lobby.by_resume_secret, lobby.suspended, lobby.rooms, lobby.queue.seekers):
        assert not memory
    assert not lobby.queue.recent_pairs.until
    assert not lobby.queue.blocks.present


class Machine(RuleBasedStateMachine):
    """Anybody does anything; nobody is ever in a call with oneself, alone, or with a stranger to the room."""

    def __init__(self) -> None:
        super().__init__()
        self.house = House(rematch=5)
        self.here: list[Visitor] = []

    def pick(self, index: int) -> Visitor | None:
        self.here = [
            one for one in self.here if one.id in self.house.lobby.visitors and one.suspended_since is None
        ]
        return self.here[index % len(self.here)] if self.here else None

    @rule(name=st.sampled_from("abcd"), country=st.sampled_from([None, "de", "fr"]))
    def enter(self, name: str, country: str | None) -> None:
        self.here.append(self.house.enter(name, country))

    @rule(
        index=st.integers(0, 9),
        kind=st.sampled_from(["start", "next", "stop"]),
        want=st.sampled_from([[], ["de"]]),
    )
    def act(self, index: int, kind: str, want: list[str]) -> None:
        visitor = self.pick(index)
        if visitor is not None and not (kind == "start" and visitor.state != "idle"):
            self.house.say(visitor, kind, want=want)

    @rule(index=st.integers(0, 9), how=st.sampled_from(["left", "vanished", "banned"]))
    def leave(self, index: int, how: str) -> None:
        visitor = self.pick(index)
        if visitor is not None:
            self.house.settle(self.house.lobby.leave(visitor, how, self.house.now))

    @rule(index=st.integers(0, 9))
    def lose(self, index: int) -> None:
        visitor = self.pick(index)
        if visitor is not None:
            self.house.settle(self.house.lobby.suspend(visitor, self.house.now))

    @rule(index=st.integers(0, 9))
    def resume(self, index: int) -> None:
        lost = list(self.house.lobby.suspended.values())
        if lost:
            visitor = lost[index % len(lost)]
            name = self.house.names[visitor.id]
            assert self.house.enter(name, visitor.country, resume=visitor.resume_secret) is visitor
            self.here.append(visitor)

    @rule(seconds=st.floats(0, 20))
    def tick(self, seconds: float) -> None:
        self.house.tick(seconds)

    @invariant()
    def rooms_hold_two_who_know_it(self) -> None:
        lobby = self.house.lobby
        for room in lobby.rooms.values():
            one, other = (lobby.visitors[seat.visitor] for seat in room.participants)
            assert one.room is other.room is room
            assert one.token != other.token
        seated = [visitor for visitor in lobby.visitors.values() if visitor.room is not None]
        assert len(seated) == 2 * len(lobby.rooms)

    @invariant()
    def who_waits_is_in_the_queue_and_nobody_else(self) -> None:
        lobby = self.house.lobby
        waiting = {
            one.id
            for one in lobby.visitors.values()
            if one.state == "waiting" and one.suspended_since is None
        }
        assert set(lobby.queue.seekers) == waiting
        assert set(lobby.by_resume_secret) == {one.resume_secret for one in lobby.visitors.values()}


TestModel = Machine.TestCase
TestModel.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
