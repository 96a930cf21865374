"""Encrypted sessions: what two ICE ufrags have agreed on by DTLS, and which streams belong to it.

A session does not depend on addresses: browsers make the handshake on one pair of addresses and send media
on another, and an ICE restart brings new ufrags and addresses to the same DTLS association. So all pairs
with the same ufrags share a session. A session without a handshake inherits from another one of the same
user when RTP carries one of its SSRCs. Only RTP counts: the SSRCs in Chromium's RTCP are the same in every
call. An open session stays open until it is forgotten, because everything that could close it can be forged.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

from turn.deadlines import Deadlines
from turn.gate.handshake import Agreement, Handshake, Unencrypted
from turn.gate.vouched import Ufrags, VouchedPairs
from turn.wire.dtls import Fragment
from turn.wire.hello import ClientHello

SESSION_LIFETIME = 120.0  # seconds without an ICE check: a client that lost its network restarts ICE sooner
LEARNED_LIFETIME = 60.0  # seconds for a session of another process: its clients come here by then, or never
MAX_STREAMS = 40  # SSRCs of a session: more than an engine carries of one allocation without the core
SPARE = 1  # sessions of a user beyond one for each allocation: the previous call
MAX_LEARNED = 32  # sessions of a user from other processes: bounds memory; a user has a few allocations


class Proven(NamedTuple):
    """An open session, for another relay of ours on this machine, which believes it."""

    user: str
    ufrags: Ufrags
    unified: bool
    srtp: bool
    ssrcs: tuple[int, ...] = ()


class KeptSession(NamedTuple):
    """A session as the next process of this relay needs it; the names are those of `Session`."""

    ufrags: Ufrags
    open: bool
    unified: bool
    refused: bool
    srtp: bool | None
    ssrcs: tuple[int, ...] = ()


class Offered(NamedTuple):
    """What one side of a session has offered. The answer may come to another worker, which needs both."""

    user: str
    ufrags: Ufrags
    speaker: int
    offer: ClientHello


News = Proven | Offered


class Session:
    """What two ufrags have agreed on.

    `srtp` is None while that is unknown. `refused`: the handshake did not encrypt. `learned`: another
    process of ours has reported it. `local`: a client of ours has sent its ICE checks. `vouched`: our server
    has read the descriptions of both ends.
    """

    __slots__ = (
        "handshake",
        "learned",
        "local",
        "number",
        "open",
        "refused",
        "srtp",
        "ssrcs",
        "ufrags",
        "unified",
        "user",
        "vouched",
    )

    def __init__(self, number: int, user: str, ufrags: Ufrags, *, learned: bool = False) -> None:
        self.number, self.user, self.ufrags, self.learned = number, user, ufrags, learned
        self.local = self.vouched = False
        self.handshake: Handshake | None = None  # made with its first packet
        self.open = self.unified = self.refused = False
        self.srtp: bool | None = None
        self.ssrcs: dict[int, None] = {}

    def ensure_handshake(self) -> Handshake:
        self.handshake = self.handshake or Handshake()
        return self.handshake

    def note_unencrypted(self, speaker: int) -> None:
        """This side has chosen no encryption. Without an offer before it, the choice may be forged."""
        self.refused |= self.srtp is None and self.ensure_handshake().has_offer_for(speaker)

    def agree(self, agreement: Agreement) -> None:
        self.open, self.refused = True, False
        self.unified |= agreement.unified
        self.srtp = bool(self.srtp) or agreement.srtp

    def proven(self) -> Proven:
        return Proven(self.user, self.ufrags, self.unified, bool(self.srtp), tuple(self.ssrcs))

    def kept(self) -> KeptSession:
        return KeptSession(self.ufrags, self.open, self.unified, self.refused, self.srtp, tuple(self.ssrcs))

    def restore(self, kept: KeptSession) -> None:
        """As it was, and what another process of ours has reported since."""
        self.refused = kept.refused and not self.open
        self.open |= kept.open
        self.unified |= kept.unified
        self.srtp = kept.srtp if self.srtp is None else self.srtp


class User:
    """One TURN user's sessions, the least recently checked first, and the session of each SSRC."""

    __slots__ = ("allocations", "learned", "sessions", "streams")

    def __init__(self) -> None:
        self.sessions: dict[Ufrags, Session] = {}
        self.streams: dict[int, Session] = {}
        self.allocations = self.learned = 0

    @property
    def is_full(self) -> bool:
        return len(self.sessions) - self.learned >= SPARE + self.allocations

    def oldest(self) -> Session:
        """The session to drop for a new one: open ones last, so that forged checks cannot push them out."""
        closed = (session for session in self.sessions.values() if not session.open)
        return next(closed, next(iter(self.sessions.values())))

    def oldest_learned(self) -> Session:
        """The learned session to drop for another one: those that clients here use last, then open ones."""
        learned = (session for session in self.sessions.values() if session.learned)
        return min(learned, key=lambda session: (session.local, session.open))

    def an_open_session(self, unified: bool) -> Session | None:
        opened = (one for one in self.sessions.values() if one.open and (one.unified or not unified))
        return next(opened, None)

    def has_srtp(self) -> bool:
        return any(session.srtp for session in self.sessions.values())


class Sessions:
    def __init__(self) -> None:
        self._users: dict[str, User] = {}
        self.vouched = VouchedPairs()
        self._numbers = count()
        self._deadlines: Deadlines[int] = Deadlines()  # by number: the heap must not hold old sessions
        self._by_number: dict[int, Session] = {}
        self._news: dict[Session, None] = {}
        self._offers: dict[tuple[Session, int], ClientHello] = {}  # new offers, by session and side

    def __len__(self) -> int:
        return sum(len(user.sessions) for user in self._users.values())

    def __iter__(self) -> Iterator[Session]:
        return (session for user in self._users.values() for session in user.sessions.values())

    def add_allocation(self, user: str) -> None:
        """This user has one more allocation, so one more session may be remembered."""
        self._users.setdefault(user, User()).allocations += 1

    def remove_allocation(self, user: str) -> None:
        owner = self._users[user]
        owner.allocations -= 1
        while len(owner.sessions) - owner.learned > SPARE + owner.allocations:
            self._forget(owner.oldest())
        self._drop_unused(user)

    def renew(self, user: str, ufrags: Ufrags, now: float, before: Session | None = None) -> Session:
        """The session of a user with an allocation; its lifetime starts again.

        `before` is the session that the pair had: if that was dropped for lack of room, it goes on.
        """
        owner = self._users[user]
        session = owner.sessions.pop(ufrags, None)
        if session is None:
            if owner.is_full:
                self._forget(owner.oldest())
            session = before if before and before.ufrags == ufrags else self._make(user, ufrags)
            owner.streams.update(dict.fromkeys(session.ssrcs, session))
        session.local = True
        self._store(owner, session, now + SESSION_LIFETIME)
        return session

    def restore(self, user: str, kept: KeptSession, now: float) -> Session:
        """A session of a user with an allocation, as it was before this process started."""
        session = self.renew(user, kept.ufrags, now)
        session.restore(kept)
        for ssrc in kept.ssrcs:
            self.note_stream(session, ssrc)
        return session

    def knows(self, user: str, ufrags: Ufrags) -> bool:
        """Whether a session of this user has these ufrags."""
        return ufrags in self._users[user].sessions

    def find_or_make(self, user: str, ufrags: Ufrags) -> Session:
        """The session that a peer names; it is remembered only if the client names it too."""
        return self._users[user].sessions.get(ufrags) or self._make(user, ufrags)

    def receive_fragment(self, session: Session, speaker: int, fragment: Fragment, now: float) -> None:
        """Take a fragment of its handshake; only remembered sessions are reported to other processes.

        Raises Rejected and WireError.
        """
        handshake = session.ensure_handshake()
        before = handshake.ends[speaker].offer
        try:
            agreement = handshake.receive_fragment(speaker, fragment, now)
        except Unencrypted:
            session.note_unencrypted(speaker)
            raise
        offer = handshake.ends[speaker].offer
        if offer is not None and offer != before and self._holds(session):
            self._offers[session, speaker] = offer
        self._conclude(session, agreement)

    def _conclude(self, session: Session, agreement: Agreement | None) -> None:
        if agreement is not None:
            session.agree(agreement)
            self._announce(session)

    def note_stream(self, session: Session, ssrc: int) -> None:
        """RTP of this stream has passed in an open session."""
        if ssrc in session.ssrcs or not self._holds(session):
            return
        streams = self._users[session.user].streams
        if len(session.ssrcs) >= MAX_STREAMS:
            oldest = next(iter(session.ssrcs))
            del session.ssrcs[oldest]
            drop_stream(streams, oldest, session)
        session.ssrcs[ssrc] = None
        streams[ssrc] = session
        self._announce(session)

    def inherit_by_stream(self, session: Session, ssrc: int) -> bool:
        """Whether this stream belongs to another session of the user with SRTP; then this one inherits it."""
        owner = self._users.get(session.user)
        before = owner.streams.get(ssrc) if owner else None
        if before is None or before is session or not before.srtp:
            return False
        session.open, session.srtp = True, True
        session.unified |= before.unified
        for known in tuple(before.ssrcs):
            self.note_stream(session, known)
        return True

    def inherit_any(self, session: Session, *, unified: bool) -> bool:
        """Whether the user has an open session, which this one then inherits.

        For DTLS ciphertext after an ICE restart: nothing in it says which session it belongs to. RTP may not
        pass by this.
        """
        owner = self._users.get(session.user)
        before = owner.an_open_session(unified) if owner else None
        if before is None:
            return False
        session.open = True
        session.unified |= before.unified
        return True

    def has_srtp(self, user: str) -> bool:
        """Whether any session of this user has SRTP."""
        owner = self._users.get(user)
        return owner is not None and owner.has_srtp()

    def learn_session(self, news: News, now: float) -> None:
        """Believe what another relay of ours has seen. It holds for a while, then it must come again."""
        session = self._learned_session(news.user, news.ufrags, now)
        if isinstance(news, Offered):
            self._learn_offer(session, news)
            return
        is_new = session in self._news
        session.agree(Agreement(news.unified, news.srtp))
        for ssrc in news.ssrcs:
            self.note_stream(session, ssrc)
        if not is_new:
            self._news.pop(session, None)

    def _learned_session(self, user: str, ufrags: Ufrags, now: float) -> Session:
        owner = self._users.setdefault(user, User())
        session = owner.sessions.get(ufrags)
        if session is None:
            if owner.learned >= MAX_LEARNED:
                self._forget(owner.oldest_learned())
            session = self._make(user, ufrags, learned=True)
            owner.learned += 1
        if not session.local:
            owner.sessions.pop(ufrags, None)
            self._store(owner, session, now + LEARNED_LIFETIME)
        return session

    def _learn_offer(self, session: Session, offered: Offered) -> None:
        """Take an offer; with an answer that has come here before, the handshake is complete."""
        try:
            agreement = session.ensure_handshake().add_offer(offered.speaker, offered.offer)
        except Unencrypted:
            session.note_unencrypted(1 - offered.speaker)
        else:
            self._conclude(session, agreement)

    def news(self) -> list[News]:
        """What was proven and offered since the last call, for the other processes of ours."""
        offers = self._offers.items()
        news: list[News] = [Offered(one.user, one.ufrags, end, offer) for (one, end), offer in offers]
        news += [session.proven() for session in self._news]
        self._offers.clear()
        self._news.clear()
        return news

    def expire(self, now: float) -> None:
        for number in list(self._deadlines.due(now)):
            self._remove(self._by_number[number])

    def next_expiry(self) -> float | None:
        return self._deadlines.next()

    def _make(self, user: str, ufrags: Ufrags, *, learned: bool = False) -> Session:
        session = Session(next(self._numbers), user, ufrags, learned=learned)
        session.vouched = (user, ufrags) in self.vouched
        return session

    def update_vouched(self, user: str, ufrags: Ufrags) -> bool:
        """Whether our server vouches for a session now; the session itself knows it, too."""
        vouched = (user, ufrags) in self.vouched
        owner = self._users.get(user)
        session = owner.sessions.get(ufrags) if owner else None
        if session is not None:
            session.vouched = vouched
        return vouched

    def _store(self, owner: User, session: Session, end: float) -> None:
        owner.sessions[session.ufrags] = self._by_number[session.number] = session
        self._deadlines.set(session.number, end)

    def _holds(self, session: Session) -> bool:
        owner = self._users.get(session.user)
        return owner is not None and owner.sessions.get(session.ufrags) is session

    def _announce(self, session: Session) -> None:
        if self._holds(session):
            self._news[session] = None

    def _forget(self, session: Session) -> None:
        self._deadlines.drop(session.number)
        self._remove(session)

    def _remove(self, session: Session) -> None:
        owner = self._users[session.user]
        del owner.sessions[session.ufrags], self._by_number[session.number]
        session.handshake = None
        owner.learned -= session.learned
        for ssrc in session.ssrcs:
            drop_stream(owner.streams, ssrc, session)
        self._news.pop(session, None)
        for speaker in (0, 1):
            self._offers.pop((session, speaker), None)
        self._drop_unused(session.user)

    def _drop_unused(self, user: str) -> None:
        owner = self._users[user]
        if not owner.sessions and not owner.allocations:
            del self._users[user]


def drop_stream(streams: dict[int, Session], ssrc: int, session: Session) -> None:
    """Forget a stream, unless it belongs to another session by now."""
    if streams.get(ssrc) is session:
        del streams[ssrc]
