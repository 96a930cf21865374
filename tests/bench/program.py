"""What the program in the kernel costs a packet that does not ride: nanoseconds, by the kernel's own clock.

Repeat with: .venv/bin/python -m tests.bench.program (root)
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from time import monotonic_ns

from tests.turn.engines.kernel.packets import ROOM, TEST_RUN, UP, packet
from turn.engines.kernel import layout
from turn.engines.kernel.attachment import NUMBERS
from turn.engines.kernel.layout import CONFIG, LISTENER, SECOND
from turn.engines.kernel.program import Program
from turn.flows import Address

REPEAT = 1_000_000
HERE = {version: Address.of(ip, 3478) for version, ip in ((4, "192.0.2.1"), (6, "2001:db8::1"))}
THERE = {version: Address.of(ip, 40001) for version, ip in ((4, "198.51.100.1"), (6, "2001:db8:1::1"))}


def cost(program: Program, frame: bytes) -> int:
    """Of one run, the mean of many; each must leave the packet as it is."""
    given, taken = ctypes.create_string_buffer(frame, len(frame)), ctypes.create_string_buffer(ROOM)
    places = ctypes.addressof(given), ctypes.addressof(taken)
    fields = struct.pack("IIIIQQII", program.descriptor, 0, len(frame), ROOM, *places, REPEAT, 0)
    attributes = ctypes.create_string_buffer(fields, 128)
    system = ctypes.CDLL(None, use_errno=True)
    if system.syscall(NUMBERS[platform.machine()], TEST_RUN, attributes, len(attributes)):
        raise OSError(ctypes.get_errno(), "the kernel does not run the program")
    verdict, nanoseconds = struct.unpack_from("4xI28xI", attributes)
    assert verdict == UP
    return int(nanoseconds)


def frames(version: int) -> dict[str, bytes]:
    here, there = HERE[version], THERE[version]
    other = here._replace(port=443)
    whole = packet(there, here, bytes(160))
    return {
        "ARP": bytes(12) + b"\x08\x06" + bytes(46),
        f"IPv{version}, TCP": whole.replace(b"\x3d\x11", b"\x3d\x06", 1).replace(b"\x11\x3e", b"\x06\x3e", 1),
        f"IPv{version}, UDP to another port": packet(there, other, bytes(160)),
        f"IPv{version}, UDP to a listener, no call's": packet(there, here, b"\x40\x01\0\x9c" + bytes(156)),
    }


def main() -> None:
    if os.geteuid() != 0:
        sys.exit("this needs root")
    program = Program(2)
    CONFIG.pack_into(program.config, 0, monotonic_ns() + 3600 * SECOND, 64, 64)
    for here in HERE.values():
        program.config[layout.CONFIG.size + here.port] = LISTENER
    for name, frame in {**frames(4), **frames(6)}.items():
        print(f"{name:40}{cost(program, frame):8} ns")
    program.close()


if __name__ == "__main__":
    main()
