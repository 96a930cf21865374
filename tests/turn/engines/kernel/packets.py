"""IP packets made and read byte by byte, and what the program makes of one without any network."""

from __future__ import annotations

import ctypes
import platform
import struct
from typing import NamedTuple

from turn.engines.kernel.attachment import NUMBERS
from turn.engines.kernel.program import Program
from turn.flows import Address

TEST_RUN = 10  # from Linux's headers, as what follows
UP, DROPPED, SENT = 0xFFFFFFFF, 2, 7
ETHERNET = 14
KINDS = {4: b"\x08\x00", 16: b"\x86\xdd"}
TTL, HOP_LIMIT, MARK = 61, 62, 0xB8 | 0b11
ROOM = 2048


class Datagram(NamedTuple):
    """What is in a packet; `check` is its UDP checksum as it stands there."""

    source: Address
    destination: Address
    payload: bytes
    ttl: int
    mark: int
    check: int


def folded(data: bytes) -> int:
    """The sum of RFC 1071, before it is turned."""
    total: int = sum(struct.unpack(f"!{len(data) // 2 + len(data) % 2}H", data + bytes(len(data) % 2)))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo(source: Address, destination: Address, length: int) -> bytes:
    return source.ip + destination.ip + struct.pack("!II", length, 17)


def udp(source: Address, destination: Address, payload: bytes, *, unfinished: bool = False) -> bytes:
    """With a checksum, or with the part of it that a sender leaves to its network card."""
    length = 8 + len(payload)
    head = pseudo(source, destination, length)
    bare = struct.pack("!HHHH", source.port, destination.port, length, 0)
    check = folded(head) if unfinished else (0xFFFF - folded(head + bare + payload)) or 0xFFFF
    return bare[:6] + check.to_bytes(2, "big") + payload


def packet(source: Address, destination: Address, payload: bytes, *, unfinished: bool = False) -> bytes:
    """From an interface, with its Ethernet header."""
    body = udp(source, destination, payload, unfinished=unfinished)
    if len(source.ip) == 4:
        bare = struct.pack("!BBHHHBBH", 0x45, MARK, 20 + len(body), 7, 0x4000, TTL, 17, 0)
        check = 0xFFFF - folded(bare + source.ip + destination.ip)
        head = bare[:10] + check.to_bytes(2, "big") + source.ip + destination.ip
    else:
        first = 6 << 28 | MARK << 20 | 0x12345
        head = struct.pack("!IHBB", first, len(body), 17, HOP_LIMIT) + source.ip + destination.ip
    return bytes(12) + KINDS[len(source.ip)] + head + body


def read(frame: bytes) -> Datagram:
    """The opposite; fails where lengths or the header's own checksum are wrong."""
    if frame[12:14] == KINDS[4]:
        head, size = frame[ETHERNET:], 20
        assert folded(head[:20]) == 0xFFFF
        assert struct.unpack_from("!H", head, 2)[0] == len(head)
        assert head[0] == 0x45
        assert head[6:8] == bytes(2)
        ends, ttl, mark = (head[12:16], head[16:20]), head[8], head[1]
    else:
        head, size = frame[ETHERNET:], 40
        assert struct.unpack_from("!H", head, 4)[0] == len(head) - 40
        ends, ttl, mark = (head[8:24], head[24:40]), head[7], struct.unpack_from("!H", head)[0] >> 4 & 0xFF
    ports = struct.unpack_from("!HHHH", head, size)
    assert ports[2] == len(head) - size
    return Datagram(
        Address(ends[0], ports[0]), Address(ends[1], ports[1]), head[size + 8 :], ttl, mark, ports[3]
    )


def run(program: Program, frame: bytes) -> tuple[int, bytes]:
    """What the program says of a packet, and the packet afterwards."""
    given, taken = ctypes.create_string_buffer(frame, len(frame)), ctypes.create_string_buffer(ROOM)
    attributes = ctypes.create_string_buffer(
        struct.pack(
            "IIIIQQ",
            program.descriptor,
            0,
            len(frame),
            ROOM,
            ctypes.addressof(given),
            ctypes.addressof(taken),
        ),
        128,
    )
    system = ctypes.CDLL(None, use_errno=True)
    if system.syscall(NUMBERS[platform.machine()], TEST_RUN, attributes, len(attributes)):
        raise OSError(ctypes.get_errno(), "the kernel does not run the program")
    _, verdict, _, size = struct.unpack_from("IIII", attributes)
    return verdict, taken.raw[:size]
