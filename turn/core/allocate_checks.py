"""What an Allocate request may ask for: the checks of RFC 8656 §7.2 in their order."""

from __future__ import annotations

from typing import Any

from turn.core.exchange import Exchange
from turn.core.peers import relay_ip
from turn.errors import (
    AllocationMismatch,
    BadRequest,
    FamilyNotSupported,
    Forbidden,
    InsufficientCapacity,
    MobilityForbidden,
    TransportNotSupported,
    TryAlternate,
)
from turn.wire.attributes import (
    ADDITIONAL_ADDRESS_FAMILY,
    EVEN_PORT,
    IPV4,
    IPV6,
    LIFETIME,
    MOBILITY_TICKET,
    REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT,
    RESERVATION_TOKEN,
    SIZES,
    Attribute,
)

UDP = 17  # the protocol number in REQUESTED-TRANSPORT
BESIDE_NO_TOKEN: tuple[Attribute[Any], ...] = (
    EVEN_PORT,
    REQUESTED_ADDRESS_FAMILY,
    ADDITIONAL_ADDRESS_FAMILY,
)


def refuse_mobility(exchange: Exchange) -> None:
    if exchange.message.has(MOBILITY_TICKET):
        raise MobilityForbidden


def refuse_banned(exchange: Exchange) -> None:
    """What our server has told us of clients and users."""
    told, now = exchange.state.told, exchange.now
    if told.bans.covers(exchange.client.ip, now) or told.has_ended(exchange.signer.user, now):
        raise Forbidden


def refuse_second(exchange: Exchange) -> None:
    if exchange.allocation is not None:
        raise AllocationMismatch


def check_transport(exchange: Exchange) -> None:
    transport = exchange.message.get(REQUESTED_TRANSPORT)
    if transport is None:
        raise BadRequest("no transport")
    if transport != UDP:
        raise TransportNotSupported


def check_token(exchange: Exchange) -> None:
    message = exchange.message
    token = message.get(RESERVATION_TOKEN)
    if token is None:
        return
    if any(message.has(row) for row in BESIDE_NO_TOKEN):
        raise BadRequest("a token says it all")
    exchange.state.reservations.check_owner(token, exchange.signer.user)


def check_both_families(exchange: Exchange) -> None:
    message = exchange.message
    if message.has(REQUESTED_ADDRESS_FAMILY) and message.has(ADDITIONAL_ADDRESS_FAMILY):
        raise BadRequest("one family and two")


def check_family(exchange: Exchange) -> None:
    """A machine without IPv6 never has an address of it; one whose public address is not known yet, later."""
    if any(choose_ips(exchange).values()):
        return
    unknown = exchange.state.settings.unknown_families
    if SIZES[IPV4] in unknown or len(exchange.packet.local.ip) in unknown:
        raise InsufficientCapacity("public address")
    raise FamilyNotSupported


def check_pair(exchange: Exchange) -> None:
    if exchange.message.get(EVEN_PORT) and exchange.message.has(ADDITIONAL_ADDRESS_FAMILY):
        raise BadRequest("a pair and two families")


def refuse_pair(exchange: Exchange) -> None:
    """A later request with the token may come to another process of ours, which does not have the port."""
    if exchange.message.get(EVEN_PORT) and exchange.state.settings.many_processes:
        raise InsufficientCapacity("pair")


def check_additional_family(exchange: Exchange) -> None:
    family = exchange.message.get(ADDITIONAL_ADDRESS_FAMILY)
    if family is not None and family != IPV6:
        raise BadRequest("only IPv6 is additional")


def check_lifetime(exchange: Exchange) -> None:
    exchange.message.get(LIFETIME)


def refuse_while_draining(exchange: Exchange) -> None:
    """The last check: only a request that would be granted is sent to the alternate (300).

    The alternate's address must have the client's family (RFC 8489 §10).
    """
    state, client = exchange.state, exchange.client
    if not state.draining:
        return
    if state.alternate is not None and len(state.alternate.ip) == len(client.ip):
        raise TryAlternate(state.alternate)
    raise InsufficientCapacity("draining")


CHECKS = (
    refuse_banned,
    refuse_mobility,
    refuse_second,
    check_transport,
    check_token,
    check_both_families,
    check_family,
    check_pair,
    check_additional_family,
    check_lifetime,
    refuse_pair,
    refuse_while_draining,
)


def choose_ips(exchange: Exchange) -> dict[int, bytes | None]:
    """The addresses of ours to relay from, by family; None if we have none of that family.

    If the client names no family, it is IPv4 (RFC 8656 §7.2). But browsers never name one, so if we have
    only IPv6, it is IPv6 and not error 440.
    """
    message = exchange.message
    family = message.get(REQUESTED_ADDRESS_FAMILY)
    if family is not None:
        return {family: ip_of(exchange, family)}
    four, has_both = ip_of(exchange, IPV4), message.has(ADDITIONAL_ADDRESS_FAMILY)
    if four and not has_both:
        return {IPV4: four}
    six = ip_of(exchange, IPV6)
    return {IPV4: four, IPV6: six} if has_both else {IPV6: six}


def ip_of(exchange: Exchange, family: int) -> bytes | None:
    if family not in SIZES:
        return None
    return relay_ip(exchange.state.settings, exchange.packet.local.ip, SIZES[family])
