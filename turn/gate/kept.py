"""What outlives a process of the evidence for one pair, so that the media of its call go on at once."""

from __future__ import annotations

from typing import NamedTuple

from turn.flows import Address
from turn.gate.pairs import Evidence, Pair
from turn.gate.sessions import KeptSession, Sessions


class KeptPair(NamedTuple):
    """`client` is the client's side of the session. `answers` and `keepalives` are the times of both
    directions, `tested` the streams that have passed their test. Tests under way and blocks begin anew."""

    peer: Address
    session: KeptSession
    client: int
    answers: tuple[float, float]
    keepalives: tuple[float, float]
    tested: tuple[int, ...] = ()


def keep_pair(peer: Address, pair: Pair, now: float) -> KeptPair | None:
    """None if it has no consent: then its next ICE check begins it anew."""
    if pair.session is None or not pair.has_consent(now):
        return None
    outward, inward = pair.directions
    return KeptPair(
        peer,
        pair.session.kept(),
        pair.client,
        (outward.last_answer, inward.last_answer),
        (outward.last_keepalive, inward.last_keepalive),
        tuple(number for number, stream in pair.streams.items() if stream.is_tested),
    )


def restore_pair(sessions: Sessions, evidence: Evidence, kept: KeptPair, now: float) -> Pair | None:
    """The pair as it was, with no time later than now; None if the allocation has too many."""
    pair = evidence.add_pair(kept.peer, now)
    if pair is not None:
        pair.set_session(sessions.restore(evidence.user, kept.session, now), kept.client)
        for direction, answer, keepalive in zip(pair.directions, kept.answers, kept.keepalives, strict=True):
            direction.last_answer, direction.last_keepalive = min(answer, now), min(keepalive, now)
        evidence.restore_streams(pair, kept.tested)
    return pair
