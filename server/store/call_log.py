"""The call log: that a call happened and how long it was, for a few days at most."""

from __future__ import annotations

from server.store import Call, Store

DAY = 86_400
PURGE_SECONDS = 3_600  # how often old rows are deleted
MARGIN = 2 * PURGE_SECONDS  # rows are deleted this much earlier, so that none stays longer than its days


class CallLog:
    """Keeps rows for so many days; 0 means no rows. Times are seconds since 1970."""

    def __init__(self, store: Store, days: int) -> None:
        self.store = store
        self.days = days

    def add(self, start: float, seconds: float) -> None:
        if self.days:
            self.store.add_call(Call(int(start), round(seconds)))

    def cutoff(self, wall: float) -> int:
        """Calls that began before this time must be deleted."""
        return int(wall) - self.days * DAY + MARGIN if self.days else int(wall) + DAY


def purge(store: Store, log: CallLog, wall: float) -> int:
    """Delete old calls and ended bans; return how many rows were deleted."""
    return store.delete_expired(calls_before=log.cutoff(wall), bans_until=int(wall))
