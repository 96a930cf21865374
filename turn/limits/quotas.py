"""How many relayed addresses a user, an address and all together have in use.

The memory of the counts may be shared with other processes (turn.limits.ledger).
"""

from __future__ import annotations

from turn.errors import InsufficientCapacity, QuotaReached
from turn.limits.addresses import AddressCounts
from turn.limits.ledger import Ledger
from turn.policies import Limits

ALL = b""  # the name under which all together are counted


class Quota:
    """Counts relayed addresses, and refuses those beyond the limits."""

    def __init__(self, limits: Limits, ledger: Ledger) -> None:
        self.limits = limits
        self.by_user, self.by_address = ledger.usage("users"), AddressCounts(ledger.usage("addresses"))
        self.by_all = ledger.usage("allocations")

    @property
    def total(self) -> int:
        return self.by_all.amount(ALL)

    def reserve(self, user: str, ip: bytes, amount: int = 1) -> None:
        """Count more relayed addresses.

        Raises QuotaReached if the user or the address has too many, InsufficientCapacity if all have.
        """
        limits = self.limits
        if exceeds(self.by_user.amount(user.encode()) + amount, limits.allocations_per_user):
            raise QuotaReached("user")
        most = limits.allocations_per_address
        if self.by_address.exceeds(ip, most, amount) and not limits.is_trusted(ip):
            raise QuotaReached("address")
        if exceeds(self.total + amount, limits.allocations):
            raise InsufficientCapacity("total")
        self._add(user, ip, amount)

    def count(self, user: str, ip: bytes) -> None:
        """Count a relayed address that was within the limits before this process started."""
        self._add(user, ip, 1)

    def give_back(self, user: str, ip: bytes, amount: int = 1) -> None:
        self._add(user, ip, -amount)

    def _add(self, user: str, ip: bytes, amount: int) -> None:
        self.by_all.add(ALL, amount)
        self.by_user.add(user.encode(), amount)
        self.by_address.add(ip, amount)


def exceeds(count: int, limit: int) -> bool:
    return bool(limit) and count > limit
