"""The program as a unit of root's has loaded it: its maps lie in folders, one for each process of the relay.

A process needs no right for these but to the files. It takes the first folder that nobody has; its lock ends
with the process. Calls of a process that has died ride on, for as long as it had promised to live; the next
one says within seconds which of them are its own.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic_ns

from turn.engines.kernel.layout import BUCKET, CONFIG, CONFIG_SIZE, KEY, SECOND, SLOT_SIZE
from turn.engines.kernel.maps import NAMES, SAMPLES_SIZE, CannotRide, Maps, library

INFO = struct.Struct("8x3I")  # what the kernel says of a map: bytes of a key and of a value, and its room
AFTERWARDS = 5  # seconds that calls ride when a process has ended, for the next one to take them
SIZES = {"flows": (KEY.size, 4), "slots": (4, SLOT_SIZE), "buckets": (4, BUCKET.size)}
SIZES |= {"config": (4, CONFIG_SIZE), "samples": (0, 0)}


def folder_of(release: Path) -> Path:
    """The folder of a release. The kernel's file system for such things takes no dots in names."""
    return release.with_name(release.name.replace(".", "_"))


def places(folder: Path) -> Iterator[Path]:
    """Those for one process each."""
    number = 0
    while (place := folder / str(number)).exists():
        yield place
        number += 1


class Pinned(Maps):
    """What of the program is for a process that has not loaded it, and cannot attach it."""

    def __init__(self, folder: Path) -> None:
        """Raises CannotRide."""
        self.attached: dict[int, object] = {}
        lib = library()
        place, self.lock = claim(folder)
        self.opened: list[int] = []
        try:
            found = {name: self.open(lib, place / name) for name in NAMES}
            room = check_sizes(lib, found)
            super().__init__(lib, found, room)
        except CannotRide:
            self.let_go()
            raise
        (lease, *_) = CONFIG.unpack_from(self.config)
        if lease < monotonic_ns():
            self.forget()
        self.inherited = self.entered()

    def open(self, lib: ctypes.CDLL, pin: Path) -> int:
        descriptor: int = lib.bpf_obj_get(os.fsencode(pin))
        if descriptor < 0:
            raise CannotRide(f"{pin}: {os.strerror(ctypes.get_errno())}")
        self.opened.append(descriptor)
        return descriptor

    def learn_addresses(self) -> None:
        """See attach."""

    def attach(self, interface: int) -> None:
        """Who has loaded the program has attached it."""

    def detach(self, interface: int) -> None:
        """See attach."""

    def close(self) -> None:
        """The next process may have calls of ours."""
        CONFIG.pack_into(
            self.config, 0, monotonic_ns() + AFTERWARDS * SECOND, *CONFIG.unpack_from(self.config)[1:]
        )
        super().close()
        self.let_go()

    def let_go(self) -> None:
        for descriptor in (*self.opened, self.lock):
            os.close(descriptor)


def claim(folder: Path) -> tuple[Path, int]:
    """A place that no other process has, and its lock. Raises CannotRide."""
    try:
        for place in places(folder):
            lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return place, lock
            os.close(lock)
    except OSError as problem:
        raise CannotRide(f"{problem.filename}: {problem.strerror}") from None
    held = (
        "other processes have all places there"
        if folder.exists()
        else "it is not there; the log of calln-kernel says why"
    )
    raise CannotRide(f"{folder}: {held}")


def check_sizes(lib: ctypes.CDLL, found: dict[str, int]) -> int:
    """For how many directions of flows there is room. Raises CannotRide if another version made the maps."""
    said = {name: sizes(lib, descriptor) for name, descriptor in found.items()}
    room = said["slots"][2]
    rooms = {"flows": room, "slots": room, "buckets": room, "config": 1, "samples": SAMPLES_SIZE}
    if said != {name: (*SIZES[name], rooms[name]) for name in NAMES}:
        raise CannotRide("its maps are those of another version")
    return room


def sizes(lib: ctypes.CDLL, descriptor: int) -> tuple[int, ...]:
    info, length = ctypes.create_string_buffer(INFO.size), struct.pack("I", INFO.size)
    if lib.bpf_obj_get_info_by_fd(descriptor, info, length):
        raise CannotRide(f"the kernel says nothing of its maps: {os.strerror(ctypes.get_errno())}")
    return INFO.unpack(info.raw)
