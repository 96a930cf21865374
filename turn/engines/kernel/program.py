"""The program in the kernel: loaded by libbpf, attached to interfaces, and its maps as memory of ours.

All of it ends with this process: the kernel lets go of what no process holds.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import struct
from itertools import pairwise
from pathlib import Path

from turn.engines.kernel.attachment import Attachment, CannotAttach, attach
from turn.engines.kernel.maps import NAMES, SAMPLES_SIZE, CannotRide, Maps, library, memory
from turn.engines.kernel.own import OWN, own_addresses, write

OBJECT = Path(__file__).with_name("relay.bpf.o")
CRC_POLYNOMIAL = 0xEDB88320
ROOT_NEEDED = "it needs root, or the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"


class Program(Maps):
    """The loaded program. `slots` is how many directions of flows have room; the first one is never used."""

    def __init__(self, slots: int) -> None:
        """Raises CannotRide."""
        self.attached: dict[int, Attachment] = {}  # by interface
        self.handle = 1 + secrets.randbelow(1 << 31)  # others like this one may be attached beside it
        self.lib = library()
        self.object = self.load({"flows": slots, "slots": slots, "buckets": slots, "samples": SAMPLES_SIZE})
        super().__init__(self.lib, {name: self.map(name) for name in NAMES}, slots)
        self.descriptor = self.lib.bpf_program__fd(
            self.lib.bpf_object__find_program_by_name(self.object, b"relay")
        )
        self.own = self.map(OWN)
        table = memory(self.map("crc_table"), 4 * 256 * 4)
        table[: 4 * 256 * 4] = crc_table()
        table.close()

    def load(self, sizes: dict[str, int]) -> int:
        opened: int | None = self.lib.bpf_object__open_file(str(OBJECT).encode(), None)
        if not opened:
            raise CannotRide(f"{OBJECT.name}: {os.strerror(ctypes.get_errno())}")
        for name, size in sizes.items():
            self.lib.bpf_map__set_max_entries(
                self.lib.bpf_object__find_map_by_name(opened, name.encode()), size
            )
        error = self.lib.bpf_object__load(opened)
        if error:
            self.lib.bpf_object__close(opened)
            raise CannotRide(ROOT_NEEDED if error in (-1, -13) else f"the program: {os.strerror(-error)}")
        return opened

    def map(self, name: str) -> int:
        """A map's descriptor."""
        found: int = self.lib.bpf_object__find_map_fd_by_name(self.object, name.encode())
        return found

    def learn_addresses(self) -> None:
        """Those of this machine may have changed. Raises CannotRide."""
        try:
            write(self.lib, self.own, own_addresses(loopback=True))
        except OSError as problem:
            raise CannotRide(str(problem)) from None

    def attach(self, interface: int) -> None:
        """Before all other programs there, so that none of them ends the chain. Raises CannotRide."""
        try:
            self.attached[interface] = attach(self.lib, self.descriptor, interface, self.handle)
        except CannotAttach as reason:
            raise CannotRide(str(reason)) from None

    def detach(self, interface: int) -> None:
        self.attached.pop(interface).close()

    def close(self) -> None:
        for interface in list(self.attached):
            self.detach(interface)
        super().close()
        self.lib.bpf_object__close(self.object)


def crc_table() -> bytes:
    """For four bytes of a CRC-32 at once."""
    rows = [[0] * 256 for _ in range(4)]
    for number in range(256):
        crc = number
        for _ in range(8):
            crc = crc >> 1 ^ (CRC_POLYNOMIAL if crc & 1 else 0)
        rows[0][number] = crc
    for before, row in pairwise(rows):
        row[:] = [crc >> 8 ^ rows[0][crc & 0xFF] for crc in before]
    return struct.pack("<1024I", *(crc for row in rows for crc in row))
