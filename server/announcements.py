"""What relays are to be told: which calls this server has checked, who has ended, which networks are banned.

All of it is a state, and each thing in it has an end. So a relay that was away is simply told everything, and
to say a thing twice is harmless. No clock and no socket is here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from server.signalling.effects import CallLost, CallNews, CallVouched
from server.store import Network
from turn.limits.bans import MAX_BANS, BanKey
from turn.wire.notices import NetworkBanned, Notice, PairVouched, UserEnded

# Each holds for so many seconds at a relay, and is said again in good time. When the server is gone, relays
# forget its calls soon, and its bans a little later.
VOUCHED_SECONDS, VOUCHED_AGAIN = 120, 40.0
BANNED_SECONDS, BANNED_AGAIN = 600, 200.0
LOST_SECONDS = 3600.0  # in which a call is vouched for whose pages the server has lost: voices may go on
MAX_LOST = 512  # such calls: bounds what those who leave without a word take of a relay's room
MAX_ENDED = 4096  # users: bounds memory; the credentials of those that ended first are over first, too


class Vouched(NamedTuple):
    """Two users with one pair of ufrags, each with its own."""

    users: tuple[str, str]
    ufrags: tuple[str, str]


class Ended(NamedTuple):
    """A user whose call is over."""

    user: str


Subject = Vouched | Ended | Network


class Announcements:
    """What is to be told now. Times are monotonic seconds; `wall` is seconds since 1970, for bans only."""

    def __init__(self) -> None:
        self._vouched: dict[tuple[str, str], tuple[Vouched, ...]] = {}  # by the users of a call
        self._lost: dict[tuple[str, str], float] = {}  # when calls without a page are given up, too
        self._ended: dict[str, float] = {}
        self._bans: dict[Network, int | None] = {}
        self.bans_left_out = 0  # older ones, if there are more than a relay takes

    def take(self, news: CallNews, now: float, credential_seconds: float) -> list[Subject]:
        """Something has happened in a call: what relays do not know yet.

        A user has ended for as long as its last credential would be valid.
        """
        self._forget_lost(now)
        if isinstance(news, CallVouched):
            return self._vouch(news)
        known = [users for users in (news.users, news.users[::-1]) if users in self._vouched]
        if isinstance(news, CallLost):
            self._lost.update(dict.fromkeys(known, now + LOST_SECONDS))
            return []
        for users in known:
            del self._vouched[users]
        for user in news.users:
            self._ended[user] = now + credential_seconds
        self._forget_ended(now)
        return [Ended(user) for user in news.users]

    def _vouch(self, news: CallVouched) -> list[Subject]:
        pairs = tuple(Vouched(news.users, ufrags) for ufrags in news.ufrags)
        before = self._vouched.get(news.users, ())
        self._vouched.pop(news.users[::-1], None)
        self._vouched[news.users] = pairs
        return [pair for pair in pairs if pair not in before]

    def _forget_lost(self, now: float) -> None:
        for users in list(self._lost):
            if self._lost[users] > now and len(self._lost) < MAX_LOST:
                break
            del self._lost[users]
            self._vouched.pop(users, None)

    def _forget_ended(self, now: float) -> None:
        for user in list(self._ended):
            if self._ended[user] > now and len(self._ended) <= MAX_ENDED:
                break
            del self._ended[user]

    def set_bans(self, bans: Mapping[Network, int | None]) -> list[Subject]:
        """The ban list, each network with its end or None: what relays do not know, also of lifted bans."""
        newest = dict(list(bans.items())[-MAX_BANS:])
        before, self._bans = self._bans, newest
        self.bans_left_out = len(bans) - len(newest)
        both = {**before, **newest}
        return [network for network in both if before.get(network, 0) != newest.get(network, 0)]

    def everything(self) -> Iterator[Subject]:
        """In the order of urgency."""
        yield from self._bans
        yield from self.vouched()
        yield from map(Ended, self._ended)

    def vouched(self) -> Iterator[Vouched]:
        return (pair for pairs in self._vouched.values() for pair in pairs)

    def bans(self) -> Iterable[Network]:
        return self._bans

    def notice(self, subject: Subject, key: BanKey, now: float, wall: float) -> Notice | None:
        """What to say of it now; None: nothing, because it is over."""
        if isinstance(subject, Vouched):
            users, (one, other) = subject.users, subject.ufrags
            if subject not in self._vouched.get(users, ()) or self._lost.get(users, now + 1) <= now:
                return None
            return PairVouched(VOUCHED_SECONDS, users, (one.encode(), other.encode()))
        if isinstance(subject, Ended):
            left = int(self._ended.get(subject.user, now) - now)
            return UserEnded(left, subject.user) if left > 0 else None
        until = self._bans.get(subject, 0)
        left = BANNED_SECONDS if until is None else max(0, min(BANNED_SECONDS, int(until - wall + 1)))
        network = key.network(subject.network_address.packed, subject.prefixlen)
        return NetworkBanned(left, *network)
