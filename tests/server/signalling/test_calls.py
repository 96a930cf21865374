"""Calls without a lobby: two are brought together, and a call ends."""

from __future__ import annotations

import itertools
import json
from ipaddress import ip_address
from typing import Any

import pytest

from server.signalling.calls import Calls, room_of
from server.signalling.effects import CallEnded, CallLost, CountEvent, Effect, NamesEnded, SendTo
from server.signalling.matching import Queue
from server.signalling.messages import MessageError, Text
from server.signalling.visitors import Dependencies, Visitor

NAMES = ("one", "other", "third")


def three(**more: Any) -> tuple[Calls, list[Visitor]]:
    visitors = {name: Visitor(name, f"token-{name}", None, None, "", f"user-{name}") for name in NAMES}
    numbers = itertools.count()
    dependencies = Dependencies(lambda user, hosts: {"user": user}, lambda: f"call{next(numbers)}", **more)
    return Calls(dependencies, Queue(300.0), visitors), list(visitors.values())


def said(effects: list[Effect]) -> list[tuple[str, dict[str, Any]]]:
    return [(one.visitor, json.loads(one.data)) for one in effects if isinstance(one, SendTo)]


def test_the_second_who_waits_meets_the_first() -> None:
    calls, (one, other, _) = three()
    assert said(calls.wait(one, 1.0, id="x")) == [("one", {"type": "waiting", "id": "x"})]
    effects = calls.wait(other, 3.0)
    assert [(name, word["type"]) for name, word in said(effects)] == [
        ("other", "waiting"),
        ("one", "matched"),
        ("other", "matched"),
    ]
    assert [effect.value for effect in effects if isinstance(effect, CountEvent)] == [2.0, 0.0, 1.0]
    assert one.room is other.room is calls.rooms["call0"]
    assert (one.ticket, other.ticket) == (None, None)


def test_relays_are_chosen_by_name_and_country() -> None:
    asked: list[tuple[str, str | None]] = []

    def relays(user: str, country: str | None) -> tuple[str, ...]:
        asked.append((user, country))
        return (f"relay of {user}",)

    calls, (one, other, _) = three(relays=relays)
    one.country = "de"
    for visitor in (one, other):
        calls.wait(visitor, 1.0)
    assert asked == [("user-one", "de"), ("user-other", None)]
    assert (one.relays, other.relays) == (("relay of user-one",), ("relay of user-other",))


def test_calls_hear_of_other_relays_where_theirs_has_died() -> None:
    """Not those that were told of others, and not who is in no call: its next message says so."""
    living = {"user-one": ("a", "b"), "user-other": ("b", "c"), "user-third": ("a", "b")}
    calls, (one, other, third) = three(relays=lambda user, country: living[user])
    for visitor in (one, other, third):
        calls.wait(visitor, 1.0)
    calls.ice_for(third)
    assert third.relays == ("a", "b")
    living["user-one"] = ("b", "c")
    assert said(calls.replace_relay("a")) == [("one", {"type": "ice", "ice": {"user": "user-one"}})]
    assert one.relays == ("b", "c")
    assert calls.replace_relay("a") == []
    assert [name for name, _ in said(calls.replace_relay("b"))] == ["one", "other"]


def test_a_visitor_without_a_socket_meets_nobody() -> None:
    calls, (one, other, _) = three()
    one.suspended_since = 0.0
    calls.wait(one, 1.0)
    calls.wait(other, 1.0)
    assert (one.state, other.state, len(calls.queue)) == ("waiting", "waiting", 1)


def test_the_end_frees_both_and_is_told() -> None:
    calls, (one, other, _) = three()
    for visitor in (one, other):
        calls.wait(visitor, 1.0)
    room = one.room
    assert room is not None
    effects = calls.end(room, "blocked", other, 11.0)
    assert [(name, word["reason"]) for name, word in said(effects)] == [("other", "blocked"), ("one", "left")]
    assert CallEnded(10.0, connected=False) in effects
    assert (one.state, other.state, calls.rooms) == ("idle", "idle", {})
    assert one.last_call is not None
    assert one.last_call.call == room.call


OFFICE = ip_address("198.51.100.7")


@pytest.mark.parametrize("exempt", [True, False])
def test_an_address_without_limits_is_no_busy_household(exempt: bool) -> None:
    calls, _ = three(knows_countries=True, is_exempt=lambda address: exempt and address == OFFICE)
    visitors = {f"v{n}": Visitor(f"v{n}", f"token{n}", OFFICE, None, "", "") for n in range(20)}
    home = Visitor("home", "token", ip_address("192.0.2.1"), None, "", "")
    calls.visitors = {**visitors, "home": home}
    for visitor in visitors.values():
        visitor.wanted_countries = frozenset({"xx"})
    for visitor in visitors.values():
        calls.wait(visitor, 1.0)
    home.country = "xx"
    calls.wait(home, 1.0)
    assert home.state == ("calling" if exempt else "waiting")


@pytest.mark.parametrize("hides", ["one", "other"])
def test_a_call_is_hidden_if_one_of_the_two_hides(hides: str) -> None:
    calls, (one, other, _) = three()
    calls.visitors[hides].hides_address = True
    for visitor in (one, other):
        calls.wait(visitor, 1.0)
    assert one.room is not None
    assert one.room.hidden


def test_each_call_has_names_of_its_own_at_the_relays() -> None:
    """Who waits has the name of its next call already."""
    calls, (one, other, third) = three()
    calls.wait(one, 1.0)
    assert calls.ice_for(one)["user"] == "user-one"
    matched = [word["ice"]["user"] for _, word in said(calls.wait(other, 1.0)) if word["type"] == "matched"]
    assert matched == ["user-one", "user-other"]
    assert [calls.ice_for(visitor)["user"] for visitor in (one, other)] == matched
    room = one.room
    assert room is not None
    assert NamesEnded(room.users) in calls.end(room, "left", other, 2.0)
    assert room.users == tuple(matched)
    following = [calls.ice_for(visitor)["user"] for visitor in (third, one)]
    calls.wait(third, 3.0)
    again = [word["ice"]["user"] for _, word in said(calls.wait(one, 3.0)) if word["type"] == "matched"]
    assert again == following
    assert len({*again, *matched}) == 4


@pytest.mark.parametrize(
    ("away", "how", "lost"),
    [
        ({"one", "other"}, "vanished", True),
        ({"one", "other"}, "drained", True),
        ({"one", "other"}, "banned", False),
        ({"one"}, "vanished", False),
        ({"other"}, "left", False),
    ],
)
def test_only_a_call_that_nobody_hears_of_the_end_of_goes_on_at_the_relays(
    away: set[str], how: str, lost: bool
) -> None:
    calls, (one, other, _) = three()
    for visitor in (one, other):
        calls.wait(visitor, 1.0)
    room = one.room
    assert room is not None
    for visitor in (one, other):
        visitor.suspended_since = 2.0 if visitor.id in away else None
    effects = calls.end(room, how, one, 20.0)
    over = [(type(one), one) for one in effects if isinstance(one, CallLost | NamesEnded)]
    assert over == [(CallLost if lost else NamesEnded, (room.users,))]


def test_a_message_for_another_call_is_refused() -> None:
    calls, (one, other, third) = three()
    for visitor in (one, other):
        calls.wait(visitor, 1.0)
    assert room_of(one, Text(call="call0", text="hello")) is one.room
    for visitor, call in ((one, "call1"), (third, "call0")):
        with pytest.raises(MessageError, match="wrong_call"):
            room_of(visitor, Text(call=call, text="hello"))
