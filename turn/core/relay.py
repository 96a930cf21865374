"""The relay as decisions: a packet or a moment in, effects out; no clock, no socket."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from turn.core.allocations import Allocation
from turn.core.data import Dropped, from_channel, from_client, from_icmp, from_peer
from turn.core.discovery import ASKED, answer_classic, discover, other_addresses
from turn.core.effects import Close, Effect, Send
from turn.core.exchange import Exchange
from turn.core.requests import METHODS, answer_request
from turn.core.settings import Settings
from turn.core.state import RelayState
from turn.errors import UnknownAttribute
from turn.flows import Address, Flow, Packet, Traffic
from turn.gate.sessions import News, Proven
from turn.wire.attributes import NONCE, REALM, USERNAME
from turn.wire.integrity import add_fingerprint
from turn.wire.stun import (
    BINDING_REQUEST,
    SEND_INDICATION,
    WireError,
    binding_success,
    is_bare_binding,
    parse,
)

UNDERSTOOD = frozenset((USERNAME.type, REALM.type, NONCE.type))  # and not asked for by Binding
SEND_HEAD = SEND_INDICATION.to_bytes(2, "big")

__all__ = ["AllocationSummary", "Relay", "Settings"]


class AllocationSummary(NamedTuple):
    """One live allocation, for an operator's terminal; the relay's logs never hold an address."""

    user: str
    client: Address
    relay: Address
    seconds_left: float
    permissions: int
    channels: int
    flows: int


class Relay:
    """`now` is monotonic seconds; `wall`, seconds since 1970, is for credentials alone."""

    def __init__(self, settings: Settings) -> None:
        self._state = RelayState(settings)
        self._ended: list[Effect] = []  # of what has ended before something failed to
        self._apply(settings)

    def _apply(self, settings: Settings) -> None:
        self.listeners = settings.listeners
        self._ports = frozenset(listener.port for listener in settings.listeners)
        self._discovers, self._speaks_classic = settings.behaviour_discovery, settings.classic_stun
        self._others = other_addresses(settings) if self._discovers or self._speaks_classic else {}

    @property
    def counts(self) -> Mapping[str, int]:
        """How many packets were dropped and requests answered, by reason; without addresses and names."""
        return self._state.counts

    @property
    def gate_counts(self) -> Mapping[tuple[str, str], int]:
        """How many packets the gate has passed and refused, by the rule that held and the reason."""
        return self._state.allocations.gate.counts

    def learn_session(self, news: News, now: float) -> None:
        """Believe another relay of ours, which saw this session's handshake or one end's part of it."""
        self._state.allocations.gate.learn_session(news, now)

    def news(self) -> list[News]:
        """What was proved or offered in sessions since the last call, for the relays beside this one."""
        return self._state.allocations.gate.news()

    def proven_sessions(self) -> list[Proven]:
        """All sessions that were proved here, for the relays beside this one and after it."""
        return self._state.allocations.gate.proven_sessions()

    def watch_traffic(self, traffic: Mapping[Flow, Traffic]) -> None:
        """What the engine has carried, live: one limit holds for what it and the core carry together."""
        self._state.allocations.traffic = traffic

    def receive(self, packet: Packet, now: float, wall: float) -> list[Effect]:
        """A packet that no flow carried: from a client where it came to a listener, else from a peer."""
        state = self._state
        allocation = state.allocations.by_relay.get(packet.local)
        try:
            if allocation is not None:
                return from_peer(state, allocation, packet, now)
            return self._from_client(packet, now, wall)
        except Dropped as reason:
            state.counts[f"drops.{reason}"] += 1
            return []

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
        """The answer to Open: whether the relayed address is ours now."""
        then = self._state.pending_ports.pop(relay, None)
        if then is not None:
            return then(taken)
        return [Close(relay)] if taken else []

    def icmp_error(
        self, relay: Address, peer: Address, kind: int, code: int, data: bytes, now: float
    ) -> list[Effect]:
        """An ICMP error came back for what went from a relayed address to a peer: its type, its code, and
        four bytes of data, which hold the size that would pass where one says that a packet was too large."""
        try:
            return [from_icmp(self._state, relay, peer, (kind, code, data), now)]
        except Dropped as reason:
            self._state.counts[f"drops.{reason}"] += 1
            return []

    def expire(self, now: float) -> list[Effect]:
        """What ends by now. May be called early and often. Where one thing fails to end, the next call,
        which is due at once, has what ended before it."""
        effects = self._ended
        for item in self._state.allocations.expire(now):
            effects += self._state.end_allocation(item) if isinstance(item, Allocation) else [item]
        for reservation in self._state.reservations.expire(now):
            self._state.quota.give_back(reservation.user, reservation.charged_ip)
            effects.append(Close(reservation.relay))
        self._ended = []
        return effects

    def recheck(self, now: float) -> list[Effect]:
        """What has ended elsewhere. To be called often, where other processes of ours relay too."""
        return list(self._state.allocations.recheck(now))

    def next_expiry(self) -> float | None:
        """When to call `expire`, at the latest; None while nothing can end."""
        if self._ended:
            return 0.0
        times = (self._state.allocations.next_expiry(), self._state.reservations.next_expiry())
        return min((time for time in times if time is not None), default=None)

    def drain(self, alternate: Address | None = None) -> None:
        """Take nobody new: they are sent to `alternate`, if it has their family, else refused. What lives
        goes on until its client ends it."""
        self._state.draining, self._state.alternate = True, alternate

    def kill(self, *, user: str | None = None, relay: Address | None = None) -> list[Effect]:
        """All that a user holds, or what the client of one relayed address holds."""
        chosen = [one for one in self._state.allocations if one.user == user]
        named = self._state.allocations.by_relay.get(relay) if relay else None
        if named is not None:
            chosen += [one for one in named.both if one not in chosen]
        return [effect for allocation in chosen for effect in self._state.end_allocation(allocation)]

    def client_lost(self, client: Address, listener: Address) -> list[Effect]:
        """A client's connection has ended, and with it what it held (RFC 8656 §3.2)."""
        allocation = self._state.allocations.of_client(client, listener)
        gone = allocation.both if allocation else ()
        return [effect for one in gone for effect in self._state.end_allocation(one)]

    def clients(self) -> Iterator[tuple[Address, Address]]:
        """Who has an allocation, each with the listener that it came in by."""
        return self._state.allocations.owners()

    def has_allocation(self, client: Address, listener: Address) -> bool:
        """Whether this client has an allocation."""
        return self._state.allocations.of_client(client, listener) is not None

    def reload(self, settings: Settings, now: float) -> list[Effect]:
        """New settings for what comes and for what lives: allocations whose user or secret is gone end, and
        permissions for peers that are denied now. The realm, the offer of SHA-256 and the nonces' key stay
        as they were at the start, since clients have learnt them."""
        self._apply(settings)
        return self._state.reload(settings, now)

    def sessions(self, now: float) -> Iterator[AllocationSummary]:
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
