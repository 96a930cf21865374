"""A visitor: one open page, and what the lobby knows of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from server.signalling.blocks import Name, Pair, Person
from server.signalling.call_tickets import CallTickets
from server.signalling.households import Networks
from server.signalling.pseudonyms import IPAddress
from server.signalling.rooms import Room
from turn.limits.addresses import counted_networks


class LastCall(NamedTuple):
    """The call that a visitor has just left. Its partner can be reported until `until`."""

    call: str
    partner_address: IPAddress | None
    until: float
    pair: Pair


@dataclass(eq=False, slots=True)
class Visitor:
    """One open page. `id` is random and stays while the page is open. `user` is its name at the relays in
    its next call, another one for each."""

    id: str
    token: str
    address: IPAddress | None
    country: str | None
    resume_secret: str
    user: str
    wanted_countries: frozenset[str] = frozenset()
    hides_address: bool = False
    features: frozenset[str] = frozenset()  # what its page can do
    room: Room | None = None
    ticket: int | None = None  # the place in the queue, while the visitor waits
    last_ticket: int | None = None  # the place that it had before its call
    seat: Networks | None = None  # whose share it counts for, while it looks for a partner or talks
    waiting_since: float = 0.0
    heard: int = 0  # how many of its messages have arrived
    former_secret: str | None = None  # good until the page shows that it knows the new one
    may_reunite: bool | None = None  # meet a recent partner again: yes, no, or not asked
    suspended_since: float | None = None  # when its socket was lost
    back_by: float = 0.0  # then it is given up
    missing: str = "vanished"  # how its call ends then
    may_renew: bool = False  # whether its page was loaded again, so that the call needs a new connection
    link: str | None = None  # by which it looks for a partner, or has found it
    last_call: LastCall | None = None
    relays: Sequence[str] = ()  # hosts of those that its page was told of last
    asking: str | None = None  # the call whose partner it would like to have back
    networks: Networks = field(init=False)  # of its address, the household first
    person: Person = field(init=False)

    def __post_init__(self) -> None:
        self.move_to(self.address)

    def move_to(self, address: IPAddress | None) -> None:
        """The page speaks from this address now."""
        self.address = address
        self.networks = counted_networks(address.packed) if address is not None else ()
        self.person = Person(self.token, self.networks[0][0] if self.networks else None)

    @property
    def names(self) -> tuple[Name, ...]:
        """What a block of this visitor holds for."""
        token, household = self.person
        return (token,) if household is None else (token, household)

    @property
    def state(self) -> str:
        if self.room is not None:
            return "calling"
        return "idle" if self.ticket is None else "waiting"


def nobody_is_exempt(address: IPAddress) -> bool:
    return False


def no_relays(user: str, country: str | None) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the lobby is given: ICE servers for a user name at some relays, new random ids, whether countries
    are known, whether an address has no limits of its own, how the site lets people meet (`random`, `link`,
    `both`), the relays for a user name in a country, and what writes their tickets, if any."""

    ice_servers: Callable[[str, Sequence[str]], Mapping[str, Any]]
    new_id: Callable[[], str]
    knows_countries: bool = False
    is_exempt: Callable[[IPAddress], bool] = nobody_is_exempt
    matching: str = "both"
    relays: Callable[[str, str | None], Sequence[str]] = no_relays
    tickets: CallTickets | None = None
