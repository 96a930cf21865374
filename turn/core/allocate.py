"""Allocate (RFC 8656 §7.2): check the request, open a port, then answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import Any

from turn.core.allocate_checks import CHECKS, choose_ips
from turn.core.allocations import Allocation
from turn.core.effects import Close, Effect, Open, Pin
from turn.core.exchange import Exchange
from turn.core.ports import pick
from turn.core.reservations import TOKEN_BYTES, Reservation
from turn.core.state import RelayState
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
MAX_LIFETIME = 3600  # RFC 8656 §7.2: with longer ones, clients that crashed hold their ports for too long
MAX_TRIES = 16  # ports that other programs on this machine may have, before we answer 508


class PortRequest(Enum):
    """Which port a client asked for (RFC 8656 §18.5)."""

    ANY = auto()
    EVEN = auto()
    PAIR = auto()  # an even one, and the next one reserved for a second allocation


@dataclass(slots=True)
class PendingAllocation:
    """An Allocate request that waits for its ports, one address family after the other.

    `wanted` holds the local addresses that still need a port, by family; `refused` the families that get
    none, with the error code; `first` is the open first port of a pair while the second is not open yet.
    """

    exchange: Exchange
    ports: PortRequest
    wanted: dict[int, bytes]
    refused: dict[int, int]
    relays: list[Address] = field(default_factory=list)
    tried: set[int] = field(default_factory=set)
    first: Address | None = None

    @property
    def family(self) -> int:
        return next(iter(self.wanted))

    def give_up_family(self, error: RelayError) -> None:
        self.refused[self.family] = error.code
        del self.wanted[self.family]


def allocate(exchange: Exchange) -> list[Effect]:
    if exchange.allocation is not None and is_repeated(exchange, exchange.allocation):
        return [exchange.reply(exchange.allocation.answer)]
    if exchange.five_tuple in exchange.state.allocating:
        return []
    for check in CHECKS:
        check(exchange)
    token = exchange.message.get(RESERVATION_TOKEN)
    if token is not None:
        return use_reserved(exchange, token)
    return start_allocation(exchange)


def is_repeated(exchange: Exchange, allocation: Allocation) -> bool:
    """Whether the same request came again: its answer was lost or is late (RFC 8656 §7.2, first check)."""
    known = (allocation.transaction, allocation.username)
    return known == (exchange.message.transaction, exchange.signer.username)


def start_allocation(exchange: Exchange) -> list[Effect]:
    """Count the allocation and ask for its first port. Raises QuotaReached and InsufficientCapacity."""
    state, pair = exchange.state, exchange.message.get(EVEN_PORT)
    ports = PortRequest.ANY if pair is None else PortRequest.PAIR if pair else PortRequest.EVEN
    ips = choose_ips(exchange)
    wanted = {family: ip for family, ip in ips.items() if ip}
    pending = PendingAllocation(
        exchange, ports, wanted, dict.fromkeys(ips.keys() - wanted, FamilyNotSupported.code)
    )
    state.charge_allocation(exchange.signer.user, exchange.client.ip, ports_charged(ports), exchange.now)
    state.allocating.add(exchange.five_tuple)
    return request_port(pending)


def ports_charged(ports: PortRequest) -> int:
    return 2 if ports is PortRequest.PAIR else 1


def request_port(pending: PendingAllocation) -> list[Effect]:
    """Ask the engine for a port, or give this family up if there is no port left to try."""
    state = pending.exchange.state
    low, high = state.settings.ports
    port = None
    if len(pending.tried) < MAX_TRIES:
        port = pick(low, high, lambda port: may_use(pending, port), state.settings.choose)
    if port is None:
        return give_up(pending)
    pending.tried.add(port)
    return open_port(pending, Address(pending.wanted[pending.family], port))


def give_up(pending: PendingAllocation) -> list[Effect]:
    exchange = pending.exchange
    exchange.state.quota.give_back(exchange.signer.user, exchange.client.ip, ports_charged(pending.ports))
    pending.give_up_family(InsufficientCapacity("ports"))
    return next_family(pending)


def next_family(pending: PendingAllocation) -> list[Effect]:
    """Go on with the other family, or with the answer: one family of two is enough (RFC 8656 §7.2)."""
    exchange = pending.exchange
    while pending.wanted:
        try:
            exchange.state.quota.reserve(
                exchange.signer.user, exchange.client.ip, ports_charged(pending.ports)
            )
        except RelayError:
            pending.give_up_family(InsufficientCapacity("quota"))
            continue
        pending.tried.clear()
        return request_port(pending)
    exchange.state.allocating.discard(exchange.five_tuple)
    return finish(pending) if pending.relays else [exchange.error_response(InsufficientCapacity("ports"))]


def may_use(pending: PendingAllocation, port: int) -> bool:
    state, ip = pending.exchange.state, pending.wanted[pending.family]
    if port in pending.tried or not state.is_free(Address(ip, port)):
        return False
    if pending.ports is PortRequest.ANY:
        return True
    if port % 2:
        return False
    sibling = Address(ip, port + 1)
    return pending.ports is PortRequest.EVEN or (port < state.settings.ports[1] and state.is_free(sibling))


def open_port(pending: PendingAllocation, relay: Address) -> list[Effect]:
    pending.exchange.state.pending_ports[relay] = partial(port_opened, pending, relay)
    return [Open(relay)]


def port_opened(pending: PendingAllocation, relay: Address, taken: bool) -> list[Effect]:
    """Take the engine's answer: go on with the second port of a pair, the next family, or another port."""
    if not taken:
        given_back: list[Effect] = [Close(pending.first)] if pending.first else []
        pending.first = None
        return given_back + request_port(pending)
    if pending.ports is PortRequest.PAIR and pending.first is None:
        pending.first = relay
        return open_port(pending, relay._replace(port=relay.port + 1))
    pending.relays.append(pending.first or relay)
    reserved = relay if pending.first else None
    pending.first = None
    del pending.wanted[pending.family]
    return next_family(pending) if reserved is None else reserve_second(pending, reserved)


def reserve_second(pending: PendingAllocation, relay: Address) -> list[Effect]:
    """Reserve the second port of a pair for a client that shows the token (RFC 8656 §7.2).

    A request for a pair has only one family.
    """
    exchange = pending.exchange
    exchange.state.allocating.discard(exchange.five_tuple)
    token = make_token(exchange.state)
    reservation = Reservation(relay, exchange.signer.user, exchange.client.ip)
    exchange.state.reservations.add(token, reservation, exchange.now)
    return make_allocations(exchange, pending.relays, exchange.client.ip, (RESERVATION_TOKEN, token))


def finish(pending: PendingAllocation) -> list[Effect]:
    codes = [(ADDRESS_ERROR_CODE, refused) for refused in pending.refused.items()]
    return make_allocations(pending.exchange, pending.relays, pending.exchange.client.ip, *codes)


def make_token(state: RelayState) -> bytes:
    return state.settings.choose(256**TOKEN_BYTES).to_bytes(TOKEN_BYTES, "big")


def use_reserved(exchange: Exchange, token: bytes) -> list[Effect]:
    """Use a reserved port, which is open and counted already."""
    reservation = exchange.state.reservations.claim(token)
    return make_allocations(exchange, [reservation.relay], reservation.charged_ip)


def make_allocations(
    exchange: Exchange, relays: list[Address], charged: bytes, *more: tuple[Attribute[Any], Any]
) -> list[Effect]:
    """Make the allocation; its answer is remembered in case the client repeats the request."""
    state, lifetime = exchange.state, granted_lifetime(exchange.message.get(LIFETIME))
    pace = Pace(state.settings.limits)
    made = [new_allocation(exchange, relay, charged, pace) for relay in relays]
    for allocation in made:
        state.allocations.add(allocation)
        state.allocations.renew(allocation, exchange.now + lifetime)
    answer = exchange.success_response(
        *((XOR_RELAYED_ADDRESS, state.destinations.to_public(relay)) for relay in relays),
        (LIFETIME, lifetime),
        *more,
        (XOR_MAPPED_ADDRESS, exchange.client),
    )
    for allocation in made:
        allocation.answer = answer.packet.data
    return [Pin(*exchange.five_tuple), answer]


def new_allocation(exchange: Exchange, relay: Address, charged: bytes, pace: Pace) -> Allocation:
    signer = exchange.signer
    return Allocation(
        client=exchange.client,
        listener=exchange.packet.local,
        relay=relay,
        username=signer.username,
        user=signer.user,
        key=signer.key,
        algorithm=signer.algorithm,
        charged_ip=charged,
        transaction=exchange.message.transaction,
        pace=pace,
        wants_icmp=exchange.state.settings.icmp_to_all or is_recent(exchange),
    )


def is_recent(exchange: Exchange) -> bool:
    """Whether the client uses something that is as new as ICMP errors (RFC 8656 §11.5, RFC 8489 §9.2).

    Other clients do not get these errors: pion's client, which many servers use, takes a Data indication
    without DATA as the end of its connection.
    """
    message, algorithm = exchange.message, exchange.signer.algorithm
    return algorithm != NAMES_NONE or message.has(DONT_FRAGMENT) or message.has(ADDITIONAL_ADDRESS_FAMILY)


def granted_lifetime(asked: int | None) -> int:
    """The lifetime of an allocation in seconds: from the default to the maximum (RFC 8656 §7.2)."""
    return max(DEFAULT_LIFETIME, min(asked or 0, MAX_LIFETIME))
