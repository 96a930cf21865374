"""All allocations, with their permissions, channels and flows, and when each of these ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from turn.core.effects import Close, Effect, Link, Unlink, Unpin
from turn.core.peers import Destinations
from turn.core.settings import Settings
from turn.deadlines import Deadlines
from turn.errors import BadRequest, FamilyMismatch, InsufficientCapacity
from turn.flows import Address, Flow, Rule, Traffic
from turn.gate.allowances import Allowances
from turn.gate.gate import Gate
from turn.limits.buckets import NUMBERS, Buckets
from turn.limits.pace import Pace
from turn.limits.quotas import exceeds
from turn.wire.integrity import NAMES_NONE

PERMISSION_LIFETIME = 300.0  # RFC 8656 §9
CHANNEL_LIFETIME = 600.0  # RFC 8656 §12
MAX_SENT_TO = 64  # per allocation: bounds its memory, and makes it a poor scanner
NEW_PEERS_BURST = 256.0  # a browser has eight allocations, each with all of its partner's candidates


class Channel(NamedTuple):
    peer: Address
    ends: float


@dataclass(slots=True, eq=False)
class Allocation:
    """A relayed address that one client has (RFC 8656 §3.2). The quota counts it for `charged_ip`.

    A client that asked for both address families has two allocations: each is the other's `sibling`. They
    have their own permissions, channels and lifetimes, but share one pace.
    """

    client: Address
    listener: Address
    relay: Address
    username: str
    user: str
    key: bytes
    charged_ip: bytes
    transaction: bytes
    pace: Pace
    algorithm: bytes = NAMES_NONE
    answer: bytes = b""  # the success response, in case the request comes again
    ends: float = 0.0
    permissions: dict[bytes, float] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    numbers: dict[Address, int] = field(default_factory=dict)
    sent_to: set[Address] = field(default_factory=set)  # peers that got a Send indication
    links: dict[Address, Link] = field(default_factory=dict)  # the flows that are linked now, by peer
    wants_icmp: bool = False  # whether its client gets ICMP errors of its peers
    sibling: Allocation | None = None

    @property
    def both(self) -> tuple[Allocation, ...]:
        return (self, self.sibling) if self.sibling else (self,)

    def for_peer(self, ip: bytes) -> Allocation:
        """This allocation or its sibling, by the family of a peer's address. Raises FamilyMismatch."""
        for one in self.both:
            if len(one.relay.ip) == len(ip):
                return one
        raise FamilyMismatch

    def permits(self, ip: bytes, now: float) -> bool:
        return self.permissions.get(ip, now) > now


Deadline = tuple[
    Allocation, bytes | int | None
]  # an allocation and its permission (bytes), its channel (int), or all of it (None)


def allowances(settings: Settings) -> Allowances:
    return Allowances(settings.limits, settings.nonce_key, settings.ledger)


class Allocations:
    """All allocations. Every change that concerns a flow returns the effects for the engine."""

    def __init__(self, settings: Settings) -> None:
        self._apply(settings)
        self._by_client: dict[tuple[Address, Address], Allocation] = {}
        self.by_relay: dict[Address, Allocation] = {}
        self._linked_to: dict[Address, set[Allocation]] = {}  # by the relayed address that a flow ends at
        self._deadlines: Deadlines[Deadline] = Deadlines()
        self.destinations = Destinations(settings, self.by_relay)
        self.gate = Gate(settings.encrypted_only, allowances(settings))
        self.traffic: Mapping[Flow, Traffic] = {}  # what the engine has carried
        self.changed: dict[Address, None] | None = None  # relayed addresses, if somebody keeps allocations

    def _apply(self, settings: Settings) -> None:
        self._limits = limits = settings.limits
        levels = settings.ledger.levels("new peers", NUMBERS)
        self._new_peers = Buckets(limits.new_peers_per_second, NEW_PEERS_BURST, settings.nonce_key, levels)
        self._rule = Rule(None, limits.packets_per_second, limits.bits_per_second)

    def __len__(self) -> int:
        return len(self.by_relay)

    def __iter__(self) -> Iterator[Allocation]:
        return iter(self.by_relay.values())

    def clients(self) -> Iterator[tuple[Address, Address]]:
        """The clients that have an allocation, each with its listener."""
        return iter(self._by_client)

    def of_client(self, client: Address, listener: Address) -> Allocation | None:
        return self._by_client.get((client, listener))

    def add(self, allocation: Allocation) -> None:
        """Add an allocation; the second of a client becomes the sibling of the first."""
        first = self._by_client.setdefault((allocation.client, allocation.listener), allocation)
        if first is not allocation:
            first.sibling, allocation.sibling = allocation, first
        self.by_relay[allocation.relay] = allocation
        self.gate.add_allocation(allocation.relay, allocation.user, allocation.client.ip)

    def note_change(self, relay: Address) -> None:
        """What the next process needs to know of this relayed address has changed."""
        if self.changed is not None:
            self.changed[relay] = None

    def take_changed(self) -> list[Address]:
        """The relayed addresses that have changed since the last call."""
        changed, self.changed = list(self.changed or ()), {}
        return changed

    def renew(self, allocation: Allocation, ends: float) -> None:
        allocation.ends = ends
        self.note_change(allocation.relay)
        self._deadlines.set((allocation, None), ends)

    def remove(self, allocation: Allocation) -> list[Effect]:
        """Remove an allocation with all it has, and other clients' flows that end at its relayed address."""
        parts: list[bytes | int | None] = [None, *allocation.permissions, *allocation.channels]
        for part in parts:
            self._deadlines.drop((allocation, part))
        self.note_change(allocation.relay)
        left = self._remove_client(allocation)
        del self.by_relay[allocation.relay]
        self.gate.remove_allocation(allocation.relay)
        for peer in allocation.links:
            self._drop_linked_to(allocation, peer)
        others = self._linked_to.pop(allocation.relay, set())
        gone: list[Effect] = [Unlink(other.links.pop(allocation.relay).flow) for other in others]
        gone += (Unlink(link.flow) for link in allocation.links.values())  # one by one, to be counted
        return [*gone, Close(allocation.relay), *left]

    def _remove_client(self, allocation: Allocation) -> list[Effect]:
        owner, sibling = (allocation.client, allocation.listener), allocation.sibling
        if sibling is None:
            del self._by_client[owner]
            return [Unpin(*owner)]
        self._by_client[owner], sibling.sibling = sibling, None
        return []

    def permit(
        self, allocation: Allocation, ips: set[bytes], now: float, seconds: float = PERMISSION_LIFETIME
    ) -> list[Effect]:
        """Install or refresh permissions, each with the sibling of its address family; none gets shorter.

        Raises FamilyMismatch and InsufficientCapacity; then nothing is changed.
        """
        owners = [(allocation.for_peer(ip), ip) for ip in ips]
        fresh = sum(ip not in owner.permissions for owner, ip in owners)
        held = sum(len(one.permissions) for one in allocation.both)
        if fresh and exceeds(held + fresh, self._limits.permissions):
            raise InsufficientCapacity("permissions")
        if fresh and not self._may_meet(allocation, now, fresh):
            raise InsufficientCapacity("new peers")
        for owner, ip in owners:
            owner.permissions[ip] = ends = max(owner.permissions.get(ip, 0.0), now + seconds)
            self._deadlines.set((owner, ip), ends)
            self.note_change(owner.relay)
        return [effect for owner in allocation.both for effect in self._link_channels(owner, ips, now)]

    def restore(
        self,
        allocation: Allocation,
        permissions: Iterable[tuple[bytes, float]],
        channels: Iterable[tuple[int, Channel]],
        now: float,
    ) -> None:
        """Give an allocation what it had before this process started, as far as that still holds."""
        for ip, ends in permissions:
            if now < ends <= now + CHANNEL_LIFETIME:
                allocation.permissions[ip] = ends
                self._deadlines.set((allocation, ip), ends)
        for number, channel in channels:
            if now < channel.ends <= now + CHANNEL_LIFETIME:
                allocation.channels[number] = channel
                allocation.numbers[channel.peer] = number
                self._deadlines.set((allocation, number), channel.ends)

    def _may_meet(self, allocation: Allocation, now: float, peers: int = 1) -> bool:
        """Whether so many more new peers are within the user's limit.

        It is counted by user, because a new allocation is quickly made. A new port of a known peer counts as
        a new peer.
        """
        return self._new_peers.spend(allocation.user.encode(), now, peers)

    def _link_channels(self, allocation: Allocation, ips: set[bytes], now: float) -> Iterator[Effect]:
        """Link the channels that had lost their permission and have one again."""
        idle = [peer for peer in allocation.numbers if peer.ip in ips and peer not in allocation.links]
        for peer in idle:
            yield from self.update_link(allocation, peer, now)

    def bind(self, allocation: Allocation, number: int, peer: Address, now: float) -> list[Effect]:
        """Bind or refresh a channel; siblings share the numbers (RFC 8656 §12.2).

        Its peer's permission lasts as long as the channel, not 300 s: many clients renew channels only.
        Raises BadRequest and InsufficientCapacity; then nothing is changed.
        """
        channels = [channel for one in allocation.both for channel in one.channels.items()]
        bound = dict(channels).get(number)
        if (bound and bound.peer != peer) or allocation.numbers.get(peer, number) != number:
            raise BadRequest("bound otherwise")
        if not bound and exceeds(len(channels) + 1, self._limits.channels):
            raise InsufficientCapacity("channels")
        if not bound and peer.ip in allocation.permissions and not self._may_meet(allocation, now):
            raise InsufficientCapacity("new peers")
        effects = self.permit(allocation, {peer.ip}, now, CHANNEL_LIFETIME)
        allocation.channels[number] = Channel(peer, now + CHANNEL_LIFETIME)
        allocation.numbers[peer] = number
        self._deadlines.set((allocation, number), now + CHANNEL_LIFETIME)
        self.note_change(allocation.relay)
        return effects + self.update_link(allocation, peer, now)

    def link_for_send(self, allocation: Allocation, peer: Address, now: float) -> list[Effect] | None:
        """Link the flow for a Send indication to this peer; None if there are too many new peers."""
        if peer in allocation.links:
            return []
        if peer in allocation.sent_to or peer in allocation.numbers:
            return self.update_link(allocation, peer, now)
        if not self._may_meet(allocation, now):
            return None
        if len(allocation.sent_to) >= MAX_SENT_TO:
            return []
        allocation.sent_to.add(peer)
        self.note_change(allocation.relay)
        return self.update_link(allocation, peer, now)

    def within_pace(self, allocation: Allocation, octets: int, now: float) -> bool:
        """Whether the client's pace allows one more packet."""
        flows = (link.flow for one in allocation.both for link in one.links.values())
        return allocation.pace.spend(octets, now, flows, self.traffic)

    def update_link(self, allocation: Allocation, peer: Address, now: float) -> list[Effect]:
        """Link, unlink or replace the flow to one peer, so that it fits permissions, channels and gate."""
        have, want = allocation.links.get(peer), self._wanted_link(allocation, peer, now)
        if have == want:
            return []
        self.note_change(allocation.relay)
        effects: list[Effect] = []
        if have and not (want and want.flow == have.flow):
            del allocation.links[peer]
            self._drop_linked_to(allocation, peer)
            effects.append(Unlink(have.flow))
        if want:
            allocation.links[peer] = want
            if self.destinations.is_relayed(peer):
                self._linked_to.setdefault(peer, set()).add(allocation)
            effects.append(want)
        return effects

    def _wanted_link(self, allocation: Allocation, peer: Address, now: float) -> Link | None:
        media = self.gate.media(allocation.relay, peer)
        flow = self._flow_to(allocation, peer, now) if media is None or media else None
        return Link(flow, self._rule._replace(media=media)) if flow else None

    def _flow_to(self, allocation: Allocation, peer: Address, now: float) -> Flow | None:
        if not allocation.permits(peer.ip, now) or not self.destinations.may_send_to(peer):
            return None
        flow = Flow(
            allocation.client, allocation.listener, allocation.numbers.get(peer), allocation.relay, peer
        )
        if flow.channel is not None:
            return flow
        named = self.destinations.to_public(peer)
        if peer not in allocation.sent_to or self.destinations.to_local(named) != peer:
            return None
        return flow if named == peer else flow._replace(shown=named)

    def recheck(self, now: float) -> Iterator[Effect]:
        """Unlink flows to relayed addresses of other processes that are closed; nothing reports their end."""
        over = [peer for peer in self._linked_to if not self.destinations.may_send_to(peer)]
        for peer in over:
            for allocation in list(self._linked_to[peer]):
                yield from self.update_link(allocation, peer, now)

    def _drop_linked_to(self, allocation: Allocation, peer: Address) -> None:
        others = self._linked_to.get(peer)
        if others is not None:
            others.discard(allocation)
            if not others:
                del self._linked_to[peer]

    def expire(self, now: float) -> Iterator[Effect | Allocation]:
        """What ends by now: the effects, and each allocation that has ended, which the caller removes."""
        for relay, peer in self.gate.expire(now):
            yield from self.update_link(self.by_relay[relay], peer, now)
        for allocation, part in self._deadlines.due(now):
            if part is None:
                yield allocation
            elif isinstance(part, bytes):
                yield from self._end_permission(allocation, part, now)
            else:
                channel = allocation.channels.pop(part)
                del allocation.numbers[channel.peer]
                yield from self.update_link(allocation, channel.peer, now)

    def _end_permission(self, allocation: Allocation, ip: bytes, now: float) -> Iterator[Effect]:
        del allocation.permissions[ip]
        allocation.sent_to = {peer for peer in allocation.sent_to if peer.ip != ip}
        for peer in [peer for peer in allocation.links if peer.ip == ip]:
            yield from self.update_link(allocation, peer, now)

    def reload(self, settings: Settings, now: float) -> list[Effect]:
        """Use these settings from now on: what they deny ends, what goes on has the new limits."""
        self._apply(settings)
        self.destinations.reload(settings)
        self.gate.set_allowances(allowances(settings))
        self.gate.set_mode(settings.encrypted_only, now)
        paces: dict[tuple[Address, Address], Pace] = {}
        effects: list[Effect] = []
        for allocation in self.by_relay.values():
            owner = (allocation.client, allocation.listener)
            allocation.pace = paces.setdefault(owner, Pace(settings.limits))
            effects += self._withdraw(allocation, now)
        return effects

    def _withdraw(self, allocation: Allocation, now: float) -> Iterator[Effect]:
        for ip in [ip for ip in allocation.permissions if not self.destinations.still_allows(ip)]:
            self._deadlines.drop((allocation, ip))
            yield from self._end_permission(allocation, ip, now)
        for peer in {*allocation.links, *allocation.numbers, *allocation.sent_to}:
            yield from self.update_link(allocation, peer, now)

    def next_expiry(self) -> float | None:
        times = (self._deadlines.next(), self.gate.next_expiry())
        return min((time for time in times if time is not None), default=None)
