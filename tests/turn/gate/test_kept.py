"""What is kept of a pair, and a gate that begins with it."""

from __future__ import annotations

import pytest

from tests.turn.call import OTHER_PEER, PEER, RELAY, UFRAGS, VIDEO, VOICE, Call, rtcp, rtp
from turn.flows import Address
from turn.gate.gate import Gate
from turn.gate.kept import KeptPair
from turn.gate.pairs import CONSENT, MAX_PAIRS, MAX_STREAMS, NEVER
from turn.gate.sessions import KeptSession, Session
from turn.wire.srtp import RTCP, SAMPLE

NOW = 100.0


def proved() -> Call:
    call = Call()
    call.now = NOW
    call.open()
    call.talk(SAMPLE)
    return call


def again(gate: Gate, now: float) -> Gate:
    """The gate of the next process."""
    after = Gate()
    after.add_allocation(RELAY, "user")
    after.restore_pairs(RELAY, gate.kept_pairs(RELAY, now), now)
    return after


def test_a_proved_call_is_as_proved_as_before() -> None:
    call = proved()
    before = call.gate.kept_pairs(RELAY, call.now)
    call.gate = again(call.gate, call.now)
    assert call.gate.kept_pairs(RELAY, call.now) == before
    assert call.gate.media(RELAY, PEER) == frozenset({VOICE})
    assert call.say(rtp(VOICE, 1)).passes
    assert call.say(rtp(VIDEO, 1)).passes  # a new stream is tested, as ever
    assert not call.say(rtcp()).passes
    assert {session.ufrags for session in call.gate.sessions if session.local} == {tuple(sorted(UFRAGS))}


def test_consent_ends_when_it_would_have_ended() -> None:
    call = proved()
    last = call.now
    after = again(call.gate, last)
    assert after.next_expiry() == pytest.approx(last + CONSENT, abs=1)
    assert again(call.gate, last + CONSENT).kept_pairs(RELAY, last + CONSENT) == ()


def test_a_time_that_is_not_yet_is_now() -> None:
    gate = Gate()
    gate.add_allocation(RELAY, "user")
    session = KeptSession((b"a", b"b"), True, False, False, True)
    gate.restore_pairs(RELAY, [KeptPair(PEER, session, 0, (NOW + 99.0, NEVER), (NOW + 99.0, NEVER))], NOW)
    [kept] = gate.kept_pairs(RELAY, NOW)
    assert (kept.answers, kept.keepalives) == ((NOW, NEVER), (NOW, NEVER))


def test_there_are_as_many_pairs_and_streams_as_ever() -> None:
    gate = Gate()
    gate.add_allocation(RELAY, "user")
    session = KeptSession((b"a", b"b"), True, False, False, True, tuple(range(100)))
    times, streams = (NOW, NOW), tuple(range(20))
    peers = [PEER._replace(port=port) for port in range(5000, 5000 + 2 * MAX_PAIRS)]
    gate.restore_pairs(RELAY, [KeptPair(peer, session, 0, times, times, streams) for peer in peers], NOW)
    kept = gate.kept_pairs(RELAY, NOW)
    assert len(kept) == MAX_PAIRS
    assert sum(len(pair.tested) for pair in kept) == MAX_STREAMS
    assert [one.ufrags for one in gate.sessions] == [(b"a", b"b")]


STATES = [
    (KeptSession((b"a", b"b"), False, False, True, None), (False, True, None)),
    (KeptSession((b"a", b"b"), True, True, True, False), (True, False, False)),
    (KeptSession((b"a", b"b"), True, False, False, None), (True, False, None)),
]


@pytest.mark.parametrize(("kept", "state"), STATES)
def test_a_session_is_as_it_was(kept: KeptSession, state: tuple[bool, bool, bool | None]) -> None:
    session = Session(0, "user", kept.ufrags)
    session.restore(kept)
    assert (session.open, session.refused and not session.open, session.srtp) == state


def test_what_another_process_has_reported_since_stays() -> None:
    session = Session(0, "user", (b"a", b"b"))
    session.open = session.srtp = True
    session.restore(KeptSession((b"a", b"b"), False, False, True, None))
    assert (session.open, session.refused, session.srtp) == (True, False, True)


def test_what_has_no_consent_is_not_kept() -> None:
    call = proved()
    call.gate.judge(RELAY, OTHER_PEER, True, rtp(VOICE, 1), call.now)
    assert [pair.peer for pair in call.gate.kept_pairs(RELAY, call.now)] == [PEER]
    assert RTCP not in call.gate.kept_pairs(RELAY, call.now)[0].tested
    assert isinstance(call.gate.kept_pairs(RELAY, call.now)[0].peer, Address)
