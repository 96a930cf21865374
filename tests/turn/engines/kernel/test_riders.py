"""Which flows ride, with a program that only remembers."""

from __future__ import annotations

from typing import cast

import pytest

from tests.turn.call import VIDEO, VOICE
from turn.engines.kernel import layout, riders
from turn.engines.kernel.layout import BUCKET, CONFIG, RULE, RULE_AT, SLOT_SIZE, Way
from turn.engines.kernel.maps import Maps
from turn.engines.kernel.riders import Places, Riders
from turn.engines.kernel.routes import RoutingTable
from turn.engines.table import Lane, Table
from turn.flows import Address, Flow, Rule
from turn.wire.srtp import INWARD, RTCP

CLIENT, OTHER = Address.of("192.0.2.1", 1), Address.of("192.0.2.2", 2)
LISTENER, RELAY, SECOND = (Address.of("198.51.100.1", port) for port in (3478, 50000, 50001))
PEER = Address.of("203.0.113.1", 3)
SIX = Address.of("2001:db8::1", 4)
NOWHERE = Address.of("203.0.113.9", 5)
FLOW = Flow(CLIENT, LISTENER, 0x4000, RELAY, PEER)


class Remembering:
    """Stands for the program."""

    def __init__(self, slots: int) -> None:
        self.index: dict[bytes, int] = {}
        self.room = slots
        self.inherited: dict[bytes, int] = {}
        self.slots = bytearray(slots * SLOT_SIZE)
        self.buckets = bytearray(slots * BUCKET.size)
        self.config = bytearray(layout.CONFIG_SIZE)

    def enter(self, key: bytes, slot: int) -> bool:
        self.index[key] = slot
        return True

    def drop(self, key: bytes) -> None:
        del self.index[key]


class Known:
    """RoutingTable to everywhere but one place."""

    def way(self, _source: bytes, destination: bytes) -> Way | None:
        return None if destination == NOWHERE.ip else Way(1, None)


class Machine:
    def __init__(self, slots: int = 32) -> None:
        self.program = Remembering(slots)
        self.relays = {RELAY, SECOND}
        self.table = Table()
        self.riders = Riders(cast("Maps", self.program), cast("RoutingTable", Known()), self.relays)

    def link(self, flow: Flow, rule: Rule = Rule()) -> Lane:  # noqa: B008
        lane = self.table.lanes.get(flow) or self.table.add(flow, rule)
        self.table.set_rule(lane, rule)
        for one in (lane, lane.reverse):
            if one is not None:
                self.riders.update(one)
        return lane

    @property
    def keys(self) -> set[bytes]:
        return set(self.program.index)

    def rule_at(self, key: bytes) -> dict[int, int]:
        at = self.program.index[key] * SLOT_SIZE + RULE_AT
        return layout.left_of(bytes(self.program.slots[at : at + RULE.size]))

    def ports(self) -> dict[int, int]:
        marks = self.program.config[CONFIG.size :]
        return {port: mark for port, mark in enumerate(marks) if mark}


def both(flow: Flow) -> set[bytes]:
    return {layout.client_key(flow), layout.peer_side_key(flow)}


def test_a_flow_rides_both_ways_and_leaves_nothing_behind() -> None:
    machine = Machine()
    machine.link(FLOW)
    assert machine.keys == both(FLOW)
    assert machine.ports() == {3478: layout.LISTENER, 50000: layout.RELAYED}
    machine.riders.withdraw(FLOW)
    assert not machine.keys
    machine.riders.remove(FLOW)
    left = machine.riders
    assert not any((left.riders, left.shares, left.shown_by, left.ports, machine.ports()))
    assert len(left.slots.free) == len(left.buckets.free) == 31


CANNOT = [
    FLOW._replace(client=CLIENT._replace(transport="tcp")),
    FLOW._replace(client=CLIENT._replace(transport="tls")),
    FLOW._replace(client=Address.of("fe80::1", 1), listener=Address.of("fe80::2", 3478)),
    FLOW._replace(peer=SIX, relay=SIX._replace(port=9)),
    FLOW._replace(peer=SECOND),  # a client of ours that is not linked back
]


@pytest.mark.parametrize("flow", CANNOT)
def test_what_the_program_cannot_carry_stays_below(flow: Flow) -> None:
    machine = Machine()
    machine.link(flow)
    assert not machine.keys


@pytest.mark.parametrize(
    ("flow", "rides"),
    [(FLOW._replace(peer=NOWHERE), layout.peer_side_key), (FLOW._replace(client=NOWHERE), layout.client_key)],
)
def test_a_direction_without_a_way_goes_up_alone(flow: Flow, rides: object) -> None:
    machine = Machine()
    machine.link(flow)
    assert machine.keys == {rides(flow)}  # type: ignore[operator]


def test_where_two_flows_meet_each_leads_to_the_other_client() -> None:
    machine = Machine()
    there, back = FLOW._replace(peer=SECOND), Flow(OTHER, LISTENER, 0x4001, SECOND, RELAY)
    machine.link(there)
    assert not machine.keys
    machine.link(back)
    assert machine.keys == {layout.client_key(there), layout.client_key(back)}
    mates = {
        key: int.from_bytes(machine.program.slots[place * SLOT_SIZE + 8 : place * SLOT_SIZE + 12], "little")
        for key, place in machine.program.index.items()
    }
    assert mates[layout.client_key(there)] == machine.riders.riders[back].into
    assert mates[layout.client_key(back)] == machine.riders.riders[there].into
    lane = machine.table.lanes[there]
    machine.riders.withdraw(there)
    machine.riders.withdraw(back)
    machine.table.remove(back)
    machine.riders.remove(back)
    machine.riders.update(lane)
    assert not machine.keys


def test_a_rule_that_names_nothing_in_a_direction_lets_nothing_ride_there() -> None:
    machine = Machine()
    machine.link(FLOW, Rule(frozenset({VOICE})))
    assert machine.keys == {layout.client_key(FLOW)}
    machine.link(FLOW, Rule(frozenset({VOICE | INWARD})))
    assert machine.keys == {layout.peer_side_key(FLOW)}


def test_a_new_rule_keeps_how_far_its_streams_were() -> None:
    machine = Machine()
    machine.link(FLOW, Rule(frozenset({VOICE, RTCP})))
    key = layout.client_key(FLOW)
    at = machine.program.index[key] * SLOT_SIZE + RULE_AT
    machine.program.slots[at : at + RULE.size] = layout.rule({VOICE: 7, RTCP: 3})
    machine.link(FLOW, Rule(frozenset({VIDEO, VOICE, RTCP})))
    assert machine.rule_at(key) == {VIDEO: 0, VOICE: 7, RTCP: 3}
    anything = machine.program.index[key] * SLOT_SIZE + layout.ANYTHING
    assert not machine.program.slots[anything]
    machine.link(FLOW)
    assert machine.program.slots[anything]


def test_flows_of_an_allocation_share_a_bucket_that_new_limits_fill() -> None:
    machine = Machine()
    limits = Rule(packets=7)
    machine.link(FLOW, limits)
    machine.link(FLOW._replace(channel=0x4001, peer=PEER._replace(port=4)), limits)
    [share] = machine.riders.shares.values()
    assert share.flows == 2
    at = share.place * BUCKET.size
    machine.program.buckets[at : at + 8] = bytes(8)  # all packets are spent
    machine.link(FLOW, limits)
    assert not any(machine.program.buckets[at : at + 8])
    machine.link(FLOW, Rule(packets=8))
    assert machine.program.buckets[at : at + BUCKET.size] == layout.bucket(8, 0)


def test_without_room_a_flow_stays_below_until_there_is_some(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(riders, "monotonic", lambda: now)
    machine, other = Machine(4), FLOW._replace(client=OTHER)
    machine.link(FLOW)
    machine.link(other)
    assert machine.keys == both(FLOW)
    machine.riders.remove(FLOW)
    machine.link(other)
    assert not machine.keys  # what has just been used rests
    now += riders.REST
    machine.link(other)
    assert machine.keys == both(other)


def test_places_come_back_in_the_order_in_which_they_were_given_back() -> None:
    places = Places(4)
    assert places.take(4) == []
    one, two, three = places.take(3)
    places.give_back(two)
    places.give_back(one, three)
    assert [number for number, _ in places.free] == [two, one, three]
    assert places.take(1) == []
