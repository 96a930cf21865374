"""The gate of "encrypted only": it judges each packet between a client and its peers that no flow carries.

Before a peer has answered an ICE check, only ICE checks and their answers pass. DTLS passes if it encrypts.
Media passes if the session's handshake was seen and the payloads look encrypted. A session that our server
vouches for may have started elsewhere, and in mode `compat` any session: then its media may pass without a
handshake. A stream that looks unencrypted is dropped for a while, and nothing else happens: packets can be
forged, so they never end a call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from turn.deadlines import Deadlines
from turn.flows import Address, Sample
from turn.gate.allowances import Allowances
from turn.gate.handshake import Rejected
from turn.gate.kept import KeptPair, keep_pair, restore_pair
from turn.gate.pairs import Evidence, Pair
from turn.gate.rules import CHECK, GATES, IN, OTHER, OUT, PASSING, Case, GateRule, may_pass_media
from turn.gate.sessions import News, Proven, Sessions
from turn.gate.vouched import Ufrags, VouchedPairs
from turn.wire.ice import parse_ice
from turn.wire.stun import WireError

Mode = Literal["off", "observe", "compat", "enforce"]
PairKey = tuple[Address, Address]  # a relayed address and a peer

NOTHING: frozenset[int] = frozenset()


class Verdict(NamedTuple):
    """Whether a packet passes.

    `reason` says as what it passes, or why it does not. `changed`: the streams that an engine may carry for
    this pair have changed; `Gate.media` says which they are now.
    """

    passes: bool
    reason: str
    changed: bool = False


make_case = Case._make
UNJUDGED = Verdict(True, "off")
PASSED = {reason: Verdict(True, reason) for reason in PASSING}  # what most packets get


class Gate:
    """Judges packets. `counts` is by the mode that held, "enforce" or "compat", and the reason."""

    def __init__(self, mode: Mode = "enforce", allowances: Allowances | None = None) -> None:
        self.mode: Mode = mode
        self.allowances = allowances or Allowances()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.sessions = Sessions()
        self._evidence: dict[Address, Evidence] = {}
        self._relays: dict[str, dict[Address, None]] = {}  # by user
        self._deadlines: Deadlines[PairKey] = Deadlines()
        self.renewed: dict[Address, None] = {}  # relayed addresses with new evidence, the oldest news first

    def add_allocation(self, relay: Address, user: str, ip: bytes | None = None) -> None:
        """Begin to collect evidence for an allocation of this user, whose client has this address."""
        self._evidence[relay] = Evidence(user, self.allowances, ip)
        self._relays.setdefault(user, {})[relay] = None
        self.sessions.add_allocation(user)

    def remove_allocation(self, relay: Address) -> None:
        """Forget an allocation; its sessions may go on in others. Nothing happens if it is unknown."""
        self.renewed.pop(relay, None)
        evidence = self._evidence.pop(relay, None)
        if evidence is not None:
            for peer in evidence.pairs:
                self._deadlines.drop((relay, peer))
            self.sessions.remove_allocation(evidence.user)
            relays = self._relays[evidence.user]
            del relays[relay]
            if not relays:
                del self._relays[evidence.user]

    def kept_pairs(self, relay: Address, now: float) -> tuple[KeptPair, ...]:
        """The evidence of an allocation that the next process needs; it is not in `renewed` any more."""
        self.renewed.pop(relay, None)
        kept = (keep_pair(peer, pair, now) for peer, pair in self._evidence[relay].pairs.items())
        return tuple(pair for pair in kept if pair is not None)

    def restore_pairs(self, relay: Address, pairs: Iterable[KeptPair], now: float) -> None:
        """Take the evidence of an allocation, which has been added, from the process before."""
        for kept in pairs:
            pair = restore_pair(self.sessions, self._evidence[relay], kept, now)
            if pair is not None:
                self._update_media((relay, kept.peer), pair, now)

    def relays_of(self, user: str) -> list[Address]:
        """The relayed addresses of a user's allocations."""
        return list(self._relays.get(user, ()))

    @property
    def vouched(self) -> VouchedPairs:
        """What our server vouches for now."""
        return self.sessions.vouched

    def vouch(
        self, user: str, ufrags: Ufrags, end: float, now: float, *, merge: bool = False
    ) -> list[PairKey]:
        """Our server vouches for a session until `end`; with `merge`, if it does not so for longer.

        Returns the pairs whose `media` has changed.
        """
        changed = self.vouched.add(user, ufrags, end, merge=merge)
        return [key for each in changed for key in self._update_session(user, each, now)]

    def forget_vouched(self, user: str, now: float) -> list[PairKey]:
        """Our server vouches for nothing of this user any more; the pairs whose `media` has changed."""
        forgotten = self.vouched.forget(user)
        return [key for ufrags in forgotten for key in self._update_session(user, ufrags, now)]

    def _update_session(self, user: str, ufrags: Ufrags, now: float) -> list[PairKey]:
        """Whether our server vouches for this session has changed; so may the `media` of its pairs."""
        vouched = self.sessions.update_vouched(user, ufrags)
        changed: list[PairKey] = []
        for relay in self._relays.get(user, ()):
            for peer, pair in self._evidence[relay].pairs.items():
                if pair.session is not None and pair.session.ufrags == ufrags:
                    pair.session.vouched = vouched
                    if self._update_media((relay, peer), pair, now):
                        changed.append((relay, peer))
        return changed

    def judge(self, relay: Address, peer: Address, outward: bool, payload: bytes, now: float) -> Verdict:
        """Whether this packet may pass: from client to peer if `outward`, else from peer to client.

        The allocation of the relayed address must have been added.
        """
        if self.mode == "off":
            return UNJUDGED
        evidence = self._evidence[relay]
        rule = GATES[payload[0]] if payload else OTHER
        lenient = self.mode == "compat"
        passes, reason, pair = True, rule.name, evidence.pairs.get(peer)
        try:
            pair = pair or new_pair(evidence, peer, rule, payload, now, outward=outward)
            direction = OUT if outward else IN
            rule.check(make_case((self.sessions, evidence, peer, pair, lenient, direction, payload, now)))
        except WireError:
            passes, reason = False, f"malformed {rule.name}"
        except Rejected as why:
            passes, reason = False, str(why)
        lenient = lenient or (pair is not None and pair.session is not None and pair.session.vouched)
        self.counts["compat" if lenient else "enforce", reason] += 1
        changed = pair is not None and pair.stale and self._update_media((relay, peer), pair, now)
        if passes and not changed:
            return PASSED[rule.name]
        return Verdict(passes or self.mode == "observe", reason, changed)

    def inspect(self, samples: Sequence[Sample], now: float) -> list[PairKey]:
        """Look at packets of tested streams that an engine has carried. Which pairs' `media` has changed."""
        changed: list[PairKey] = []
        for flow, stream, packet in samples:
            key = flow.relay, flow.peer
            pair = self._pair(key)
            if pair is not None and pair.inspect(stream, packet) and self._update_media(key, pair, now):
                changed.append(key)
        return changed

    def media(self, relay: Address, peer: Address) -> frozenset[int] | None:
        """The streams of this pair that an engine may carry; None means everything.

        Streams from the peer are marked with INWARD (turn.wire.srtp).
        """
        if self.mode == "off":
            return None
        pair = self._pair((relay, peer))
        return pair.media if pair else NOTHING

    def expire(self, now: float) -> Iterator[PairKey]:
        """End what is over by now; yields the pairs whose `media` has changed."""
        self.sessions.expire(now)
        for user, ufrags in self.vouched.expire(now):
            yield from self._update_session(user, ufrags, now)
        for key in list(self._deadlines.due(now)):
            pair = self._pair(key)
            if pair is not None and self._update_media(key, pair, now):
                yield key

    def set_mode(self, mode: Mode, now: float) -> list[PairKey]:
        """Use this mode from now on. Returns the pairs whose `media` has changed; it changes for all pairs if
        the old or the new mode is `off`."""
        self.mode = mode
        keys = ((relay, peer) for relay, evidence in self._evidence.items() for peer in evidence.pairs)
        return [key for key in keys if self._update_media(key, self._evidence[key[0]].pairs[key[1]], now)]

    def set_allowances(self, allowances: Allowances) -> None:
        """Use these for the allocations that are added from now on."""
        self.allowances = allowances

    def next_expiry(self) -> float | None:
        times = (self._deadlines.next(), self.sessions.next_expiry(), self.vouched.next_expiry())
        return min((time for time in times if time is not None), default=None)

    def learn_session(self, news: News, now: float) -> None:
        """Believe what another relay of ours has seen of this session's handshake."""
        self.sessions.learn_session(news, now)

    def news(self) -> list[News]:
        """What was proven or offered here since the last call, for the other processes of ours."""
        return self.sessions.news()

    def proven_sessions(self) -> list[Proven]:
        """All proven sessions of clients here, for our other processes and the next one."""
        known = (session for session in self.sessions if session.local)
        return [session.proven() for session in known if session.srtp is not None]

    def _pair(self, key: PairKey) -> Pair | None:
        evidence = self._evidence.get(key[0])
        return evidence.pairs.get(key[1]) if evidence else None

    def _update_media(self, key: PairKey, pair: Pair, now: float) -> bool:
        """Whether what an engine may carry has changed; also sets the deadline of the next change."""
        pair.stale = False
        self.renewed[key[0]] = None
        end = pair.next_end(now)
        if end is not None:
            self._deadlines.set(key, end)
        media = pair.tested() if may_pass_media(pair, self.mode == "compat", now) else NOTHING
        changed, pair.media = media != pair.media, media
        return changed


def new_pair(
    evidence: Evidence, peer: Address, rule: GateRule, payload: bytes, now: float, *, outward: bool
) -> Pair:
    """Make a pair for an ICE check. Raises Rejected and WireError for any other first packet."""
    if rule is OTHER:
        raise Rejected("other")
    if rule is not CHECK or parse_ice(payload).ufrags is None:
        raise Rejected("no consent")
    pair = evidence.add_pair(peer, now, outward=outward)
    if pair is None:
        raise Rejected("too many pairs")
    return pair
