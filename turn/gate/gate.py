"""Has this path shown that it is encrypted? Every packet between a client and its peers is judged here.

Nothing but a check of ICE and its answer passes before the peer has answered one; DTLS only where it
encrypts; media only in a session whose handshake was seen, and only while the first bytes of its payloads
look as encrypted ones do. Where a call may have come here in its middle (`compat`), a handshake that nobody
saw is done without. Evidence against content drops packets of one stream for a while, and nothing more: what
can be forged never ends a call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal, NamedTuple

from turn.deadlines import Deadlines
from turn.flows import Address
from turn.gate.handshake import Rejected
from turn.gate.pairs import Evidence, Pair
from turn.gate.rules import CHECK, GATES, IN, OTHER, OUT, Case, GateRule, may_pass_media
from turn.gate.sessions import News, Proven, Sessions
from turn.wire.ice import parse_ice
from turn.wire.stun import WireError

Mode = Literal["off", "observe", "compat", "enforce"]
PairKey = tuple[Address, Address]  # a relayed address and a peer

SIGNALLED = "c."  # how a user begins whose call our own signalling has checked
NOTHING: frozenset[int] = frozenset()


class Verdict(NamedTuple):
    """`reason` is what passed, or why it does not. `changed`: an engine may carry something else of this pair
    by itself now; `Proof.media` says what."""

    passes: bool
    reason: str
    changed: bool = False


def is_signalled(username: str, user: str) -> bool:
    """Whether our own signalling made this name for a call whose descriptions it has checked: by its first
    letters, and only of minted names, whose user is but a part of them."""
    return user != username and user.startswith(SIGNALLED)


class Gate:
    """`counts` goes by the rule that held, enforce or compat, and the
    reason."""

    def __init__(self, mode: Mode = "enforce") -> None:
        self.mode: Mode = mode
        self.counts: Counter[tuple[str, str]] = Counter()
        self.sessions = Sessions()
        self._evidence: dict[Address, Evidence] = {}
        self._deadlines: Deadlines[PairKey] = Deadlines()

    def add_allocation(self, relay: Address, user: str, *, signalled: bool = False) -> None:
        """An allocation begins."""
        self._evidence[relay] = Evidence(user, signalled)
        self.sessions.add_allocation(user)

    def remove_allocation(self, relay: Address) -> None:
        """An allocation has ended; its sessions may go on in others. Of an unknown one: nothing happens."""
        evidence = self._evidence.pop(relay, None)
        if evidence is not None:
            for peer in evidence.pairs:
                self._deadlines.drop((relay, peer))
            self.sessions.remove_allocation(evidence.user)

    def judge(self, relay: Address, peer: Address, outward: bool, payload: bytes, now: float) -> Verdict:
        """Whether this may go from the client to the peer, or else the other way. The relayed address must be
        admitted."""
        if self.mode == "off":
            return Verdict(True, "off")
        evidence = self._evidence[relay]
        rule = GATES[payload[0]] if payload else OTHER
        lenient = self._is_lenient(evidence)
        passes, reason, pair = True, rule.name, evidence.pairs.get(peer)
        try:
            pair = pair or new_pair(evidence, peer, rule, payload, now, outward=outward)
            rule.check(Case(self.sessions, evidence, pair, lenient, OUT if outward else IN, payload, now))
        except WireError:
            passes, reason = False, f"malformed {rule.name}"
        except Rejected as why:
            passes, reason = False, str(why)
        self.counts["compat" if lenient else "enforce", reason] += 1
        changed = pair is not None and pair.stale and self._update_media((relay, peer), pair, now)
        return Verdict(passes or self.mode == "observe", reason, changed)

    def media(self, relay: Address, peer: Address) -> frozenset[int] | None:
        """The streams of this pair that an engine may carry by itself, those from the peer with INWARD: None
        is all and everything."""
        if self.mode == "off":
            return None
        pair = self._pair((relay, peer))
        return pair.media if pair else NOTHING

    def expire(self, now: float) -> Iterator[PairKey]:
        """What ends by now: the pairs whose `media` is another for it."""
        self.sessions.expire(now)
        for key in list(self._deadlines.due(now)):
            pair = self._pair(key)
            if pair is not None and self._update_media(key, pair, now):
                yield key

    def set_mode(self, mode: Mode, now: float) -> list[PairKey]:
        """From now on this mode; these are the pairs whose `media` is another for it. From `off` and to it,
        all pairs are."""
        self.mode = mode
        keys = ((relay, peer) for relay, evidence in self._evidence.items() for peer in evidence.pairs)
        return [key for key in keys if self._update_media(key, self._evidence[key[0]].pairs[key[1]], now)]

    def next_expiry(self) -> float | None:
        times = (self._deadlines.next(), self.sessions.next_expiry())
        return min((time for time in times if time is not None), default=None)

    def learn_session(self, news: News, now: float) -> None:
        """Believe another relay of ours, which saw this session's handshake or one end's part of it."""
        self.sessions.learn_session(news, now)

    def news(self) -> list[News]:
        """What was proved or offered here since the last call, for the workers beside us."""
        return self.sessions.news()

    def proven_sessions(self) -> list[Proven]:
        """All sessions of clients here that are proved now, for the relays beside this one and after it."""
        known = (session for session in self.sessions if session.local)
        return [session.proven() for session in known if session.srtp is not None]

    def _is_lenient(self, evidence: Evidence) -> bool:
        return evidence.signalled or self.mode == "compat"

    def _pair(self, key: PairKey) -> Pair | None:
        evidence = self._evidence.get(key[0])
        return evidence.pairs.get(key[1]) if evidence else None

    def _update_media(self, key: PairKey, pair: Pair, now: float) -> bool:
        """Whether what an engine may carry has changed; also notes when that may happen by itself."""
        pair.stale = False
        end = pair.next_end(now)
        if end is not None:
            self._deadlines.set(key, end)
        media = (
            pair.tested() if may_pass_media(pair, self._is_lenient(self._evidence[key[0]]), now) else NOTHING
        )
        changed, pair.media = media != pair.media, media
        return changed


def new_pair(
    evidence: Evidence, peer: Address, rule: GateRule, payload: bytes, now: float, *, outward: bool
) -> Pair:
    """A new pair, for a check. Raises Refused and WireError: what else comes first has no consent."""
    if rule is OTHER:
        raise Rejected("other")
    if rule is not CHECK or parse_ice(payload).ufrags is None:
        raise Rejected("no consent")
    pair = evidence.add_pair(peer, now, outward=outward)
    if pair is None:
        raise Rejected("too many pairs")
    return pair
