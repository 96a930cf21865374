"""The relay as decisions: a packet and the time come in, effects go out; no clock, no socket."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from turn.core.allocations import Allocation
from turn.core.data import Dropped, from_channel, from_client, from_icmp, from_peer
from turn.core.discovery import ASKED, answer_classic, discover, other_addresses
from turn.core.effects import Close, Effect, Send
from turn.core.exchange import Exchange
from turn.core.kept import Change, KeptAllocation, changes, restore
from turn.core.notices import Known, known_notices, take_known, take_notification
from turn.core.requests import METHODS, answer_request
from turn.core.settings import Settings
from turn.core.state import RelayState
from turn.errors import InsufficientCapacity, UnknownAttribute
from turn.flows import Address, Flow, Packet, Sample, Traffic
from turn.gate.sessions import News, Proven
from turn.policies import StrangerLimits
from turn.wire.attributes import NONCE, REALM, USERNAME
from turn.wire.integrity import add_fingerprint
from turn.wire.notices import Notification
from turn.wire.stun import (
    BINDING_REQUEST,
    SEND_INDICATION,
    WireError,
    binding_success,
    is_bare_binding,
    parse,
)

UNDERSTOOD = frozenset((USERNAME.type, REALM.type, NONCE.type))  # a Binding request need not have them
SEND_HEAD = SEND_INDICATION.to_bytes(2, "big")

__all__ = ["AllocationSummary", "Change", "KeptAllocation", "Known", "Relay", "RelayNews", "Settings"]

RelayNews = News | Notification | Known


class AllocationSummary(NamedTuple):
    """One live allocation, for an operator's terminal. The relay's logs never contain an address."""

    user: str
    client: Address
    relay: Address
    seconds_left: float
    permissions: int
    channels: int
    flows: int


class Relay:
    """A TURN relay without clock and socket.

    The code around it calls a method for each thing that happens, and applies the effects that the method
    returns, in their order. In all methods `now` is monotonic time in seconds, which never goes back; `wall`
    is the time in seconds since 1970, and is used for credentials only.

    Args:
        settings: what the operator decided, and what is known of the machine.

    See: RFC 8656 (TURN), RFC 8489 (STUN).
    """

    def __init__(self, settings: Settings) -> None:
        self._state = RelayState(settings)
        self._ended: list[Effect] = []  # effects of what had ended when an error stopped `expire`
        self._apply(settings)

    def _apply(self, settings: Settings) -> None:
        self.listeners = settings.listeners
        self._ports = frozenset(listener.port for listener in settings.listeners)
        self._discovers, self._speaks_classic = settings.behaviour_discovery, settings.classic_stun
        self._others = other_addresses(settings) if self._discovers or self._speaks_classic else {}

    @property
    def counts(self) -> Mapping[str, int]:
        """How many packets were dropped and requests answered.

        Returns:
            A live view by reason, such as "drops.no permission"; it contains no addresses and no names.
        """
        return self._state.counts

    @property
    def gate_counts(self) -> Mapping[tuple[str, str], int]:
        """How many packets the gate has passed and refused.

        Returns:
            A live view by the mode that held ("enforce" or "compat") and the reason.
        """
        return self._state.allocations.gate.counts

    def learn(self, news: RelayNews, now: float) -> list[Effect]:
        """Believe what another relay of ours on this machine has seen or was told.

        Args:
            news: a session that is proven, one side's offer in its handshake, or what a server has told.
            now: monotonic seconds.

        Returns:
            What to do.
        """
        try:
            if isinstance(news, Notification):
                return take_notification(self._state, news, now)
            if isinstance(news, Known):
                return take_known(self._state, news, now)
        except InsufficientCapacity:  # too many servers: this one is not heard here
            return []
        self._state.allocations.gate.learn_session(news, now)
        return []

    def news(self) -> list[RelayNews]:
        """What is new, for the other relays of ours on this machine.

        Returns:
            What was proven or offered in encrypted sessions, and what servers have told, since the last call.
        """
        return [*self._state.allocations.gate.news(), *self._state.told.take_news()]

    def known_notices(self, now: float) -> Known:
        """All that servers have told and that holds now.

        Args:
            now: monotonic seconds.

        Returns:
            What our other processes on this machine should know, and the one that starts next.
        """
        return known_notices(self._state, now)

    def told_counts(self, now: float) -> Mapping[str, int]:
        """How much of what servers have told holds now.

        Args:
            now: monotonic seconds.

        Returns:
            The number of `servers` that have spoken lately, of `vouched` sessions, of `ended` users and of
            `bans`.
        """
        told = self._state.told
        return {
            "servers": told.servers(now),
            "vouched": len(self._state.allocations.gate.vouched),
            "ended": sum(1 for _ in told.ended(now)),
            "bans": sum(1 for _ in told.bans.living(now)),
        }

    def proven_sessions(self) -> list[Proven]:
        """All sessions that are proven here now.

        Returns:
            What the other relays of ours on this machine should know, and the one that starts next.
        """
        return self._state.allocations.gate.proven_sessions()

    def watch_traffic(self, traffic: Mapping[Flow, Traffic]) -> None:
        """Learn what the engine carries: one limit holds for what engine and core carry together.

        Args:
            traffic: a live view of what each linked flow has carried.
        """
        self._state.allocations.traffic = traffic

    def receive(self, packet: Packet, now: float, wall: float) -> list[Effect]:
        """Take a packet that no flow carried.

        Args:
            packet: from a peer if its local address is a relayed one, else from a client.
            now: monotonic seconds.
            wall: seconds since 1970.

        Returns:
            What to do; nothing for a packet that is dropped.

        See: RFC 8656 §7 to §12, RFC 8489 §6.3.
        """
        state = self._state
        allocation = state.allocations.by_relay.get(packet.local)
        try:
            if allocation is not None:
                return from_peer(state, allocation, packet, now)
            return self._from_client(packet, now, wall)
        except Dropped as reason:
            state.counts[f"drops.{reason}"] += 1
            return []

    def inspect(self, samples: Sequence[Sample], now: float) -> list[Effect]:
        """Look at some of the packets that flows have carried: do their streams still look encrypted?

        Args:
            samples: the packets, each with its flow and stream.
            now: monotonic seconds.

        Returns:
            What to do: a stream that looks otherwise is no longer carried, until it has been tested anew.
        """
        allocations = self._state.allocations
        return [
            effect
            for relay, peer in allocations.gate.inspect(samples, now)
            for effect in allocations.update_link(allocations.by_relay[relay], peer, now)
        ]

    def stranger_limits(self) -> StrangerLimits | None:
        """How often strangers are answered, for an engine that answers their Binding requests by itself.

        Returns:
            The limits; None: the answers hold more than the sender's address.

        See: RFC 8489 §6.3.1.
        """
        return None if self._discovers else self._state.stranger_limits()

    def _from_client(self, packet: Packet, now: float, wall: float) -> list[Effect]:
        data = packet.data
        if not data or (packet.local.port not in self._ports and packet.local.transport == "udp"):
            raise Dropped("foreign")
        if data[0] & 0xC0 == 0x40:
            return from_channel(self._state, packet, now)
        if is_bare_binding(data) and not self._discovers:
            return self._bind(packet, data[8:20], now)
        if data.startswith(SEND_HEAD):
            return from_client(self._state, packet, now)
        return self._request(packet, now, wall)

    def _request(self, packet: Packet, now: float, wall: float) -> list[Effect]:
        try:
            message = parse(packet.data)
        except WireError:
            if self._speaks_classic:
                return answer_classic(self._state, packet, self._others.get(packet.local), now)
            raise Dropped("malformed") from None
        allocation = self._state.allocations.of_client(packet.remote, packet.local)
        exchange = Exchange(self._state, packet, message, now, wall, allocation)
        if message.type == BINDING_REQUEST:
            return self._binding(exchange)
        if message.type not in METHODS:
            raise Dropped("method")
        return answer_request(exchange)

    def _binding(self, exchange: Exchange) -> list[Effect]:
        """A Binding request that has attributes (RFC 8489 §6.3.1)."""
        message = exchange.message
        unknown = message.unknown(UNDERSTOOD | ASKED if self._discovers else UNDERSTOOD)
        if self._discovers and not unknown:
            return discover(exchange, self._others.get(exchange.packet.local))
        if not unknown:
            return self._bind(
                exchange.packet, message.transaction, exchange.now, fingerprint=message.fingerprint
            )
        if not self._state.may_answer(exchange.client, exchange.now):
            return []
        return [exchange.error_response(UnknownAttribute(unknown))]

    def _bind(
        self, packet: Packet, transaction: bytes, now: float, *, fingerprint: bool = False
    ) -> list[Effect]:
        state = self._state
        if not state.may_answer(packet.remote, now):
            return []
        state.counts["replies.binding"] += 1
        reply = binding_success(transaction, packet.remote)
        return [Send(Packet(packet.local, packet.remote, add_fingerprint(reply) if fingerprint else reply))]

    def opened(self, relay: Address, taken: bool, now: float) -> list[Effect]:
        """Take the engine's answer to the effect Open.

        Args:
            relay: the address that was to be opened.
            taken: whether it is ours now; False if another program has it.
            now: monotonic seconds.

        Returns:
            The client's answer, or an attempt with another port.

        See: RFC 8656 §7.2.
        """
        then = self._state.pending_ports.pop(relay, None)
        if then is not None:
            return then(taken)
        return [Close(relay)] if taken else []

    def icmp_error(
        self, relay: Address, peer: Address, kind: int, code: int, data: bytes, now: float
    ) -> list[Effect]:
        """Take an ICMP error about a packet that went from a relayed address to a peer.

        Args:
            relay: the relayed address.
            peer: where the packet went.
            kind: the ICMP type.
            code: the ICMP code.
            data: four bytes; if the packet was too large, the size in bytes that would pass.
            now: monotonic seconds.

        Returns:
            A Data indication for the client, or nothing.

        See: RFC 8656 §11.5.
        """
        try:
            return [from_icmp(self._state, relay, peer, (kind, code, data), now)]
        except Dropped as reason:
            self._state.counts[f"drops.{reason}"] += 1
            return []

    def expire(self, now: float) -> list[Effect]:
        """End everything whose time is over. It may be called early and often.

        Args:
            now: monotonic seconds.

        Returns:
            What to do. If an error stops a call, the effects of what ended before it come with the next
            call, which is due at once.

        See: RFC 8656 §3.2, §9, §12.
        """
        effects = self._ended
        for item in self._state.allocations.expire(now):
            effects += self._state.end_allocation(item) if isinstance(item, Allocation) else [item]
        for reservation in self._state.reservations.expire(now):
            self._state.quota.give_back(reservation.user, reservation.charged_ip)
            effects.append(Close(reservation.relay))
        self._ended = []
        return effects

    def recheck(self, now: float) -> list[Effect]:
        """Find out what has ended in other processes of ours. With several processes, call it often.

        Args:
            now: monotonic seconds.

        Returns:
            What to do.
        """
        return list(self._state.allocations.recheck(now))

    def next_expiry(self) -> float | None:
        """When to call `expire`, at the latest.

        Returns:
            Monotonic seconds, or None while nothing can end.
        """
        if self._ended:
            return 0.0
        times = (self._state.allocations.next_expiry(), self._state.reservations.next_expiry())
        return min((time for time in times if time is not None), default=None)

    def keep_allocations(self) -> None:
        """From now on, note which allocations change, for `changes`."""
        self._state.allocations.take_changed()

    def changes(self, now: float) -> list[Change]:
        """What the next process of this relay must know, so that no call ends with this one.

        Args:
            now: monotonic seconds.

        Returns:
            Each relayed address that has changed since the last call, with its allocation as values; None:
            there is nothing more to keep of it.
        """
        allocations = self._state.allocations
        return changes(self._state, allocations.take_changed(), now) if allocations.changed else []

    def has_renewed(self) -> bool:
        """Whether there is new evidence of running calls, for `renewals`.

        Returns:
            True if a call of it is due soon: evidence that is a quarter of a minute old is of little use.
        """
        return bool(self._state.allocations.gate.renewed)

    def renewals(self, most: int, now: float) -> list[Change]:
        """The same as `changes`, of allocations of which only the evidence is new.

        Args:
            most: how many at once.
            now: monotonic seconds.

        Returns:
            As of `changes`, those first that have waited longest.
        """
        renewed = self._state.allocations.gate.renewed
        relays = list(islice(renewed, most))
        for relay in relays:
            del renewed[relay]
        return changes(self._state, relays, now)

    def restore(self, kept: Sequence[KeptAllocation], now: float) -> list[Effect]:
        """Take the allocations of a process of this relay that has died.

        Args:
            kept: what that process had to say in `changes`. What does not fit here any more is left out.
            now: monotonic seconds.

        Returns:
            What to do; after that, call `link_restored`.
        """
        return restore(self._state, kept, now)

    def link_restored(self, now: float) -> list[Effect]:
        """Let the flows of restored allocations go on, as far as today's settings allow them.

        Args:
            now: monotonic seconds.

        Returns:
            What to do.
        """
        return self._state.reload(self._state.settings, now)

    def drain(self, alternate: Address | None = None) -> None:
        """Take no new clients from now on; allocations that exist go on until their clients end them.

        Args:
            alternate: where clients of the same address family are sent (300); others are refused (508).

        See: RFC 8489 §10.
        """
        self._state.draining, self._state.alternate = True, alternate

    def kill(self, *, user: str | None = None, relay: Address | None = None) -> list[Effect]:
        """End the allocations of a user, or of one client.

        Args:
            user: the user as limits count it.
            relay: one relayed address of the client.

        Returns:
            What to do; nothing if there are none.
        """
        chosen = [one for one in self._state.allocations if one.user == user]
        named = self._state.allocations.by_relay.get(relay) if relay else None
        if named is not None:
            chosen += [one for one in named.both if one not in chosen]
        return [effect for allocation in chosen for effect in self._state.end_allocation(allocation)]

    def client_lost(self, client: Address, listener: Address) -> list[Effect]:
        """End what a client had, because its connection has ended.

        Args:
            client: the client's address.
            listener: the address of ours that it was connected to.

        Returns:
            What to do.

        See: RFC 8656 §3.2.
        """
        allocation = self._state.allocations.of_client(client, listener)
        gone = allocation.both if allocation else ()
        return [effect for one in gone for effect in self._state.end_allocation(one)]

    def clients(self) -> Iterator[tuple[Address, Address]]:
        """The clients that have an allocation.

        Returns:
            Client and listener of each.
        """
        return self._state.allocations.clients()

    def has_allocation(self, client: Address, listener: Address) -> bool:
        """Whether a client has an allocation.

        Args:
            client: the client's address.
            listener: the address of ours that it sends to.

        Returns:
            True while the client has one.
        """
        return self._state.allocations.of_client(client, listener) is not None

    def reload(self, settings: Settings, now: float) -> list[Effect]:
        """Use new settings from now on, also for allocations that exist.

        Args:
            settings: the new ones. The realm, the offer of SHA-256 and the key of the nonces stay as they
                were at the start, because clients have learnt them.
            now: monotonic seconds.

        Returns:
            What to do: allocations whose user or secret is gone end, and so do permissions for peers that
            are denied now.
        """
        self._apply(settings)
        return self._state.reload(settings, now)

    def sessions(self, now: float) -> Iterator[AllocationSummary]:
        """All allocations, for an operator.

        Args:
            now: monotonic seconds.

        Returns:
            A summary of each.
        """
        for allocation in self._state.allocations:
            yield AllocationSummary(
                allocation.user,
                allocation.client,
                allocation.relay,
                allocation.ends - now,
                len(allocation.permissions),
                len(allocation.channels),
                len(allocation.links),
            )
