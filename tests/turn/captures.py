"""Recorded browser calls as the gate sees them: which allocation and peer, which way, when, and the bytes it
reads.

The recordings themselves are pcap files of whole calls between browsers with fake microphones, on loopback.
What is kept of them is in data/calls: all of STUN, DTLS and RTCP, and of each RTP packet the header and the
first byte of its payload, or the first 64 bytes in the first packets of each stream. Hashes stand for the
rest when it is read: so of a plain call, less is plain than was. To make them anew:

python -m tests.turn.captures FOLDER-OF-PCAPS
"""

from __future__ import annotations

import lzma
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from tests.turn.call import noise
from turn.engines.framing import is_channel
from turn.flows import Address
from turn.wire.attributes import DATA, XOR_PEER_ADDRESS
from turn.wire.ice import PRIORITY, parse_ice
from turn.wire.srtp import RTCP, SAMPLE, sealed_part, stream_of
from turn.wire.stun import WireError, parse, parse_channel_data

CALLS = Path(__file__).parent / "data" / "calls"
ROW = Struct("!IBBBHH")  # milliseconds, allocation, peer, whether outward, size, and bytes that follow
KEPT = 64  # bytes of a payload
TURN_PORT = 39478


class Seen(NamedTuple):
    """One packet: `relay` and `peer` are numbered, `outward` from the client. Time in seconds from the
    first."""

    at: float
    relay: int
    peer: int
    outward: bool
    payload: bytes


class Datagram(NamedTuple):
    at: float
    source: Address
    target: Address
    payload: bytes


def load(name: str) -> list[Seen]:
    data = lzma.decompress((CALLS / f"{name}.xz").read_bytes())
    call: list[Seen] = []
    at = 0
    while at < len(data):
        time, relay, peer, outward, size, kept = ROW.unpack_from(data, at)
        at += ROW.size + kept
        begin = data[at - kept : at]
        payload = begin + noise(begin.hex(), size - kept)
        call.append(Seen(time / 1000, relay, peer, bool(outward), payload))
    return call


def save(name: str, call: Iterable[Seen]) -> None:
    rows = bytearray()
    packets: Counter[tuple[int, int, bool, int]] = Counter()
    for seen in call:
        stream = seen.relay, seen.peer, seen.outward, stream_of(seen.payload, 0, len(seen.payload))
        packets[stream] += 1
        kept = keep(seen.payload, KEPT if packets[stream] <= SAMPLE else 1)
        rows += ROW.pack(
            round(seen.at * 1000), seen.relay, seen.peer, seen.outward, len(seen.payload), len(kept)
        )
        rows += kept
    (CALLS / f"{name}.xz").write_bytes(lzma.compress(bytes(rows), preset=9 | lzma.PRESET_EXTREME))


def keep(packet: bytes, of_payload: int) -> bytes:
    """Everything that is no RTP; of RTP, the header and so many bytes of the payload."""
    if not packet or packet[0] & 0xC0 != 0x80 or packet[1] & 0xE0 == 0xC0:
        return packet
    payload = sealed_part(packet, stream_of(packet, 0, len(packet)))
    return packet if payload is None else packet[: len(packet) - len(payload) + of_payload]


def read_pcap(path: Path) -> Iterator[Datagram]:
    """UDP in Ethernet, cooked or raw frames, in microseconds."""
    data = path.read_bytes()
    order = "<" if data[:4] == b"\xd4\xc3\xb2\xa1" else ">"
    head, link = Struct(f"{order}IIII"), Struct(f"{order}I").unpack_from(data, 20)[0]
    at = 24
    while at < len(data):
        seconds, micros, kept, _ = head.unpack_from(data, at)
        at += head.size + kept
        skip = {1: 14, 113: 16, 276: 20, 101: 0}[link]
        packet = read_udp(data[at - kept + skip : at])
        if packet is not None:
            yield Datagram(seconds + micros / 1e6, *packet)


def read_udp(packet: bytes) -> tuple[Address, Address, bytes] | None:
    size, protocol, start = (4, 9, 4 * (packet[0] & 0x0F)) if packet[0] >> 4 == 4 else (16, 6, 40)
    if packet[protocol] != 17:
        return None
    ips = 12 if size == 4 else 8
    source, target, length = Struct("!HHH").unpack_from(packet, start)
    ends = packet[ips : ips + size], packet[ips + size : ips + 2 * size]
    return Address(ends[0], source), Address(ends[1], target), packet[start + 8 : start + length]


def has_priority(payload: bytes) -> bool:
    """A check of ICE: what marks a flow as one of the call's."""
    try:
        return parse_ice(payload).ufrags is not None and PRIORITY.to_bytes(2, "big") + b"\0\4" in payload
    except WireError:
        return False


def through_turn(datagrams: list[Datagram]) -> Iterator[tuple[float, Address, Address, bool, bytes]]:
    """The clients' legs of a TURN server, without their frames."""
    peers: dict[tuple[Address, int], Address] = {}
    for at, source, target, frame in datagrams:
        outward = target.port == TURN_PORT
        if TURN_PORT not in (source.port, target.port) or not frame:
            continue
        client = source if outward else target
        if is_channel(frame[0]):
            number, payload = parse_channel_data(frame)
            yield at, client, peers[client, number], outward, payload
            continue
        message = parse(frame)
        peer, inner = message.get(XOR_PEER_ADDRESS), message.get(DATA)
        if message.type == 0x0009 and peer is not None:
            peers[client, int.from_bytes(dict(message.attributes)[0x000C][:2], "big")] = peer
        elif message.type in (0x0016, 0x0017) and peer is not None and inner is not None:
            yield at, client, peer, outward, inner


def directly(datagrams: list[Datagram]) -> Iterator[tuple[float, Address, Address, bool, bytes]]:
    """A call without a relay, as if one end of each flow were the relayed address of the same client."""
    flows = {frozenset((one.source, one.target)) for one in datagrams if has_priority(one.payload)}
    kept = [one for one in datagrams if frozenset((one.source, one.target)) in flows]
    ours = callers(kept)
    for at, source, target, payload in kept:
        outward = source in ours
        relay, peer = (source, target) if outward else (target, source)
        yield at, relay, peer, outward, payload


def callers(datagrams: list[Datagram]) -> set[Address]:
    """The addresses of the end that sends the first check. A later one is known by its ufrag, after an ICE
    restart by its stream; where neither says anything, another call begins."""
    ends: dict[Address, bool] = {}
    marks: dict[bytes | int, bool] = {}
    while strangers := [one for one in datagrams if one.source not in ends]:
        before = len(ends) + len(marks)
        for one in datagrams:
            mine = marks_of(one.payload)
            known = (
                [ends[one.source]] if one.source in ends else [marks[mark] for mark in mine if mark in marks]
            )
            if known:
                ends[one.source], ends[one.target] = known[0], not known[0]
                marks.update(dict.fromkeys(mine, known[0]))
        if len(ends) + len(marks) == before:
            ends[strangers[0].source] = True
    return {address for address, ours in ends.items() if ours}


def marks_of(payload: bytes) -> set[bytes | int]:
    """What tells who sent this: the sender's ufrag of a check, or an SSRC of RTP."""
    if payload and payload[0] & 0xC0 == 0x80:
        stream = stream_of(payload, 0, len(payload))
        return {stream} if 0 <= stream < RTCP else set()
    try:
        ufrags = parse_ice(payload).ufrags
    except WireError:
        return set()
    return {ufrags[0]} if ufrags else set()


def number(packets: Iterable[tuple[float, Address, Address, bool, bytes]]) -> Iterator[Seen]:
    relays: dict[Address, int] = {}
    peers: dict[Address, int] = {}
    first = None
    for at, relay, peer, outward, payload in packets:
        first = at if first is None else first
        places = relays.setdefault(relay, len(relays)), peers.setdefault(peer, len(peers))
        yield Seen(at - first, *places, outward, payload)


def main(folder: Path) -> None:
    CALLS.mkdir(exist_ok=True)
    for path in sorted(folder.glob("*.pcap")):
        datagrams = list(read_pcap(path))
        if path.stem.startswith("turn"):
            packets = list(through_turn(datagrams))
        elif any(has_priority(one.payload) for one in datagrams):
            packets = list(directly(datagrams))
        else:  # no ICE at all: an exchange of DTLS alone
            client = datagrams[0].source
            packets = [
                (at, client, target if source == client else source, source == client, payload)
                for at, source, target, payload in datagrams
            ]
        call = list(number(packets))
        save(path.stem, call)
        print(path.stem, len(call), Counter(seen.payload[:1].hex()[:1] for seen in call))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
