"""Honest visitors, and hostile ones who want to meet all of them: without sockets, in simulated time."""

from __future__ import annotations

import itertools
import json
import random  # noqa: TID251  (the same crowd each time)
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address

from server.signalling.effects import CloseSocket, Effect, SendTo
from server.signalling.lobby import Lobby
from server.signalling.matching import Queue
from server.signalling.messages import Block, ClientMessage, Hello, MessageError, Next, Start, Stop
from server.signalling.pseudonyms import IPAddress
from server.signalling.reports import Reports
from server.signalling.visitors import Dependencies, Visitor

STEP = 0.5  # seconds
PATIENCE = 4.0  # an honest visitor hears nothing for so long, then passes on
COUNTRIES = ("de", "fr", "it")


@dataclass(eq=False, repr=False)
class Guest:
    """One page. `friend` is the honest visitor that it met."""

    visitor: Visitor
    honest: bool
    since: float = 0.0  # when its call began, or it started
    partners: list[Guest] = field(default_factory=list)
    friend: Guest | None = None


class Crowd:
    """A lobby, its guests and a clock."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 1000.0
        numbers = itertools.count()
        means = Dependencies(lambda user, hosts: {}, lambda: f"id{next(numbers)}", knows_countries=True)
        self.lobby = Lobby(
            means, Queue(300.0), Reports(lambda: self.random.choice("ABCDEFGH"), lambda: bytes(16))
        )
        self.guests: dict[str, Guest] = {}

    def come(
        self, address: IPAddress, *, honest: bool, token: str = "", country: str = "de", want: str = ""
    ) -> Guest:
        token = token or f"{self.random.getrandbits(96):024x}"
        visitor, _, effects = self.lobby.join(Hello(token=token), address, country, self.now)
        guest = self.guests[visitor.id] = Guest(visitor, honest, self.now)
        self.take_in(effects)
        self.say(guest, Start(want=frozenset(want.split())))
        return guest

    def say(self, guest: Guest, message: ClientMessage) -> None:
        try:
            self.take_in(self.lobby.receive(guest.visitor, message, self.now))
        except MessageError:
            assert not guest.honest

    def go(self, guest: Guest, how: str) -> None:
        self.take_in(self.lobby.leave(guest.visitor, how, self.now))
        del self.guests[guest.visitor.id]

    def take_in(self, effects: list[Effect]) -> None:
        for effect in effects:
            assert not isinstance(effect, CloseSocket)
            if isinstance(effect, SendTo) and json.loads(effect.data)["type"] == "matched":
                guest = self.guests[effect.visitor]
                assert guest.visitor.room is not None
                partner = self.guests[guest.visitor.room.partner_of(effect.visitor)]
                guest.partners.append(partner)
                guest.since = self.now
                if guest.honest and partner.honest:
                    guest.friend = partner

    def tick(self) -> None:
        self.now += STEP
        self.take_in(self.lobby.tick(self.now))

    def live(self) -> None:
        """What the honest do: talk with a friend; pass on where nobody says anything; wait again."""
        for guest in [one for one in self.guests.values() if one.honest and one.friend is None]:
            state = guest.visitor.state
            bored = state == "calling" and guest.since + PATIENCE <= self.now
            if bored or state == "idle":
                self.say(guest, Next())


Strategy = Callable[[Crowd, Guest, IPAddress], Guest]


def sit(crowd: Crowd, guest: Guest, address: IPAddress) -> Guest:
    """Say nothing, and wait again when the partner has gone."""
    if guest.visitor.state == "idle":
        crowd.say(guest, Start())
    return guest


def press_next(crowd: Crowd, guest: Guest, address: IPAddress) -> Guest:
    """Pass on to the next one at once."""
    crowd.say(guest, Next())
    return guest


def reconnect(crowd: Crowd, guest: Guest, address: IPAddress) -> Guest:
    """Leave each call, and come back as a new browser."""
    if guest.visitor.state == "waiting":
        return guest
    crowd.go(guest, "left")
    return crowd.come(address, honest=False)


def vanish(crowd: Crowd, guest: Guest, address: IPAddress) -> Guest:
    """The same, as if the network had broken: the partner waits again."""
    if guest.visitor.state == "waiting":
        return guest
    crowd.go(guest, "vanished")
    return crowd.come(address, honest=False)


def block(crowd: Crowd, guest: Guest, address: IPAddress) -> Guest:
    """Block each partner."""
    if guest.visitor.room is not None:
        crowd.say(guest, Block(call=guest.visitor.room.call))
    return sit(crowd, guest, address)


def take_turns(crowd: Crowd, guest: Guest, address: IPAddress) -> Guest:
    """Few wait at a time: the others of the same address have stopped."""
    if crowd.random.random() < 0.02:
        crowd.say(guest, Start())
    elif crowd.random.random() < 0.2:
        crowd.say(guest, Stop())
    return guest


def anything(crowd: Crowd, guest: Guest, address: IPAddress) -> Guest:
    return crowd.random.choice((sit, press_next, reconnect, vanish, block, take_turns))(crowd, guest, address)


STRATEGIES: tuple[Strategy, ...] = (sit, press_next, reconnect, vanish, block, take_turns, anything)


@dataclass(frozen=True)
class Attack:
    """So many pages from so many addresses. With one token they never meet each other."""

    seats: int
    addresses: int
    one_token: bool
    strategy: Strategy = sit

    def act(self, crowd: Crowd, guest: Guest, home: IPAddress) -> Guest:
        """About once a second."""
        return self.strategy(crowd, guest, home) if crowd.random.random() < STEP else guest


@dataclass(frozen=True)
class Day:
    """So many honest visitors, so many seconds apart. Of the picky, two in three want one country each."""

    visitors: int
    every: float
    picky: bool


def homes(first: str) -> Iterator[IPAddress]:
    start = ip_address(first)
    return (start + number for number in itertools.count())


def honest_friends(day: Day, attack: Attack | None, seed: int) -> list[Guest]:
    """Let the honest come, each from a home of its own; return those who found a friend."""
    crowd = Crowd(seed)
    hostile = list(invaders(crowd, attack)) if attack else []
    arrivals = deque(crowd.now + number * day.every for number in range(day.visitors))
    end, addresses, honest = arrivals[-1] + 20.0, homes("198.18.0.1"), []
    wishes = random.Random(seed)
    while crowd.now < end:
        crowd.tick()
        if attack is not None:
            hostile = [(attack.act(crowd, guest, home), home) for guest, home in hostile]
        while arrivals and arrivals[0] <= crowd.now:
            arrivals.popleft()
            country, want = wishes.choice(COUNTRIES), wishes.choice(COUNTRIES) if day.picky else ""
            want = want if wishes.random() < 0.67 else ""
            honest.append(crowd.come(next(addresses), honest=True, country=country, want=want))
        crowd.live()
    return [guest for guest in honest if guest.friend is not None]


def invaders(crowd: Crowd, attack: Attack) -> Iterator[tuple[Guest, IPAddress]]:
    """The hostile pages, and the address of each."""
    sources = list(itertools.islice(homes("203.0.113.1"), attack.addresses))
    for number in range(attack.seats):
        home = sources[number % len(sources)]
        token = "t" * 16 if attack.one_token else ""
        yield crowd.come(home, honest=False, token=token), home
