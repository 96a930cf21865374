"""Packets that no flow carries: Send indications, ChannelData and what peers send, each checked in full."""

from __future__ import annotations

from turn.core.allocations import Allocation
from turn.core.effects import Effect, Send
from turn.core.state import State
from turn.errors import BadRequest
from turn.flows import Address, Packet
from turn.wire.attributes import DATA, XOR_PEER_ADDRESS
from turn.wire.stun import (
    MAX_DATAGRAM,
    WireError,
    channel_data,
    data_indication,
    parse,
    parse_channel_data,
    parse_send,
)

MAX_PAYLOAD = MAX_DATAGRAM - 48  # what fits into a Data indication, whose frame is the larger one
UNDERSTOOD = frozenset((XOR_PEER_ADDRESS.type, DATA.type))


class Drop(Exception):  # no error: most of what the Internet sends us ends here
    """A packet that goes nowhere; its text is the name that it is counted under."""


def from_client(state: State, packet: Packet, now: float) -> list[Effect]:
    """A Send indication (RFC 8656 §11.2). Raises Drop."""
    allocation = state.allocations.find(packet.there, packet.here)
    if allocation is None:
        raise Drop("no allocation")
    outer, payload = parse_send(packet.data) or read_send(packet.data)
    peer = state.reach.inside(outer)
    check_way(state, allocation, peer, now)
    links = state.allocations.speak(allocation, peer, now)
    if links is None:
        raise Drop("new peers")
    return [*links, pass_on(allocation, allocation.relay, peer, payload, now)]


def read_send(data: bytes) -> tuple[Address, bytes]:
    try:
        message = parse(data)
        peer, payload = message.get(XOR_PEER_ADDRESS), message.get(DATA)
    except (WireError, BadRequest):
        raise Drop("malformed") from None
    if peer is None or payload is None or message.unknown(UNDERSTOOD):
        raise Drop("malformed")
    return peer, payload


def from_channel(state: State, packet: Packet, now: float) -> list[Effect]:
    """ChannelData (RFC 8656 §12.6). Raises Drop."""
    allocation = state.allocations.find(packet.there, packet.here)
    if allocation is None:
        raise Drop("no allocation")
    try:
        number, payload = parse_channel_data(packet.data)
    except WireError:
        raise Drop("malformed") from None
    channel = allocation.channels.get(number)
    if channel is None:
        raise Drop("no channel")
    check_way(state, allocation, channel.peer, now)
    links = state.allocations.settle(allocation, channel.peer, now)
    return [*links, pass_on(allocation, allocation.relay, channel.peer, payload, now)]


def from_peer(state: State, allocation: Allocation, packet: Packet, now: float) -> list[Effect]:
    """A datagram at a relayed address (RFC 8656 §11.3, §12.7). Raises Drop."""
    peer = packet.there
    if not allocation.permits(peer.ip, now):
        raise Drop("no permission")
    if len(packet.data) > MAX_PAYLOAD:
        raise Drop("too large")
    number = allocation.numbers.get(peer)
    if number is None:
        data = data_indication(state.next_transaction(), state.reach.outside(peer), packet.data)
    else:
        data = channel_data(number, packet.data)
    return [pass_on(allocation, allocation.listener, allocation.client, data, now)]


def check_way(state: State, allocation: Allocation, peer: Address, now: float) -> None:
    if not allocation.permits(peer.ip, now):
        raise Drop("no permission")
    if not peer.port or not state.reach.leads_to(peer):
        raise Drop("no way")


def pass_on(allocation: Allocation, here: Address, there: Address, data: bytes, now: float) -> Send:
    pace = allocation.pace
    if not pace.packets.take(now) or not pace.bits.take(now, 8 * len(data)):
        raise Drop("pace")
    return Send(Packet(here, there, data))
