"""What processes of this relay that have died left in their files (turn.service.allocation_file)."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from zlib import crc32

from turn.core.relay import KeptAllocation
from turn.flows import Address
from turn.service.allocation_file import CHECKED, HEAD, MAGIC, PAGE, PAGES, RECORD, ROOM, USED, Head, boot
from turn.service.allocation_record import BadRecord, unpack
from turn.service.relayed_ports import Owner, start_time

log = logging.getLogger("calln.relay")

ORPHAN_SECONDS = 2.0  # a worker notices within that time that the process that started it has died
LOOK_SECONDS = 0.02
NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)
NEW = 0  # the number in a page that was never written, or was freed


class Refused(Exception):
    """This file is not taken; the text says why."""


class DeadFile:
    """An open file whose owner has died; while it is open, nobody else takes it."""

    def __init__(self, path: Path, descriptor: int, head: Head) -> None:
        self.path, self.descriptor, self.head = path, descriptor, head
        self.unreadable = 0

    def allocations(self) -> dict[Address, KeptAllocation]:
        """By relayed address; of two records of one, the later. Raises OSError."""
        latest: dict[Address, tuple[int, KeptAllocation]] = {}
        (used,) = USED.unpack(os.pread(self.descriptor, USED.size, HEAD.size).ljust(USED.size, b"\0"))
        for page in range(1, min(used, PAGES) + 1):
            for number, kept in self._read(os.pread(self.descriptor, PAGE, PAGE * page)):
                if number > latest.get(kept.relay, (NEW,))[0]:
                    latest[kept.relay] = number, kept
        return {relay: kept for relay, (_, kept) in latest.items()}

    def _read(self, page: bytes) -> Iterator[tuple[int, KeptAllocation]]:
        """Nothing of a free page, or of one that cannot be read, which is counted."""
        try:
            found = read_page(page)
        except BadRecord:
            self.unreadable += 1
        else:
            if found is not None:
                yield found

    def close(self, *, remove: bool) -> None:
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


def read_page(page: bytes) -> tuple[int, KeptAllocation] | None:
    """The number of a record and what it says; None for a free page. Raises BadRecord."""
    if len(page) < RECORD.size:
        raise BadRecord
    checksum, size, number = RECORD.unpack_from(page)
    if number == NEW:
        return None
    record = page[: RECORD.size + size]
    if size > ROOM or crc32(record[CHECKED:]) != checksum:
        raise BadRecord
    return number, unpack(record[RECORD.size :])


class Inheritance:
    """What this process takes over. `key`: the one that the dead made their nonces with, if there are any."""

    def __init__(self, files: list[DeadFile]) -> None:
        self.files = files
        self.key = files[0].head.key if files else None

    def allocations(self) -> list[KeptAllocation]:
        """All of them; of two that had one relayed address after each other, that of the later process."""
        found: dict[Address, KeptAllocation] = {}
        for file in reversed(self.files):
            with suppress(OSError):
                found |= file.allocations()
        unreadable = sum(file.unreadable for file in self.files)
        if unreadable:
            log.warning(
                "%d allocations of the process before cannot be read; their calls begin anew", unreadable
            )
        return list(found.values())

    def close(self, *, taken: bool) -> None:
        """With `taken`, they stand in a file of this process by now."""
        for file in self.files:
            file.close(remove=taken)
        self.files = []


def inherit(folder: Path, name: str, keeper: Owner, worker: int = 0, workers: int = 1) -> Inheritance:
    """The files of dead processes of this name that are for this worker, the youngest first.

    A dead worker of a process that lives is replaced by that process, and by no other. Raises OSError.
    """
    found: list[DeadFile] = []
    for path in sorted(folder.glob(f"{name}.*")):
        try:
            file = open_dead(path, keeper, worker, workers)
        except Refused as reason:
            log.warning("kept allocations are not taken: %s", reason)
        else:
            found += [file] if file else []
    return Inheritance(sorted(found, key=lambda file: -file.head.born))


def open_dead(path: Path, keeper: Owner, worker: int, workers: int) -> DeadFile | None:
    """None if it is somebody else's to take. Raises Refused, and OSError without a free descriptor."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in NO_DESCRIPTOR:
            raise
        return None
    found = None
    try:
        found = dead_file(path, descriptor, keeper, worker, workers)
    finally:
        if found is None:
            os.close(descriptor)
    return found


def dead_file(path: Path, descriptor: int, keeper: Owner, worker: int, workers: int) -> DeadFile | None:
    """Raises Refused."""
    try:
        head = read_head(descriptor)
    except Refused:
        if not try_lock(descriptor):
            return None
        with suppress(OSError):
            path.unlink()
        raise
    if head is None:
        path.unlink(missing_ok=True)
        return None
    mine = head.worker % workers == worker and may_take(head, keeper)
    return DeadFile(path, descriptor, head) if mine and lock(descriptor) else None


def read_head(descriptor: int) -> Head | None:
    """None in a file of an earlier boot: its times mean nothing now. Raises Refused."""
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o077:
        raise Refused("the file is not ours alone")
    packed = os.pread(descriptor, HEAD.size, 0)
    if len(packed) < HEAD.size or not packed.startswith(MAGIC):
        raise Refused("another version has written them")
    _, booted, key, process, started, *rest = HEAD.unpack(packed)
    return Head(key, Owner(process, started), *rest) if booted == boot() else None


def may_take(head: Head, keeper: Owner) -> bool:
    """Whether nobody else starts the next process of this file."""
    return head.keeper == keeper or start_time(head.keeper.process) != head.keeper.started


def lock(descriptor: int) -> bool:
    """Whether its process is dead; one whose starter has died ends soon."""
    end = time.monotonic() + ORPHAN_SECONDS
    while not try_lock(descriptor):
        if time.monotonic() >= end:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
