"""Which relayed ports are open on this machine, in all processes of the relay: a file that all of them map.

A peer may have one of our own addresses only if a relayed address is open there. So workers must know the
ports of each other, and a new version those of an old one that still finishes its calls. The file has a byte
for each port of each address: 0, or the slot of the process that has the port. A process claims a slot under
a lock, with its id and the time of its start, and then writes only bytes of its own slot. What a dead process
left is wiped out when the next one claims a slot, or by `free_dead`. The file is of no use after a boot.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from turn.flows import Address

FILE = "relayed.map"
SLOTS = 255  # processes at once: a byte is the number of one
PLACES = 64  # own addresses at once: bounds the file, which has holes where no port is open
PORTS = 1 << 16

MAGIC = b"calln relayed 1\0"
BOOT = Path("/proc/sys/kernel/random/boot_id")
OWNER = Struct("=QQ")  # id of a process, and when it started, in ticks since the boot
PLACE = Struct("=B16s")  # length of an address in bytes (0: the place is free), and the address
OWNERS = len(MAGIC) + 16
NAMES = OWNERS + OWNER.size * (SLOTS + 1)
BYTES = 8192  # before the ports of the first address
SIZE = BYTES + PLACES * PORTS


class Owner(NamedTuple):
    process: int
    started: int


class NoRelayedPorts:
    """No other process relays on this machine."""

    def __contains__(self, relay: object) -> bool:
        return False

    def mark_open(self, relay: Address) -> None:
        pass

    def mark_closed(self, relay: Address) -> None:
        pass

    def free_dead(self) -> None:
        pass

    def close(self) -> None:
        pass


ALONE = NoRelayedPorts()


class RelayedPorts:
    """The map, and with `claim` a slot in it. Raises OSError if the file cannot be used."""

    def __init__(self, folder: Path, *, claim: bool = True) -> None:
        self._descriptor = open_map(folder)
        self._map = mmap(self._descriptor, SIZE)
        self._places: dict[bytes, int] = {}  # where the ports of an address begin
        self.slot = 0
        if claim:
            with locked(self._descriptor):
                self._free_dead()
                self._claim()

    def __contains__(self, relay: object) -> bool:
        """Whether another process has this relayed address now."""
        if not isinstance(relay, Address):
            return False
        place = self._place(relay.ip)
        return place is not None and self._map[place + relay.port] not in (0, self.slot)

    def mark_open(self, relay: Address) -> None:
        """It is ours from now on. If there is no room for its address, the others do not learn of it.

        Raises OSError.
        """
        if self.slot:
            with locked(self._descriptor):  # or its place might be given to another address
                place = self._make_place(relay.ip)
                if place is not None:
                    self._map[place + relay.port] = self.slot

    def mark_closed(self, relay: Address) -> None:
        place = self._place(relay.ip)
        if place is not None and self.slot and self._map[place + relay.port] == self.slot:
            self._map[place + relay.port] = 0

    def close(self) -> None:
        """Free the slot with all its ports, and close the file."""
        with locked(self._descriptor):
            if self.slot:
                self._free(self.slot)
        self._map.close()
        os.close(self._descriptor)

    def free_dead(self) -> None:
        """Free the slots of processes that have died. Raises OSError."""
        with locked(self._descriptor):
            self._free_dead()

    def _free_dead(self) -> None:
        for slot, owner in self._owners():
            if owner.process and start_time(owner.process) != owner.started:
                self._free(slot)

    def _claim(self) -> None:
        """If no slot is free, the others do not learn of our ports; nothing else is lost."""
        self.slot = next((slot for slot, owner in self._owners() if not owner.process), 0)
        if self.slot:
            self._own(self.slot, this_process())

    def _free(self, slot: int) -> None:
        for start in filter(self._named, starts()):
            at = start - 1
            while (at := self._map.find(slot.to_bytes(), at + 1, start + PORTS)) >= 0:
                self._map[at] = 0
        self._own(slot, Owner(0, 0))

    def _owners(self) -> Iterator[tuple[int, Owner]]:
        for slot in range(1, SLOTS + 1):
            yield slot, Owner(*OWNER.unpack_from(self._map, OWNERS + OWNER.size * slot))

    def _own(self, slot: int, owner: Owner) -> None:
        OWNER.pack_into(self._map, OWNERS + OWNER.size * slot, *owner)

    def _place(self, ip: bytes) -> int | None:
        """Where the ports of an address begin. It is checked each time: other processes write, too."""
        start = self._places.get(ip)
        if start is not None and self._named(start) == ip:
            return start
        start = self._find(ip)
        if start is not None:
            self._places[ip] = start
        return start

    def _find(self, ip: bytes) -> int | None:
        """By one search: to unpack the name of each place costs ten times as much."""
        name, at = PLACE.pack(len(ip), ip), NAMES - 1
        while (at := self._map.find(name, at + 1, NAMES + PLACE.size * PLACES)) >= 0:
            number, beside = divmod(at - NAMES, PLACE.size)
            if not beside:  # else these bytes are a part of other names
                return BYTES + PORTS * number
        return None

    def _make_place(self, ip: bytes) -> int | None:
        """A new place, or the one of an address without open ports."""
        start = self._place(ip)
        if start is None:
            start = next((start for start in starts() if self._is_free(start)), None)
            if start is None or not self._is_written(start):
                return None
            PLACE.pack_into(self._map, name_at(start), len(ip), ip)
        return start

    def _is_written(self, start: int) -> bool:
        """Whether the disk has room for a place: without it, writing to a mapped file kills the process."""
        try:
            os.posix_fallocate(self._descriptor, start, PORTS)
        except OSError:
            return False
        return True

    def _is_free(self, start: int) -> bool:
        return not self._named(start) or not any(self._map[start : start + PORTS])

    def _named(self, start: int) -> bytes:
        size, ip = PLACE.unpack_from(self._map, name_at(start))
        return bytes(ip[:size])


def starts() -> range:
    return range(BYTES, SIZE, PORTS)


def name_at(start: int) -> int:
    return NAMES + PLACE.size * ((start - BYTES) // PORTS)


def start_time(process: int) -> int | None:
    """When a process started, in ticks since the boot; None: there is no such process (proc(5)).

    Raises OSError if that cannot be found out now, for example without a free descriptor.
    """
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *rest = text.rpartition(")")[2].split()
    return None if state in "ZX" else int(rest[18])


def this_process() -> Owner:
    return owner_of(os.getpid())


def owner_of(process: int) -> Owner:
    return Owner(process, start_time(process) or 0)


@contextmanager
def locked(descriptor: int) -> Iterator[None]:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def open_map(folder: Path) -> int:
    """The file of this boot; one of an earlier boot, or of another format, is replaced."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    head = MAGIC + bytes.fromhex(BOOT.read_text().replace("-", ""))
    while True:
        descriptor = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with locked(descriptor):
            if is_usable(descriptor, head) and is_at(descriptor, folder / FILE):
                return descriptor
            if is_at(descriptor, folder / FILE):
                (folder / FILE).unlink()
        os.close(descriptor)


def is_usable(descriptor: int, head: bytes) -> bool:
    """Whether this is the map of this boot; an empty file is made one."""
    size = os.fstat(descriptor).st_size
    if not size:
        os.posix_fallocate(descriptor, 0, BYTES)
        os.ftruncate(descriptor, SIZE)
        os.pwrite(descriptor, head, 0)
        return True
    return size == SIZE and os.pread(descriptor, len(head), 0) == head


def is_at(descriptor: int, path: Path) -> bool:
    """Whether the file still has its name: another process may have put a new file there."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False
