"""Which linked flows ride in the kernel: their slots, their entries in the index, what they have carried."""

from __future__ import annotations

import secrets
import struct
from collections import Counter, deque
from collections.abc import Container
from time import monotonic
from typing import NamedTuple

from turn.engines.framing import DataFrame
from turn.engines.kernel import layout
from turn.engines.kernel.layout import CONFIG, COUNTS, COUNTS_AT, HEAD, PORTS, RULE, RULE_AT, SLOT_SIZE
from turn.engines.kernel.maps import Maps
from turn.engines.kernel.routes import RoutingTable
from turn.engines.table import ClientKey, Lane, Unseen
from turn.flows import Address, Flow, Traffic

BEGIN = struct.Struct("<3I")  # of a slot: its tag, its bucket, its mate
REST = 0.1  # seconds before a slot is used again: a processor may still be at a packet of the one before
NOTHING = Traffic()


class Places:
    """Places in an array. The one that was given back first is the next, and not before it has rested."""

    def __init__(self, count: int, taken: Container[int] = ()) -> None:
        self.free = deque((number, 0.0) for number in range(1, count) if number not in taken)

    def take(self, count: int) -> list[int]:
        """So many, or none."""
        if len(self.free) < count or self.free[count - 1][1] > monotonic():
            return []
        return [self.free.popleft()[0] for _ in range(count)]

    def give_back(self, *numbers: int) -> None:
        self.free.extend((number, monotonic() + REST) for number in numbers)


class SharedBucket:
    """The bucket that all flows of one allocation share."""

    def __init__(self, place: int) -> None:
        self.place = place
        self.limits: tuple[int, int] | None = None  # packets and bits a second
        self.flows = 0


class Rider:
    """A flow in the kernel: two slots, how packets leave by them, and the keys that lead to them now."""

    def __init__(
        self, flow: Flow, places: list[int], share: SharedBucket, tags: tuple[int, int], *, is_inside: bool
    ) -> None:
        self.flow = flow
        self.is_inside = is_inside  # whether the peer is a relayed address of the same engine
        self.out, self.into = places
        self.share = share
        self.tags = tags
        self.labels = secrets.randbits(20), secrets.randbits(20)  # for IPv6
        self.to_peer: layout.Way | None = None
        self.to_client: layout.Way | None = None
        self.keys: dict[bytes, int] = {}


class Left(NamedTuple):
    """What the flows that a process before us has entered still use."""

    slots: set[int]
    buckets: set[int]
    last_tag: int


def left_behind(program: Maps) -> Left:
    """Also the slots of mates, to which no key leads. Keys of listeners lead to none."""
    heads = {
        place: BEGIN.unpack_from(program.slots, place * SLOT_SIZE)
        for place in program.inherited.values()
        if place
    }
    mates = {mate for _, _, mate in heads.values()} - heads.keys() - {0}
    heads |= {mate: BEGIN.unpack_from(program.slots, mate * SLOT_SIZE) for mate in mates}
    return Left(
        set(heads),
        {bucket for _, bucket, _ in heads.values()},
        max((tag for tag, *_ in heads.values()), default=0),
    )


class Riders:
    """All flows that ride. One for which there is no room, or that the program cannot carry, is not here.

    `relays` are the relayed addresses of this engine: what is sent to one of them never leaves.
    """

    def __init__(self, program: Maps, routes: RoutingTable, relays: Container[Address]) -> None:
        self.program = program
        self.routes = routes
        self.relays = relays
        self.left, self.is_settled = left_behind(program), False
        self.slots, self.buckets = (Places(program.room, taken) for taken in self.left[:2])
        self.riders: dict[Flow, Rider] = {}
        self.shares: dict[ClientKey, SharedBucket] = {}
        self.shown_by: dict[
            int, tuple[Flow, bool]
        ] = {}  # by a slot's tag: its flow, and whether it is inward
        self.ports: Counter[tuple[int, int]] = Counter()  # keys in the index, by port and what is there
        self.last_tag = self.left.last_tag
        self.past = 0  # packets that removed flows have carried

    def update(self, lane: Lane) -> None:
        """Let a lane ride as it is now, as far as it can."""
        rider = self.riders.get(lane.flow) or self.add(lane.flow)
        if rider is None:
            return
        self.set_limits(rider.share, (lane.rule.packets, lane.rule.bits))
        wanted = {}
        if self.prepare_out(rider, lane):
            wanted[layout.client_key(lane.flow)] = rider.out
        if self.prepare_in(rider, lane):
            wanted[layout.peer_side_key(lane.flow)] = rider.into
        for key in [key for key in rider.keys if key not in wanted]:
            self.drop(rider, key)
        for key, place in wanted.items():
            if key not in rider.keys:
                self.enter(rider, key, place)

    def carries(self, lane: Lane) -> bool:
        """Whether all that a lane carries rides, but for what is too large."""
        rider = self.riders.get(lane.flow)
        return rider is not None and all(
            media == {} or place in rider.keys.values()
            for media, place in ((lane.media_out, rider.out), (lane.media_in, rider.into))
        )

    def add(self, flow: Flow) -> Rider | None:
        """None: it cannot ride, or there is no room."""
        owner = flow.client, flow.listener
        if flow.client.transport != "udp" or any(map(is_link_local, (*owner, flow.relay, flow.peer))):
            return None
        share = self.shares.get(owner)
        place = [share.place] if share else self.buckets.take(1)
        places = self.slots.take(2)
        if not place or not places:
            self.buckets.give_back(*(place if share is None else ()))
            self.slots.give_back(*places)
            return None
        share = self.shares.setdefault(owner, share or SharedBucket(place[0]))
        share.flows += 1
        self.last_tag += 2
        tags = (self.last_tag, self.last_tag + 1)
        rider = Rider(flow, places, share, tags, is_inside=flow.peer in self.relays)
        self.riders[flow] = rider
        self.shown_by |= {tags[0]: (flow, False), tags[1]: (flow, True)}
        for number in places:
            self.program.slots[number * SLOT_SIZE : (number + 1) * SLOT_SIZE] = bytes(SLOT_SIZE)
        self.find_ways(rider)
        return rider

    def find_ways(self, rider: Rider) -> None:
        flow = rider.flow
        rider.to_client = self.routes.way(flow.listener.ip, flow.client.ip)
        rider.to_peer = None if rider.is_inside else self.routes.way(flow.relay.ip, flow.peer.ip)

    def set_limits(self, share: SharedBucket, limits: tuple[int, int]) -> None:
        """Where they are the same, what was used of them still counts."""
        if share.limits != limits:
            share.limits = limits
            at = share.place * layout.BUCKET.size
            self.program.buckets[at : at + layout.BUCKET.size] = layout.bucket(*limits)

    def prepare_out(self, rider: Rider, lane: Lane) -> bool:
        """Write the slot of what the client sends. False: nothing may ride there."""
        flow, way, into = lane.flow, rider.to_peer, 0
        if lane.reverse is not None:
            mate = self.riders.get(lane.reverse.flow)
            way, into = (mate.to_client, mate.into) if mate else (None, 0)
        elif rider.is_inside or len(flow.client.ip) != len(flow.peer.ip):
            return False
        if way is None or lane.media_out == {}:
            return False
        where = way, flow.relay, flow.peer, b"", rider.labels[0]
        self.write(rider.out, layout.head(rider.tags[0], rider.share.place, into, *where), lane.media_out)
        return True

    def prepare_in(self, rider: Rider, lane: Lane) -> bool:
        """The same of what the peer sends. Where that is a client of ours, its own slot leads here."""
        flow, way, frame = lane.flow, rider.to_client, lane.frame
        if way is None:
            return False
        front = frame.head if isinstance(frame, DataFrame) else frame.channel.to_bytes(2, "big") + bytes(2)
        where = way, flow.listener, flow.client, front, rider.labels[1]
        self.write(rider.into, layout.head(rider.tags[1], rider.share.place, 0, *where), lane.media_in)
        is_met = rider.is_inside or lane.reverse is not None
        return lane.media_in != {} and not is_met and len(flow.client.ip) == len(flow.peer.ip)

    def write(self, place: int, head: bytes, media: Unseen | None) -> None:
        """A slot's head and rule. For a moment the rule may be neither old nor new, but names no stream that
        is in neither."""
        memory, start = self.program.slots, place * SLOT_SIZE
        at = start + RULE_AT
        if media is not None:
            left = layout.left_of(memory[at : at + RULE.size])
            memory[at : at + RULE.size] = layout.rule({stream: left.get(stream, 0) for stream in media})
        memory[start : start + HEAD.size] = head
        memory[start + layout.ANYTHING] = media is None

    def enter(self, rider: Rider, key: bytes, place: int) -> None:
        if self.mark(key, place):
            rider.keys[key] = place

    def drop(self, rider: Rider, key: bytes) -> None:
        del rider.keys[key]
        self.unmark(key)

    def mark(self, key: bytes, place: int) -> bool:
        """Let the program find this key; whether there was room."""
        self.mark_port(key, 1)
        if not self.program.enter(key, place):
            self.mark_port(key, -1)
            return False
        self.program.inherited.pop(key, None)
        return True

    def unmark(self, key: bytes) -> None:
        self.program.drop(key)
        self.mark_port(key, -1)

    def mark_port(self, key: bytes, change: int) -> None:
        """The program looks for keys of ports only that have some."""
        port, what = layout.port_of(key)
        self.ports[port, what] += change
        if not self.ports[port, what]:
            del self.ports[port, what]
        bits = sum(bit for bit in (layout.LISTENER, layout.RELAYED) if (port, bit) in self.ports)
        self.program.config[layout.CONFIG.size + port] = bits

    def settle(self) -> None:
        """What another process has left, and was not entered again by now, rides no more."""
        if self.is_settled:
            return
        self.is_settled = True
        for key in self.program.inherited:
            self.program.drop(key)
        self.program.inherited.clear()
        marks = bytearray(PORTS)
        for port, what in self.ports:
            marks[port] |= what
        self.program.config[CONFIG.size : CONFIG.size + PORTS] = marks
        self.slots.give_back(*self.left.slots)
        self.buckets.give_back(*self.left.buckets)

    def leave(self) -> None:
        """Let all ride on: where the program outlives this process, the next one may take them."""
        for rider in self.riders.values():
            rider.keys.clear()

    def withdraw(self, flow: Flow) -> None:
        """From now on, all packets of a flow go up."""
        rider = self.riders.get(flow)
        if rider is not None:
            for key in list(rider.keys):
                self.drop(rider, key)

    def remove(self, flow: Flow) -> Traffic:
        """Forget a flow; returns what it has carried here."""
        self.withdraw(flow)
        carried = self.traffic(flow)
        rider = self.riders.pop(flow, None)
        if rider is not None:
            self.past += carried.packets_out + carried.packets_in
            for tag in rider.tags:
                del self.shown_by[tag]
            self.slots.give_back(rider.out, rider.into)
            rider.share.flows -= 1
            if not rider.share.flows:
                self.buckets.give_back(rider.share.place)
                del self.shares[flow.client, flow.listener]
        return carried

    def traffic(self, flow: Flow) -> Traffic:
        """What a flow has carried here until now."""
        rider = self.riders.get(flow)
        if rider is None:
            return NOTHING
        memory = self.program.slots
        out, into = (
            COUNTS.unpack_from(memory, place * SLOT_SIZE + COUNTS_AT) for place in (rider.out, rider.into)
        )
        return Traffic(out[0], out[1], into[0], into[1], out[2] + into[2])

    def rode(self) -> int:
        """Packets that all flows have carried here, also those that were removed."""
        carried = map(self.traffic, self.riders)
        return self.past + sum(one.packets_out + one.packets_in for one in carried)


def is_link_local(address: Address) -> bool:
    """Whether it means another machine on each interface (RFC 4291 §2.5.6)."""
    return len(address.ip) == 16 and address.ip[0] == 0xFE and address.ip[1] & 0xC0 == 0x80
