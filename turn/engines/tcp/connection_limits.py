"""How many connections there are, and whether one more may be accepted."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass
from time import monotonic

from turn.engines import Streams
from turn.limits.addresses import AddressCounts, handshake_rates
from turn.limits.ledger import LocalLedger

# Connections of one address whose clients never held an allocation. Everybody can open these, and 40
# addresses together can open as many as there may be in all. Each takes 100 KiB at most: half a frame, and
# what its client does not read. An office whose browsers all open at once needs so many for a moment.
MAX_SILENT = 128
MAX_UNNAMED = 256  # connections of one proxy that has not named the client yet: many come at once
ALL = b""  # the name under which all connections are counted


@dataclass(slots=True)
class Slot:
    """One connection's place in the counts: the address that it is counted for (None: not by address), a
    proxy's if `of_proxy`; and whether its client has never held an allocation."""

    ip: bytes | None
    of_proxy: bool = False
    silent: bool = True


class ConnectionLimits:
    """Counts connections in all and by address, those of the relay's other processes included."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        ledger = streams.ledger or LocalLedger()
        self.all, self.unnamed = ledger.usage("connections"), ledger.usage("unnamed")
        self.of_address = AddressCounts(ledger.usage("connected"))
        self.silent = AddressCounts(ledger.usage("silent"))
        # Each process for itself: this limit protects its core.
        self.handshakes = handshake_rates(secrets.token_bytes(16))
        self.refused: Counter[str] = Counter()  # by the limit that was met, in this process

    @property
    def total(self) -> int:
        return self.all.amount(ALL)

    def acquire(self, ip: bytes) -> Slot | None:
        """A slot for a client; None: its address may have no more."""
        counted = None if self.streams.is_trusted(ip) else ip
        limit = self.limit_met(counted)
        if limit is not None:
            self.refused[limit] += 1
            return None
        if counted is not None:
            self.of_address.add(counted)
            self.silent.add(counted)
        self.all.add(ALL, 1)
        return Slot(counted)

    def limit_met(self, ip: bytes | None) -> str | None:
        """The limit that one more client would break; None if there is none."""
        if self.is_full():
            return "connections"
        if ip is not None and self.silent.exceeds(ip, MAX_SILENT):
            return "silent connections"
        if ip is not None and self.of_address.exceeds(ip, self.streams.per_address):
            return "connections of an address"
        return None

    def acquire_for_proxy(self, ip: bytes) -> Slot | None:
        """A slot for a proxy that has not named its client yet."""
        if self.is_full() or self.unnamed.amount(ip) >= MAX_UNNAMED:
            self.refused["connections" if self.is_full() else "connections of a proxy"] += 1
            return None
        self.unnamed.add(ip, 1)
        self.all.add(ALL, 1)
        return Slot(ip, of_proxy=True, silent=False)

    def may_handshake(self, ip: bytes) -> bool:
        """Whether a TLS handshake may begin with this client."""
        if self.streams.is_trusted(ip) or self.handshakes.spend(ip, monotonic()):
            return True
        self.refused["handshakes of an address"] += 1
        return False

    def is_full(self) -> bool:
        return 0 < self.streams.connections <= self.total

    def mark_allocated(self, slot: Slot) -> None:
        """Its client holds an allocation, or the connection has closed."""
        if slot.silent and slot.ip is not None:
            self.silent.add(slot.ip, -1)
        slot.silent = False

    def give_back(self, slot: Slot) -> None:
        self.mark_allocated(slot)
        self.all.add(ALL, -1)
        if slot.of_proxy and slot.ip is not None:
            self.unnamed.add(slot.ip, -1)
        elif slot.ip is not None:
            self.of_address.add(slot.ip, -1)
