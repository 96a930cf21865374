"""Data that no flow carries: Send indications, ChannelData and packets of peers, each checked in full."""

from __future__ import annotations

from typing import Any

from turn.core.allocations import Allocation
from turn.core.effects import Effect, Send
from turn.core.state import RelayState
from turn.errors import BadRequest, FamilyMismatch
from turn.flows import Address, Packet
from turn.wire.attributes import DATA, DONT_FRAGMENT, ICMP, XOR_PEER_ADDRESS, Attribute
from turn.wire.stun import (
    DATA_INDICATION,
    MAX_DATAGRAM,
    WireError,
    build,
    channel_data,
    data_indication,
    parse,
    parse_channel_data,
    parse_send,
)

MAX_PAYLOAD = MAX_DATAGRAM - 48  # what fits into a Data indication; ChannelData would have room for more
UNDERSTOOD = frozenset((XOR_PEER_ADDRESS.type, DATA.type, DONT_FRAGMENT.type))

# ICMP types that are reported to a client, by the size of the family's addresses (RFC 8656 §11.5): for IPv4
# "unreachable" and "time exceeded"; for IPv6 "unreachable", "packet too big" and "time exceeded".
FORWARDED = {4: (3, 11), 16: (1, 2, 3)}
TOO_BIG = {4: (3, 4), 16: (2, 0)}  # type and code of the errors whose data holds the size that would pass
NO_DATA = bytes(4)


class Dropped(Exception):  # not an error: most of what the Internet sends us ends here
    """A packet is dropped; the text is the reason that it is counted under."""


def from_client(state: RelayState, packet: Packet, now: float) -> list[Effect]:
    """A Send indication (RFC 8656 §11.2). Raises Dropped."""
    allocation = state.allocations.of_client(packet.remote, packet.local)
    if allocation is None:
        raise Dropped("no allocation")
    plain, dont_fragment = parse_send(packet.data), False
    if plain is not None:
        outer, payload = plain
    else:
        outer, payload, dont_fragment = read_send(packet.data)
    peer = state.destinations.to_local(outer)
    if len(peer.ip) != len(allocation.relay.ip):
        allocation = sibling_for(allocation, peer)
    check_destination(state, allocation, peer, now)
    passes, changes = judge_payload(state, allocation, peer, payload, now, outward=True)
    if not passes:
        return changes
    links = state.allocations.link_for_send(allocation, peer, now)
    if links is None:
        raise Dropped("new peers")
    sent = forward(state, allocation, allocation.relay, peer, payload, now)
    if dont_fragment:  # the client waits for the ICMP error if the packet is too large
        allocation.wants_icmp = True
        sent = Send(sent.packet._replace(dont_fragment=True))
    return [*changes, *links, sent]


def sibling_for(allocation: Allocation, peer: Address) -> Allocation:
    try:
        return allocation.for_peer(peer.ip)
    except FamilyMismatch:
        raise Dropped("no permission") from None


def read_send(data: bytes) -> tuple[Address, bytes, bool]:
    """Peer, data, and whether the packet must not be fragmented (RFC 8656 §14). Raises Dropped."""
    try:
        message = parse(data)
        peer, payload = message.get(XOR_PEER_ADDRESS), message.get(DATA)
    except (WireError, BadRequest):
        raise Dropped("malformed") from None
    if peer is None or payload is None or message.unknown(UNDERSTOOD):
        raise Dropped("malformed")
    return peer, payload, message.has(DONT_FRAGMENT)


def from_channel(state: RelayState, packet: Packet, now: float) -> list[Effect]:
    """ChannelData (RFC 8656 §12.6). Raises Dropped."""
    allocation = state.allocations.of_client(packet.remote, packet.local)
    if allocation is None:
        raise Dropped("no allocation")
    try:
        number, payload = parse_channel_data(packet.data)
    except WireError:
        raise Dropped("malformed") from None
    if number not in allocation.channels and allocation.sibling:
        allocation = allocation.sibling
    channel = allocation.channels.get(number)
    if channel is None:
        raise Dropped("no channel")
    check_destination(state, allocation, channel.peer, now)
    passes, changes = judge_payload(state, allocation, channel.peer, payload, now, outward=True)
    if not passes:
        return changes
    links = state.allocations.update_link(allocation, channel.peer, now)
    return [*changes, *links, forward(state, allocation, allocation.relay, channel.peer, payload, now)]


def from_peer(state: RelayState, allocation: Allocation, packet: Packet, now: float) -> list[Effect]:
    """A datagram at a relayed address (RFC 8656 §11.3, §12.7). Raises Dropped."""
    peer = packet.remote
    if not allocation.permits(peer.ip, now):
        raise Dropped("no permission")
    if len(packet.data) > MAX_PAYLOAD:
        raise Dropped("too large")
    passes, changes = judge_payload(state, allocation, peer, packet.data, now, outward=False)
    if not passes:
        return changes
    number = allocation.numbers.get(peer)
    if number is None:
        data = data_indication(state.next_transaction(), state.destinations.to_public(peer), packet.data)
    else:
        data = channel_data(number, packet.data)
    return [*changes, forward(state, allocation, allocation.listener, allocation.client, data, now)]


def from_icmp(
    state: RelayState, relay: Address, peer: Address, icmp: tuple[int, int, bytes], now: float
) -> Send:
    """An ICMP error about a packet from a relayed address to a peer (RFC 8656 §11.5). Raises Dropped."""
    allocation = state.allocations.by_relay.get(relay)
    if allocation is None:
        raise Dropped("no allocation")
    if not allocation.wants_icmp:
        raise Dropped("icmp unasked")
    kind, code, data = icmp
    if kind not in FORWARDED[len(relay.ip)] or len(data) != len(NO_DATA):
        raise Dropped("icmp")
    if not allocation.permits(peer.ip, now):
        raise Dropped("no permission")
    if not state.icmp_reports.spend(relay.ip + relay.port.to_bytes(2), now):
        raise Dropped("icmp pace")
    icmp = (kind, code, data if (kind, code) == TOO_BIG[len(relay.ip)] else NO_DATA)
    rows: list[tuple[Attribute[Any], Any]] = [
        (XOR_PEER_ADDRESS, state.destinations.to_public(peer)),
        (ICMP, icmp),
    ]
    message = build(DATA_INDICATION, state.next_transaction(), rows)
    return forward(state, allocation, allocation.listener, allocation.client, message, now)


def check_destination(state: RelayState, allocation: Allocation, peer: Address, now: float) -> None:
    if not allocation.permits(peer.ip, now):
        raise Dropped("no permission")
    if not peer.port or not state.destinations.may_send_to(peer):
        raise Dropped("no way")


def judge_payload(
    state: RelayState, allocation: Allocation, peer: Address, payload: bytes, now: float, *, outward: bool
) -> tuple[bool, list[Effect]]:
    """Whether the gate lets the payload pass, and the effects on the flow, whatever the verdict is."""
    verdict = state.allocations.gate.judge(allocation.relay, peer, outward, payload, now)
    if not verdict.passes:
        state.counts["drops.not encrypted"] += 1
    return verdict.passes, state.allocations.update_link(allocation, peer, now) if verdict.changed else []


def forward(
    state: RelayState, allocation: Allocation, local: Address, remote: Address, data: bytes, now: float
) -> Send:
    if not state.allocations.within_pace(allocation, len(data), now):
        raise Dropped("pace")
    return Send(Packet(local, remote, data))
