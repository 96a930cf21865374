"""Which linked flow claims a packet, whether its allocation may still carry it, and where it goes.

Nothing here owns a socket. An engine gives each client and each lane the function that sends on its leg. It
reads packets into one buffer with framing.HEADROOM bytes free in front, and asks the table what to do with
them.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator, Mapping
from itertools import chain
from time import monotonic

from turn.engines.framing import (
    LARGEST,
    ChannelFrame,
    DataFrame,
    largest_frame,
    peer_key,
    read_pair,
    read_send,
)
from turn.engines.transmit import DISCARD, Outlet, push, push_again
from turn.flows import Address, Flow, Rule, Sample, Traffic
from turn.wire.srtp import INWARD, NOTHING, RTCP, SHORTEST_RTP, between, is_sealed, streams, unpack_rtp

ClientKey = tuple[Address, Address]  # a client, and the address of ours that it sends to
Unseen = dict[int, int]  # by stream, how many packets are carried before the core sees one again


class Budget:
    """What one allocation may still carry: at most one second's worth, both ways and all flows together.

    A token bucket without a call and without a clock in the usual case, because each packet of media takes
    from it: with `turn.limits.buckets.Bucket` a packet would cost a fifth more.
    """

    __slots__ = ("filled", "octets", "octets_per_second", "packets", "packets_per_second")

    def __init__(self, packets: int, bits: int, now: float) -> None:
        self.packets_per_second = packets or math.inf
        self.octets_per_second = bits / 8 or math.inf
        self.packets = max(self.packets_per_second, 1.0)
        self.octets = max(self.octets_per_second, LARGEST)
        self.filled = now

    def refill(self, octets: int, now: float) -> bool:
        """After a packet too many: add what time has brought. False: still too many, so it is not counted."""
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
    """A client with linked flows, at one listener: its lanes, and what sends to it."""

    __slots__ = (
        "address",
        "bits",
        "budget",
        "channels",
        "internal_lanes",
        "listener",
        "outlet",
        "packets",
        "peers",
    )

    def __init__(self, address: Address, listener: Address, rule: Rule) -> None:
        self.address = address
        self.listener = listener
        self.set_limits(rule)
        self.channels: dict[int, Lane] = {}
        self.peers: dict[bytes, Lane] = {}
        self.internal_lanes = 0  # lanes whose data is written into another client's frames
        self.outlet: Outlet = DISCARD

    def set_limits(self, rule: Rule) -> None:
        self.packets, self.bits = rule.packets, rule.bits
        self.budget = Budget(rule.packets, rule.bits, monotonic())

    def carried(self) -> int:
        """How many packets its present flows have carried, both ways."""
        return sum(lane.packets_out + lane.packets_in for lane in self.lanes())

    def lanes(self) -> Iterator[Lane]:
        return chain(self.channels.values(), self.peers.values())

    def lane_of(self, flow: Flow) -> Lane | None:
        """The lane whose frames look like this flow's."""
        return (
            self.peers.get(peer_key(flow.named)) if flow.channel is None else self.channels.get(flow.channel)
        )

    def carry(self, view: memoryview, start: int, size: int) -> bool:
        """Carry the client's datagram at `start`. False: no linked flow carries it, so it is punted."""
        if view[start] & 0xC0 == 0x40:  # as `is_channel`, but each packet passes here
            channel, length = read_pair(view, start)
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
    """One linked flow: its two legs, its kind of frame, and what it has carried."""

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
        "outlet",
        "packets_in",
        "packets_out",
        "reverse",
        "rule",
        "samples",
    )

    def __init__(self, flow: Flow, rule: Rule, client: LinkedClient, samples: list[Sample]) -> None:
        self.flow = flow
        self.rule = rule
        self.client = client
        self.samples = samples
        self.frame = (
            DataFrame(flow.named, secrets.token_bytes(12))
            if flow.channel is None
            else ChannelFrame(flow.channel)
        )
        self.largest = self.frame.largest(largest_frame(flow.client))
        self.reverse: Lane | None = None  # the other direction, where the peer is a client of ours
        self.media_out: Unseen | None = None  # the streams that may go to the peer; None: anything
        self.media_in: Unseen | None = None  # and to the client
        self.outlet: Outlet = DISCARD
        self.packets_out = self.bytes_out = self.packets_in = self.bytes_in = self.dropped = 0

    @property
    def outlet_out(self) -> Outlet:
        """What sends the client's data."""
        return self.outlet if self.reverse is None else self.reverse.client.outlet

    def carry_out(self, view: memoryview, start: int, length: int) -> bool:
        """The client's data to the peer; directly to a client where the peer is a relayed address of ours."""
        budget = self.client.budget
        budget.packets -= 1
        budget.octets -= length
        if (budget.packets < 0 or budget.octets < 0) and not budget.refill(length, monotonic()):
            self.dropped += 1
            return True
        self.packets_out += 1
        self.bytes_out += length
        if self.reverse is not None:
            return Lane.carry_in(self.reverse, view, start, length)  # both rules are checked already
        data = view[start : start + length]
        push(self.outlet.put, data)
        return True

    def carry_in(self, view: memoryview, start: int, length: int) -> bool:
        """The peer's data to the client. False: it is punted. Data beyond a limit, or too long for a frame,
        is dropped."""
        budget = self.client.budget
        budget.packets -= 1
        budget.octets -= length
        if (budget.packets < 0 or budget.octets < 0) and not budget.refill(length, monotonic()):
            self.dropped += 1
            return True
        if length > self.largest:
            self.dropped += 1
            return True
        self.packets_in += 1
        self.bytes_in += length
        frame = self.frame.wrap(view, start, length)
        push(self.client.outlet.put, frame)
        return True

    def choose_class(self) -> None:
        """Find which streams may pass (where two flows meet, both rules count), and be what that needs."""
        reverse, media = self.reverse, self.rule.media
        outward, inward = allowed_streams(media, inward=False), allowed_streams(media, inward=True)
        if reverse is not None:
            outward = intersection(outward, allowed_streams(reverse.rule.media, inward=True))
        self.media_out, self.media_in = unseen(outward, self.media_out), unseen(inward, self.media_in)
        anything = self.media_out is None and self.media_in is None
        self.__class__ = Lane if anything else FilteredLane

    def traffic(self) -> Traffic:
        return Traffic(self.packets_out, self.bytes_out, self.packets_in, self.bytes_in, self.dropped)


class FilteredLane(Lane):
    """A lane that carries the streams of its rule and punts all else. A rule decides the class of its lane:
    so a lane that may carry anything checks nothing per packet.

    Each packet of media passes here. So what `stream_of` and `Lane` do in the usual case, of SRTP within the
    limits, is written out.
    """

    __slots__ = ()

    def carry_out(self, view: memoryview, start: int, length: int) -> bool:
        media = self.media_out
        if media is not None:
            if length < SHORTEST_RTP:
                return False
            first, second, stream = unpack_rtp(view, start)
            if first & 0xC0 != 0x80:
                return False
            if second & 0xE0 == 0xC0:
                stream = RTCP if is_sealed(view, start, length) else NOTHING
            left = media.get(stream)
            if left:
                media[stream] = left - 1
            elif left is None:
                return False
            else:
                media[stream] = self.sample(stream, view, start, length)
        budget = self.client.budget
        if self.reverse is not None or budget.packets < 1 or budget.octets < length:
            return Lane.carry_out(self, view, start, length)
        budget.packets -= 1
        budget.octets -= length
        self.packets_out += 1
        self.bytes_out += length
        data = view[start : start + length]
        try:
            self.outlet.put(data)
        except OSError as error:
            push_again(self.outlet.put, data, error)
        return True

    def carry_in(self, view: memoryview, start: int, length: int) -> bool:
        media = self.media_in
        if media is not None:
            if length < SHORTEST_RTP:
                return False
            first, second, stream = unpack_rtp(view, start)
            if first & 0xC0 != 0x80:
                return False
            if second & 0xE0 == 0xC0:
                stream = RTCP if is_sealed(view, start, length) else NOTHING
            left = media.get(stream)
            if left:
                media[stream] = left - 1
            elif left is None:
                return False
            else:
                media[stream] = self.sample(stream | INWARD, view, start, length)
        client = self.client
        budget = client.budget
        if length > self.largest or budget.packets < 1 or budget.octets < length:
            return Lane.carry_in(self, view, start, length)
        budget.packets -= 1
        budget.octets -= length
        self.packets_in += 1
        self.bytes_in += length
        frame = self.frame.wrap(view, start, length)
        try:
            client.outlet.put(frame)
        except OSError as error:
            push_again(client.outlet.put, frame, error)
        return True

    def sample(self, stream: int, view: memoryview, start: int, length: int) -> int:
        """Copy this packet for the core. How many packets of its stream will not be copied after it."""
        packet = bytes(view[start : start + length])
        self.samples.append((self.flow, stream, packet))
        return between(packet)


def unseen(allowed: frozenset[int] | None, before: Unseen | None) -> Unseen | None:
    """These streams, each as far as it was; of a new one, the first packet is shown."""
    return None if allowed is None else {stream: (before or {}).get(stream, 0) for stream in allowed}


def allowed_streams(media: frozenset[int] | None, *, inward: bool) -> frozenset[int] | None:
    """The streams of one direction; None: anything."""
    return None if media is None else streams(media, inward=inward)


def intersection(one: frozenset[int] | None, other: frozenset[int] | None) -> frozenset[int] | None:
    """The streams that both allow; None: anything."""
    if one is None or other is None:
        return other if one is None else one
    return one & other


class Table(Mapping[Flow, Traffic]):
    """All linked flows; read as a mapping, what each has carried until now. The engine shows `samples` to the
    core."""

    def __init__(self, samples: list[Sample] | None = None) -> None:
        self.samples = [] if samples is None else samples
        self.lanes: dict[Flow, Lane] = {}
        self.clients: dict[tuple[Address, Address], LinkedClient] = {}
        self.by_relay: dict[Address, dict[Address, Lane]] = {}  # then by peer

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
        """The linked flows that claim the same packets as this one, which is not linked."""
        client = self.clients.get((flow.client, flow.listener))
        same_frames = client.lane_of(flow) if client else None
        same_pair = self.between(flow.relay, flow.peer)
        return list({lane.flow: None for lane in (same_frames, same_pair) if lane})

    def add(self, flow: Flow, rule: Rule) -> Lane:
        """A new lane, and its client if that is new too."""
        key = (flow.client, flow.listener)
        client = self.clients.get(key)
        if client is None:
            client = self.clients[key] = LinkedClient(flow.client, flow.listener, rule)
        lane = self.lanes[flow] = Lane(flow, rule, client, self.samples)
        self.by_relay.setdefault(flow.relay, {})[flow.peer] = lane
        if flow.channel is None:
            client.peers[peer_key(flow.named)] = lane
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
        """Use another rule. Where its limits are the same, what was used of them still counts."""
        lane.rule = rule
        for one in (lane, lane.reverse):
            if one is not None:
                one.choose_class()
        client = lane.client
        if (client.packets, client.bits) != (rule.packets, rule.bits):
            client.set_limits(rule)

    def remove(self, flow: Flow) -> Lane | None:
        """The lane that was removed, or None; a client is removed with its last lane."""
        lane = self.lanes.pop(flow, None)
        if lane is None:
            return None
        lanes = self.by_relay[flow.relay]
        del lanes[flow.peer]
        if not lanes:
            del self.by_relay[flow.relay]
        if lane.reverse is not None:
            reverse, lane.reverse.reverse, lane.reverse = lane.reverse, None, None
            reverse.choose_class()
            reverse.client.internal_lanes -= 1
            lane.client.internal_lanes -= 1
        client = lane.client
        if flow.channel is None:
            del client.peers[peer_key(flow.named)]
        else:
            del client.channels[flow.channel]
        if not client.channels and not client.peers:
            del self.clients[flow.client, flow.listener]
        return lane
