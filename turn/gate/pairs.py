"""The evidence of one allocation: its peers, the ICE checks with each of them, and their streams."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from turn.flows import Address
from turn.gate.allowances import Allowances
from turn.gate.sessions import Session
from turn.gate.streams import BLOCKED, ID, Stream, short
from turn.limits.buckets import Bucket
from turn.wire.srtp import INWARD, RTCP, sealed_part

CONSENT = 30.0  # seconds that an answered check counts (RFC 7675 §5.1)
KEEPALIVE = 75.0  # seconds that a Binding indication counts: libnice sends one each 25, and two may be lost
TRANSACTION = 40.0  # seconds that an answer may take: a request is repeated for so long (RFC 8489 §6.2.1)
MAX_TRANSACTIONS = 32  # of a pair and direction: what Chromium sends in 1.5 seconds without answers
CHECKS_PER_SECOND, CHECKS_BURST = 50.0, 100.0  # of a pair and direction: nobody shall carry data in STUN
# Of an allocation and direction, for pairs that have consent: nothing that others send can take from it. A
# browser makes 0.3 to 0.8 checks and answers a second on the path that it uses.
CONSENTS_PER_SECOND, CONSENTS_BURST = 1.0, 4.0
ALL_CHECKS_PER_SECOND, ALL_CHECKS_BURST = 200.0, 400.0  # of an allocation and direction: 30 candidates
MAX_PAIRS = 16  # of an allocation: bounds memory; the oldest without consent is dropped first
MAX_STREAMS = 24  # of an allocation, in test, tested or blocked: bounds memory; a call has about ten
EVICTIONS_PER_SECOND, EVICTIONS_BURST = 1.0, 8.0  # of tested streams: each changes the rule of a flow
CIPHERTEXT = RTCP + 1  # stands for the records of DTLS if those are tested

ENTRY = ID + 2  # the hash of a transaction id, and the time in tenths of a second
WRAP = 1 << 16
NEVER = float("-inf")  # when something happened that has not


class Transactions:
    """The transaction ids of the latest requests, in one string of bytes, because there are so many."""

    __slots__ = ("_at", "_ring", "last_request")

    def __init__(self) -> None:
        self._ring = b""
        self._at = 0
        self.last_request = NEVER  # when it came

    def add(self, transaction: bytes, now: float) -> None:
        """Remember a request; a repeated one takes no more room."""
        self.last_request = now
        known = self._find(transaction)
        at = self._at if known < 0 else known
        entry = short(transaction) + tenths(now).to_bytes(2, "big")
        self._ring = self._ring[:at] + entry + self._ring[at + ENTRY :]
        if known < 0:
            self._at = (at + ENTRY) % (ENTRY * MAX_TRANSACTIONS)

    def _find(self, transaction: bytes) -> int:
        wanted = short(transaction)
        at = self._ring.rfind(wanted)
        while at > 0 and at % ENTRY:
            at = self._ring.rfind(wanted, 0, at + ID - 1)
        return at

    def has(self, transaction: bytes, now: float) -> bool:
        at = self._find(transaction)
        if at < 0:
            return False
        then = int.from_bytes(self._ring[at + ID : at + ENTRY], "big")
        return (tenths(now) - then) % WRAP <= TRANSACTION * 10


def tenths(now: float) -> int:
    return int(now * 10) % WRAP


class Direction(Transactions):
    """One direction of a pair: from the client (0) or from the peer (1)."""

    __slots__ = ("last_answer", "last_keepalive", "limit", "ufrags")

    def __init__(self) -> None:
        super().__init__()
        self.last_answer = NEVER  # when the other side last answered with a success response
        self.last_keepalive = NEVER  # when this side last sent a Binding indication, with consent
        self.limit = Bucket(CHECKS_PER_SECOND, CHECKS_BURST)
        self.ufrags: int | None = None  # a hash of those that the last request named


class Pair:
    """What is known of a client and one peer.

    `client` is the side of the session that the client is, 0 or 1. `media` is what an engine may carry, as
    the core last heard; `stale`: it may have changed since. `rest`: what has no room for a test of its own
    is tested as one stream in each direction, because encrypted packets are random together, too.
    """

    __slots__ = ("client", "directions", "media", "rest", "session", "stale", "streams")

    def __init__(self) -> None:
        self.session: Session | None = None
        self.client = 0
        self.directions = (Direction(), Direction())
        self.streams: dict[int, Stream] = {}
        self.rest: dict[int, Stream] = {}  # by direction
        self.media: frozenset[int] = frozenset()
        self.stale = False

    def set_session(self, session: Session, client: int) -> None:
        self.session, self.client, self.stale = session, client, True

    def has_consent(self, now: float) -> bool:
        """Whether a check was answered in either direction: a server may send no checks (RFC 8445 §2.5).

        Agents without RFC 7675 send none later either, only keepalives (RFC 8445 §11); those of both ends
        prolong a consent.
        """
        outward, inward = self.directions
        return (
            now - outward.last_answer < CONSENT
            or now - inward.last_answer < CONSENT
            or (now - outward.last_keepalive < KEEPALIVE and now - inward.last_keepalive < KEEPALIVE)
        )

    def has_both_consents(self, now: float) -> bool:
        """Whether each side has answered the other's checks, and still answers or keeps alive."""
        outward, inward = self.directions
        client_lives = now - inward.last_answer < CONSENT or now - outward.last_keepalive < KEEPALIVE
        peer_lives = now - outward.last_answer < CONSENT or now - inward.last_keepalive < KEEPALIVE
        return client_lives and peer_lives and inward.last_answer + outward.last_answer > NEVER

    def next_end(self, now: float) -> float | None:
        """When the next consent or keepalive is over, or None."""
        ends = (
            end
            for way in self.directions
            for end in (way.last_answer + CONSENT, way.last_keepalive + KEEPALIVE)
        )
        return min((end for end in ends if end > now), default=None)

    def inspect(self, number: int, packet: bytes) -> bool:
        """Look at a packet of a tested stream. Whether the stream is to be tested anew."""
        stream = self.streams.get(number)
        if stream is None or not stream.is_tested:
            return False
        sealed = sealed_part(packet, number & ~INWARD)
        if sealed is not None:
            stream.inspect(packet, sealed)
        return not stream.is_tested

    def tested(self) -> frozenset[int]:
        """The tested streams of media; those from the peer are marked with INWARD."""
        passed = (number for number, stream in self.streams.items() if stream.is_tested)
        return frozenset(number for number in passed if number & ~INWARD != CIPHERTEXT)


class Evidence:
    """What the gate knows of one allocation: its pairs. What is not encrypted takes from the allowances of
    its user and of the network of its client's address."""

    __slots__ = (
        "_allowances",
        "_consents",
        "_evictions",
        "_limits",
        "_owner",
        "_swept",
        "pairs",
        "streams",
        "user",
    )

    def __init__(self, user: str, allowances: Allowances, ip: bytes | None = None) -> None:
        self.user = user
        self._allowances, self._owner = allowances, allowances.owner(user, ip)
        self.pairs: dict[Address, Pair] = {}
        self.streams = 0
        self._limits = (
            Bucket(ALL_CHECKS_PER_SECOND, ALL_CHECKS_BURST),
            Bucket(ALL_CHECKS_PER_SECOND, ALL_CHECKS_BURST),
        )
        self._consents = (
            Bucket(CONSENTS_PER_SECOND, CONSENTS_BURST),
            Bucket(CONSENTS_PER_SECOND, CONSENTS_BURST),
        )
        self._evictions = Bucket(EVICTIONS_PER_SECOND, EVICTIONS_BURST)
        self._swept: float | None = None

    def may_check(self, pair: Pair, way: int, now: float) -> bool:
        """Whether one more ICE message may pass: by the limit of this pair, and what the allocation has for
        pairs with consent, so that no packets on others cut a call. Else by the limits of all its pairs
        together, because each port of a peer is another pair, and of all allocations of the user and of its
        network."""
        if not pair.directions[way].limit.spend(now):
            return False
        if pair.has_consent(now) and self._consents[way].spend(now):
            return True
        return self._limits[way].spend(now) and self._allowances.checks[way].spend(self._owner, now)

    def may_ask(self, pair: Pair, peer: Address, now: float) -> bool:
        """Whether one more check may go to this peer. One that answers is asked as often as it wants."""
        return pair.has_consent(now) or self._allowances.may_ask(peer, now)

    def may_rename(self, way: int, now: float) -> bool:
        """Whether a check may name two ufrags that are new to us."""
        return self._allowances.ufrags[way].spend(self._owner, now)

    def may_send_clear(self, pair: Pair, way: int, size: int, now: float) -> bool:
        """Whether so many more unencrypted bytes of a handshake may pass."""
        allowances = self._allowances
        handshakes = allowances.handshakes if pair.has_consent(now) else allowances.early_handshakes
        return handshakes[way].spend(self._owner, now, size)

    def add_pair(self, peer: Address, now: float, *, outward: bool = True) -> Pair | None:
        """A new pair; None if there are too many that cannot be dropped."""
        if len(self.pairs) >= MAX_PAIRS:
            oldest = self._replaceable(now, outward=outward)
            if oldest is None:
                return None
            self.streams -= len(self.pairs.pop(oldest).streams)
        pair = self.pairs[peer] = Pair()
        return pair

    def _replaceable(self, now: float, *, outward: bool) -> Address | None:
        """The pair to drop for a new one, or None.

        One that the client checks is dropped last, and never for a pair that a peer begins.
        """
        dead = [other for other, pair in self.pairs.items() if not (pair.media or pair.has_consent(now))]
        unasked = (
            other for other in dead if now - self.pairs[other].directions[0].last_request >= TRANSACTION
        )
        return next(unasked, dead[0] if dead and outward else None)

    def sample(self, pair: Pair, number: int, packet: bytes, sealed: bytes, now: float) -> bool | None:
        """Whether a stream passes with one more packet, of which `sealed` is encrypted; None if there is no
        room to test it."""
        stream = pair.streams.get(number)
        if stream is None:
            if not self._make_room(pair, now):
                return None
            self.streams += 1
            stream = pair.streams[number] = Stream()
        before = stream.is_tested
        passes = stream.judge(packet, sealed, now)
        if stream.is_tested is not before:
            pair.stale = True
        return passes

    def restore_streams(self, pair: Pair, numbers: Iterable[int]) -> None:
        """These streams had passed their test before this process started."""
        for number in islice(numbers, MAX_STREAMS - self.streams):
            stream = pair.streams[number] = Stream()
            stream.is_tested = True
        self.streams += len(pair.streams)
        pair.stale = True

    def _make_room(self, pair: Pair, now: float) -> bool:
        """Whether one more stream may be tested; if need be, the pair's first tested stream is forgotten.

        Only an engine knows which tested streams have ended. One that goes on is tested again.
        """
        self._restart_trials(now)
        if self.streams < MAX_STREAMS:
            return True
        first = next((number for number, stream in pair.streams.items() if stream.is_tested), None)
        if first is None or not self._evictions.spend(now):
            return False
        del pair.streams[first]
        self.streams -= 1
        pair.stale = True
        return True

    def _restart_trials(self, now: float) -> None:
        """Once a minute, forget unfinished tests: forged streams must not take all the room."""
        since = self._swept
        if since is not None and now - since < BLOCKED:
            return
        self._swept = now
        for pair in self.pairs.values():
            kept = {number: stream for number, stream in pair.streams.items() if not stream.is_over(now)}
            self.streams -= len(pair.streams) - len(kept)
            pair.streams = kept
