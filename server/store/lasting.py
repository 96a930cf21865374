"""The store of a running server: whatever happens to the file, bans are in force and calls go on.

While the file cannot be used, everything is kept in memory and written when it can be used again. A damaged
file is set aside, and a new one gets the bans.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from server.store import Ban, Call, Network, StoreError
from server.store.damaged import delete_old, readable_bans, set_aside
from server.store.sqlite import FILE, SqliteStore

log = logging.getLogger("calln.server")

RETRY_SECONDS = 5.0  # between two attempts to use the file again
SERVER_BUSY_SECONDS = 0.1  # to wait while another process writes: everybody waits with us
ASIDE_SECONDS = 3_600.0  # between two files that are set aside: a broken disk would make one after another
MAX_UNWRITTEN_CALLS = 1_000  # that wait in memory for the file

IN_MEMORY = "until the file can be used again, bans and calls are kept in memory only; a restart forgets them"
SET_ASIDE = "%s was damaged; it is kept for a day as %s, and a new one has %d bans that could be saved"


class LastingStore:
    """A Store that raises nothing. `problem` says why the file is not in use, or is None.

    Args:
        folder: `site.state_dir`.
        clock: monotonic seconds.
        wall: seconds since 1970.
    """

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.path = folder / FILE
        self.clock, self.wall = clock, wall
        self.file: SqliteStore | None = None
        self.identity: tuple[int, int] | None = None
        self.problem: str | None = None
        self.known = {ban.network: ban for ban in readable_bans(self.path)}
        self.unwritten: dict[Network, Ban | None] = {}  # None: the ban was removed
        self.unwritten_calls: deque[Call] = deque(maxlen=MAX_UNWRITTEN_CALLS)
        self.generation = 0  # counts the changes of `known` that no file tells of
        self.retry_at = clock()
        self.aside_at = float("-inf")  # when a file was last set aside
        self.retry()

    def add_ban(self, ban: Ban) -> None:
        self.known[ban.network] = self.unwritten[ban.network] = ban
        self.generation += 1
        self.attempt(self.write_to)

    def remove_ban(self, network: Network) -> bool:
        removed = self.known.pop(network, None) is not None
        self.unwritten[network] = None
        self.generation += 1
        self.attempt(self.write_to)
        return removed

    def bans(self) -> list[Ban]:
        self.attempt(self.read)
        return sorted(self.known.values(), key=lambda ban: (ban.since, str(ban.network)))

    def add_call(self, call: Call) -> None:
        self.unwritten_calls.append(call)
        self.attempt(self.write_to)

    def calls(self) -> list[Call]:
        rows: list[Call] = []
        self.attempt(lambda file: rows.extend(file.calls()))
        return sorted([*rows, *self.unwritten_calls])

    def version(self) -> int:
        """Differs when the bans may be others. Tries to use the file again, too, if it is time."""
        if self.file is not None and identity_of(self.path) != self.identity:
            self.unwritten = {**self.known, **self.unwritten}
            self.fail(f"{self.path} was removed or replaced")
            self.retry()
        elif self.file is None and self.clock() >= self.retry_at:
            self.retry()
        seen = [0]
        self.attempt(lambda file: seen.append(file.version()))
        return (self.generation << 32) + seen[-1]

    def delete_expired(self, *, calls_before: int, bans_until: int) -> int:
        ended = [ban for ban in self.known.values() if ban.until is not None and ban.until <= bans_until]
        for ban in ended:
            del self.known[ban.network]
            self.unwritten.pop(ban.network, None)
        self.unwritten_calls = deque(
            (call for call in self.unwritten_calls if call.start >= calls_before), MAX_UNWRITTEN_CALLS
        )
        gone = [len(ended)]
        self.attempt(
            lambda file: gone.append(file.delete_expired(calls_before=calls_before, bans_until=bans_until))
        )
        with suppress(OSError):
            delete_old(self.path, self.wall())
        return max(gone)

    def close(self) -> None:
        """Close the file. What waits for it gets a last chance."""
        if self.file is None and (self.unwritten or self.unwritten_calls):
            self.retry()
        self.leave_file()

    def leave_file(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None

    def attempt(self, use: Callable[[SqliteStore], object]) -> None:
        """Use the file, if it can be used."""
        if self.file is not None:
            try:
                use(self.file)
            except StoreError as failure:
                self.fail(str(failure), damaged=failure.damaged)

    def read(self, file: SqliteStore) -> None:
        """Take in what the file has, and what it does not have yet."""
        self.known = {ban.network: ban for ban in file.bans()}
        for network, ban in self.unwritten.items():
            if ban is None:
                self.known.pop(network, None)
            else:
                self.known[network] = ban

    def write_to(self, file: SqliteStore) -> None:
        """Write what waits. What was written is not written twice, even if the next row fails."""
        for network, ban in list(self.unwritten.items()):
            if ban is None:
                file.remove_ban(network)
            else:
                file.add_ban(ban)
            del self.unwritten[network]
        while self.unwritten_calls:
            file.add_call(self.unwritten_calls[0])
            self.unwritten_calls.popleft()

    def retry(self) -> None:
        """Open the file and write what waits."""
        self.retry_at = self.clock() + RETRY_SECONDS
        try:
            file = SqliteStore(self.path.parent, SERVER_BUSY_SECONDS)
        except StoreError as failure:
            self.fail(str(failure), damaged=failure.damaged)
            return
        self.file, self.identity = file, identity_of(self.path)
        for use in (SqliteStore.check, self.write_to, self.read):
            self.attempt(use)
        if self.file is file:
            self.generation += 1
            if self.problem is not None:
                log.info("the ban list and the call log are in %s again", self.path)
            self.problem = None

    def fail(self, problem: str, *, damaged: bool = False) -> None:
        """Go on with memory alone, or after damage with a new file. Either is said once."""
        self.leave_file()
        if damaged and self.set_aside():
            self.retry()
            return
        self.retry_at = self.clock() + RETRY_SECONDS
        if self.problem is None:
            log.error("%s; %s", problem, IN_MEMORY)
        self.problem = problem

    def set_aside(self) -> bool:
        """Make room for a new file, which gets all bans that are known; return whether there is room."""
        if self.clock() < self.aside_at + ASIDE_SECONDS:
            return False
        saved = {ban.network: ban for ban in readable_bans(self.path)}
        self.unwritten = {**saved, **self.known, **self.unwritten}
        try:
            name = set_aside(self.path, self.wall()).name
        except OSError:
            return False
        self.aside_at = self.clock()
        log.error(SET_ASIDE, self.path, name, len(self.unwritten))
        return True


def identity_of(path: Path) -> tuple[int, int] | None:
    """Which file this is; None if there is none."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino
