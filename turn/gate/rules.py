"""The rules of the gate for ICE checks, DTLS and media, chosen by a packet's first byte (RFC 7983 §7).

Each is a function of one case that raises Rejected or WireError if the packet may not pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from turn.flows import Address
from turn.gate.handshake import HELLOS, Rejected
from turn.gate.pairs import CIPHERTEXT, Evidence, Pair
from turn.gate.sessions import Session, Sessions
from turn.gate.streams import HASHED, Stream
from turn.gate.vouched import Ufrags
from turn.wire.dtls import (
    ACK,
    HANDSHAKE,
    HANDSHAKE_EPOCH,
    RECORD,
    Fragment,
    Record,
    parse_fragments,
    parse_records,
)
from turn.wire.ice import ANSWERS, BINDING_INDICATION, PINGS, REQUESTS, SUCCESSES, IceMessage, parse_ice
from turn.wire.srtp import INWARD, NOTHING, RTCP, sealed_part, stream_of

EXPLICIT_NONCE = 8  # bytes before the ciphertext of AES-GCM in DTLS 1.2: not random perhaps (RFC 5288 §3)
OUT, IN = 0, 1  # from the client, from the peer


class Case(NamedTuple):
    """One packet to judge. `direction` is OUT or IN; `lenient`: any call may have started elsewhere."""

    sessions: Sessions
    evidence: Evidence
    peer: Address
    pair: Pair
    lenient: bool
    direction: int
    payload: bytes
    now: float

    @property
    def session(self) -> Session:
        """The pair's session. Raises Rejected if there is none yet, because no ICE check has come."""
        if self.pair.session is None:
            raise Rejected("no consent")
        return self.pair.session

    @property
    def speaker(self) -> int:
        """The side of the session that sent this packet, 0 or 1."""
        return self.pair.client if self.direction == OUT else 1 - self.pair.client

    def mark(self, stream: int) -> int:
        """The number of a stream of this direction: one from the peer is marked with INWARD."""
        return stream | INWARD if self.direction == IN else stream


def may_pass_media(pair: Pair, lenient: bool, now: float) -> bool:
    """Whether media may pass: one side has answered the other's checks, and the session encrypts."""
    session = pair.session
    if session is None or not pair.has_consent(now):
        return False
    return bool(session.srtp) or handshake_unseen(pair, session, lenient, now)


def handshake_unseen(pair: Pair, session: Session, lenient: bool, now: float) -> bool:
    """Whether there may have been a handshake that we did not see."""
    may_start_elsewhere = lenient or session.vouched
    return (
        may_start_elsewhere and session.srtp is None and not session.refused and pair.has_both_consents(now)
    )


def check_ice(case: Case) -> None:
    message = parse_ice(case.payload)
    pair, now = case.pair, case.now
    if not case.evidence.may_check(pair, case.direction, now):
        raise Rejected("too many checks")
    if message.kind in PINGS and not pair.has_both_consents(now):
        raise Rejected("no consent")
    if message.kind in ANSWERS:
        receive_answer(case, message)
    elif message.kind in REQUESTS:
        receive_request(case, message)
    elif not pair.has_consent(now):
        raise Rejected("no consent")
    elif message.kind == BINDING_INDICATION:
        receive_keepalive(case)


def receive_keepalive(case: Case) -> None:
    """A Binding indication (RFC 8445 §11)."""
    case.pair.directions[case.direction].last_keepalive = case.now
    session = case.pair.session
    if session is not None and (session.local or case.direction == OUT):
        renew_session(case, session)


def receive_request(case: Case, message: IceMessage) -> None:
    pair = case.pair
    if case.direction == OUT and not case.evidence.may_ask(pair, case.peer, case.now):
        raise Rejected("too many unanswered checks")
    if message.ufrags is not None:
        check_ufrags(case, message.ufrags)
        if case.direction == OUT or pair.session is None:
            join_session(case, *message.ufrags)
    if message.dtls:
        read_dtls(case, message.dtls)
    pair.directions[case.direction].add(message.transaction, case.now)


def check_ufrags(case: Case, ufrags: Ufrags) -> None:
    """Others than the pair's before are those of a session that we know, or they are counted: two ends could
    say something new with each check."""
    direction, mark = case.pair.directions[case.direction], hash(ufrags) & HASHED
    if mark == direction.ufrags:
        return
    known = case.sessions.knows(case.evidence.user, (min(ufrags), max(ufrags)))
    if not known and not case.evidence.may_rename(case.direction, case.now):
        raise Rejected("too many ufrags")
    direction.ufrags = mark


def join_session(case: Case, sender: bytes, receiver: bytes) -> None:
    """Find out which session a pair belongs to: the client's checks decide.

    A peer's checks count only before the client's, and replace no other session: they can be forged.
    """
    ufrags = (min(sender, receiver), max(sender, receiver))
    client = sender if case.direction == OUT else receiver
    if case.direction == OUT:
        session = case.sessions.renew(case.evidence.user, ufrags, case.now, case.pair.session)
    else:
        session = case.sessions.find_or_make(case.evidence.user, ufrags)
    case.pair.set_session(session, ufrags.index(client))


def receive_answer(case: Case, message: IceMessage) -> None:
    """An answer passes only if there was such a request."""
    asker, session = case.pair.directions[1 - case.direction], case.session
    if not asker.has(message.transaction, case.now):
        raise Rejected("unasked answer")
    if message.repeated is not None and tuple(sorted(message.repeated)) != session.ufrags:
        raise Rejected("another username")
    if message.dtls:
        read_dtls(case, message.dtls)
    if message.kind in SUCCESSES:
        asker.last_answer = case.now
        renew_session(case, session)


def renew_session(case: Case, session: Session) -> Session:
    session = case.sessions.renew(session.user, session.ufrags, case.now, session)
    case.pair.set_session(session, case.pair.client)
    return session


def check_dtls(case: Case) -> None:
    if not case.pair.has_consent(case.now):
        raise Rejected("no consent")
    read_dtls(case, case.payload)


def read_dtls(case: Case, datagram: bytes) -> None:
    """Judge record by record, because the first may open the session for the next."""
    for record in parse_records(datagram):
        if record.encrypted:
            check_ciphertext(case, record)
        else:
            receive_clear(case, record)


def receive_clear(case: Case, record: Record) -> None:
    """Judge an unencrypted record. It could carry anything, so all its bytes are counted, with the header."""
    fragments = parse_fragments(record.content) if record.kind == HANDSHAKE else []
    if not may_come_now(case, record, fragments):
        raise Rejected("no handshake")
    size = RECORD.size + len(record.content)
    if not case.evidence.may_send_clear(case.pair, case.direction, size, case.now):
        raise Rejected("too much in clear")
    if fragments:
        receive_handshake(case, fragments)


def may_come_now(case: Case, record: Record, fragments: Sequence[Fragment]) -> bool:
    """Whether the handshake has come so far: each record but a hello follows a ClientHello."""
    if record.kind == ACK:
        return may_acknowledge(case)
    is_hello = bool(fragments) and all(fragment.kind in HELLOS for fragment in fragments)
    return is_hello or may_follow_hello(case)


def may_acknowledge(case: Case) -> bool:
    handshake = case.session.handshake
    return handshake is not None and handshake.may_acknowledge(case.speaker)


def may_follow_hello(case: Case) -> bool:
    """Whether what follows a ClientHello may come: there was one, or it may have gone another way."""
    handshake = case.session.handshake
    return (handshake is not None and handshake.has_client_hello) or handshake_unseen(
        case.pair, case.session, case.lenient, case.now
    )


def receive_handshake(case: Case, fragments: Sequence[Fragment]) -> None:
    session = case.session
    if session.local or case.direction == OUT:
        session = renew_session(case, session)
    for fragment in fragments:
        case.sessions.receive_fragment(session, case.speaker, fragment, case.now)


def check_ciphertext(case: Case, record: Record) -> None:
    session = case.session
    if session.open and (session.unified or not record.unified):
        return
    if not session.refused and case.sessions.inherit_any(session, unified=record.unified):
        return
    if handshake_unseen(case.pair, session, case.lenient, case.now):
        content, sealed = record.content, record.content[EXPLICIT_NONCE:]
        passes = case.evidence.sample(case.pair, case.mark(CIPHERTEXT), content, sealed, case.now)
        if not passes:
            check_rest(case, passes, content, sealed)
    elif not is_early(case, record):
        raise Rejected("no handshake")


def is_early(case: Case, record: Record) -> bool:
    """Whether the ServerHello before this record may still be on its way.

    By then a server has keys for more than its handshake: Firefox uses them to acknowledge a repeated
    ClientHello.
    """
    handshake = case.session.handshake
    if handshake is None or not record.unified or record.epoch < HANDSHAKE_EPOCH:
        return False
    size = len(record.content)
    return handshake.may_overtake(case.speaker, size, case.now) and case.evidence.may_send_clear(
        case.pair, case.direction, RECORD.size + size, case.now
    )


def check_media(case: Case) -> None:
    """Judge media. The case is taken apart once, because this runs for each packet that no flow carries."""
    sessions, evidence, _, pair, lenient, direction, payload, now = case
    session = case.session if pair.session is None else pair.session
    stream = stream_of(payload, 0, len(payload))
    if stream == NOTHING:
        raise Rejected("media in clear")
    marked = stream | INWARD if direction == IN else stream
    known = pair.streams.get(marked)
    is_unseen = known is not None and known.is_tested and known.passes_unseen()
    sealed = b"" if is_unseen else sealed_part(payload, stream)
    if sealed is None:
        raise Rejected("media in clear")
    if not session.srtp and stream != RTCP:
        pair.stale |= sessions.inherit_by_stream(session, stream)
    if not may_pass_media(pair, lenient, now) and not (stream == RTCP and may_report(case)):
        raise Rejected(reason_against(case))
    if not is_unseen:
        passes = evidence.sample(pair, marked, payload, sealed, now)
        if not passes:
            check_rest(case, passes, payload, sealed)
    if session.srtp and stream != RTCP and stream not in session.ssrcs:
        sessions.note_stream(session, stream)


def may_report(case: Case) -> bool:
    """Whether SRTCP may pass before the RTP that its session is recognised by, after an ICE restart.

    Any session of the user with SRTP is enough. Unencrypted RTCP is dropped by its structure anyway.
    """
    session = case.session
    if session.srtp is not None or session.refused or not case.pair.has_consent(case.now):
        return False
    return case.sessions.has_srtp(session.user)


def reason_against(case: Case) -> str:
    if not case.pair.has_consent(case.now):
        return "no consent"
    return "no handshake" if case.session.srtp is None else "no srtp"


def check_rest(case: Case, passes: bool | None, packet: bytes, sealed: bytes) -> None:
    """Refuse a packet that does not pass. If there was no room to test its stream, which is None, it passes
    only if a handshake was seen, and as one of the rest."""
    if passes is None:
        if not case.session.srtp:
            raise Rejected("too many streams")
        passes = case.pair.rest.setdefault(case.direction, Stream()).judge(packet, sealed, case.now)
    if not passes:
        raise Rejected("looks plain")


def refuse_other(case: Case) -> None:
    raise Rejected("other")


class GateRule(NamedTuple):
    """One kind of packets: the name that those which pass are counted under, and the function that judges."""

    name: str
    check: Callable[[Case], None]


CHECK, DTLS, MEDIA, OTHER = (
    GateRule("check", check_ice),
    GateRule("dtls", check_dtls),
    GateRule("media", check_media),
    GateRule("other", refuse_other),
)


def rule_for(first: int) -> GateRule:
    """The rule for a first byte. The other ranges belong to ZRTP, TURN channels and QUIC, or are unused."""
    if first < 4:
        return CHECK
    if 20 <= first < 64:
        return DTLS
    return MEDIA if 128 <= first < 192 else OTHER


GATES = tuple(map(rule_for, range(256)))
PASSING = frozenset(gate.name for gate in (CHECK, DTLS, MEDIA))
