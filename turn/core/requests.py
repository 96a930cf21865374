"""The methods of TURN: a table from the message type to its function, and the steps before it."""

from __future__ import annotations

from collections.abc import Callable

from turn.core.allocate import allocate, granted_lifetime
from turn.core.allocations import Allocation
from turn.core.authentication import authenticate, has_valid_nonce, is_signed_with
from turn.core.effects import Effect
from turn.core.exchange import Credentials, Exchange
from turn.core.notices import UNDERSTOOD as UNDERSTOOD_OF_SERVERS
from turn.core.notices import authenticate_server, is_notification, notify
from turn.errors import (
    BadRequest,
    InsufficientCapacity,
    MobilityForbidden,
    RelayError,
    StaleNonce,
    Unauthenticated,
    UnknownAttribute,
)
from turn.flows import Address
from turn.limits.quotas import exceeds
from turn.wire.attributes import (
    CHANNEL_NUMBER,
    DATA,
    DONT_FRAGMENT,
    EVEN_PORT,
    LIFETIME,
    MESSAGE_INTEGRITY,
    MOBILITY_TICKET,
    NONCE,
    PASSWORD_ALGORITHM,
    REALM,
    REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT,
    RESERVATION_TOKEN,
    SIZES,
    USERHASH,
    USERNAME,
    XOR_PEER_ADDRESS,
)
from turn.wire.notices import NOTIFY_REQUEST
from turn.wire.stun import (
    ALLOCATE_REQUEST,
    CHANNEL_BIND_REQUEST,
    CREATE_PERMISSION_REQUEST,
    FIRST_CHANNEL,
    LAST_CHANNEL,
    REFRESH_REQUEST,
    StunMessage,
)

MAX_PEERS = 1024  # in one CreatePermission, however many are permitted: bounds what one packet makes us do
SMALLEST_ANSWERED = 28  # bytes of a request without credentials: the 401 is at most twice as large
FINGERPRINT_BYTES = 8  # not counted: the answer has a FINGERPRINT too
TRANSPORTS = (b"\x11\0\0\0", b"\x06\0\0\0")  # UDP and TCP, as an Allocate names them
ONLY_WITH_SHA256 = frozenset((PASSWORD_ALGORITHM.type, USERHASH.type))
UNDERSTOOD = frozenset(
    row.type
    for row in (
        USERNAME,
        REALM,
        NONCE,
        MESSAGE_INTEGRITY,
        CHANNEL_NUMBER,
        LIFETIME,
        XOR_PEER_ADDRESS,
        DATA,
        REQUESTED_ADDRESS_FAMILY,
        EVEN_PORT,
        REQUESTED_TRANSPORT,
        RESERVATION_TOKEN,
        DONT_FRAGMENT,
    )
)


def answer_request(exchange: Exchange) -> list[Effect]:
    """Carry out a request and answer it; requests that deserve no answer have no effects."""
    if not may_be_answered(exchange):
        return []
    try:
        exchange.credentials = AUTHENTICATORS.get(exchange.message.type, authenticate)(exchange)
        check_attributes(exchange)
        return METHODS[exchange.message.type](exchange)
    except (Unauthenticated, StaleNonce) as error:
        note_failure(exchange)
        return [exchange.challenge(error)]
    except RelayError as error:
        note_failure(exchange)
        return [exchange.error_response(error)]


def note_failure(exchange: Exchange) -> None:
    """Count a wrong signature. A sender without a valid nonce was counted before, in `may_answer`."""
    if exchange.credentials is None and exchange.has_valid_nonce:
        exchange.state.note_failure(exchange.client, exchange.now)


def may_be_answered(exchange: Exchange) -> bool:
    """Whether a request is looked at in full, and answered.

    A sender with a valid nonce is answered, unless it has sent too many wrong signatures. One without a nonce
    is answered within limits, and a probe never. So a flood costs us no signature check, only that of the
    nonce. Requests for a running call are always answered, even if others forge the client's address.
    """
    if is_probe(exchange.message):
        exchange.state.counts["drops.probe"] += 1
        return False
    exchange.has_valid_nonce = has_valid_nonce(exchange)
    if is_of_running_call(exchange):
        return True
    may = exchange.state.may_check_signature if exchange.has_valid_nonce else exchange.state.may_answer
    return may(exchange.client, exchange.now)


def is_of_running_call(exchange: Exchange) -> bool:
    """Whether this five-tuple's allocation signed the request; an old nonce has a limit of its own."""
    allocation = exchange.allocation
    if allocation is None or not is_signed_with(exchange, allocation.key):
        return False
    return exchange.has_valid_nonce or exchange.state.may_answer_stale(allocation, exchange.now)


def is_probe(message: StunMessage) -> bool:
    """Whether no real client sends this, but scanners and reflection attacks do.

    An answer 401 would be much larger than such a request.
    """
    if len(message.data) - FINGERPRINT_BYTES * message.fingerprint < SMALLEST_ANSWERED:
        return True
    if message.type == NOTIFY_REQUEST:
        return not is_notification(message)
    if message.type != ALLOCATE_REQUEST or message.has(USERNAME) or message.has(USERHASH):
        return False
    return message.raw(REQUESTED_TRANSPORT) not in TRANSPORTS


def check_attributes(exchange: Exchange) -> None:
    understood = UNDERSTOOD | ONLY_WITH_SHA256 if exchange.state.settings.sha256 else UNDERSTOOD
    if exchange.message.type == NOTIFY_REQUEST:
        understood = UNDERSTOOD_OF_SERVERS
    unknown = exchange.message.unknown(understood)
    if unknown:
        raise UnknownAttribute(unknown)


def refresh(exchange: Exchange) -> list[Effect]:
    """RFC 8656 §8.2."""
    message = exchange.message
    if message.has(MOBILITY_TICKET):
        raise MobilityForbidden
    chosen = of_family(exchange.own_allocation(), message.get(REQUESTED_ADDRESS_FAMILY))
    asked = message.get(LIFETIME)
    if asked == 0:
        ended = [effect for allocation in chosen for effect in exchange.state.end_allocation(allocation)]
        return [exchange.success_response((LIFETIME, 0)), *ended]
    lifetime = granted_lifetime(asked)
    for allocation in chosen:
        exchange.state.allocations.renew(allocation, exchange.now + lifetime)
    return [exchange.success_response((LIFETIME, lifetime))]


def of_family(allocation: Allocation, family: int | None) -> tuple[Allocation, ...]:
    """The allocation of this family; both siblings if no family is named. Raises FamilyMismatch."""
    if family is None:
        return allocation.both
    return (allocation.for_peer(bytes(SIZES.get(family, 0))),)


def create_permission(exchange: Exchange) -> list[Effect]:
    """RFC 8656 §10.2: permissions for all of the peers, or for none."""
    allocation, state = exchange.own_allocation(), exchange.state
    peers = [state.destinations.to_local(peer) for peer in peers_of(exchange)]
    for peer in peers:
        allocation.for_peer(peer.ip)
    for peer in peers:
        state.destinations.check_permission(peer)
    effects = state.allocations.permit(allocation, {peer.ip for peer in peers}, exchange.now)
    return [*effects, exchange.success_response()]


def peers_of(exchange: Exchange) -> list[Address]:
    """The peers that a request names: as many addresses as one allocation may have permissions.

    Raises BadRequest, and InsufficientCapacity before any of them is looked up.
    """
    if exchange.message.count(XOR_PEER_ADDRESS) > MAX_PEERS:
        raise InsufficientCapacity("peers")
    peers = exchange.message.each(XOR_PEER_ADDRESS)
    if not peers:
        raise BadRequest("no peer")
    if exceeds(len({peer.ip for peer in peers}), exchange.state.settings.limits.permissions):
        raise InsufficientCapacity("permissions")
    return peers


def channel_bind(exchange: Exchange) -> list[Effect]:
    """RFC 8656 §12.2."""
    allocation = exchange.own_allocation()
    number, outer = exchange.message.get(CHANNEL_NUMBER), exchange.message.get(XOR_PEER_ADDRESS)
    if number is None or outer is None or not FIRST_CHANNEL <= number <= LAST_CHANNEL or not outer.port:
        raise BadRequest("channel or peer")
    state = exchange.state
    peer = state.destinations.to_local(outer)
    allocation = allocation.for_peer(peer.ip)
    state.destinations.check_binding(peer)
    effects = state.allocations.bind(allocation, number, peer, exchange.now)
    return [*effects, exchange.success_response()]


# Other requests are signed by a TURN user.
AUTHENTICATORS: dict[int, Callable[[Exchange], Credentials]] = {NOTIFY_REQUEST: authenticate_server}
METHODS: dict[int, Callable[[Exchange], list[Effect]]] = {
    ALLOCATE_REQUEST: allocate,
    REFRESH_REQUEST: refresh,
    CREATE_PERMISSION_REQUEST: create_permission,
    CHANNEL_BIND_REQUEST: channel_bind,
    NOTIFY_REQUEST: notify,
}
