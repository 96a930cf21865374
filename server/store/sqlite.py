"""The state of one machine: a SQLite file that keeps no trace of what was deleted from it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from server.store import Ban, Call, Network, StateError

FILE = "calln.sqlite3"
PATIENCE = 2.0  # seconds to wait while another process writes

# Without secure_delete a deleted row stays readable in the file; without the WAL's truncation, beside it.
PRAGMAS = ("journal_mode = WAL", "secure_delete = ON", "synchronous = NORMAL", "trusted_schema = OFF")
TABLES = (
    "CREATE TABLE IF NOT EXISTS bans"
    " (network TEXT PRIMARY KEY, since INTEGER NOT NULL, until INTEGER, reason TEXT NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS calls (start INTEGER NOT NULL, seconds INTEGER NOT NULL) STRICT",
)


class Embedded:
    """One connection to the file; readable by its owner only."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        with self.errors():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            self.database = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
        try:
            with self.errors():
                for pragma in PRAGMAS:
                    self.database.execute(f"PRAGMA {pragma}")
                for table in TABLES:
                    self.database.execute(table)
            self.truncate()
        except StateError:
            self.database.close()
            raise

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StateError(f"{self.path}: {error}") from None

    def rows(self, statement: str, *values: Any) -> list[Any]:
        with self.errors():
            return self.database.execute(statement, values).fetchall()

    def change(self, statement: str, *values: Any) -> int:
        with self.errors():
            return self.database.execute(statement, values).rowcount

    def add_ban(self, ban: Ban) -> None:
        self.change(
            "INSERT OR REPLACE INTO bans VALUES (?, ?, ?, ?)",
            str(ban.network),
            ban.since,
            ban.until,
            ban.reason,
        )

    def remove_ban(self, network: Network) -> bool:
        removed = self.change("DELETE FROM bans WHERE network = ?", str(network))
        self.truncate()
        return removed > 0

    def bans(self) -> list[Ban]:
        rows = self.rows("SELECT network, since, until, reason FROM bans ORDER BY since, network")
        return [Ban(ip_network(network), since, until, reason) for network, since, until, reason in rows]

    def add_call(self, call: Call) -> None:
        self.change("INSERT INTO calls VALUES (?, ?)", call.start, call.seconds)

    def calls(self) -> list[Call]:
        return [Call(*row) for row in self.rows("SELECT start, seconds FROM calls ORDER BY start")]

    def version(self) -> int:
        return int(self.rows("PRAGMA data_version")[0][0])

    def forget(self, *, calls_before: int, bans_until: int) -> int:
        gone = self.change("DELETE FROM calls WHERE start < ?", calls_before)
        gone += self.change("DELETE FROM bans WHERE until <= ?", bans_until)
        self.truncate()
        return gone

    def truncate(self) -> None:
        """Empty the write-ahead log: it still holds the pages as they were."""
        self.rows("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        self.database.close()
