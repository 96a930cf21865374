"""The call log: that a call happened and how long it was, for a few days at most."""

from __future__ import annotations

from server.store import Call, Store
from turn.limits.buckets import Bucket

DAY = 86_400
PURGE_SECONDS = 3_600  # how often old rows are deleted
SHORTEST = 3.0  # seconds: a visitor who passes on at once has not called anybody
ROWS_PER_SECOND, ROWS_AT_ONCE = 10, 200  # more are no people: a week of them is 80 MB
MARGIN = 2 * PURGE_SECONDS  # rows are deleted this much earlier, so that none stays longer than its days


class CallLog:
    """Keeps rows for so many days; 0 means no rows. Short calls and those beyond the rate have none.

    `wall` and `start` are seconds since 1970, `now` is monotonic.
    """

    def __init__(self, store: Store, days: int) -> None:
        self.store = store
        self.days = days
        self.rate = Bucket(ROWS_PER_SECOND, ROWS_AT_ONCE)

    def add(self, start: float, seconds: float, now: float) -> None:
        if self.days and seconds >= SHORTEST and self.rate.spend(now):
            self.store.add_call(Call(int(start), round(seconds)))

    def cutoff(self, wall: float) -> int:
        """Calls that began before this time must be deleted."""
        return int(wall) - self.days * DAY + MARGIN if self.days else int(wall) + DAY


def purge(store: Store, log: CallLog, wall: float) -> int:
    """Delete old calls and ended bans; return how many rows were deleted."""
    return store.delete_expired(calls_before=log.cutoff(wall), bans_until=int(wall))
