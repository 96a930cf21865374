"""What an allocation is, as plain values: the next process of this relay makes it again from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

from turn.core.allocate import MAX_LIFETIME
from turn.core.allocations import Allocation, Channel
from turn.core.effects import Effect, Open, Pin
from turn.core.state import RelayState
from turn.flows import Address
from turn.gate.kept import KeptPair
from turn.limits.pace import Pace
from turn.wire.integrity import NAMES_NONE
from turn.wire.stun import FIRST_CHANNEL, LAST_CHANNEL


class KeptAllocation(NamedTuple):
    """The names are those of `Allocation`. What its limits have counted and reservations are not kept."""

    client: Address
    listener: Address
    relay: Address
    username: str
    user: str
    key: bytes
    charged_ip: bytes
    transaction: bytes
    ends: float
    algorithm: bytes = NAMES_NONE
    answer: bytes = b""
    wants_icmp: bool = False
    channels: tuple[tuple[int, Channel], ...] = ()
    pairs: tuple[KeptPair, ...] = ()
    permissions: tuple[tuple[bytes, float], ...] = ()
    sent_to: tuple[Address, ...] = ()


Change = tuple[Address, KeptAllocation | None]  # a relayed address, and what it is now; None: it is closed


def changes(state: RelayState, relays: Iterable[Address], now: float) -> list[Change]:
    """What is to be kept now of these relayed addresses.

    A client that comes by TCP or TLS loses its allocation with its connection, so that is not kept.
    """
    found = ((relay, state.allocations.by_relay.get(relay)) for relay in relays)
    return [
        (relay, keep(state, allocation, now) if allocation else None)
        for relay, allocation in found
        if not allocation or allocation.client.transport == "udp"
    ]


def keep(state: RelayState, allocation: Allocation, now: float) -> KeptAllocation:
    return KeptAllocation(
        allocation.client,
        allocation.listener,
        allocation.relay,
        allocation.username,
        allocation.user,
        allocation.key,
        allocation.charged_ip,
        allocation.transaction,
        allocation.ends,
        allocation.algorithm,
        allocation.answer,
        allocation.wants_icmp,
        tuple(allocation.channels.items()),
        state.allocations.gate.kept_pairs(allocation.relay, now),
        tuple(allocation.permissions.items()),
        tuple(allocation.sent_to),
    )


def restore(state: RelayState, kept: Sequence[KeptAllocation], now: float) -> list[Effect]:
    """Ask for the port of each that is not over and has a place here.

    Its flows are linked later, when all are there: some end at others.
    """
    effects: list[Effect] = []
    for one in kept:
        if now < one.ends <= now + MAX_LIFETIME and is_sound(one) and has_place(state, one):
            state.pending_ports[one.relay] = partial(port_opened, state, one, now)
            effects.append(Open(one.relay))
        else:
            state.counts["allocations not restored"] += 1
    return effects


def is_sound(kept: KeptAllocation) -> bool:
    """Whether its parts fit together: transports, families, channel numbers, one channel for each peer."""
    size, channels = len(kept.relay.ip), kept.channels
    peers = [channel.peer for _, channel in channels]
    others = (*peers, *kept.sent_to, *(pair.peer for pair in kept.pairs))
    return (
        all(one.transport == "udp" for one in (kept.client, kept.relay, *others))
        and all(len(ip) == size for ip in (*(one.ip for one in others), *(ip for ip, _ in kept.permissions)))
        and all(FIRST_CHANNEL <= number <= LAST_CHANNEL for number, _ in channels)
        and len(set(peers)) == len(dict(channels)) == len(channels)
    )


def has_place(state: RelayState, kept: KeptAllocation) -> bool:
    """Whether its client can reach us, and nobody has its relayed address or its five-tuple."""
    if kept.listener not in state.settings.listeners or not state.is_free(kept.relay):
        return False
    owner = state.allocations.of_client(kept.client, kept.listener)
    return owner is None or may_be_sibling(owner, kept)


def may_be_sibling(first: Allocation, kept: KeptAllocation) -> bool:
    """Whether it is the allocation of the other address family that the same request made."""
    return (
        first.sibling is None
        and (first.username, first.key) == (kept.username, kept.key)
        and len(first.relay.ip) != len(kept.relay.ip)
    )


def port_opened(state: RelayState, kept: KeptAllocation, now: float, taken: bool) -> list[Effect]:
    """Make the allocation again; without its port it has ended, and its client makes another one."""
    allocations = state.allocations
    first = allocations.of_client(kept.client, kept.listener)
    if not taken:
        state.counts["allocations not restored"] += 1
        return []
    allocation = made_again(kept, first.pace if first else Pace(state.settings.limits))
    state.quota.count(kept.user, kept.charged_ip)
    allocations.add(allocation)
    allocations.renew(allocation, kept.ends)
    allocations.restore(allocation, kept.permissions, kept.channels, now)
    allocations.gate.restore_pairs(kept.relay, kept.pairs, now)
    state.counts["allocations restored"] += 1
    return [] if first else [Pin(kept.client, kept.listener)]


def made_again(kept: KeptAllocation, pace: Pace) -> Allocation:
    return Allocation(
        kept.client,
        kept.listener,
        kept.relay,
        kept.username,
        kept.user,
        kept.key,
        kept.charged_ip,
        kept.transaction,
        pace,
        kept.algorithm,
        kept.answer,
        sent_to=set(kept.sent_to),
        wants_icmp=kept.wants_icmp,
    )
