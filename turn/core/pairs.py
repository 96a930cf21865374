"""What the gate remembers of one allocation: its peers, the checks between them, and their streams."""

from __future__ import annotations

from turn.buckets import Bucket
from turn.core.handshake import CLEAR_BURST, CLEAR_PER_SECOND
from turn.core.sessions import Session
from turn.flows import Address
from turn.wire.srtp import INWARD, RTCP, SAMPLE, looks_plain

CONSENT = 30.0  # seconds that an answered check counts (RFC 7675 §5.1)
TRANSACTION = 40.0  # seconds that an answer may take: a request is repeated for so long (RFC 8489 §6.2.1)
MAX_TRANSACTIONS = 16  # of a pair and direction: what browsers ask a silent peer in less than a second
CHECKS_PER_SECOND, CHECKS_BURST = 50.0, 100.0  # of a pair and direction: STUN is no way to carry data
MAX_PAIRS = 16  # of an allocation: bounds memory; the oldest without consent goes first
MAX_STREAMS = 24  # of an allocation that are tested, passed or blocked: the same; a call has about ten
BLOCKED = 60.0  # seconds until a stream that looked plain is tested anew
CIPHERTEXT = RTCP + 1  # stands for the records of DTLS, where those are tested

TESTED: float = 0.0  # of a stream: it looks encrypted
ID = 12  # bytes of a transaction id
ENTRY = ID + 4  # and of the time in tenths of a second behind it
WRAP = 1 << 32


class Transactions:
    """The ids of the latest requests, in one piece of memory: most of what the gate remembers are these."""

    __slots__ = ("_at", "_ring")

    def __init__(self) -> None:
        self._ring = bytearray()
        self._at = 0

    def add(self, transaction: bytes, now: float) -> None:
        """Repeated, it takes no more room."""
        known = self._find(transaction)
        at = self._at if known < 0 else known
        self._ring[at : at + ENTRY] = transaction + tenths(now).to_bytes(4, "big")
        if known < 0:
            self._at = (at + ENTRY) % (ENTRY * MAX_TRANSACTIONS)

    def _find(self, transaction: bytes) -> int:
        at = self._ring.rfind(transaction)
        while at > 0 and at % ENTRY:
            at = self._ring.rfind(transaction, 0, at + ID - 1)
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
    """One of the two directions of a pair: from the client (0) or from the peer (1)."""

    __slots__ = ("answered", "pace")

    def __init__(self) -> None:
        super().__init__()
        self.answered = float("-inf")  # when the other end last answered one of these with a success
        self.pace = Bucket(CHECKS_PER_SECOND, CHECKS_BURST)


class Pair:
    """`client` is which end of its session the client is, 0 or 1. `media` is what an engine may carry of it
    by itself, as the core was last told; `stale`: that may have changed."""

    __slots__ = ("client", "media", "session", "stale", "streams", "ways")

    def __init__(self) -> None:
        self.session: Session | None = None
        self.client = 0
        self.ways = (Direction(), Direction())
        self.streams: dict[int, bytearray | float] = {}  # first bytes, TESTED, or blocked until then
        self.media: frozenset[int] = frozenset()
        self.stale = False

    def join(self, session: Session, client: int) -> None:
        self.session, self.client, self.stale = session, client, True

    def has_consent(self, now: float) -> bool:
        """In either direction: one end may be a server that never asks (RFC 8445 §2.5)."""
        there, back = self.ways
        return now - there.answered < CONSENT or now - back.answered < CONSENT

    def has_both_consents(self, now: float) -> bool:
        there, back = self.ways
        return now - there.answered < CONSENT and now - back.answered < CONSENT

    def next_end(self, now: float) -> float | None:
        """When the next of the two consents ends."""
        return min((end for way in self.ways if (end := way.answered + CONSENT) > now), default=None)

    def tested(self) -> frozenset[int]:
        """Streams of media, those from the peer with INWARD."""
        passed = (stream for stream, state in self.streams.items() if state == TESTED)
        return frozenset(stream for stream in passed if stream & ~INWARD != CIPHERTEXT)


def clear_buckets() -> tuple[Bucket, Bucket]:
    """What is forged from another port of the peer has no consent, and takes nothing from what has."""
    return Bucket(CLEAR_PER_SECOND, CLEAR_BURST), Bucket(CLEAR_PER_SECOND, CLEAR_BURST)


class Room:
    """One allocation's pairs. Whether `vouched`: our own signalling knows both ends. `clear` is what each
    direction may still say in clear, without consent and with it."""

    __slots__ = ("_swept", "clear", "pairs", "streams", "user", "vouched")

    def __init__(self, user: str, vouched: bool) -> None:
        self.user, self.vouched = user, vouched
        self.pairs: dict[Address, Pair] = {}
        self.streams = 0
        self.clear = (clear_buckets(), clear_buckets())
        self._swept: float | None = None

    def begin(self, peer: Address, now: float) -> Pair | None:
        """A new pair; None where there are too many that live."""
        if len(self.pairs) >= MAX_PAIRS:
            dead = (other for other, pair in self.pairs.items() if not (pair.media or pair.has_consent(now)))
            oldest = next(dead, None)
            if oldest is None:
                return None
            self.streams -= len(self.pairs.pop(oldest).streams)
        pair = self.pairs[peer] = Pair()
        return pair

    def sample(self, pair: Pair, stream: int, first: int, now: float) -> bool | None:
        """Whether a stream with one more first byte of a payload passes; None: there is no room to test
        it."""
        state = pair.streams.get(stream)
        if state is None:
            self._sweep(now)
            if self.streams >= MAX_STREAMS:
                return None
            self.streams += 1
        elif isinstance(state, float) and (state == TESTED or now < state):
            return state == TESTED
        if not isinstance(state, bytearray):
            state = pair.streams[stream] = bytearray()
        state.append(first)
        if looks_plain(state):
            pair.streams[stream] = now + BLOCKED
            return False
        if len(state) >= SAMPLE:
            pair.streams[stream] = TESTED
            pair.stale = True
        return True

    def _sweep(self, now: float) -> None:
        """Once a minute, the tests that are not through begin anew: forged streams must not take all the
        room."""
        since = self._swept
        if since is not None and now - since < BLOCKED:
            return
        self._swept = now
        for pair in self.pairs.values():
            kept: dict[int, bytearray | float] = {
                stream: state
                for stream, state in pair.streams.items()
                if isinstance(state, float) and (state == TESTED or now < state)
            }
            self.streams -= len(pair.streams) - len(kept)
            pair.streams = kept
