"""The memory of what our servers have told: each server's last number, ended users, and banned networks."""

from __future__ import annotations

from collections.abc import Iterator

from turn.limits.bans import BannedNetworks
from turn.wire.notices import NetworkBanned, Notification, PairVouched, UserEnded

# The longest that a notice may hold, in seconds. A server renews what it vouches for all the time. A ban that
# is lifted while the server is away must not stay for ever. A user has ended until its credentials are over.
MAX_SECONDS = {PairVouched: 120, UserEnded: 86_400, NetworkBanned: 600}

MAX_ENDED = 4096  # users: bounds memory; then the one that ended first is forgotten, and is judged as all are
MAX_SERVERS = 1024  # servers within SERVER_SECONDS; each start of a server is another one
SERVER_SECONDS = 660.0  # longer than a nonce is valid: when a number is forgotten, its request is, too
HEARD_SECONDS = 90.0  # without a word from a server: it is away, or has another secret


class Told:
    """`news` is what our other processes do not know yet; `bans_made` counts new bans."""

    def __init__(self) -> None:
        self.bans = BannedNetworks()
        self.bans_made = 0
        self.news: list[Notification] = []
        self._ended: dict[str, float] = {}  # the end of each, the oldest first
        self._servers: dict[bytes, tuple[int, float]] = {}  # the last number, and when it came

    def has_room_for(self, server: bytes, now: float) -> bool:
        """Whether the numbers of this server can be remembered; those of silent ones are forgotten."""
        if server not in self._servers and len(self._servers) >= MAX_SERVERS:
            self._servers = {
                name: known for name, known in self._servers.items() if now - known[1] < SERVER_SECONDS
            }
        return server in self._servers or len(self._servers) < MAX_SERVERS

    def note_number(self, server: bytes, number: int, now: float) -> bool:
        """Whether this number is above the last one of the server."""
        last, _ = self._servers.get(server, (-1, now))
        self._servers[server] = max(last, number), now
        return number > last

    def servers(self, now: float) -> int:
        """How many servers have spoken lately."""
        return sum(now - heard < HEARD_SECONDS for _, heard in self._servers.values())

    def end_user(self, user: str, end: float, now: float) -> None:
        """This user gets nothing more until `end`."""
        end = max(end, self._ended.pop(user, end))
        while self._ended:
            first = next(iter(self._ended))
            if self._ended[first] > now and len(self._ended) < MAX_ENDED:
                break
            del self._ended[first]
        self._ended[user] = end

    def has_ended(self, user: str, now: float) -> bool:
        return self._ended.get(user, now) > now

    def ended(self, now: float) -> Iterator[tuple[str, float]]:
        """Each user that has ended, and until when."""
        return ((user, end) for user, end in self._ended.items() if end > now)

    def take_news(self) -> list[Notification]:
        news, self.news = self.news, []
        return news
