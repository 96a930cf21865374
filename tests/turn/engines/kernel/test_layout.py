"""The bytes that user space and the program share."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from turn.core.requests import SMALLEST_ANSWERED
from turn.engines import framing
from turn.engines.kernel import layout
from turn.flows import Address, Flow
from turn.limits import addresses
from turn.policies import Network, StrangerLimits
from turn.wire import srtp
from turn.wire.srtp import RTCP

HEADER = Path(layout.__file__).with_name("maps.h")
CLIENT, LISTENER = Address.of("192.0.2.1", 40000), Address.of("198.51.100.1", 3478)
RELAY, PEER = Address.of("198.51.100.1", 50000), Address.of("203.0.113.1", 9)
FLOW = Flow(CLIENT, LISTENER, 0x4001, RELAY, PEER)

STREAMS: list[dict[int, int]] = [
    {},
    {RTCP: 3},
    {0xFEEDF00D: 1, 5: 22},
    {**dict.fromkeys(range(8), 7), RTCP: 0},
]


@pytest.mark.parametrize("streams", STREAMS)
def test_a_rule_is_read_as_it_was_written(streams: dict[int, int]) -> None:
    assert layout.left_of(layout.rule(streams)) == streams


def test_of_more_streams_than_there_is_room_for_some_are_named() -> None:
    named = layout.left_of(layout.rule(dict.fromkeys([RTCP, *range(20)], 1)))
    assert len(named) == layout.MAX_STREAMS + 1
    assert RTCP in named


def test_a_key_says_whose_port_of_ours_it_is_for() -> None:
    assert layout.port_of(layout.client_key(FLOW)) == (3478, layout.LISTENER)
    assert layout.port_of(layout.client_key(FLOW._replace(channel=None))) == (3478, layout.LISTENER)
    assert layout.port_of(layout.peer_side_key(FLOW)) == (50000, layout.RELAYED)


def test_each_flow_and_direction_has_a_key_of_its_own() -> None:
    flows = [FLOW, FLOW._replace(channel=0x4002), FLOW._replace(channel=None)]
    flows.append(flows[2]._replace(peer=PEER._replace(port=10)))
    flows.append(flows[2]._replace(shown=Address.of("203.0.113.1", 11)))
    keys = {layout.client_key(flow) for flow in flows} | {layout.peer_side_key(FLOW)}
    assert len(keys) == len(flows) + 1
    assert {len(key) for key in keys} == {layout.KEY.size}


BUCKETS = [  # packets and bits a second -> packets and bits in a full bucket, nanoseconds until they are full
    (0, 0, 1, 8 * 65535, 0, 0),
    (10, 0, 10, 8 * 65535, 10**9, 0),
    (0, 1_000_000, 1, 1_000_000, 0, 10**9),
    (1, 8, 1, 8 * 65535, 10**9, 65535 * 10**9),
    (10**12, 10**12, 1, 8 * 65535, 0, 0),  # as good as no limit
]


@pytest.mark.parametrize("row", BUCKETS)
def test_a_bucket_holds_a_second_and_the_largest_packet_at_least(row: tuple[int, ...]) -> None:
    packets, bits, most_packets, most_bits, *full_after = row
    found = layout.BUCKET.unpack(layout.bucket(packets, bits))
    assert found[:2] == found[5:7] == (most_packets * 10**9, most_bits * 10**9)
    assert list(found[7:]) == full_after
    assert all(number < 1 << 63 for number in found)


def test_limits_of_strangers_are_times() -> None:
    limits = StrangerLimits(50, 200, 10_000)
    assert layout.STRANGERS.unpack(layout.strangers(limits)) == (20_000_000, 4 * 10**9, 100_000, 10**9)
    assert layout.STRANGERS.unpack(layout.strangers(StrangerLimits(0, 0, 0)))[:3] == (0, 0, 0)


@pytest.mark.parametrize(
    ("text", "first", "mask", "family"),
    [
        ("10.1.0.0/16", "0a010000", "ffff0000", 4),
        ("192.0.2.1/32", "c0000201", "ffffffff", 4),
        ("0.0.0.0/0", "00000000", "00000000", 4),
        ("2001:db8::/33", "20010db8" + "00" * 12, "ffffffff80" + "00" * 11, 6),
    ],
)
def test_a_network_is_its_first_address_and_a_mask(text: str, first: str, mask: str, family: int) -> None:
    found = layout.NETWORK.unpack(layout.network(Network.of(text)))
    assert found == (bytes.fromhex(first).ljust(16, b"\0"), bytes.fromhex(mask).ljust(16, b"\0"), family)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STREAMS", layout.MAX_STREAMS),
        ("SHORTEST_RTP", srtp.SHORTEST_RTP),
        ("LEAST_BETWEEN", srtp.LEAST_BETWEEN),
        ("SPREAD", srtp.SPREAD),
        ("MOST_IN_COMPOUND", srtp.MOST_IN_COMPOUND),
        ("FINGERPRINT_XOR", framing.FINGERPRINT_XOR),
        ("HOUSEHOLD_BITS", addresses.HOUSEHOLD_BITS),
        ("SITE_BITS", addresses.SITE_BITS),
        ("SITE_FACTOR", addresses.SITE_FACTOR),
        ("SMALLEST_ANSWERED", SMALLEST_ANSWERED),
        ("SERVED", layout.SERVED),
        ("TRUSTED", layout.MAX_TRUSTED),
    ],
)
def test_the_program_has_the_same_numbers(name: str, value: int) -> None:
    [said] = re.findall(rf"^#define {name} (\w+)", HEADER.read_text(), re.MULTILINE)
    assert int(said, 0) == value
