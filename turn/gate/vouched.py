"""Which two ufrags of which user our server vouches for: it has read the descriptions of both ends."""

from __future__ import annotations

from collections.abc import Iterator

from turn.deadlines import Deadlines

MAX_VOUCHED = 16_384  # bounds memory: a site of 4,000 calls, with room for restarts of ICE
MAX_OF_USER = 16  # of one user: the latest restarts of ICE, each of whose ufrags may meet those before it

Ufrags = tuple[bytes, bytes]  # sorted, so that both directions name the same pair


class VouchedPairs:
    def __init__(self) -> None:
        self._users: dict[str, dict[Ufrags, float]] = {}
        self._deadlines: Deadlines[tuple[str, Ufrags]] = Deadlines()

    def __len__(self) -> int:
        return len(self._deadlines)

    def __contains__(self, pair: tuple[str, Ufrags]) -> bool:
        user, ufrags = pair
        return ufrags in self._users.get(user, ())

    def __iter__(self) -> Iterator[tuple[str, Ufrags, float]]:
        return ((user, ufrags, end) for user, own in self._users.items() for ufrags, end in own.items())

    def add(self, user: str, ufrags: Ufrags, end: float, *, merge: bool = False) -> list[Ufrags]:
        """Vouch until `end`, or with `merge` at least so long; the pairs of this user that have changed."""
        own = self._users.get(user, {})
        end = max(end, own.get(ufrags, end)) if merge else end
        is_new = ufrags not in own
        if is_new and len(self) >= MAX_VOUCHED:
            return []
        dropped = [next(iter(own))] if is_new and len(own) >= MAX_OF_USER else []
        for oldest in dropped:
            self._deadlines.drop((user, oldest))
            del own[oldest]
        own[ufrags] = end
        self._users[user] = own
        self._deadlines.set((user, ufrags), end)
        return [*dropped, ufrags] if is_new else []

    def forget(self, user: str) -> list[Ufrags]:
        """Vouch for nothing of this user any more; the pairs that it had."""
        own = list(self._users.pop(user, ()))
        for ufrags in own:
            self._deadlines.drop((user, ufrags))
        return own

    def expire(self, now: float) -> Iterator[tuple[str, Ufrags]]:
        for user, ufrags in list(self._deadlines.due(now)):
            own = self._users[user]
            del own[ufrags]
            if not own:
                del self._users[user]
            yield user, ufrags

    def next_expiry(self) -> float | None:
        return self._deadlines.next()
