"""The program in the kernel: loaded by libbpf, attached to interfaces, and its maps as memory of ours.

All of it ends with this process: the kernel lets go of what no process holds.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import struct
from itertools import pairwise
from pathlib import Path

from host.startup import Unavailable
from turn.engines.kernel.layout import BUCKET, CONFIG_SIZE, SLOT_SIZE

OBJECT = Path(__file__).with_name("relay.bpf.o")
LIBRARY = "libbpf.so.1"
NUMBERS = {"x86_64": 321, "aarch64": 280}  # of the system call bpf
LINK_CREATE, TCX_INGRESS, BEFORE = 28, 46, 1 << 3  # from Linux's headers
ANY = 0  # a new element, or an old one
SAMPLES_SIZE = 1 << 20  # bytes of samples that wait for us
CRC_POLYNOMIAL = 0xEDB88320
ROOT_NEEDED = "it needs root, or the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"


class CannotRide(Unavailable):
    """This machine does not let calls ride in its kernel; the text says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"turn.engine: calls cannot ride in the kernel: {reason}")


class Program:
    """The loaded program. `slots` is how many directions of flows have room; the first one is never used."""

    def __init__(self, slots: int) -> None:
        """Raises CannotRide."""
        self.links: dict[int, int] = {}  # descriptors, by interface
        self.lib = library()
        self.object = self.load({"flows": slots, "slots": slots, "buckets": slots, "samples": SAMPLES_SIZE})
        self.flows = self.map("flows")
        self.slots = self.memory("slots", slots * SLOT_SIZE)
        self.buckets = self.memory("buckets", slots * BUCKET.size)
        self.config = self.memory("config", CONFIG_SIZE)
        self.descriptor = self.lib.bpf_program__fd(
            self.lib.bpf_object__find_program_by_name(self.object, b"relay")
        )
        table = self.memory("crc_table", 4 * 256 * 4)
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

    def memory(self, name: str, size: int) -> mmap.mmap:
        return mmap.mmap(self.map(name), -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)

    def enter(self, key: bytes, slot: int) -> bool:
        """From now on, packets with this key are the slot's. False: there is no room."""
        return not self.lib.bpf_map_update_elem(self.flows, key, struct.pack("I", slot), ANY)

    def drop(self, key: bytes) -> None:
        """Packets with this key, which was entered, go up again."""
        if self.lib.bpf_map_delete_elem(self.flows, key):
            raise OSError(ctypes.get_errno(), "a flow could not be taken from the kernel")

    def attach(self, interface: int) -> None:
        """Before all other programs there, so that none of them ends the chain. Raises CannotRide."""
        fields = struct.pack("IIIIIIQ", self.descriptor, interface, TCX_INGRESS, BEFORE, 0, 0, 0).ljust(
            128, b"\0"
        )
        system = ctypes.CDLL(None, use_errno=True)
        link = system.syscall(NUMBERS[platform.machine()], LINK_CREATE, fields, len(fields))
        if link < 0:
            raise CannotRide(f"the program cannot be attached: {os.strerror(ctypes.get_errno())}")
        self.links[interface] = link

    def detach(self, interface: int) -> None:
        os.close(self.links.pop(interface))

    def close(self) -> None:
        for interface in list(self.links):
            self.detach(interface)
        for memory in (self.slots, self.buckets, self.config):
            memory.close()
        self.lib.bpf_object__close(self.object)


def library() -> ctypes.CDLL:
    """Raises CannotRide."""
    if platform.machine() not in NUMBERS:
        raise CannotRide(f"there is no program for {platform.machine()}")
    try:
        lib = ctypes.CDLL(LIBRARY, use_errno=True)
    except OSError:
        raise CannotRide(f"{LIBRARY} is not installed (Debian: libbpf1)") from None
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for name, result, arguments in (
        ("bpf_object__open_file", pointer, (text, pointer)),
        ("bpf_object__load", number, (pointer,)),
        ("bpf_object__close", None, (pointer,)),
        ("bpf_object__find_map_by_name", pointer, (pointer, text)),
        ("bpf_object__find_map_fd_by_name", number, (pointer, text)),
        ("bpf_object__find_program_by_name", pointer, (pointer, text)),
        ("bpf_program__fd", number, (pointer,)),
        ("bpf_map__set_max_entries", number, (pointer, ctypes.c_uint32)),
        ("bpf_map_update_elem", number, (number, text, text, ctypes.c_uint64)),
        ("bpf_map_delete_elem", number, (number, text)),
        ("libbpf_set_print", pointer, (pointer,)),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    lib.libbpf_set_print(None)  # what went wrong, we say ourselves
    return lib


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
