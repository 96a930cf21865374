"""The log that forgets: that a call happened and how long it was, for a few days at most."""

from __future__ import annotations

from server.store import Call, Store

DAY = 86_400
PURGE_SECONDS = 3_600  # how often what is old is deleted
MARGIN = 2 * PURGE_SECONDS  # rows go this much before their time is over, so that none outlives it


class CallLog:
    """Keeps rows for so many days; 0 keeps none. Times are seconds since 1970."""

    def __init__(self, store: Store, days: int) -> None:
        self.store = store
        self.days = days

    def add(self, start: float, seconds: float) -> None:
        if self.days:
            self.store.add_call(Call(int(start), round(seconds)))

    def cutoff(self, wall: float) -> int:
        """Calls that began before are to be forgotten."""
        return int(wall) - self.days * DAY + MARGIN if self.days else int(wall) + DAY


def delete_expired(store: Store, log: CallLog, wall: float) -> int:
    """Delete old calls and ended bans; how many rows went."""
    return store.delete_expired(calls_before=log.cutoff(wall), bans_until=int(wall))
