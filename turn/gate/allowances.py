"""How much may pass that is not encrypted, for each user and each client network.

ICE checks and handshakes come before there are keys, so two ends that agree could hide data in them.
Allocations are cheap to make and to end; so a user, and the network that it calls from, have one allowance
for all of them, which stays when an allocation ends. It grows with the number of allocations that the
operator lets them have.
"""

from __future__ import annotations

from typing import NamedTuple

from turn.flows import Address
from turn.limits.addresses import counted_networks
from turn.limits.buckets import NUMBERS, Buckets
from turn.limits.ledger import Ledger, LocalLedger
from turn.policies import Limits

# Of each allocation that a user or a network may have, a second, and at once.
HANDSHAKE_PER_SECOND, HANDSHAKE_BURST = 64.0, 4096.0  # bytes: a handshake has 1,000 to 6,000, and may be lost
CHECKS_PER_SECOND, CHECKS_BURST = 1.0, 40.0  # for new paths; turn.gate.pairs has one more for paths in use
UFRAGS_PER_SECOND, UFRAGS_BURST = 0.0625, 4.0  # new names of a session: a call has one, and one each restart
# To one socket of a peer, of all clients together: nobody can flood somebody else through this relay.
UNANSWERED_PER_SECOND, UNANSWERED_BURST = 200.0, 1000.0

DIRECTIONS = ("out", "in")
HANDSHAKES, EARLY_HANDSHAKES, CHECKS, UFRAGS = "handshakes", "early handshakes", "checks", "ufrags"
UNANSWERED = "unanswered checks"


class Share(NamedTuple):
    """Two buckets, either of which may pay, and how much of each one unit takes: a bucket holds what one
    allocation may use."""

    slots: tuple[int, int]
    weight: float


Owner = tuple[Share, ...]  # the user's share, and one of each network of its address


class Allowance:
    """One kind of what may pass unencrypted, in one direction."""

    __slots__ = ("_buckets",)

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    def spend(self, owner: Owner, now: float, amount: float = 1.0) -> bool:
        """Whether so much more may pass; if one share is used up, nothing is taken from the others."""
        buckets = self._buckets
        for slots, weight in owner:  # not all(): this is done for each check, and a generator takes longer
            if not buckets.can_spend_either(slots, now, amount * weight):
                return False
        for slots, weight in owner:
            buckets.spend_either(slots, now, amount * weight)
        return True


class Allowances:
    """All kinds, each for both directions: from the client (0) and to it (1).

    `early_handshakes` are those on a pair without consent: forged packets from another port of a peer have
    none, and so take nothing from a real pair.
    """

    def __init__(self, limits: Limits | None = None, key: bytes = b"", ledger: Ledger | None = None) -> None:
        self.limits = limits or Limits()
        ledger = ledger or LocalLedger()

        def both(kind: str, rate: float, burst: float) -> tuple[Allowance, Allowance]:
            outward, inward = (
                Allowance(Buckets(rate, burst, key, ledger.levels(f"{kind} {way}", NUMBERS)))
                for way in DIRECTIONS
            )
            return outward, inward

        self.handshakes = both(HANDSHAKES, HANDSHAKE_PER_SECOND, HANDSHAKE_BURST)
        self.early_handshakes = both(EARLY_HANDSHAKES, HANDSHAKE_PER_SECOND, HANDSHAKE_BURST)
        self.checks = both(CHECKS, CHECKS_PER_SECOND, CHECKS_BURST)
        self.ufrags = both(UFRAGS, UFRAGS_PER_SECOND, UFRAGS_BURST)
        levels = ledger.levels(UNANSWERED, NUMBERS)
        self._unanswered = Buckets(UNANSWERED_PER_SECOND, UNANSWERED_BURST, key, levels)

    def owner(self, user: str, ip: bytes | None) -> Owner:
        """The shares that a client's packets are charged to; none where the operator sets no limit."""
        limits, slots = self.limits, self._unanswered.slots
        shares: list[Share] = []
        if limits.allocations_per_user:
            shares.append(Share(slots(b"user " + user.encode()), 1 / limits.allocations_per_user))
        if ip is not None and limits.allocations_per_address and not limits.is_trusted(ip):
            for network, factor in counted_networks(ip):
                share = 1 / (limits.allocations_per_address * factor)
                shares.append(Share(slots(b"network " + network), share))
        return tuple(shares)

    def may_ask(self, peer: Address, now: float) -> bool:
        """Whether one more check may go to a peer that has not answered yet."""
        return self._unanswered.spend(peer.ip + peer.port.to_bytes(2), now)
