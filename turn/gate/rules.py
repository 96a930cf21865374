"""The gates of the proof, by the first byte of a packet (RFC 7983 §7): checks of ICE, DTLS, and media.

Each is a function of one case that raises Refused or WireError for what may not pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from turn.gate.handshake import Refused
from turn.gate.pairs import CIPHERTEXT, Pair, Room
from turn.gate.sessions import Session, Sessions
from turn.wire.dtls import ACK, HANDSHAKE, HANDSHAKE_EPOCH, RECORD, Record, parse_fragments, parse_records
from turn.wire.ice import ANSWERS, PINGS, REQUESTS, SUCCESSES, Check, parse_check
from turn.wire.srtp import INWARD, NOTHING, RTCP, sealed_at, stream_of

EXPLICIT_NONCE = (
    8  # bytes before the ciphertext of AES-GCM in DTLS 1.2, which need not be random (RFC 5288 §3)
)
OUT, IN = 0, 1  # from the client, from the peer


class Case(NamedTuple):
    """One packet before the gate: `way` is where it comes from; a `lenient` one may come late."""

    sessions: Sessions
    room: Room
    pair: Pair
    lenient: bool
    way: int
    payload: bytes
    now: float

    @property
    def session(self) -> Session:
        """Raises Refused: a pair without checks has none."""
        if self.pair.session is None:
            raise Refused("no consent")
        return self.pair.session

    @property
    def speaker(self) -> int:
        """Which end of the session says this."""
        return self.pair.client if self.way == OUT else 1 - self.pair.client


def may_carry(pair: Pair, lenient: bool, now: float) -> bool:
    """Whether media may pass: either end has answered the other's checks, and the session encrypts."""
    session = pair.session
    if session is None or not pair.has_consent(now):
        return False
    return bool(session.srtp) or came_late(pair, session, lenient, now)


def came_late(pair: Pair, session: Session, lenient: bool, now: float) -> bool:
    """Whether the handshake may have gone another way: nothing that was seen speaks against one."""
    return lenient and session.srtp is None and not session.refused and pair.has_both_consents(now)


def check(case: Case) -> None:
    message = parse_check(case.payload)
    pair, now = case.pair, case.now
    if not case.room.may_check(pair, case.way, now):
        raise Refused("too many checks")
    if message.kind in PINGS and not pair.has_both_consents(now):
        raise Refused("no consent")
    if message.kind in ANSWERS:
        hear_answer(case, message)
    elif message.kind in REQUESTS:
        hear_request(case, message)
    elif not pair.has_consent(now):
        raise Refused("no consent")


def hear_request(case: Case, message: Check) -> None:
    pair = case.pair
    if message.ufrags is not None and (case.way == OUT or pair.session is None):
        join(case, *message.ufrags)
    if message.dtls:
        read_dtls(case, message.dtls)
    pair.ways[case.way].add(message.transaction, case.now)


def join(case: Case, sender: bytes, receiver: bytes) -> None:
    """The client's own checks say which session a pair belongs to, a peer's only before there are any: those
    could be forged, and push no other session out."""
    ufrags = (min(sender, receiver), max(sender, receiver))
    client = sender if case.way == OUT else receiver
    if case.way == OUT:
        session = case.sessions.enter(case.room.user, ufrags, case.now, case.pair.session)
    else:
        session = case.sessions.meet(case.room.user, ufrags)
    case.pair.join(session, ufrags.index(client))


def hear_answer(case: Case, message: Check) -> None:
    """What nobody asked is no answer."""
    asker, session = case.pair.ways[1 - case.way], case.session
    if not asker.has(message.transaction, case.now):
        raise Refused("unasked answer")
    if message.dtls:
        read_dtls(case, message.dtls)
    if message.kind in SUCCESSES:
        asker.answered = case.now
        renew(case, session)


def renew(case: Case, session: Session) -> Session:
    session = case.sessions.enter(session.user, session.ufrags, case.now, session)
    case.pair.join(session, case.pair.client)
    return session


def dtls(case: Case) -> None:
    if not case.pair.has_consent(case.now):
        raise Refused("no consent")
    read_dtls(case, case.payload)


def read_dtls(case: Case, datagram: bytes) -> None:
    """Record by record, since the first may open the session for the next."""
    for record in parse_records(datagram):
        if record.encrypted:
            check_ciphertext(case, record)
        else:
            hear_clear(case, record)


def hear_clear(case: Case, record: Record) -> None:
    """Whatever it is, in clear it may carry anything: so all of it counts, its header too."""
    if not may_say(case, record):
        raise Refused("too much in clear")
    if record.kind == HANDSHAKE:
        hear_handshake(case, record)
    elif record.kind == ACK and not may_acknowledge(case):
        raise Refused("no handshake")


def may_say(case: Case, record: Record) -> bool:
    """Whether this much more may pass through the allocation before it is encrypted."""
    consented = case.pair.has_consent(case.now)
    return case.room.clear[case.way][consented].take(case.now, RECORD.size + len(record.content))


def may_acknowledge(case: Case) -> bool:
    handshake = case.session.handshake
    return handshake is not None and handshake.may_acknowledge(case.speaker)


def hear_handshake(case: Case, record: Record) -> None:
    session = case.session
    if session.entered or case.way == OUT:
        session = renew(case, session)
    for fragment in parse_fragments(record.content):
        case.sessions.hear(session, case.speaker, fragment, case.now)


def check_ciphertext(case: Case, record: Record) -> None:
    session = case.session
    if session.open and (session.unified or not record.unified):
        return
    if not session.refused and case.sessions.inherit(session, unified=record.unified):
        return
    if came_late(case.pair, session, case.lenient, case.now):
        sample(case, CIPHERTEXT, record.content, EXPLICIT_NONCE)
    elif not overtakes(case, record):
        raise Refused("no handshake")


def overtakes(case: Case, record: Record) -> bool:
    """Whether the ServerHello may still be on its way. By then a server has keys for more than its handshake:
    Firefox acknowledges with them a ClientHello that comes again."""
    handshake = case.session.handshake
    if handshake is None or not record.unified or record.epoch < HANDSHAKE_EPOCH:
        return False
    return handshake.may_overtake(case.speaker, len(record.content), case.now) and may_say(case, record)


def media(case: Case) -> None:
    payload, pair, session = case.payload, case.pair, case.session
    stream = stream_of(payload, 0, len(payload))
    at = sealed_at(payload, stream) if stream != NOTHING else None
    if stream == NOTHING or (at is None and stream != RTCP):
        raise Refused("media in clear")
    if not session.srtp and stream != RTCP:
        pair.stale |= case.sessions.adopt(session, stream)
    if not may_carry(pair, case.lenient, case.now) and not (stream == RTCP and may_report(case)):
        raise Refused(why_not(case))
    if at is not None:
        sample(case, stream, payload, at)
    if session.srtp and stream != RTCP:
        case.sessions.note(session, stream)


def may_report(case: Case) -> bool:
    """After an ICE restart, SRTCP may come before the RTP that its session is known by: then any session of
    the user will do. RTCP in clear is dropped by its structure anyway."""
    session = case.session
    if session.srtp is not None or session.refused or not case.pair.has_consent(case.now):
        return False
    return case.sessions.has_srtp(session.user)


def why_not(case: Case) -> str:
    if not case.pair.has_consent(case.now):
        return "no consent"
    return "no handshake" if case.session.srtp is None else "no srtp"


def sample(case: Case, stream: int, packet: bytes, at: int) -> None:
    """Streams that there is no room to test pass where a handshake was seen."""
    both = stream | INWARD if case.way == IN else stream
    passes = case.room.sample(case.pair, both, packet, at, case.now)
    if passes is None and not case.session.srtp:
        raise Refused("too many streams")
    if passes is False:
        raise Refused("looks plain")


def other(case: Case) -> None:
    raise Refused("other")


class Gate(NamedTuple):
    """What passes here is counted under this name."""

    name: str
    act: Callable[[Case], None]


CHECK, DTLS, MEDIA, OTHER = (
    Gate("check", check),
    Gate("dtls", dtls),
    Gate("media", media),
    Gate("other", other),
)


def gate_for(first: int) -> Gate:
    """The ranges that are not named are ZRTP's, TURN's channels, QUIC's and nobody's."""
    if first < 4:
        return CHECK
    if 20 <= first < 64:
        return DTLS
    return MEDIA if 128 <= first < 192 else OTHER


GATES = tuple(map(gate_for, range(256)))
PASSING = frozenset(gate.name for gate in (CHECK, DTLS, MEDIA))
