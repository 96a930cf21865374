"""How many connections there are, and whether one more may be accepted."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass
from time import monotonic

from turn.engines import Streams
from turn.limits.buckets import Buckets
from turn.limits.ledger import LocalLedger, Usage

# Connections of one address whose clients never held an allocation. Everybody can open these, and 40
# addresses together can open as many as there may be in all. Each takes 100 KiB at most: half a frame, and
# what its client does not read. An office whose browsers all open at once needs so many for a moment.
MAX_SILENT = 128
MAX_UNNAMED = 256  # connections of one proxy that has not named the client yet: many come at once
HANDSHAKES_PER_SECOND = 50  # of TLS and per address: 2 % of a core
HANDSHAKE_BURST = 400  # when a relay restarts, all clients of one address come back at once
ALL = b""  # the name under which all connections are counted


@dataclass(slots=True)
class Slot:
    """One connection's place in the counts: the name that its address counts as (None: not counted by
    address), and whether its client has never held an allocation."""

    count: Usage
    counted_as: bytes | None
    silent: bool = True


class ConnectionLimits:
    """Counts connections in all and by address, those of the relay's other processes included."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        ledger = streams.ledger or LocalLedger()
        self.all, self.of_address = ledger.usage("connections"), ledger.usage("connected")
        self.silent, self.unnamed = ledger.usage("silent"), ledger.usage("unnamed")
        # Each process for itself: this limit protects its core.
        self.handshakes = Buckets(HANDSHAKES_PER_SECOND, HANDSHAKE_BURST, secrets.token_bytes(16))
        self.refused: Counter[str] = Counter()  # by the limit that was met, in this process

    @property
    def total(self) -> int:
        return self.all.amount(ALL)

    def acquire(self, ip: bytes) -> Slot | None:
        """A slot for a client; None: its address may have no more."""
        name = self.streams.counted_as(ip)
        limit = self.limit_met(name)
        if limit is not None:
            self.refused[limit] += 1
            return None
        if name is not None:
            self.of_address.add(name, 1)
            self.silent.add(name, 1)
        self.all.add(ALL, 1)
        return Slot(self.of_address, name)

    def limit_met(self, name: bytes | None) -> str | None:
        """The limit that one more client would break; None if there is none."""
        if self.is_full():
            return "connections"
        if name is not None and self.silent.amount(name) >= MAX_SILENT:
            return "silent connections"
        if name is not None and 0 < self.streams.per_address <= self.of_address.amount(name):
            return "connections of an address"
        return None

    def acquire_for_proxy(self, ip: bytes) -> Slot | None:
        """A slot for a proxy that has not named its client yet."""
        if self.is_full() or self.unnamed.amount(ip) >= MAX_UNNAMED:
            self.refused["connections" if self.is_full() else "connections of a proxy"] += 1
            return None
        self.unnamed.add(ip, 1)
        self.all.add(ALL, 1)
        return Slot(self.unnamed, ip, silent=False)

    def may_handshake(self, ip: bytes) -> bool:
        """Whether a TLS handshake may begin with this client."""
        name = self.streams.counted_as(ip)
        if name is None or self.handshakes.spend(name, monotonic()):
            return True
        self.refused["handshakes of an address"] += 1
        return False

    def is_full(self) -> bool:
        return 0 < self.streams.connections <= self.total

    def mark_allocated(self, slot: Slot) -> None:
        """Its client holds an allocation, or the connection has closed."""
        if slot.silent and slot.counted_as is not None:
            self.silent.add(slot.counted_as, -1)
        slot.silent = False

    def give_back(self, slot: Slot) -> None:
        self.mark_allocated(slot)
        self.all.add(ALL, -1)
        if slot.counted_as is not None:
            slot.count.add(slot.counted_as, -1)
