"""The maps of the program, as memory of this process: where it says what rides, and reads what has passed."""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
from collections.abc import Mapping

from host.startup import Unavailable
from turn.engines.kernel.attachment import NUMBERS
from turn.engines.kernel.layout import BUCKET, CONFIG_SIZE, KEY, SLOT_SIZE

LIBRARY = "libbpf.so.1"
NAMES = ("flows", "slots", "buckets", "config", "samples")  # of the maps that we and the program share
ANY = 0  # a new element, or an old one
SAMPLES_SIZE = 1 << 20  # bytes of samples that wait for us


class CannotRide(Unavailable):
    """This machine does not let calls ride in its kernel; the text says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"turn.engine: calls cannot ride in the kernel: {reason}")
        self.reason = reason


class Maps:
    """`descriptors` are those of NAMES, and `room` is how many directions of flows they hold; the first one
    is never used."""

    def __init__(self, lib: ctypes.CDLL, descriptors: Mapping[str, int], room: int) -> None:
        self.lib, self.room = lib, room
        self.flows, self.samples = descriptors["flows"], descriptors["samples"]
        self.slots = memory(descriptors["slots"], room * SLOT_SIZE)
        self.buckets = memory(descriptors["buckets"], room * BUCKET.size)
        self.config = memory(descriptors["config"], CONFIG_SIZE)
        self.inherited: dict[bytes, int] = {}  # of a process that has died: keys, and the slots they lead to

    def enter(self, key: bytes, slot: int) -> bool:
        """From now on, packets with this key are the slot's. False: there is no room."""
        return not self.lib.bpf_map_update_elem(self.flows, key, struct.pack("I", slot), ANY)

    def drop(self, key: bytes) -> None:
        """Packets with this key, which was entered, go up again."""
        if self.lib.bpf_map_delete_elem(self.flows, key):
            raise OSError(ctypes.get_errno(), "a flow could not be taken from the kernel")

    def entered(self) -> dict[bytes, int]:
        """All keys in the index, and the slots that they lead to."""
        key, slot, found = ctypes.create_string_buffer(KEY.size), ctypes.create_string_buffer(4), {}
        more = not self.lib.bpf_map_get_next_key(self.flows, None, key)
        while more:
            if not self.lib.bpf_map_lookup_elem(self.flows, key, slot):
                found[key.raw] = int.from_bytes(slot.raw, "little")
            more = not self.lib.bpf_map_get_next_key(self.flows, key, key)
        return found

    def forget(self) -> None:
        """Nothing rides any more, also of what another process has entered before."""
        self.config[:CONFIG_SIZE] = bytes(CONFIG_SIZE)
        for key in self.entered():
            self.drop(key)

    def close(self) -> None:
        for mapped in (self.slots, self.buckets, self.config):
            mapped.close()


def memory(descriptor: int, size: int) -> mmap.mmap:
    return mmap.mmap(descriptor, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)


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
        ("bpf_tc_hook_create", number, (text,)),
        ("bpf_tc_hook_destroy", number, (text,)),
        ("bpf_tc_attach", number, (text, text)),
        ("bpf_tc_detach", number, (text, text)),
        ("bpf_map_lookup_elem", number, (number, text, text)),
        ("bpf_map_get_next_key", number, (number, text, text)),
        ("bpf_obj_pin", number, (number, text)),
        ("bpf_obj_get", number, (text,)),
        ("bpf_obj_get_info_by_fd", number, (number, text, text)),
        ("libbpf_set_print", pointer, (pointer,)),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    lib.libbpf_set_print(None)  # what went wrong, we say ourselves
    return lib
