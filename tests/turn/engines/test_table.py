"""The forwarding rule without sockets: legs are lists, time is a number."""

from __future__ import annotations

import pytest

from tests.turn.call import VIDEO, VOICE, rtcp, rtp, srtcp
from tests.turn.engines.legs import Legs
from tests.turn.engines.world import framed, unframed
from turn.engines.framing import LARGEST, LARGEST_DATAGRAM, LARGEST_FRAME
from turn.engines.table import Budget
from turn.flows import Address, Flow, Rule, Transport
from turn.wire.srtp import INWARD, LEAST_BETWEEN, RTCP, SPREAD

CLIENT, OTHER = Address.of("192.0.2.1", 1), Address.of("192.0.2.2", 2)
LISTENER, RELAY, SECOND = (Address.of("198.51.100.1", port) for port in (3478, 50000, 50001))
PEER = Address.of("203.0.113.1", 3)
SIX = Address.of("2001:db8::1", 1)
FLOW = Flow(CLIENT, LISTENER, 0x4000, RELAY, PEER)


@pytest.mark.parametrize("channel", [0x4000, None])
def test_both_ways(channel: int | None) -> None:
    legs, flow = Legs(), FLOW._replace(channel=channel)
    lane = legs.add(flow)
    assert legs.from_client(lane, framed(flow, b"out"))
    assert legs.from_peer(lane, b"in")
    assert legs.sent[PEER] == [b"out"]
    assert [unframed(flow, frame) for frame in legs.sent[CLIENT]] == [b"in"]
    assert legs.table[flow] == (1, 3, 1, 2, 0)


@pytest.mark.parametrize("channel", [0x4000, None])
@pytest.mark.parametrize("back_channel", [0x4001, None])
def test_mirrored_flows_meet(channel: int | None, back_channel: int | None) -> None:
    legs = Legs()
    there = FLOW._replace(channel=channel, peer=SECOND)
    back = Flow(OTHER, LISTENER, back_channel, SECOND, RELAY)
    one, two = legs.add(there), legs.add(back)
    data = bytes(range(251))
    assert legs.from_client(one, framed(there, data, fingerprint=True))
    assert legs.from_client(two, framed(back, data))
    assert unframed(back, legs.sent[OTHER][0]) == unframed(there, legs.sent[CLIENT][0]) == data
    assert not legs.sent[SECOND]
    legs.table.remove(back)
    assert legs.from_client(one, framed(there, b"alone"))
    assert legs.sent[SECOND] == [b"alone"]


@pytest.mark.parametrize("ends", [(SECOND, Address.of("6.6.6.6", 50001)), (SIX, SIX._replace(port=2))])
def test_indications_may_name_the_peer_otherwise(ends: tuple[Address, Address]) -> None:
    legs, (peer, shown) = Legs(), ends
    flow = FLOW._replace(channel=None, peer=peer, shown=shown)
    lane = legs.add(flow)
    assert legs.from_client(lane, framed(flow, b"out"))
    assert not legs.from_client(lane, framed(flow._replace(shown=None), b"by its own name"))
    assert legs.from_peer(lane, b"in")
    assert legs.sent[peer] == [b"out"]
    assert [unframed(flow, frame) for frame in legs.sent[CLIENT]] == [b"in"]
    assert legs.table.conflicting(FLOW._replace(channel=None, peer=PEER, shown=shown)) == [flow]
    assert legs.table.remove(flow) is lane


def test_a_flow_may_lead_back_to_its_own_relayed_address() -> None:
    legs, flow = Legs(), FLOW._replace(peer=RELAY)
    lane = legs.add(flow)
    assert legs.from_client(lane, framed(flow, b"echo"))
    assert unframed(flow, legs.sent[CLIENT][0]) == b"echo"
    assert legs.table.remove(flow) is lane


MEDIA = frozenset({VOICE, RTCP, VIDEO | INWARD})
SCREENED = [  # packet, what of it passes where the streams are named: to the peer, to the client
    (rtp(VOICE, 1), True, False),
    (rtp(VIDEO, 1), False, True),
    (rtp(VOICE + 1, 1), False, False),
    (srtcp(1), True, False),
    (rtcp(), False, False),
    (b"words", False, False),
    (b"", False, False),
]


@pytest.mark.parametrize(("packet", "out", "into"), SCREENED)
@pytest.mark.parametrize("channel", [0x4000, None])
def test_of_named_streams_all_else_comes_up(
    packet: bytes, out: bool, into: bool, channel: int | None
) -> None:
    legs, flow = Legs(), FLOW._replace(channel=channel)
    lane = legs.add(flow, Rule(MEDIA, packets=10))
    for _ in range(20):  # what comes up counts for no limit
        assert legs.from_client(lane, framed(flow, b"")) is legs.from_peer(lane, b"") is False
    assert legs.from_client(lane, framed(flow, packet)) is out
    assert legs.from_peer(lane, packet) is into
    assert (legs.table[flow].packets_out, legs.table[flow].packets_in) == (out, into)
    legs.table.set_rule(lane, Rule())
    assert legs.from_client(lane, framed(flow, packet))
    assert legs.from_peer(lane, packet)
    legs.table.set_rule(lane, Rule(frozenset()))
    assert legs.from_client(lane, framed(flow, packet)) is legs.from_peer(lane, packet) is False


def test_a_packet_of_some_is_shown_and_a_new_rule_changes_nothing_of_that() -> None:
    legs = Legs()
    lane = legs.add(FLOW, Rule(frozenset({VOICE})))
    shown = 0
    for number in range(200):
        if number % 3 == 0:
            legs.table.set_rule(lane, Rule(frozenset({VOICE, VIDEO | INWARD} if number % 2 else {VOICE})))
        packet = rtp(VOICE, number)
        assert legs.from_client(lane, framed(FLOW, packet))
        if len(legs.table.samples) > shown:
            shown += 1
            assert legs.table.samples[-1] == (FLOW, VOICE, packet)
    assert 200 // (LEAST_BETWEEN + SPREAD) <= shown <= 200 // (LEAST_BETWEEN + 1) + 1


MEETING = [  # what the sender's rule lets out, what the other's lets in, whether it passes
    (None, None, True),
    (frozenset({VOICE}), frozenset({VOICE | INWARD}), True),
    (frozenset({VOICE}), frozenset({VOICE}), False),
    (frozenset({VOICE}), None, True),
    (None, frozenset({VOICE | INWARD}), True),
    (None, frozenset({VOICE}), False),
    (frozenset({VIDEO}), frozenset({VOICE | INWARD}), False),
]


@pytest.mark.parametrize(("out", "into", "passes"), MEETING)
def test_where_two_flows_meet_both_rules_are_asked(
    out: frozenset[int] | None, into: frozenset[int] | None, passes: bool
) -> None:
    there, back = FLOW._replace(peer=SECOND), Flow(OTHER, LISTENER, 0x4001, SECOND, RELAY)
    for first, second in (((there, out), (back, into)), ((back, into), (there, out))):
        legs = Legs()
        lanes = {flow: legs.add(flow, Rule(media)) for flow, media in (first, second)}
        assert legs.from_client(lanes[there], framed(there, rtp(VOICE, 1))) is passes
        assert len(legs.sent[OTHER]) == legs.table[there].packets_out == passes
        legs.table.set_rule(lanes[back], Rule(frozenset()))
        assert not legs.from_client(lanes[there], framed(there, rtp(VOICE, 1)))
        legs.table.remove(back)
        alone = out is None or VOICE in out
        assert legs.from_client(lanes[there], framed(there, rtp(VOICE, 1))) is alone


def test_what_was_removed_leaves_nothing_behind() -> None:
    legs = Legs()
    flows = [FLOW, FLOW._replace(channel=None, peer=SECOND), Flow(OTHER, LISTENER, None, SECOND, RELAY)]
    for flow in flows:
        legs.add(flow)
    for flow in flows:
        assert legs.table.remove(flow)
        assert legs.table.remove(flow) is None
    assert [legs.table.lanes, legs.table.clients, legs.table.by_relay] == [{}, {}, {}]


def test_rivals_would_claim_the_same_packets() -> None:
    legs = Legs()
    legs.add(FLOW)
    rival = FLOW._replace(channel=None)
    assert legs.table.conflicting(rival) == [FLOW]
    assert legs.table.conflicting(FLOW._replace(peer=SECOND)) == [FLOW]
    assert legs.table.conflicting(FLOW._replace(channel=0x4001, peer=SECOND)) == []


BUCKETS = [  # packets a second, bits a second, size, seconds between, packets tried, packets passed
    (0, 0, 1200, 0.0, 5000, 5000),
    (10, 0, 100, 0.0, 30, 10),
    (10, 0, 100, 0.1, 30, 30),
    (10, 0, 100, 0.05, 60, 40),
    (0, 8 * 100_000, 1000, 0.0, 200, 100),
    (0, 8 * 100_000, 1000, 0.01, 200, 200),
    (0, 8, 1000, 0.0, 200, 65),  # a burst holds the largest packet at least
    (1, 8 * 100_000, 1000, 0.5, 10, 5),
]


@pytest.mark.parametrize(("packets", "bits", "size", "gap", "tried", "passed"), BUCKETS)
def test_buckets(packets: int, bits: int, size: int, gap: float, tried: int, passed: int) -> None:
    budget = Budget(packets, bits, 0.0)
    count = 0
    for number in range(tried):
        budget.packets -= 1
        budget.octets -= size
        below = budget.packets < 0 or budget.octets < 0
        count += not below or budget.refill(size, number * gap)
    assert abs(count - passed) <= 1


def test_one_bucket_for_an_allocation_and_a_new_one_for_new_limits() -> None:
    legs, rule = Legs(), Rule(packets=2)
    lane = legs.add(FLOW, rule)
    other = legs.add(FLOW._replace(channel=0x4001, peer=SECOND), rule)
    for _ in range(4):
        legs.from_peer(lane, b"in")
        legs.from_peer(other, b"in")
    assert lane.dropped + other.dropped == 6
    legs.table.set_rule(lane, rule)
    legs.from_peer(lane, b"in")
    assert lane.dropped + other.dropped == 7
    legs.table.set_rule(lane, Rule())
    legs.from_peer(other, b"in")
    assert lane.dropped + other.dropped == 7


NAMED = Rule(frozenset({VOICE, VIDEO | INWARD}))


@pytest.mark.parametrize("rule", [NAMED._replace(packets=10), NAMED._replace(bits=8 * LARGEST)])
@pytest.mark.parametrize("inward", [False, True])
def test_limits_hold_where_streams_are_named(rule: Rule, inward: bool) -> None:
    legs = Legs()
    lane = legs.add(FLOW, rule)
    packet = rtp(VIDEO if inward else VOICE, 1, bytes(8000))
    for _ in range(100):
        assert legs.from_peer(lane, packet) if inward else legs.from_client(lane, framed(FLOW, packet))
    carried = legs.table[FLOW].packets_in + legs.table[FLOW].packets_out
    assert carried >= 7
    assert 0 < lane.dropped == 100 - carried
    assert len(legs.sent[CLIENT if inward else PEER]) == carried


def test_what_no_frame_holds_is_dropped_where_streams_are_named() -> None:
    legs = Legs()
    lane = legs.add(FLOW, NAMED)
    assert legs.from_peer(lane, rtp(VIDEO, 1, bytes(LARGEST - 12)))
    assert (lane.dropped, legs.sent[CLIENT]) == (1, [])


@pytest.mark.parametrize("channel", [0x4000, None])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(
    "ends", [(CLIENT, PEER), (Address.of("2001:db8::1", 1), Address.of("2001:db8::2", 2))]
)
def test_what_no_frame_holds_is_dropped(
    ends: tuple[Address, Address], transport: Transport, channel: int | None
) -> None:
    legs, client = Legs(), ends[0]._replace(transport=transport)
    lane = legs.add(FLOW._replace(client=client, channel=channel, peer=ends[1]))
    room = LARGEST_DATAGRAM[len(client.ip)] if transport == "udp" else LARGEST_FRAME
    lengths = range(LARGEST - 150, LARGEST + 1)
    for length in lengths:
        assert legs.from_peer(lane, bytes(length))
    frames = legs.sent[client]
    assert [len(unframed(lane.flow, frame)) for frame in frames] == [*lengths][: len(frames)]
    assert room - 4 < len(frames[-1]) <= room
    assert lane.traffic().packets_in == len(frames)
    assert lane.traffic().dropped == len(lengths) - len(frames)
