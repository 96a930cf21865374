"""The forwarding rule: which linked flow claims a packet, what its allocation may still carry, where it goes.

Nothing here owns a socket: an engine gives each client and each lane the function that sends on its leg,
reads packets into one buffer with framing.ROOM free in front, and asks the table what becomes of them.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator, Mapping
from itertools import chain
from time import monotonic

from turn.engines.framing import (
    LARGEST,
    PAIR,
    ChannelFrame,
    DataFrame,
    is_channel,
    largest_frame,
    peer_key,
    read_send,
)
from turn.engines.transmit import Transmit, discard, push
from turn.flows import Address, Flow, Rule, Traffic
from turn.wire.srtp import stream_of, streams

ClientKey = tuple[Address, Address]  # a client, and the address of ours that it sends to


class Budget:
    """What one allocation may still carry: a second's worth at most, both ways and all flows together."""

    __slots__ = ("filled", "octets", "octets_per_second", "packets", "packets_per_second")

    def __init__(self, packets: int, bits: int, now: float) -> None:
        self.packets_per_second = packets or math.inf
        self.octets_per_second = bits / 8 or math.inf
        self.packets = max(self.packets_per_second, 1.0)
        self.octets = max(self.octets_per_second, LARGEST)
        self.filled = now

    def refill(self, octets: int, now: float) -> bool:
        """After a packet went below zero: add what time has brought. False: too late, as if never sent."""
        elapsed, self.filled = now - self.filled, now
        most_packets, most_octets = max(self.packets_per_second, 1.0), max(self.octets_per_second, LARGEST)
        self.packets = min(self.packets + elapsed * self.packets_per_second, most_packets)
        self.octets = min(self.octets + elapsed * self.octets_per_second, most_octets)
        if self.packets >= 0 and self.octets >= 0:
            return True
        self.packets += 1
        self.octets += octets
        return False


class LinkedClient:
    """One client at one listener: what its frames may name, and the leg towards it."""

    __slots__ = (
        "address",
        "bits",
        "budget",
        "channels",
        "internal_lanes",
        "listener",
        "packets",
        "peers",
        "send",
    )

    def __init__(self, address: Address, listener: Address, rule: Rule) -> None:
        self.address = address
        self.listener = listener
        self.set_limits(rule)
        self.channels: dict[int, Lane] = {}
        self.peers: dict[bytes, Lane] = {}
        self.internal_lanes = 0  # lanes whose data is written into another client's frames
        self.send: Transmit = discard

    def set_limits(self, rule: Rule) -> None:
        self.packets, self.bits = rule.packets, rule.bits
        self.budget = Budget(rule.packets, rule.bits, monotonic())

    def carried(self) -> int:
        """How many packets, both ways, by the flows that it has now."""
        return sum(lane.packets_out + lane.packets_in for lane in self.lanes())

    def lanes(self) -> Iterator[Lane]:
        return chain(self.channels.values(), self.peers.values())

    def carry(self, view: memoryview, start: int, size: int) -> bool:
        """Carry the client's datagram at `start`; False: it is not media of a linked flow, and goes up."""
        if is_channel(view[start]):
            channel, length = PAIR.unpack_from(view, start)
            lane = self.channels.get(channel)
            if lane is None or not 0 <= size - 4 - length <= 3:  # UDP needs no padding, but may have it
                return False
            return lane.carry_out(view, start + 4, length)
        media = read_send(view, start, size) if self.peers else None
        lane = self.peers.get(media[0]) if media else None
        if media is None or lane is None:
            return False
        return lane.carry_out(view, media[1], media[2])


class Lane:
    """One linked flow: both its legs, its frame on the client's, and what it has carried."""

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "client",
        "dropped",
        "flow",
        "frame",
        "largest",
        "media_in",
        "media_out",
        "packets_in",
        "packets_out",
        "reverse",
        "rule",
        "send",
    )

    def __init__(self, flow: Flow, rule: Rule, client: LinkedClient) -> None:
        self.flow = flow
        self.rule = rule
        self.client = client
        self.frame = (
            DataFrame(flow.peer, secrets.token_bytes(12))
            if flow.channel is None
            else ChannelFrame(flow.channel)
        )
        self.largest = self.frame.largest(largest_frame(flow.client))
        self.reverse: Lane | None = None  # the flow that comes the other way, when both ends are ours
        self.media_out: frozenset[int] | None = None  # what may go to the peer, in a lane that asks
        self.media_in: frozenset[int] | None = None  # and to the client
        self.send: Transmit = discard
        self.packets_out = self.bytes_out = self.packets_in = self.bytes_in = self.dropped = 0

    @property
    def transmit_out(self) -> Transmit:
        """What the client's data leaves by."""
        return self.send if self.reverse is None else self.reverse.client.send

    def carry_out(self, view: memoryview, start: int, length: int) -> bool:
        """The client's data to the peer; in one hop where the peer is another client of ours."""
        bucket = self.client.budget
        bucket.packets -= 1
        bucket.octets -= length
        if (bucket.packets < 0 or bucket.octets < 0) and not bucket.refill(length, monotonic()):
            self.dropped += 1
            return True
        self.packets_out += 1
        self.bytes_out += length
        if self.reverse is not None:
            return Lane.carry_in(self.reverse, view, start, length)  # what it may carry was asked before
        data = view[start : start + length]
        push(self.send, data)
        return True

    def carry_in(self, view: memoryview, start: int, length: int) -> bool:
        """The peer's data to the client; False: it goes up. What a limit drops, or no frame holds, is dealt
        with."""
        bucket = self.client.budget
        bucket.packets -= 1
        bucket.octets -= length
        if (bucket.packets < 0 or bucket.octets < 0) and not bucket.refill(length, monotonic()):
            self.dropped += 1
            return True
        if length > self.largest:
            self.dropped += 1
            return True
        self.packets_in += 1
        self.bytes_in += length
        frame = self.frame.wrap(view, start, length)
        push(self.client.send, frame)
        return True

    def choose_class(self) -> None:
        """Know which streams may pass: where two flows meet, those of both rules."""
        mate, media = self.reverse, self.rule.media
        self.media_out = allowed_streams(media, inward=False)
        self.media_in = allowed_streams(media, inward=True)
        if mate is not None:
            self.media_out = intersection(self.media_out, allowed_streams(mate.rule.media, inward=True))
        anything = self.media_out is None and self.media_in is None
        self.__class__ = Lane if anything else FilteredLane

    def traffic(self) -> Traffic:
        return Traffic(self.packets_out, self.bytes_out, self.packets_in, self.bytes_in, self.dropped)


class FilteredLane(Lane):
    """A lane that carries streams which passed the proof and sends up all else. What a lane is, is decided
    when a rule comes: who may carry anything is asked nothing per packet."""

    __slots__ = ()

    def carry_out(self, view: memoryview, start: int, length: int) -> bool:
        media = self.media_out
        if media is not None and stream_of(view, start, length) not in media:
            return False
        return Lane.carry_out(self, view, start, length)

    def carry_in(self, view: memoryview, start: int, length: int) -> bool:
        media = self.media_in
        if media is not None and stream_of(view, start, length) not in media:
            return False
        return Lane.carry_in(self, view, start, length)


def allowed_streams(media: frozenset[int] | None, *, inward: bool) -> frozenset[int] | None:
    """The streams of one direction; None for anything."""
    return None if media is None else streams(media, inward=inward)


def intersection(one: frozenset[int] | None, other: frozenset[int] | None) -> frozenset[int] | None:
    """What both allow."""
    if one is None or other is None:
        return other if one is None else one
    return one & other


class Table(Mapping[Flow, Traffic]):
    """All linked flows; as a mapping, what each has carried until now."""

    def __init__(self) -> None:
        self.lanes: dict[Flow, Lane] = {}
        self.clients: dict[tuple[Address, Address], LinkedClient] = {}
        self.by_relay: dict[Address, dict[Address, Lane]] = {}  # by relayed address, then by peer

    def __getitem__(self, flow: Flow) -> Traffic:
        return self.lanes[flow].traffic()

    def __iter__(self) -> Iterator[Flow]:
        return iter(self.lanes)

    def __len__(self) -> int:
        return len(self.lanes)

    def between(self, relay: Address, peer: Address) -> Lane | None:
        """The lane that carries what this peer sends to this relayed address."""
        lanes = self.by_relay.get(relay)
        return lanes.get(peer) if lanes else None

    def conflicting(self, flow: Flow) -> list[Flow]:
        """The linked flows that would claim the same packets as this one, which is not linked."""
        client = self.clients.get((flow.client, flow.listener))
        same_channel = client.channels.get(flow.channel) if client and flow.channel is not None else None
        same_pair = self.between(flow.relay, flow.peer)
        return list({lane.flow: None for lane in (same_channel, same_pair) if lane})

    def add(self, flow: Flow, rule: Rule) -> Lane:
        """A new lane, and its client if that is new too."""
        owner = (flow.client, flow.listener)
        client = self.clients.get(owner)
        if client is None:
            client = self.clients[owner] = LinkedClient(flow.client, flow.listener, rule)
        lane = self.lanes[flow] = Lane(flow, rule, client)
        self.by_relay.setdefault(flow.relay, {})[flow.peer] = lane
        if flow.channel is None:
            client.peers[peer_key(flow.peer)] = lane
        else:
            client.channels[flow.channel] = lane
        lane.reverse = self.between(flow.peer, flow.relay)
        if lane.reverse is not None:
            lane.reverse.reverse = lane
            client.internal_lanes += 1
            lane.reverse.client.internal_lanes += 1
        self.set_rule(lane, rule)
        return lane

    def set_rule(self, lane: Lane, rule: Rule) -> None:
        """Let the new rule hold; an allocation whose limits stay keeps what it has used of them."""
        lane.rule = rule
        for one in (lane, lane.reverse):
            if one is not None:
                one.choose_class()
        client = lane.client
        if (client.packets, client.bits) != (rule.packets, rule.bits):
            client.set_limits(rule)

    def remove(self, flow: Flow) -> Lane | None:
        """The lane that was, or None; its client goes with its last lane."""
        lane = self.lanes.pop(flow, None)
        if lane is None:
            return None
        lanes = self.by_relay[flow.relay]
        del lanes[flow.peer]
        if not lanes:
            del self.by_relay[flow.relay]
        if lane.reverse is not None:
            mate, lane.reverse.reverse, lane.reverse = lane.reverse, None, None
            mate.choose_class()
            mate.client.internal_lanes -= 1
            lane.client.internal_lanes -= 1
        client = lane.client
        if flow.channel is None:
            del client.peers[peer_key(flow.peer)]
        else:
            del client.channels[flow.channel]
        if not client.channels and not client.peers:
            del self.clients[flow.client, flow.listener]
        return lane
