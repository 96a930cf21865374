"""What strangers ask, of the core alone, and of the program with the core above it: each answer, each drop
and each count must be the same.
"""

from __future__ import annotations

import os
import re
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.turn.engines import land
from tests.turn.engines.kernel import packets
from tests.turn.engines.kernel.one_machine import OneWay, ends, know
from tests.turn.engines.kernel.packets import DROPPED, SENT, UP, packet, read, run
from tests.turn.network import compose
from tests.turn.network import settings as core_settings
from turn.core.effects import Effect, Send
from turn.core.relay import Relay
from turn.core.state import REFLECTORS
from turn.engines.kernel import layout
from turn.engines.kernel.layout import CONFIG, MAX_TRUSTED, SECOND, STRANGERS, STRANGERS_AT
from turn.engines.kernel.own import keys
from turn.engines.kernel.program import Program
from turn.engines.kernel.riders import Riders
from turn.engines.kernel.strangers import Strangers
from turn.flows import Address, Packet
from turn.policies import Limits, Network, StrangerLimits

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a program in the kernel needs root")

HEADER = Path(layout.__file__).with_name("strangers.h")
BINDING, ALLOCATE, REFRESH, PERMISSION, CHANNEL_BIND, SEND = 1, 3, 4, 8, 9, 0x16
KINDS = [BINDING] * 6 + [ALLOCATE] * 4 + [REFRESH, PERMISSION, CHANNEL_BIND, 2, 5, 0x11, SEND, 0x101, 0x802]
VERSIONS = (4, 6)
ROUTER, CARD = b"\2router", bytes(6)  # who sent a packet on, and this machine
SLOWER = 10**6  # so that nothing comes back while a test runs
TRUSTED = (Network.of("198.51.99.0/24"), Network.of("2001:db8:7::/48"), Network.of("100.64.0.1/32"))


def source(version: int, number: int = 1) -> Address:
    return Address.of(f"203.0.112.{number}" if version == 4 else f"2001:db8:{number}::5", 40001)


class Side:
    """The program before a core, and beside both another core that gets the same without a program."""

    def __init__(self, program: Program, *, wildcard: bool = False, **limits: Any) -> None:
        self.program = program
        program.forget()
        for key in keys(program.lib, program.map("used")):
            program.lib.bpf_map_delete_elem(program.map("used"), key)
        CONFIG.pack_into(program.config, 0, monotonic_ns() + 3600 * SECOND, packets.TTL, packets.HOP_LIMIT)
        self.listeners = [ends(version).listener for version in VERSIONS]
        know(program, *self.listeners)
        given = {"unauthenticated_per_second": 1, "unauthenticated_in_all": 1000, **limits}
        self.alone, self.above = (
            Relay(core_settings(limits=Limits(**given), listeners=frozenset(self.listeners)))
            for _ in range(2)
        )
        bare = [Address(bytes(len(at.ip)), at.port) if wildcard else at for at in self.listeners]
        self.strangers = Strangers(program, Riders(program, OneWay(), ()), bare)  # type: ignore[arg-type]
        self.strangers.serve(self.above.stranger_limits())
        costs = STRANGERS.unpack_from(program.config, STRANGERS_AT)
        STRANGERS.pack_into(program.config, STRANGERS_AT, *(SLOWER * cost for cost in costs))

    def ask(
        self, there: Address, here: Address, data: bytes, *, unfinished: bool = False, spoilt: bool = False
    ) -> int:
        """Both sides get the packet and must do the same; what the program said of it."""
        frame = CARD + ROUTER[:6] + packet(there, here, data, unfinished=unfinished)[12:]
        if spoilt:
            frame = frame[:-1] + bytes([frame[-1] ^ 0x40])
        verdict, left = run(self.program, frame)
        assert verdict in (UP, SENT, DROPPED)
        if verdict == UP:
            assert left == frame
        if spoilt:
            assert verdict == UP
            return verdict
        wanted = self.alone.receive(Packet(here, there, data), 1.0, 0.0)
        if verdict == SENT:
            assert left[:12] == ROUTER[:6] + CARD
            found = read(left)
            made: list[Effect] = [Send(Packet(found.source, found.destination, found.payload))]
            assert (found.mark, found.ttl) == (0, packets.TTL if len(here.ip) == 4 else packets.HOP_LIMIT)
            whole = packets.udp(here, there, found.payload, unfinished=unfinished)
            assert found.check == int.from_bytes(whole[6:8], "big")
        else:
            made = self.above.receive(Packet(here, there, data), 1.0, 0.0) if verdict == UP else []
        assert made == wanted
        counted = Counter(self.above.counts) + Counter(self.strangers.counts())
        assert counted == Counter(self.alone.counts)
        return verdict


values = st.one_of(
    st.binary(max_size=30),
    st.sampled_from((b"\x11\0\0\0", b"\x06\0\0\0", b"\x11\0\0\1", b"\x01\0\0\0", bytes(20), bytes(32))),
)
# USERNAME, MESSAGE-INTEGRITY, XOR-PEER-ADDRESS, REALM, NONCE, REQUESTED-TRANSPORT, MESSAGE-INTEGRITY-SHA256,
# USERHASH, two that nobody knows, CHANGE-REQUEST, SOFTWARE, FINGERPRINT
TYPES = (6, 8, 0x12, 0x14, 0x15, 0x19, 0x19, 0x19, 0x1C, 0x1E, 0x77, 0xC077, 3, 0x8022, 0x8022, 0x8028)
attributes = st.lists(st.tuples(st.sampled_from(TYPES), values), max_size=10)
optional = st.lists(st.tuples(st.sampled_from((0x8022, 0xC077)), values), max_size=9)


def sized(data: bytes, change: int) -> bytes:
    return data[:2] + ((len(data) - 20 + change) & 0xFFFF).to_bytes(2, "big") + data[4:]


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Most of them well-formed, and many without anything that would need the core."""
    pairs = draw(st.one_of(st.just([]), optional, attributes))
    kind, mark = draw(st.sampled_from(KINDS)), draw(st.booleans())
    data = compose(
        kind, pairs, transaction=draw(st.sampled_from((b"transaction!", bytes(12)))), fingerprint=mark
    )
    broken = st.sampled_from((0,) * 15 + tuple(range(len(BREAK))))
    number, amount = draw(broken), draw(st.integers(-40, 40))
    return BREAK[number](data, amount, draw(st.binary(max_size=40)))


def flipped(data: bytes, bit: int) -> bytes:
    at = abs(bit) % len(data)
    return data[:at] + bytes([data[at] ^ 1 << bit % 8]) + data[at + 1 :]


BREAK: tuple[Callable[[bytes, int, bytes], bytes], ...] = (
    lambda data, amount, other: data,
    lambda data, amount, other: data[:4] + other[:4].ljust(4, b"!") + data[8:],  # another cookie
    lambda data, amount, other: sized(data, amount),
    lambda data, amount, other: data[:amount],
    lambda data, amount, other: data + other,
    lambda data, amount, other: flipped(data, amount),
    lambda data, amount, other: other,
)


@settings(deadline=None, max_examples=1500, suppress_health_check=list(HealthCheck))
@given(
    version=st.sampled_from(VERSIONS),
    data=requests(),
    times=st.sampled_from((1, 1, 1, 6)),
    port=st.sampled_from((40001, 40001, 40001, 40001, 1, 53, 5353, 65535, 3478)),
    place=st.sampled_from(("far",) * 6 + ("here", "nowhere", "trusted")),
    wildcard=st.booleans(),
    in_all=st.sampled_from((1000, 1000, 3, 0)),
    per_second=st.sampled_from((1, 1, 0)),
    unfinished=st.booleans(),
)
def test_what_a_stranger_asks(
    program: Program,
    version: int,
    data: bytes,
    times: int,
    port: int,
    place: str,
    wildcard: bool,
    in_all: int,
    per_second: int,
    unfinished: bool,
) -> None:
    limits = {"unauthenticated_in_all": in_all, "unauthenticated_per_second": per_second}
    side = Side(program, wildcard=wildcard, **limits, trusted=TRUSTED)
    here = ends(version).listener
    hosts = {
        "far": source(version).host,
        "here": here.host,
        "nowhere": {4: "224.0.0.1", 6: "ff02::1"}[version],
        "trusted": {4: "198.51.99.255", 6: "2001:db8:7:ffff::9"}[version],
    }
    for _ in range(times):
        side.ask(Address.of(hosts[place], port), here, data, unfinished=unfinished)


bare = compose(BINDING)
ANSWERED = {
    "bare": bare,
    "marked": compose(BINDING, fingerprint=True),
    "named": compose(BINDING, ((0x8022, b"a browser"),)),
    "long": compose(BINDING, ((0x8022, bytes(1100)),)),
    "named and marked": compose(BINDING, ((0x8022, b"a browser"), (0xC001, b"")), fingerprint=True),
}
LIMITED = {
    "Allocate": compose(ALLOCATE, ((0x19, b"\x11\0\0\0"),)),
    "Allocate by TCP, marked": compose(ALLOCATE, ((0x19, b"\x06\0\0\0"),), fingerprint=True),
    "Allocate with a name": compose(ALLOCATE, ((0x06, b"somebody"),)),
    "Refresh": compose(REFRESH, ((0x0D, bytes(4)),)),
    "CreatePermission": compose(PERMISSION, ((0x12, bytes(8)),)),
    "ChannelBind": compose(CHANNEL_BIND, ((0x0C, b"\x40\0\0\0"), (0x12, bytes(8)))),
}
UNKNOWN = {
    "with a name": compose(BINDING, ((0x06, b"somebody"),)),
    "with what nobody knows": compose(BINDING, ((0x77, b""),)),
    "with a nonce": compose(ALLOCATE, ((0x19, b"\x11\0\0\0"), (0x15, b"nonce"))),
    "signed": compose(REFRESH, ((0x0D, bytes(4)),), key=b"key"),
    "a probe": compose(ALLOCATE),
    "of a server": compose(0x802, ((0x8022, bytes(20)),)),
    "an indication": compose(0x11),
    "with nine attributes": compose(BINDING, [(0x8022, b"")] * 9),
    "wrongly marked": compose(BINDING, fingerprint=True)[:-1] + b"!",
}


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(
            st.sampled_from((*ANSWERED.values(), *LIMITED.values(), UNKNOWN["a probe"])),
            st.sampled_from(VERSIONS),
            st.integers(1, 3),
        ),
        max_size=30,
    ),
    st.sampled_from((1000, 5)),
)
def test_what_strangers_ask_in_turn(
    program: Program, asked: list[tuple[bytes, int, int]], in_all: int
) -> None:
    side = Side(program, unauthenticated_in_all=in_all)
    for data, version, number in asked:
        side.ask(source(version, number), ends(version).listener, data)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("wildcard", [False, True])
@pytest.mark.parametrize("name", ANSWERED)
def test_a_burst_is_answered_in_the_kernel_and_the_rest_dropped(
    program: Program, version: int, wildcard: bool, name: str
) -> None:
    side = Side(program, wildcard=wildcard)
    here = ends(version).listener
    verdicts = [side.ask(source(version), here, ANSWERED[name], unfinished=bool(n % 2)) for n in range(7)]
    assert verdicts == [SENT] * 4 + [DROPPED] * 3
    assert side.ask(source(version, 2), here, ANSWERED[name]) == SENT
    assert side.strangers.counts() == {"replies.binding": 5, "drops.strangers": 3}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", LIMITED)
def test_a_flood_of_requests_without_a_nonce_is_dropped_beyond_the_limit(
    program: Program, version: int, name: str
) -> None:
    side = Side(program)
    here = ends(version).listener
    assert [side.ask(source(version), here, LIMITED[name]) for _ in range(6)] == [UP] * 4 + [DROPPED] * 2
    assert side.ask(source(version), here, bare) == DROPPED
    assert side.strangers.counts() == {"drops.strangers": 3}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", UNKNOWN)
def test_what_the_core_must_look_at_comes_up_and_costs_nothing_here(
    program: Program, version: int, name: str
) -> None:
    side = Side(program)
    here = ends(version).listener
    assert [side.ask(source(version), here, UNKNOWN[name]) for _ in range(6)] == [UP] * 6
    assert side.strangers.counts() == {}


def test_a_site_has_twice_as_much_as_each_of_its_households(program: Program) -> None:
    side, here = Side(program), ends(6).listener
    hosts = [f"2001:db8:9:{household}::{n}" for household in range(4) for n in range(1, 6)]
    verdicts = [side.ask(Address.of(host, 40001), here, bare) for host in hosts]
    assert verdicts == ([SENT] * 4 + [DROPPED]) * 2 + [DROPPED] * 10
    assert side.ask(Address.of("2001:db8:a::1", 40001), here, bare) == SENT


def test_all_strangers_together_have_a_limit_and_others_have_none(program: Program) -> None:
    side, here = Side(program, unauthenticated_in_all=2, trusted=TRUSTED), ends(4).listener
    assert [side.ask(source(4, n), here, bare) for n in range(1, 5)] == [SENT] * 2 + [DROPPED] * 2
    for number in range(8):
        assert side.ask(Address.of(f"198.51.99.{number}", 9), here, bare) == SENT
    assert side.ask(Address.of("100.64.0.1", 9), here, bare) == SENT
    assert side.strangers.counts() == {"replies.binding": 11, "drops.all strangers": 2}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", [*ANSWERED, *LIMITED])
def test_a_wrong_checksum_comes_up_to_who_counts_it(program: Program, version: int, name: str) -> None:
    side, data = Side(program), {**ANSWERED, **LIMITED}[name]
    for _ in range(6):
        assert side.ask(source(version), ends(version).listener, data, spoilt=True) == UP
    assert side.strangers.counts() == {}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_checksum_that_may_be_finished_or_not_is_left_to_the_system(program: Program, version: int) -> None:
    side, here = Side(program), ends(version).listener

    def frames(word: int) -> list[bytes]:
        data = compose(BINDING, transaction=word.to_bytes(2, "big") + bytes(10))
        return [packet(source(version), here, data, unfinished=unfinished) for unfinished in (False, True)]

    word = 0
    at = packets.ETHERNET + (20 if version == 4 else 40) + 6
    for _ in range(2):
        whole, unfinished = (int.from_bytes(frame[at : at + 2], "big") for frame in frames(word))
        word = (word + whole - unfinished) % 0xFFFF
    frame, same = frames(word)
    assert frame == same
    assert run(side.program, frame) == (UP, frame)
    assert run(side.program, frames(word ^ 1)[0])[0] == SENT


@pytest.mark.parametrize("port", sorted(REFLECTORS))
def test_nobody_who_would_answer_is_answered(program: Program, port: int) -> None:
    side = Side(program)
    assert side.ask(source(4)._replace(port=port), ends(4).listener, bare) == DROPPED
    assert side.strangers.counts() == {"drops.source": 1}


def test_the_program_knows_the_same_ports() -> None:
    assert {int(port) for port in re.findall(r"case (\d+):", HEADER.read_text())} == REFLECTORS


NO_CLIENTS = ["0.0.0.1", "0.255.255.255", "224.0.0.1", "239.255.255.255", "255.255.255.255", "::", "ff02::1"]
CLIENTS = ["1.0.0.0", "223.255.255.255", "240.0.0.1", "255.255.255.254", "fe00::1", "2001:db8:3::", "::2"]


@pytest.mark.parametrize("host", NO_CLIENTS + CLIENTS)
def test_nobody_is_where_no_client_can_be(program: Program, host: str) -> None:
    there = Address.of(host, 40001)
    here = ends(4 if len(there.ip) == 4 else 6).listener
    assert Side(program).ask(there, here, bare) == (SENT if host in CLIENTS else DROPPED)


@pytest.mark.parametrize("version", VERSIONS)
def test_only_our_listeners_answer_and_never_this_machine_itself(program: Program, version: int) -> None:
    at = ends(version)
    side = Side(program)
    for there, here in (
        (source(version), at.listener._replace(port=3479)),
        (source(version), at.peer),
        (at.listener._replace(port=40001), at.listener),
    ):
        frame = packet(there, here, bare)
        assert run(program, frame) == (UP, frame)
    side.strangers.leave()
    frame = packet(source(version), at.listener, bare)
    assert run(program, frame) == (UP, frame)
    assert not any(program.config[CONFIG.size : STRANGERS_AT])


@pytest.mark.parametrize("version", VERSIONS)
def test_after_the_lease_nobody_is_answered(program: Program, version: int) -> None:
    Side(program)
    frame = packet(source(version), ends(version).listener, bare)
    assert run(program, frame)[0] == SENT
    CONFIG.pack_into(program.config, 0, 1, packets.TTL, packets.HOP_LIMIT)
    assert run(program, frame) == (UP, frame)


def odd(version: int) -> dict[str, bytes]:
    """Packets with the same request that the system must put together first, or read."""
    whole = packet(source(version), ends(version).listener, bare)
    ethernet, head, rest = whole[:14], bytearray(whole[14 : 34 if version == 4 else 54]), None
    rest = whole[14 + len(head) :]
    if version == 6:
        next_header = struct.pack("!BB6x", 17, 0)
        head[6], head[4:6] = 60, (len(rest) + 8).to_bytes(2, "big")
        return {"options": ethernet + bytes(head) + next_header + rest}

    def fixed(head: bytearray) -> bytes:
        head[10:12] = bytes(2)
        head[10:12] = (0xFFFF - packets.folded(bytes(head))).to_bytes(2, "big")
        return bytes(head)

    options = bytearray(bytes([0x46]) + head[1:] + b"\1\1\1\0")
    options[2:4] = (len(options) + len(rest)).to_bytes(2, "big")
    first, later = bytearray(head), bytearray(head)
    first[6:8], later[6:8] = b"\x20\0", b"\0\x10"
    without = rest[:6] + bytes(2) + rest[8:]
    return {
        "options": ethernet + fixed(options) + rest,
        "first fragment": ethernet + fixed(first) + rest,
        "later fragment": ethernet + fixed(later) + rest,
        "no checksum": ethernet + bytes(head) + without,
        "a wrong header": ethernet + bytes(head[:8]) + bytes([head[8] ^ 1]) + bytes(head[9:]) + rest,
        "more behind": ethernet + bytes(head) + rest + b"more",
    }


@pytest.mark.parametrize(
    ("version", "name"), [(version, name) for version in VERSIONS for name in odd(version)]
)
def test_an_odd_packet_comes_up(program: Program, version: int, name: str) -> None:
    side = Side(program)
    frame = odd(version)[name]
    verdict, left = run(program, frame)
    if name == "more behind":  # an Ethernet card has filled it up
        assert (verdict, read(left).payload[:2]) == (SENT, b"\1\1")
    else:
        assert (verdict, left) == (UP, frame)
        assert side.strangers.counts() == {}


def test_more_trusted_networks_than_there_is_room_for_are_left_to_the_core(program: Program) -> None:
    side = Side(program)
    frame = packet(source(4), ends(4).listener, bare)
    networks = [Network.of(f"10.0.{number}.0/24") for number in range(MAX_TRUSTED + 1)]
    side.strangers.serve(StrangerLimits(1, 4, 1000, tuple(networks)))
    assert run(program, frame) == (UP, frame)
    side.strangers.serve(StrangerLimits(1, 4, 1000, tuple(networks[1:])))
    assert run(program, frame)[0] == SENT
    side.strangers.serve(None)
    assert run(program, frame) == (UP, frame)


def test_what_another_process_has_counted_is_not_ours(program: Program) -> None:
    side = Side(program)
    side.ask(source(4), ends(4).listener, bare)
    after = Strangers(program, side.strangers.riders, side.listeners)
    assert after.counts() == {}
    run(program, packet(source(4), ends(4).listener, bare))
    assert after.counts() == {"replies.binding": 1}
    assert side.strangers.counts() == {"replies.binding": 2}


def test_a_full_index_has_no_room_for_a_listener() -> None:
    place = land.Place()
    with place.inside():
        program = Program(2)
        while program.enter(os.urandom(layout.KEY.size), 1):
            pass
        side = Side.__new__(Side)
        side.strangers = Strangers(program, Riders(program, OneWay(), ()), [ends(4).listener])  # type: ignore[arg-type]
        side.strangers.serve(StrangerLimits(1, 4, 1000))
        assert side.strangers.keys == []
        assert not any(program.config[CONFIG.size : STRANGERS_AT])
        program.close()
    os.close(place.descriptor)
