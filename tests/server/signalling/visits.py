"""A lobby without a socket, and everything that it said and did."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import pytest

from server.signalling.call_tickets import CallTickets
from server.signalling.effects import (
    CallEnded,
    CallLost,
    CloseSocket,
    CountEvent,
    DropPicture,
    Effect,
    KeepPlace,
    NamesEnded,
    SendTo,
)
from server.signalling.lobby import Lobby
from server.signalling.matching import Queue
from server.signalling.messages import Hello, MessageError
from server.signalling.pseudonyms import LETTERS
from server.signalling.reports import Reports
from server.signalling.visitors import Dependencies, Visitor
from server.signalling.vocabulary import parse_message

ADDRESSES = {name: ip_address(f"192.0.2.{number}") for number, name in enumerate("abcdefgh", 1)}


@dataclass
class Visits:
    """A lobby with everything that it said and did."""

    countries: bool = True
    rematch: float = 300.0
    matching: str = "both"
    tickets: CallTickets | None = None
    now: float = 1000.0
    said: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    shut: dict[str, int] = field(default_factory=dict)
    counts: list[tuple[str, str]] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        numbers = itertools.count()
        letters = itertools.cycle(LETTERS)
        means = Dependencies(
            lambda user, hosts: {"user": user},
            lambda: f"name{next(numbers)}",
            self.countries,
            matching=self.matching,
            tickets=self.tickets,
        )
        self.lobby = Lobby(means, Queue(self.rematch), Reports(lambda: next(letters), lambda: bytes(16)))
        self.names: dict[str, str] = {}

    def enter(
        self,
        name: str,
        country: str | None = None,
        token: str = "",
        resume: str = "",
        features: Iterable[str] = (),
        ticket: str | None = None,
    ) -> Visitor:
        token = token or f"{name:x<16}"
        hello = Hello(token=token, resume=resume or None, features=frozenset(features), ticket=ticket)
        visitor, reply, effects = self.lobby.join(hello, ADDRESSES[name[0]], country, self.now)
        self.names[visitor.id] = name
        kept = self.said.pop(visitor.id, [])  # what was said before it was here
        self.said.setdefault(name, []).extend([json.loads(reply), *kept])
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
                case KeepPlace(visitor):
                    self.names[visitor], self.said[visitor] = visitor, []
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

    def room_ends(self, seconds: float) -> list[type]:
        """What relays hear of calls that are given up by then."""
        self.now += seconds
        effects = self.lobby.tick(self.now)
        self.settle(effects)
        return [type(effect) for effect in effects if isinstance(effect, CallLost | NamesEnded)]

    def couple(self, **start: Any) -> tuple[Visitor, Visitor, str]:
        a, b = self.enter("a", "de"), self.enter("b", "fr")
        self.say(a, "start", **start)
        self.say(b, "start")
        assert a.room is not None
        assert a.room is b.room
        return a, b, a.room.call
