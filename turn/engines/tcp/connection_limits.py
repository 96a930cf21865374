"""How many connections there are, and whether one more may come."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass
from time import monotonic

from turn.engines import Streams
from turn.limits.buckets import Buckets
from turn.limits.ledger import LocalLedger, Usage

# Connections of one address whose clients never held an allocation. Anybody can have these, and 40 addresses
# together as many as there may be in all; each weighs 100 KiB at most, with half a frame and what it does not
# read. In an office that opens its browsers together, so many are on their way to an allocation at once.
MAX_SILENT = 128
MAX_UNNAMED = 256  # connections of one proxy whose clients it has not named yet: they come many at once
HANDSHAKES_PER_SECOND = 50  # of TLS per second and address: 2 % of a core
HANDSHAKE_BURST = (
    400  # at once: all that one address may have connected come back together when a relay restarts
)
ALL = b""  # the name of everybody together


@dataclass(slots=True)
class Slot:
    """One connection in a count: whose it is (None: not counted by address), and whether its client has
    held nothing yet."""

    count: Usage
    counted_as: bytes | None
    silent: bool = True


class ConnectionLimits:
    """How many connections there are, in all and by address, those of other processes of ours included."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        ledger = streams.ledger or LocalLedger()
        self.all, self.of_address = ledger.usage("connections"), ledger.usage("connected")
        self.silent, self.unnamed = ledger.usage("silent"), ledger.usage("unnamed")
        self.handshakes = Buckets(
            HANDSHAKES_PER_SECOND, HANDSHAKE_BURST, secrets.token_bytes(16)
        )  # each process guards its core
        self.refused: Counter[str] = Counter()  # by the limit that was met, in this process

    @property
    def total(self) -> int:
        return self.all.amount(ALL)

    def acquire(self, ip: bytes) -> Slot | None:
        """For a client; None: no more from there."""
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
        """The one that keeps another client out."""
        if self.is_full():
            return "connections"
        if name is not None and self.silent.amount(name) >= MAX_SILENT:
            return "silent connections"
        if name is not None and 0 < self.streams.per_address <= self.of_address.amount(name):
            return "connections of an address"
        return None

    def acquire_for_proxy(self, ip: bytes) -> Slot | None:
        """For a proxy that has not yet said whom it speaks for."""
        if self.is_full() or self.unnamed.amount(ip) >= MAX_UNNAMED:
            self.refused["connections" if self.is_full() else "connections of a proxy"] += 1
            return None
        self.unnamed.add(ip, 1)
        self.all.add(ALL, 1)
        return Slot(self.unnamed, ip, silent=False)

    def may_handshake(self, ip: bytes) -> bool:
        """Whether a handshake of TLS may begin with this client."""
        name = self.streams.counted_as(ip)
        if name is None or self.handshakes.spend(name, monotonic()):
            return True
        self.refused["handshakes of an address"] += 1
        return False

    def is_full(self) -> bool:
        return 0 < self.streams.connections <= self.total

    def mark_allocated(self, seat: Slot) -> None:
        if seat.silent and seat.counted_as is not None:
            self.silent.add(seat.counted_as, -1)
        seat.silent = False

    def give_back(self, seat: Slot) -> None:
        self.mark_allocated(seat)
        self.all.add(ALL, -1)
        if seat.counted_as is not None:
            seat.count.add(seat.counted_as, -1)
