"""The allocations of this process in a file that is memory, for the process that follows it.

However this process ends, the file then says what clients have been told. It has a page with the head, and
one for each allocation. A changed allocation is written to a free page, and only then its old page is freed:
so each one stands there whole at any time. The owner holds a lock as long as it lives, so nobody takes the
allocations of a process that runs. The file holds addresses and keys: it lies in a folder that is never on a
disk, only this account can read it, and it is removed when the relay ends in an orderly way.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterable
from hashlib import sha256
from mmap import mmap
from pathlib import Path
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from turn.core.relay import Change, KeptAllocation
from turn.flows import Address
from turn.service.allocation_record import BadRecord, pack
from turn.service.relayed_ports import BOOT, Owner

PAGE = 4096
PAGES = 1 << 16  # the file has holes where no allocation was ever
MAGIC = b"calln allocs 1\0\0"  # another layout has another number
HEAD = Struct("<16s16s32sQQIId")
USED = Struct("<I")  # how many pages have ever been used, behind the head
RECORD = Struct("<IHQ")  # checksum of what follows it, bytes behind these three, and number of the record
CHECKED = 4  # bytes before what the checksum covers
ROOM = PAGE - RECORD.size
EMPTY = bytes(PAGE)


class Head(NamedTuple):
    """Whose the file is: `keeper` starts processes again, this one itself or the one that starts workers;
    `worker` is the number of the worker, of so many. `born` is monotonic time."""

    key: bytes
    keeper: Owner
    worker: int
    workers: int
    born: float

    def pack(self) -> bytes:
        return HEAD.pack(MAGIC, boot(), self.key, *self.keeper, self.worker, self.workers, self.born)


def boot() -> bytes:
    """The id of this boot. Raises OSError."""
    return bytes.fromhex(BOOT.read_text().replace("-", ""))


def name_of_files(state_dir: Path) -> str:
    """How the names of the files begin of all processes with this folder."""
    return f"allocations-{sha256(bytes(state_dir.absolute())).hexdigest()[:16]}"


class AllocationFile:
    """The file of this process. Raises OSError."""

    def __init__(self, folder: Path, name: str, head: Head) -> None:
        self.path = folder / f"{name}.{secrets.token_hex(4)}"
        self._descriptor = os.open(folder, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        self._pages: dict[Address, int] = {}
        self._free: list[int] = []
        self._used = self._number = 0
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.posix_fallocate(self._descriptor, 0, PAGE)
            os.ftruncate(self._descriptor, PAGE * (1 + PAGES))
            os.pwrite(self._descriptor, head.pack(), 0)
            self._map = mmap(self._descriptor, PAGE * (1 + PAGES))
            open_file = f"/proc/self/fd/{self._descriptor}"
            os.link(open_file, self.path, src_dir_fd=self._descriptor)  # any: without, links are not followed
        except OSError:
            os.close(self._descriptor)
            raise

    def save(self, changes: Iterable[Change]) -> None:
        """Raises OSError and BadRecord, after the others are written; what cannot be written is not kept."""
        failures: list[Exception] = []
        for relay, kept in changes:
            before = self._pages.pop(relay, None)
            try:
                if kept is not None:
                    self._pages[relay] = self._write(kept)
            except (OSError, BadRecord) as failure:
                failures.append(failure)
            if before is not None:
                self._free_page(before)
        if failures:
            raise failures[0]

    def _write(self, kept: KeptAllocation) -> int:
        """The page. Raises OSError and BadRecord."""
        packed = pack(kept, ROOM)
        self._number += 1
        checked = RECORD.pack(0, len(packed), self._number)[CHECKED:] + packed
        record = crc32(checked).to_bytes(CHECKED, "little") + checked
        page = self._free.pop() if self._free else self._new_page()
        self._map[PAGE * page : PAGE * page + len(record)] = record
        return page

    def _free_page(self, page: int) -> None:
        """Nothing of a call stays when it has ended."""
        self._map[PAGE * page : PAGE * (page + 1)] = EMPTY
        self._free.append(page)

    def _new_page(self) -> int:
        """Without room for it, writing to a mapped file kills the process. Raises OSError."""
        if self._used >= PAGES:
            raise OSError("all pages are in use")
        os.posix_fallocate(self._descriptor, PAGE * (self._used + 1), PAGE)
        self._used += 1
        USED.pack_into(self._map, HEAD.size, self._used)
        return self._used

    def close(self, *, remove: bool) -> None:
        """With `remove`, nobody shall take these allocations."""
        if remove:
            self.path.unlink(missing_ok=True)
        self._map.close()
        os.close(self._descriptor)
