"""A visitor's state follows from where it is."""

from __future__ import annotations

from server.signalling.rooms import Room
from server.signalling.visitors import Visitor


def test_the_three_states() -> None:
    visitor = Visitor("id", "token", None, None, "secret", "user")
    assert visitor.state == "idle"
    visitor.ticket = -1
    assert visitor.state == "waiting"
    visitor.room = Room("c", ("id", "other"), ("a", "b"), hidden=False, now=0.0)
    assert visitor.state == "calling"
