"""What user space and the program in the kernel both know: their shared structures, as bytes.

The program is relay.bpf.c; its structures have the same names there.
"""

from __future__ import annotations

import struct
from math import ceil
from typing import NamedTuple

from turn.engines.framing import LARGEST, peer_key
from turn.flows import Address, Flow
from turn.policies import Network, StrangerLimits
from turn.wire.srtp import RTCP

KEY = struct.Struct("16s16s2s2sBB2s20s")
HEAD = struct.Struct("<4I16s16s2s2s4B16s48sI")
RULE = struct.Struct("<BBH8I9I")
COUNTS = struct.Struct("<3Q")
BUCKET = struct.Struct("<qqQQQQQQQ")
SAMPLE = struct.Struct("<I4sII")
CONFIG = struct.Struct("<QBB6x")
STRANGERS = struct.Struct("<4Q")
STRANGER_COUNTS = struct.Struct("<4Q")
TRUSTED_COUNT = struct.Struct("<I4x")
NETWORK = struct.Struct("<16s16sI")

FROM_PEER, CHANNEL, INDICATION, SERVED = range(4)
LISTENER, RELAYED = 1, 2  # what is at a port, as bits
ANYTHING = 55  # where in a slot it stands; a new rule changes it
RULE_AT, COUNTS_AT = HEAD.size, HEAD.size + RULE.size + 4
SLOT_SIZE = COUNTS_AT + COUNTS.size
PORTS = 65536
MAX_TRUSTED = 16  # networks
STRANGERS_AT = CONFIG.size + PORTS
STRANGER_COUNTS_AT = STRANGERS_AT + STRANGERS.size + 8
TRUSTED_AT = STRANGER_COUNTS_AT + STRANGER_COUNTS.size
NETWORKS_AT = TRUSTED_AT + TRUSTED_COUNT.size
CONFIG_SIZE = NETWORKS_AT + MAX_TRUSTED * NETWORK.size
MAX_STREAMS = 8  # that one direction names; what more there are goes up, packet by packet

HOPS = {0: 0, 4: 2, 16: 10}  # bytes of a neighbour's address -> the family's number

SECOND = 10**9
MOST_RATE = 9 * SECOND  # a second; more would not fit into 64 bits, and is as good as no limit


class Way(NamedTuple):
    """How packets leave: by which interface, and to which neighbour. None: the route's own choice."""

    interface: int
    hop: bytes | None


def padded(ip: bytes) -> bytes:
    return ip.ljust(16, b"\0")


def port(address: Address) -> bytes:
    return address.port.to_bytes(2, "big")


def version(address: Address) -> int:
    return 4 if len(address.ip) == 4 else 6


def key(source: Address, destination: Address, kind: int, channel: int = 0, peer: bytes = b"") -> bytes:
    """Which packets a direction of a flow claims."""
    ends = padded(source.ip), padded(destination.ip), port(source), port(destination)
    return KEY.pack(*ends, kind, version(source), channel.to_bytes(2, "big"), peer)


def client_key(flow: Flow) -> bytes:
    if flow.channel is None:
        return key(flow.client, flow.listener, INDICATION, peer=peer_key(flow.named))
    return key(flow.client, flow.listener, CHANNEL, flow.channel)


def peer_side_key(flow: Flow) -> bytes:
    return key(flow.peer, flow.relay, FROM_PEER)


def served_key(listener: Address) -> bytes:
    """At this listener, which may listen at all addresses, strangers are answered."""
    return key(Address(bytes(len(listener.ip)), 0), listener, SERVED)


def port_of(packed: bytes) -> tuple[int, int]:
    """The port of ours in a key, and what is there."""
    *_, to_port, kind, _version, _channel, _peer = KEY.unpack(packed)
    return int.from_bytes(to_port, "big"), RELAYED if kind == FROM_PEER else LISTENER


def head(
    tag: int,
    bucket: int,
    mate: int,
    way: Way,
    source: Address,
    destination: Address,
    front: bytes,
    label: int,
) -> bytes:
    """The first part of a slot: where its packets go, and in which frame."""
    ends = padded(source.ip), padded(destination.ip), port(source), port(destination)
    has_hop = HOPS[len(way.hop or b"")]
    forms = version(source), has_hop, len(front), 0
    return HEAD.pack(tag, bucket, mate, way.interface, *ends, *forms, way.hop or b"", front, label)


def rule(streams: dict[int, int]) -> bytes:
    """Which streams may pass, each with how many packets pass until the next one is shown."""
    named = [stream for stream in streams if stream != RTCP][:MAX_STREAMS]
    numbers = [int.from_bytes(stream.to_bytes(4, "big"), "little") for stream in named]
    left = [streams[stream] for stream in named]
    rest = [0] * (MAX_STREAMS - len(named))
    return RULE.pack(RTCP in streams, len(named), 0, *numbers, *rest, *left, *rest, streams.get(RTCP, 0))


def left_of(packed: bytes) -> dict[int, int]:
    """The opposite of `rule`."""
    rtcp, count, _, *numbers = RULE.unpack(packed)
    named = [int.from_bytes(number.to_bytes(4, "little"), "big") for number in numbers[:count]]
    found = dict(zip(named, numbers[MAX_STREAMS:], strict=False))
    return {**found, RTCP: numbers[-1]} if rtcp else found


def bucket(packets: int, bits: int) -> bytes:
    """A full bucket for these limits a second, in billionths of a packet and of a bit; 0: no limit."""
    packets, bits = (rate if rate <= MOST_RATE else 0 for rate in (packets, bits))
    most_packets, most_bits = SECOND * max(packets, 1), SECOND * max(bits, 8 * LARGEST)
    full_after = [
        ceil(most / rate) if rate else 0 for most, rate in ((most_packets, packets), (most_bits, bits))
    ]
    return BUCKET.pack(most_packets, most_bits, 0, packets, bits, most_packets, most_bits, *full_after)


def strangers(limits: StrangerLimits) -> bytes:
    """What an answer costs one network and all together, and the most that each may have used, as times."""
    cost, in_all = (round(SECOND / rate) if rate else 0 for rate in (limits.per_second, limits.in_all))
    return STRANGERS.pack(cost, round(cost * limits.burst), in_all, SECOND)


def network(of: Network) -> bytes:
    """A network whose addresses have no limits. Each is one that can be written with a mask."""
    mask = bytes(255 - (first ^ last) for first, last in zip(of.first, of.last, strict=True))
    return NETWORK.pack(padded(of.first), padded(mask), 4 if len(mask) == 4 else 6)
