"""The store as a SQLite file, which keeps no trace of what was deleted from it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from server.store import Ban, Call, Network, Store, StoreError

FILE = "calln.sqlite3"
BUSY_SECONDS = 2.0  # to wait while another process writes

# Without secure_delete a deleted row stays readable in the file; without truncate(), in the write-ahead log.
PRAGMAS = ("journal_mode = WAL", "secure_delete = ON", "synchronous = NORMAL", "trusted_schema = OFF")
DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
TABLES = (
    "CREATE TABLE IF NOT EXISTS bans"
    " (network TEXT PRIMARY KEY, since INTEGER NOT NULL, until INTEGER, reason TEXT NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS calls (start INTEGER NOT NULL, seconds INTEGER NOT NULL) STRICT",
)


def open_store(folder: Path, *, create: bool = True) -> Store:
    """Open the store of a service: the one place that knows which kind of store is in use.

    Args:
        folder: `site.state_dir`.
        create: whether to make a new store if there is none.

    Returns:
        The store.

    Raises:
        StoreError: it cannot be opened, or there is none and `create` is False.
    """
    if not create and not (folder / FILE).exists():
        raise StoreError(
            f"{folder / FILE}: there is no ban list; point site.state_dir (--config) at the server's folder, "
            "or start the server once, which makes it"
        )
    return SqliteStore(folder)


class SqliteStore:
    """A Store: one connection to the file, which only its owner may read."""

    problem: str | None = None

    def __init__(self, folder: Path, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = folder / FILE
        with self.store_errors():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            self.database = sqlite3.connect(self.path, timeout=busy_seconds, isolation_level=None)
        try:
            with self.store_errors():
                for pragma in PRAGMAS:
                    self.database.execute(f"PRAGMA {pragma}")
                for table in TABLES:
                    self.database.execute(table)
            self.truncate()
        except StoreError:
            self.database.close()
            raise

    @contextmanager
    def store_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            damaged = (getattr(error, "sqlite_errorcode", 0) & 0xFF) in DAMAGE
            raise StoreError(f"{self.path}: {error}", damaged=damaged) from None

    def query(self, statement: str, *values: Any) -> list[Any]:
        with self.store_errors():
            return self.database.execute(statement, values).fetchall()

    def execute(self, statement: str, *values: Any) -> int:
        with self.store_errors():
            return self.database.execute(statement, values).rowcount

    def add_ban(self, ban: Ban) -> None:
        self.execute(
            "INSERT OR REPLACE INTO bans VALUES (?, ?, ?, ?)",
            str(ban.network),
            ban.since,
            ban.until,
            ban.reason,
        )

    def remove_ban(self, network: Network) -> bool:
        removed = self.execute("DELETE FROM bans WHERE network = ?", str(network))
        self.truncate()
        return removed > 0

    def bans(self) -> list[Ban]:
        rows = self.query("SELECT network, since, until, reason FROM bans ORDER BY since, network")
        try:
            return [Ban(ip_network(network), since, until, reason) for network, since, until, reason in rows]
        except ValueError:
            raise StoreError(f"{self.path}: a ban in it is no network", damaged=True) from None

    def add_call(self, call: Call) -> None:
        self.execute("INSERT INTO calls VALUES (?, ?)", call.start, call.seconds)

    def calls(self) -> list[Call]:
        return [Call(*row) for row in self.query("SELECT start, seconds FROM calls ORDER BY start")]

    def version(self) -> int:
        return int(self.query("PRAGMA data_version")[0][0])

    def delete_expired(self, *, calls_before: int, bans_until: int) -> int:
        gone = self.execute("DELETE FROM calls WHERE start < ?", calls_before)
        gone += self.execute("DELETE FROM bans WHERE until <= ?", bans_until)
        self.truncate()
        return gone

    def check(self) -> None:
        """Raise StoreError if the file is damaged, or cannot be written to."""
        if self.query("PRAGMA quick_check(1)") != [("ok",)]:
            raise StoreError(f"{self.path}: the database is damaged", damaged=True)
        self.execute("PRAGMA user_version = 1")
        self.truncate()

    def truncate(self) -> None:
        """Empty the write-ahead log: it still holds the deleted rows."""
        self.query("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        self.database.close()
