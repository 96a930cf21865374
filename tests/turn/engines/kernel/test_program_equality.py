"""The program and the table say the same of every packet: byte for byte, in both families and frames."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from time import monotonic_ns

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.turn.call import VIDEO, VOICE, rtp
from tests.turn.engines.kernel import packets
from tests.turn.engines.kernel.one_machine import OneWay, ends, know
from tests.turn.engines.kernel.packets import SENT, UP, packet, read, run
from tests.turn.engines.legs import Legs
from tests.turn.engines.world import attribute, stun, with_fingerprint, xored
from turn.engines.kernel.layout import CONFIG, SECOND
from turn.engines.kernel.own import LOOPBACK, USUAL
from turn.engines.kernel.program import Program
from turn.engines.kernel.riders import Riders
from turn.engines.table import Lane
from turn.flows import Address, Flow, Rule
from turn.wire.srtp import INWARD, RTCP

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a program in the kernel needs root")

LARGEST = 1280  # bytes of an IP packet that the program takes or makes
HEADERS = {4: 28, 16: 48}
EVERYTHING = frozenset((VOICE, VIDEO, RTCP, VOICE | INWARD, VIDEO | INWARD, RTCP | INWARD))
RULES = [Rule(), Rule(EVERYTHING), Rule(frozenset((VOICE, RTCP | INWARD)))]
TRANSACTIONS = [b"transaction!", bytes(range(200, 212))]


class Twins:
    """The same flows in a table and in the kernel."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.legs = Legs()
        self.riders = Riders(program, OneWay(), set())  # type: ignore[arg-type]
        know(program, *(ends(version).listener for version in (4, 6)))
        CONFIG.pack_into(program.config, 0, monotonic_ns() + 3600 * SECOND, packets.TTL, packets.HOP_LIMIT)

    def link(self, *flows: Flow, rule: Rule) -> list[Lane]:
        self.riders.relays = {flow.relay for flow in flows}
        lanes = [self.legs.add(flow, rule) for flow in flows]
        for lane in lanes * 2:  # each knows the other the second time
            self.riders.update(lane)
        return lanes

    def clear(self) -> None:
        for flow in list(self.legs.table):
            self.riders.remove(flow)
            self.legs.table.remove(flow)
        self.legs.sent.clear()
        for places in (self.riders.slots, self.riders.buckets):
            places.free = type(places.free)(
                (number, 0.0) for number, _ in places.free
            )  # nobody is in between


@pytest.fixture
def twins(program: Program) -> Iterator[Twins]:
    twins = Twins(program)
    yield twins
    twins.clear()


def compound(first: int, lengths: list[int], end: bytes) -> bytes:
    """RTCP packets with so many words each, and what follows them."""
    parts = [
        struct.pack("!BBH", first, 200 + n % 4, words) + bytes(4 * words) for n, words in enumerate(lengths)
    ]
    return b"".join(parts) + end


datas = st.one_of(
    st.binary(max_size=40),
    st.binary(max_size=1260),
    st.builds(
        lambda ssrc, rest: rtp(ssrc, 1, rest), st.sampled_from((VOICE, VIDEO, 5)), st.binary(max_size=1200)
    ),
    st.builds(
        compound,
        st.sampled_from((0x80, 0x81, 0xC0)),
        st.lists(st.integers(0, 9), min_size=1, max_size=19),
        st.one_of(
            st.just(b""),
            st.binary(max_size=20),
            st.builds(lambda tail: b"\x80\0\0\1" + tail, st.binary(min_size=10, max_size=10)),
        ),
    ),
)


def sent(
    flow: Flow, data: bytes, transaction: bytes, padding: bytes, fingerprint: int | None, claimed: int
) -> bytes:
    """The client's frame. `fingerprint` is what is wrong with it; `claimed` is added to a length in it."""
    if flow.channel is not None:
        return struct.pack("!HH", flow.channel, (len(data) + claimed) & 0xFFFF) + data + padding
    body = attribute(0x0012, xored(flow.named, transaction))
    body += struct.pack("!HH", 0x0013, (len(data) + claimed) & 0xFFFF) + data + padding
    return (
        stun(0x0016, body, transaction)
        if fingerprint is None
        else with_fingerprint(body, transaction, fingerprint)
    )


@settings(deadline=None, max_examples=600, suppress_health_check=list(HealthCheck))
@given(
    version=st.sampled_from((4, 6)),
    channel=st.sampled_from((0x4001, None)),
    back_channel=st.sampled_from((0x7FFE, None)),
    inside=st.booleans(),
    rule=st.sampled_from(RULES),
    data=datas,
    transaction=st.sampled_from(TRANSACTIONS),
    padded=st.sampled_from((True, True, False)),
    fingerprint=st.sampled_from((None, None, 0, 0, 1)),
    claimed=st.sampled_from((0, 0, 0, 0, 1, -1, 3, 4, 35000)),
    unfinished=st.booleans(),
)
def test_what_a_client_sends(
    twins: Twins,
    version: int,
    channel: int | None,
    back_channel: int | None,
    inside: bool,
    rule: Rule,
    data: bytes,
    transaction: bytes,
    padded: bool,
    fingerprint: int | None,
    claimed: int,
    unfinished: bool,
) -> None:
    at = ends(version)
    flow = Flow(at.client, at.listener, channel, at.relay, at.other_relay if inside else at.peer)
    back = Flow(at.other, at.listener, back_channel, at.other_relay, at.relay)
    try:
        lanes = twins.link(*((flow, back) if inside else (flow,)), rule=rule)
        padding = b"\xaa" * (-len(data) % 4) if padded else b""
        frame = sent(flow, data, transaction, padding, fingerprint, claimed)
        wanted = twins.legs.from_client(lanes[0], frame)
        verdict, left = run(twins.program, packet(at.client, at.listener, frame, unfinished=unfinished))
        leg = at.other if inside else at.peer
        source = at.listener if inside else at.relay
        compare(twins, wanted, verdict, left, (source, leg), len(frame), unfinished=unfinished)
        assert twins.riders.traffic(flow) == (twins.legs.table[flow] if verdict == SENT else (0, 0, 0, 0, 0))
        if inside:
            assert twins.riders.traffic(back) == (
                twins.legs.table[back] if verdict == SENT else (0, 0, 0, 0, 0)
            )
    finally:
        twins.clear()


@settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
@given(
    version=st.sampled_from((4, 6)),
    channel=st.sampled_from((0x4001, None)),
    rule=st.sampled_from(RULES),
    data=datas,
    unfinished=st.booleans(),
)
def test_what_a_peer_sends(
    twins: Twins, version: int, channel: int | None, rule: Rule, data: bytes, unfinished: bool
) -> None:
    at = ends(version)
    flow = Flow(at.client, at.listener, channel, at.relay, at.peer)
    try:
        [lane] = twins.link(flow, rule=rule)
        wanted = twins.legs.from_peer(lane, data)
        verdict, left = run(twins.program, packet(at.peer, at.relay, data, unfinished=unfinished))
        compare(twins, wanted, verdict, left, (at.listener, at.client), len(data), unfinished=unfinished)
        assert twins.riders.traffic(flow) == (twins.legs.table[flow] if verdict == SENT else (0, 0, 0, 0, 0))
    finally:
        twins.clear()


def compare(
    twins: Twins,
    wanted: bool,
    verdict: int,
    left: bytes,
    leg: tuple[Address, Address],
    size: int,
    *,
    unfinished: bool,
) -> None:
    """What the table carries rides, but for what is too large; what it does not, comes up as it was."""
    source, destination = leg
    made = twins.legs.sent[destination]
    headers = HEADERS[len(source.ip)]
    if not wanted:
        assert verdict == UP
        return
    fits = headers + max(size, len(made[0])) <= LARGEST
    assert verdict == (SENT if fits else UP)
    if fits:
        found = read(left)
        assert found[:3] == (source, destination, made[0])
        assert found.ttl == (packets.TTL if headers == 28 else packets.HOP_LIMIT)
        assert found.mark == packets.MARK & 0xFC
        whole = packets.udp(source, destination, made[0], unfinished=unfinished)
        assert found.check == int.from_bytes(whole[6:8], "big")


@pytest.mark.parametrize("parts", range(1, 20))
@pytest.mark.parametrize(
    "end", [b"", bytes(14), b"\x80" + bytes(13), bytes(10) + b"\x80" + bytes(3), b"\x80\0\0\1"]
)
def test_reports_are_sealed_or_not_however_many_they_are(twins: Twins, parts: int, end: bytes) -> None:
    at = ends(4)
    flow = Flow(at.client, at.listener, 0x4001, at.relay, at.peer)
    [lane] = twins.link(flow, rule=Rule(EVERYTHING))
    for first in (1, 6):
        data = compound(0x80, [first, *[1] * (parts - 1)], end)
        frame = sent(flow, data, b"", b"", None, 0)
        verdict, _ = run(twins.program, packet(at.client, at.listener, frame))
        assert verdict == (SENT if twins.legs.from_client(lane, frame) else UP)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [5, 502, 503, 504, 600, 1014, 1016, 1018, 1190])
def test_a_checksum_that_may_be_finished_or_not_comes_up(twins: Twins, version: int, size: int) -> None:
    """One of 65,536 full ones equals the sum that a sender leaves to its card."""
    at = ends(version)
    flow = Flow(at.client, at.listener, 0x4001, at.relay, at.peer)
    twins.link(flow, rule=Rule())

    def checks(word: int) -> tuple[bytes, int, int]:
        data = word.to_bytes(2, "big") + bytes(1 + n % 251 for n in range(size))
        frame = sent(flow, data, b"", b"", None, 0)
        whole = packet(at.client, at.listener, frame)
        unfinished = packet(at.client, at.listener, frame, unfinished=True)
        return whole, read_checksum(whole), read_checksum(unfinished)

    _, whole, unfinished = checks(0)
    word = (whole - unfinished) % 0xFFFF
    frame, whole, unfinished = checks(word)
    assert whole == unfinished
    assert run(twins.program, frame) == (UP, frame)
    assert run(twins.program, checks(word ^ 1)[0])[0] == SENT


def read_checksum(frame: bytes) -> int:
    at = packets.ETHERNET + (20 if frame[12:14] == packets.KINDS[4] else 40) + 6
    return int.from_bytes(frame[at : at + 2], "big")


@pytest.mark.parametrize("version", [4, 6])
def test_what_is_not_from_here_or_goes_here_comes_up(twins: Twins, version: int) -> None:
    """Who takes over the process that links flows sends under no other address, and reaches no local port."""
    at = ends(version)
    flow = Flow(at.client, at.listener, 0x4001, at.relay, at.peer)
    twins.link(flow, rule=Rule())
    frame = packet(at.client, at.listener, sent(flow, b"voice", b"", b"", None, 0))

    def verdict(*own: Address, kind: int = USUAL) -> int:
        know(twins.program, *own, kind=kind)
        return run(twins.program, frame)[0]

    assert verdict(at.relay) == SENT
    assert verdict() == UP
    assert verdict(at.peer) == UP
    assert verdict(at.client, at.other) == UP
    assert verdict(at.relay, at.peer) == UP
    assert verdict(at.relay, at.peer, kind=LOOPBACK) == SENT
    assert twins.riders.traffic(flow).packets_out == 2
