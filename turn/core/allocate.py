"""Allocate (RFC 8656 §7.2): what is asked for is checked, then a port is taken, then the answer goes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import Any

from turn.core.allocate_checks import CHECKS, choose_ips
from turn.core.allocations import Allocation
from turn.core.effects import Close, Effect, Keep, Open
from turn.core.exchange import Exchange
from turn.core.ports import pick
from turn.core.reservations import TOKEN_BYTES, Reservation
from turn.core.state import State
from turn.errors import FamilyNotSupported, InsufficientCapacity, RelayError
from turn.flows import Address
from turn.limits.pace import Pace
from turn.wire.attributes import (
    ADDITIONAL_ADDRESS_FAMILY,
    ADDRESS_ERROR_CODE,
    DONT_FRAGMENT,
    EVEN_PORT,
    LIFETIME,
    RESERVATION_TOKEN,
    XOR_MAPPED_ADDRESS,
    XOR_RELAYED_ADDRESS,
    Attribute,
)
from turn.wire.integrity import NAMES_NONE

DEFAULT_LIFETIME = 600  # RFC 8656 §3.2
MAX_LIFETIME = 3600  # RFC 8656 §7.2: longer ones keep the ports of clients that crashed
MAX_TRIES = 16  # ports that others on this machine hold, before 508


class Ports(Enum):
    """Which port a client asked for."""

    ANY = auto()
    EVEN = auto()
    PAIR = auto()  # an even one, and the next kept for a second allocation


@dataclass(slots=True)
class Opening:
    """An Allocate that waits for its ports, one family after the other.

    `wanted` are the local addresses still without a port, by family; `refused` the families that get none,
    with the code that says why; `first` is open already while the second of a pair is not.
    """

    exchange: Exchange
    ports: Ports
    wanted: dict[int, bytes]
    refused: dict[int, int]
    relays: list[Address] = field(default_factory=list)
    tried: set[int] = field(default_factory=set)
    first: Address | None = None

    @property
    def family(self) -> int:
        return next(iter(self.wanted))

    def refuse(self, error: RelayError) -> None:
        self.refused[self.family] = error.code
        del self.wanted[self.family]


def allocate(exchange: Exchange) -> list[Effect]:
    if exchange.allocation is not None and is_repeated(exchange, exchange.allocation):
        return [exchange.sending(exchange.allocation.answer)]
    if exchange.five_tuple in exchange.state.allocating:
        return []
    for check in CHECKS:
        check(exchange)
    token = exchange.message.get(RESERVATION_TOKEN)
    if token is not None:
        return settle_reserved(exchange, token)
    return begin(exchange)


def is_repeated(exchange: Exchange, allocation: Allocation) -> bool:
    """The same request again: its answer was lost on the way, or is late (RFC 8656 §7.2, first check)."""
    known = (allocation.transaction, allocation.username)
    return known == (exchange.message.transaction, exchange.signed.username)


def begin(exchange: Exchange) -> list[Effect]:
    """Raises QuotaReached and InsufficientCapacity."""
    state, pair = exchange.state, exchange.message.get(EVEN_PORT)
    ports = Ports.ANY if pair is None else Ports.PAIR if pair else Ports.EVEN
    ips = choose_ips(exchange)
    wanted = {family: ip for family, ip in ips.items() if ip}
    opening = Opening(exchange, ports, wanted, dict.fromkeys(ips.keys() - wanted, FamilyNotSupported.code))
    state.charge(exchange.signed.user, exchange.client.ip, charge(ports), exchange.now)
    state.allocating.add(exchange.five_tuple)
    return ask(opening)


def charge(ports: Ports) -> int:
    return 2 if ports is Ports.PAIR else 1


def ask(opening: Opening) -> list[Effect]:
    """Ask the engine for a port, or do without where none is left to try."""
    state = opening.exchange.state
    low, high = state.settings.ports
    port = None
    if len(opening.tried) < MAX_TRIES:
        port = pick(low, high, lambda port: fits(opening, port), state.settings.choose)
    if port is None:
        return give_up(opening)
    opening.tried.add(port)
    return wait_for(opening, Address(opening.wanted[opening.family], port))


def give_up(opening: Opening) -> list[Effect]:
    exchange = opening.exchange
    exchange.state.quota.give(exchange.signed.user, exchange.client.ip, charge(opening.ports))
    opening.refuse(InsufficientCapacity("ports"))
    return go_on(opening)


def go_on(opening: Opening) -> list[Effect]:
    """With the other family, or with the answer: one of two is enough (RFC 8656 §7.2)."""
    exchange = opening.exchange
    while opening.wanted:
        try:
            exchange.state.quota.take(exchange.signed.user, exchange.client.ip, charge(opening.ports))
        except RelayError:
            opening.refuse(InsufficientCapacity("quota"))
            continue
        opening.tried.clear()
        return ask(opening)
    exchange.state.allocating.discard(exchange.five_tuple)
    return finish(opening) if opening.relays else [exchange.refusal(InsufficientCapacity("ports"))]


def fits(opening: Opening, port: int) -> bool:
    state, ip = opening.exchange.state, opening.wanted[opening.family]
    if port in opening.tried or not state.is_free(Address(ip, port)):
        return False
    if opening.ports is Ports.ANY:
        return True
    if port % 2:
        return False
    sibling = Address(ip, port + 1)
    return opening.ports is Ports.EVEN or (port < state.settings.ports[1] and state.is_free(sibling))


def wait_for(opening: Opening, relay: Address) -> list[Effect]:
    opening.exchange.state.waiting[relay] = partial(opened, opening, relay)
    return [Open(relay)]


def opened(opening: Opening, relay: Address, taken: bool) -> list[Effect]:
    """The engine has answered: go on with the second of a pair, with the answer, or with another port."""
    if not taken:
        given_back: list[Effect] = [Close(opening.first)] if opening.first else []
        opening.first = None
        return given_back + ask(opening)
    if opening.ports is Ports.PAIR and opening.first is None:
        opening.first = relay
        return wait_for(opening, relay._replace(port=relay.port + 1))
    opening.relays.append(opening.first or relay)
    kept = relay if opening.first else None
    opening.first = None
    del opening.wanted[opening.family]
    return go_on(opening) if kept is None else keep(opening, kept)


def keep(opening: Opening, relay: Address) -> list[Effect]:
    """The second of a pair, for who shows the token; of such there is only one family (RFC 8656 §7.2)."""
    exchange = opening.exchange
    exchange.state.allocating.discard(exchange.five_tuple)
    token = make_token(exchange.state)
    reservation = Reservation(relay, exchange.signed.user, exchange.client.ip)
    exchange.state.reservations.add(token, reservation, exchange.now)
    return establish(exchange, opening.relays, exchange.client.ip, (RESERVATION_TOKEN, token))


def finish(opening: Opening) -> list[Effect]:
    codes = [(ADDRESS_ERROR_CODE, refused) for refused in opening.refused.items()]
    return establish(opening.exchange, opening.relays, opening.exchange.client.ip, *codes)


def make_token(state: State) -> bytes:
    return state.settings.choose(256**TOKEN_BYTES).to_bytes(TOKEN_BYTES, "big")


def settle_reserved(exchange: Exchange, token: bytes) -> list[Effect]:
    """The port that was kept is open already, and counted already."""
    reservation = exchange.state.reservations.take(token)
    return establish(exchange, [reservation.relay], reservation.charged)


def establish(
    exchange: Exchange, relays: list[Address], charged: bytes, *more: tuple[Attribute[Any], Any]
) -> list[Effect]:
    """The allocation exists from here on; its answer is kept for a retransmission of the request."""
    state, lifetime = exchange.state, granted(exchange.message.get(LIFETIME))
    pace = Pace(state.settings.limits)
    made = [made_for(exchange, relay, charged, pace) for relay in relays]
    for allocation in made:
        state.allocations.add(allocation)
        state.allocations.renew(allocation, exchange.now + lifetime)
    answer = exchange.success(
        *((XOR_RELAYED_ADDRESS, state.reach.outside(relay)) for relay in relays),
        (LIFETIME, lifetime),
        *more,
        (XOR_MAPPED_ADDRESS, exchange.client),
    )
    for allocation in made:
        allocation.answer = answer.packet.data
    return [Keep(*exchange.five_tuple), answer]


def made_for(exchange: Exchange, relay: Address, charged: bytes, pace: Pace) -> Allocation:
    proof = exchange.signed
    return Allocation(
        client=exchange.client,
        listener=exchange.packet.here,
        relay=relay,
        username=proof.username,
        user=proof.user,
        key=proof.key,
        algorithm=proof.algorithm,
        charged=charged,
        transaction=exchange.message.transaction,
        pace=pace,
        hears_icmp=exchange.state.settings.icmp_to_all or is_recent(exchange),
    )


def is_recent(exchange: Exchange) -> bool:
    """Whether the client has asked for something that comes with ICMP errors (RFC 8656 §11.5, RFC 8489 §9.2).

    Others are not told of them: pion's client, which many servers are built on, takes a Data indication
    without DATA for the end of its connection."""
    message, algorithm = exchange.message, exchange.signed.algorithm
    return algorithm != NAMES_NONE or message.has(DONT_FRAGMENT) or message.has(ADDITIONAL_ADDRESS_FAMILY)


def granted(asked: int | None) -> int:
    """How long an allocation lives: never less than the default, never more than the most (RFC 8656 §7.2)."""
    return max(DEFAULT_LIFETIME, min(asked or 0, MAX_LIFETIME))
