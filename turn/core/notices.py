"""What our servers tell this relay: which calls they have checked, who has ended, which networks are banned.

A server signs its requests with a key that comes from the secret which both share. All that it says holds for
a limited time, and it says it again: a relay that hears nothing more forgets, and is strict with everybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from turn.core.effects import Effect
from turn.core.exchange import Credentials, Exchange
from turn.core.state import RelayState
from turn.core.told import MAX_SECONDS
from turn.errors import BadRequest, InsufficientCapacity, StaleNonce, Unauthenticated
from turn.limits.bans import BannedNetwork
from turn.wire.attributes import NONCE
from turn.wire.integrity import ALGORITHMS
from turn.wire.notices import (
    LONGEST,
    NOTICES,
    NetworkBanned,
    Notice,
    Notification,
    PairVouched,
    UserEnded,
)
from turn.wire.stun import StunMessage

UNDERSTOOD = frozenset((NOTICES.type, NONCE.type))
SIGNED = next(iter(ALGORITHMS))  # answers are signed with SHA-256, as the requests are


class Known(NamedTuple):
    """All that another process of ours knows. It may be older than what we know."""

    notices: tuple[Notice, ...]


def is_notification(message: StunMessage) -> bool:
    """Whether it has the parts of one: then the challenge to a stranger is not larger than the request."""
    return bool(message.sha256) and message.has(NOTICES) and len(message.data) <= LONGEST


def authenticate_server(exchange: Exchange) -> Credentials:
    """The key that signed a notification. Raises Unauthenticated and StaleNonce.

    As for TURN, a sender that cannot read our replies at its address costs us no check of a signature.
    """
    if not exchange.message.has(NONCE):
        raise Unauthenticated
    if not exchange.has_valid_nonce:
        raise StaleNonce
    for key in exchange.state.settings.server_keys:
        if exchange.message.verify_sha256(key):
            return Credentials("", "", key, SIGNED)
    raise Unauthenticated


def notify(exchange: Exchange) -> list[Effect]:
    """Believe a notification and acknowledge it. One that came before is acknowledged again.

    Raises BadRequest and InsufficientCapacity.
    """
    notification = exchange.message.get(NOTICES)
    if notification is None:
        raise BadRequest("no notices")
    effects = take_notification(exchange.state, notification, exchange.now)
    return [*effects, exchange.success_response()]


def take_notification(state: RelayState, notification: Notification, now: float) -> list[Effect]:
    """What follows from it: nothing, unless its number is the highest of its server's so far.

    Raises InsufficientCapacity.
    """
    told = state.told
    if not told.has_room_for(notification.server, now):
        raise InsufficientCapacity("servers")
    if not told.note_number(notification.server, notification.number, now):
        return []
    state.counts["notifications"] += 1
    told.news.append(notification)
    return list(take_notices(state, notification.notices, now))


def take_known(state: RelayState, known: Known, now: float) -> list[Effect]:
    return list(take_notices(state, known.notices, now, merge=True))


def take_notices(
    state: RelayState, notices: Iterable[Notice], now: float, *, merge: bool = False
) -> Iterator[Effect]:
    """The effects. With `merge`, what we know already is not shortened by them."""
    before = state.told.bans_made
    for notice in notices:
        yield from TAKERS[type(notice)](state, notice, now, merge)
    if state.told.bans_made != before:
        yield from end_banned(state, now)


def end_of(notice: Notice, now: float) -> float:
    return now + min(notice.seconds, MAX_SECONDS[type(notice)])


def take_vouched(state: RelayState, notice: PairVouched, now: float, merge: bool) -> Iterator[Effect]:
    allocations, end = state.allocations, end_of(notice, now)
    one, other = sorted(notice.ufrags)
    for user in notice.users:
        if state.told.has_ended(user, now):
            continue
        for relay, peer in allocations.gate.vouch(user, (one, other), end, now, merge=merge):
            yield from allocations.update_link(allocations.by_relay[relay], peer, now)


def take_ended(state: RelayState, notice: UserEnded, now: float, merge: bool) -> Iterator[Effect]:
    allocations = state.allocations
    state.told.end_user(notice.user, end_of(notice, now), now)
    for relay in allocations.gate.relays_of(notice.user):
        yield from state.end_allocation(allocations.by_relay[relay])
    allocations.gate.forget_vouched(notice.user, now)


def take_banned(state: RelayState, notice: NetworkBanned, now: float, merge: bool) -> Iterator[Effect]:
    told, network = state.told, BannedNetwork(*notice[1:])
    if merge and told.bans.was_lifted(network, now):
        return
    if notice.seconds:
        told.bans_made += told.bans.ban(network, end_of(notice, now), now, merge=merge)
    elif not merge:
        told.bans.lift(network, now)
    yield from ()


def end_banned(state: RelayState, now: float) -> Iterator[Effect]:
    """End what clients of banned networks have."""
    bans = state.told.bans
    for allocation in [one for one in state.allocations if bans.covers(one.client.ip, now)]:
        yield from state.end_allocation(allocation)


TAKERS: Mapping[type, Callable[[RelayState, Any, float, bool], Iterator[Effect]]] = {
    PairVouched: take_vouched,
    UserEnded: take_ended,
    NetworkBanned: take_banned,
}


def known_notices(state: RelayState, now: float) -> Known:
    """All that is in force now, for our other processes and the next one."""
    told, vouched = state.told, state.allocations.gate.vouched
    notices: list[Notice] = [
        PairVouched(int(end - now), (user, user), ufrags) for user, ufrags, end in vouched if end > now
    ]
    notices += (UserEnded(int(end - now), user) for user, end in told.ended(now))
    notices += (NetworkBanned(int(end - now), *network) for network, end in told.bans.living(now))
    return Known(tuple(notices))
