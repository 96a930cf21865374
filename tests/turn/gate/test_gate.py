"""What the gate remembers of calls: restarts, users, consent, what may be carried, and in how much memory."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from tests.turn.call import (
    NULL_SUITE,
    OTHER_PEER,
    OTHER_RELAY,
    PEER,
    RELAY,
    SUITE_12,
    UFRAGS,
    VIDEO,
    VOICE,
    Call,
    client_hello,
    hello,
    keepalive,
    noise,
    record,
    request,
    rtp,
    server_hello,
    srtcp,
    stun,
    unified,
)
from turn.flows import Address
from turn.gate.gate import Gate
from turn.gate.pairs import CONSENT, KEEPALIVE, MAX_PAIRS
from turn.gate.randomness import EXAMINED
from turn.gate.sessions import LEARNED_LIFETIME, SESSION_LIFETIME, Proven
from turn.wire.dtls import CLIENT_HELLO, DATA, HANDSHAKE, SERVER_HELLO
from turn.wire.srtp import INWARD, RTCP, SAMPLE
from turn.wire.stun import BINDING_REQUEST

KIBIBYTE = 1024


def test_an_ice_restart_goes_on_by_its_streams() -> None:
    one = Call()
    one.open()
    one.talk(3)
    again = Call(one.gate, relay=OTHER_RELAY, peer=OTHER_PEER, ufrags=(b"new", b"newer"))
    again.consent()
    assert again.say(srtcp(1)).passes
    assert again.say(rtp(VOICE + 1, 1)).reason == "no handshake"
    assert again.say(rtp(VOICE, 4)).passes
    assert again.say(srtcp(1)).passes
    assert again.say(rtp(VOICE + 1, 1)).passes


def test_an_ice_restart_of_data_channels_goes_on() -> None:
    one = Call()
    one.consent()
    one.shake_hands(srtp=False)
    again = Call(one.gate, relay=OTHER_RELAY, ufrags=(b"new", b"newer"))
    again.consent()
    assert again.say(unified()).passes
    assert again.say(rtp(VOICE, 1)).reason == "no handshake"
    one.gate.remove_allocation(RELAY)
    assert again.check()[1].passes
    list(one.gate.expire(SESSION_LIFETIME - 1))
    assert again.check()[1].passes
    again.now = SESSION_LIFETIME + 5
    assert again.check()[1].passes
    assert again.say(unified()).passes


def test_what_is_forged_from_another_port_takes_nothing_from_what_may_be_said_in_clear() -> None:
    one = Call()
    one.consent()
    assert one.say(hello(CLIENT_HELLO, client_hello())).passes
    intruder = Call(one.gate, peer=OTHER_PEER, admit=False)
    said = hello(11, bytes(1000))
    for _ in range(80):
        intruder.hear(request(intruder.transaction(), *UFRAGS, [(0xC070, said)]))
    assert one.hear(said).passes


def test_who_has_refused_to_encrypt_inherits_nothing() -> None:
    one = Call()
    one.open()
    again = Call(one.gate, relay=OTHER_RELAY, peer=OTHER_PEER, ufrags=(b"new", b"newer"))
    again.consent()
    assert again.say(hello(CLIENT_HELLO, client_hello())).passes
    assert again.say(srtcp(1)).passes
    assert again.hear(hello(SERVER_HELLO, server_hello(NULL_SUITE))).reason == "cipher suite"
    assert again.say(unified()).reason == "no handshake"
    assert again.say(srtcp(2)).reason == "no handshake"


@pytest.mark.parametrize("outward", [True, False])
def test_a_pair_whose_session_was_forgotten_goes_on(outward: bool) -> None:
    """More ufrags than sessions are remembered: the pair still has its own."""
    one = Call()
    one.open()
    push_out(one)
    assert all(verdict.passes for verdict in one.check(outward=outward))
    assert one.say(unified()).passes
    assert one.say(rtp(VOICE, 1)).passes


def test_a_handshake_brings_back_the_session_that_it_opens() -> None:
    one = Call()
    one.consent()
    push_out(one)
    one.shake_hands()
    assert one.gate.news()[-1:] == [Proven("alice", UFRAGS, unified=True, srtp=True)]


def push_out(one: Call) -> None:
    """Make the gate forget the session of this pair for others of the same user."""
    for place in range(4):
        ufrags = (b"n%d" % place, b"newer")
        other = Call(one.gate, peer=Address(PEER.ip, 6000 + place), ufrags=ufrags, admit=False)
        other.numbers = one.numbers
        other.open()
    assert UFRAGS not in [session.ufrags for session in one.gate.sessions]
    one.gate.news()


def test_streams_are_known_by_rtp_alone() -> None:
    """The SSRCs in RTCP are the same in every call."""
    one = Call()
    one.open()
    one.talk(1)
    assert one.say(srtcp(1)).passes
    assert [session.proven().ssrcs for session in one.gate.sessions] == [(VOICE,)]


def test_ciphertext_is_tested_behind_its_nonce() -> None:
    """Which may be a counter (RFC 5288 §3)."""
    one, other = Call(vouched=True), Call(vouched=True)
    one.consent()
    other.consent()
    for number in range(SAMPLE):
        counter, sealed = number.to_bytes(8, "big"), noise(number, 40)
        assert one.say(record(counter + sealed, DATA, 1)).passes
        verdict = other.say(record(sealed[:8] + bytes(32), DATA, 1))
    assert verdict.reason == "looks plain"


def test_two_users_do_not_inherit_from_each_other() -> None:
    one = Call()
    one.open()
    assert one.say(rtp(VOICE, 1)).passes
    other = Call(one.gate, relay=OTHER_RELAY, user="bob")
    other.consent()
    for payload in (rtp(VOICE, 2), srtcp(1), unified()):
        assert other.say(payload).reason == "no handshake"


def test_both_ends_of_a_call_may_have_one_user() -> None:
    """Each hello comes by twice, once for each allocation, and still is one end's."""
    proof = Gate()
    caller = Call(proof, relay=RELAY, peer=OTHER_RELAY)
    called = Call(proof, relay=OTHER_RELAY, peer=RELAY, ufrags=caller.ufrags[::-1])
    for one in (caller, called):
        one.consent()
    for payload, kind in ((client_hello(), CLIENT_HELLO), (server_hello(), SERVER_HELLO)):
        first, second = (caller, called) if kind == CLIENT_HELLO else (called, caller)
        assert first.say(hello(kind, payload)).passes
        assert second.hear(hello(kind, payload)).passes
    assert all(verdict.passes for verdict in caller.talk(5))
    assert len(proof.sessions) == 1


def test_one_end_alone_opens_nothing_though_both_allocations_see_it() -> None:
    proof = Gate()
    caller = Call(proof, relay=RELAY, peer=OTHER_RELAY)
    called = Call(proof, relay=OTHER_RELAY, peer=RELAY, ufrags=caller.ufrags[::-1])
    for one in (caller, called):
        one.consent()
    for payload in (hello(CLIENT_HELLO, client_hello()), hello(SERVER_HELLO, server_hello())):
        assert caller.say(payload).passes
        assert called.hear(payload).passes
    assert caller.say(rtp(VOICE, 1)).reason == "no handshake"


def test_media_may_go_another_way_than_the_handshake() -> None:
    one = Call()
    one.open()
    other = Call(one.gate, peer=OTHER_PEER, admit=False)
    assert other.say(rtp(VOICE, 1)).reason == "no consent"
    other.numbers = one.numbers
    other.consent()
    assert other.say(rtp(VOICE, 1)).passes


def test_a_peer_cannot_move_a_pair_to_another_session() -> None:
    one = Call()
    one.open()
    assert one.hear(request(bytes(12), b"forged", b"")).reason == "malformed check"
    assert one.hear(request(bytes(12), b"forged", b"ufrags")).passes
    assert one.say(rtp(VOICE, 1)).passes


def test_a_stream_may_be_carried_once_it_is_tested_and_until_consent_ends() -> None:
    one = Call()
    one.open()
    changes = [verdict.changed for verdict in one.talk(64)]
    assert changes == [False] * 63 + [True]
    for number in range(64):
        one.hear(rtp(7, number))
        one.say(srtcp(number))
    media = one.gate.media(RELAY, PEER)
    assert media == frozenset((VOICE, 7 | INWARD, RTCP))
    assert one.gate.next_expiry() == CONSENT
    assert list(one.gate.expire(CONSENT)) == [(RELAY, PEER)]
    assert one.gate.media(RELAY, PEER) == frozenset()
    one.now = CONSENT
    assert [verdict.changed for verdict in one.check()] == [False, True]
    assert one.gate.media(RELAY, PEER) == media


def keep_alive(one: Call, seconds: float) -> None:
    """Both ends say every 25 seconds that they are there, and nobody checks any more."""
    until = one.now + seconds
    while one.now < until:
        one.now += 25
        for act in (one.say, one.hear):
            list(one.gate.expire(one.now))
            assert act(keepalive(one.transaction())).passes


def test_keepalives_keep_session_and_streams_for_long() -> None:
    one = Call()
    one.open()
    one.talk(64)
    media = one.gate.media(RELAY, PEER)
    keep_alive(one, 5 * SESSION_LIFETIME)
    assert one.gate.media(RELAY, PEER) == media == frozenset({VOICE})
    assert len(one.gate.sessions) == 1
    again = Call(one.gate, relay=OTHER_RELAY, peer=OTHER_PEER, ufrags=(b"new", b"newer"))
    again.now = one.now
    again.consent()
    assert again.say(rtp(VOICE, 65)).passes
    one.now += KEEPALIVE - 1
    assert list(one.gate.expire(one.now)) == []
    one.now += 2
    assert list(one.gate.expire(one.now)) == [(RELAY, PEER)]
    assert one.gate.media(RELAY, PEER) == frozenset()


def test_a_keepalive_moves_the_time_at_which_a_stream_ends() -> None:
    one = Call()
    one.open()
    one.talk(64)
    one.now = CONSENT - 1
    for act in (one.say, one.hear):
        act(keepalive(one.transaction()))
    assert list(one.gate.expire(CONSENT)) == []
    assert one.gate.next_expiry() == CONSENT - 1 + KEEPALIVE


def test_what_came_late_may_be_carried_while_both_ends_answer() -> None:
    one = Call(vouched=True)
    one.consent()
    assert one.talk(64)[-1].changed
    one.now = 20.0
    one.check()
    assert list(one.gate.expire(CONSENT)) == [(RELAY, PEER)]
    assert one.say(rtp(VOICE, 65), wait=CONSENT - 20).reason == "no handshake"


def test_off_asks_nothing_and_lets_everything_be_carried() -> None:
    one = Call(Gate("off"))
    assert one.say(b"GET / HTTP/1.1").passes
    assert one.gate.media(RELAY, PEER) is None
    one.gate.mode = "enforce"
    assert one.say(b"GET / HTTP/1.1").reason == "other"
    assert one.gate.media(RELAY, PEER) == frozenset()


def test_another_mode_names_the_pairs_that_it_changes() -> None:
    one = Call(Gate("compat"))
    one.consent()
    one.talk(64)
    assert one.gate.set_mode("enforce", 0.0) == [(RELAY, PEER)]
    assert one.gate.media(RELAY, PEER) == frozenset()
    assert one.gate.set_mode("observe", 0.0) == []
    assert one.gate.set_mode("compat", 0.0) == [(RELAY, PEER)]
    assert one.gate.media(RELAY, PEER) == frozenset((VOICE,))


def test_what_an_allocation_had_is_gone_with_it() -> None:
    one = Call()
    one.open()
    one.gate.remove_allocation(RELAY)
    one.gate.remove_allocation(RELAY)
    assert one.gate.next_expiry() == SESSION_LIFETIME
    assert one.gate.media(RELAY, PEER) == frozenset()
    one.gate.add_allocation(RELAY, "alice")
    assert one.say(rtp(VOICE, 1)).reason == "no consent"
    one.gate.remove_allocation(RELAY)
    list(one.gate.expire(SESSION_LIFETIME + 1))
    assert (len(one.gate.sessions), one.gate.next_expiry()) == (0, None)


def test_the_next_relay_believes_what_this_one_has_proved() -> None:
    one = Call()
    one.open()
    one.talk(3)
    kept = one.gate.proven_sessions()
    for after, reason in ((LEARNED_LIFETIME - 1, "media"), (LEARNED_LIFETIME + 1, "no handshake")):
        following = Gate()
        for proven in kept:
            following.learn_session(proven, 0.0)
        list(following.expire(after))
        again = Call(following, relay=OTHER_RELAY, ufrags=(b"new", b"newer"))
        again.now = after
        again.consent()
        assert again.say(rtp(VOICE, 9)).reason == reason


def test_what_is_only_told_is_not_told_on() -> None:
    proof = Gate()
    proof.learn_session(Proven("alice", UFRAGS, unified=True, srtp=True), 0.0)
    assert proof.proven_sessions() == []
    other = Call(proof, relay=OTHER_RELAY, peer=OTHER_PEER, ufrags=(b"new", b"newer"))
    other.consent()
    assert proof.proven_sessions() == []
    one = Call(proof)
    one.consent()
    assert proof.proven_sessions() == [Proven("alice", UFRAGS, unified=True, srtp=True)]


def test_what_one_worker_has_proved_another_one_knows() -> None:
    """A handshake and its media may come to different workers."""
    one, other = Call(), Call()
    one.consent()
    other.consent()
    assert one.gate.news() == []
    one.shake_hands()
    share(one.gate, other.gate)
    assert (one.gate.news(), other.gate.news()) == ([], [])
    assert other.say(rtp(VOICE, 1)).passes
    assert other.gate.news() == [Proven("alice", UFRAGS, unified=True, srtp=True, ssrcs=(VOICE,))]


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("suite", [SUITE_12, NULL_SUITE])
def test_the_two_halves_of_a_handshake_may_come_to_different_workers(suite: int, at_once: bool) -> None:
    """Whichever is known first."""
    one, other = Call(), Call(relay=OTHER_RELAY)
    one.consent()
    other.consent()
    assert one.say(hello(CLIENT_HELLO, client_hello())).passes
    if at_once:
        share(one.gate, other.gate)
    choice = hello(SERVER_HELLO, server_hello(suite, (7,), version_13=False))
    assert other.hear(choice).passes is (suite == SUITE_12)
    share(one.gate, other.gate)
    share(other.gate, one.gate)
    finished = record(noise("finished", 40), HANDSHAKE, 1)
    for call in (one, other):
        assert call.say(finished).passes is call.hear(rtp(VOICE, 1)).passes is (suite == SUITE_12)


def share(one: Gate, other: Gate) -> None:
    for told in one.news():
        other.learn_session(told, 1.0)


def test_our_server_vouches_for_one_session_of_one_user() -> None:
    ours, theirs = UFRAGS
    for user, ufrags, passes in (
        ("alice", (ours, theirs), True),
        ("alice", (theirs, ours), True),
        ("alice", (ours, b"others"), False),
        ("bob", (ours, theirs), False),
    ):
        one = Call(user=user, ufrags=ufrags)
        one.gate.vouch("alice", (ours, theirs), 60.0, 0.0)
        one.consent()
        assert one.say(rtp(VOICE, 1)).passes is passes
        assert one.gate.counts["compat" if passes else "enforce", "media" if passes else "no handshake"] == 1


def test_vouching_that_comes_late_or_runs_out_changes_what_may_be_carried() -> None:
    one = Call(vouched=True)
    one.consent()
    one.talk(SAMPLE)
    assert one.gate.media(RELAY, PEER) == frozenset({VOICE})
    assert one.gate.forget_vouched("alice", one.now) == [(RELAY, PEER)]
    assert one.gate.media(RELAY, PEER) == frozenset()
    assert one.say(rtp(VOICE, SAMPLE)).reason == "no handshake"
    assert one.gate.vouch("alice", UFRAGS, 7.0, one.now) == [(RELAY, PEER)]
    assert one.gate.media(RELAY, PEER) == frozenset({VOICE})
    assert one.gate.vouch("alice", UFRAGS, 9.0, one.now) == []
    assert list(one.gate.expire(8.0)) == []
    assert list(one.gate.expire(9.0)) == [(RELAY, PEER)]
    assert one.gate.media(RELAY, PEER) == frozenset()


def test_a_session_that_a_peer_has_named_first_may_be_vouched_for_before_the_client_names_it() -> None:
    one = Call()
    assert one.hear(request(b"first of its", *UFRAGS[::-1])).passes
    one.gate.vouch("alice", UFRAGS, 60.0, 0.0)
    one.consent()
    assert one.say(rtp(VOICE, 1)).passes


def test_a_session_that_was_proven_needs_nobody_to_vouch_for_it() -> None:
    one = Call(vouched=True)
    one.open()
    one.talk(SAMPLE)
    assert one.gate.forget_vouched("alice", one.now) == []
    assert one.say(rtp(VOICE, SAMPLE)).passes


def flood(one: Call) -> None:
    """All that a client and its peers can make the gate remember of one allocation."""
    for place in range(3 * MAX_PAIRS):
        one.peer = Address(PEER.ip, 5000 + place)
        one.now += 0.5  # the pace of checks
        for outward in (True, False):
            for _ in range(64):
                transaction = noise(f"{place} {outward} {next(one.numbers)}", 12)
                ufrags = noise(transaction.hex(), 60).hex().encode()
                ask = one.say if outward else one.hear
                ask(request(transaction, ufrags[:60], ufrags[60:]))
    one.now += 10  # the pace of checks
    one.consent()
    for number in range(6):
        for start in range(0, 3900, 130):
            piece = noise(f"{number} {start}", 120)
            body = bytes(start) + piece + bytes(4000 - start - 120)
            for act in (one.say, one.hear):
                act(hello(CLIENT_HELLO, body, start=start, end=start + 120, number=number))
    one.now += 90  # what may be said in clear, and what contradicts
    one.consent()
    one.shake_hands()
    for number in range(63):
        for stream in range(40):
            one.say(rtp(stream, number, b"evidence" + noise(f"{stream} {number}", EXAMINED)))


def test_memory_is_bounded() -> None:
    """At most 64 KiB for an allocation, however long a client tries for more."""
    one = Call()
    flood(one)  # what is made once and for all
    tracemalloc.start()
    try:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        fresh = Call(one.gate, relay=OTHER_RELAY, user="bob")
        fresh.now = one.now + 60
        flood(fresh)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown <= 64 * KIBIBYTE


def test_a_peer_floods_in_vain() -> None:
    """Pairs with consent stay, whatever comes from other ports."""
    one = Call()
    one.open()
    for place in range(3 * MAX_PAIRS):
        intruder = Call(one.gate, peer=Address(PEER.ip, 6000 + place), admit=False)
        intruder.hear(request(place.to_bytes(12, "big"), b"a", str(place).encode()))
    assert one.say(rtp(VOICE, 1)).passes
    assert one.check()[1].passes


def test_a_stun_message_that_is_no_check_begins_nothing() -> None:
    one = Call()
    assert one.say(stun(BINDING_REQUEST, [], bytes(12))).reason == "malformed check"
    assert one.say(stun(0x0011, [], bytes(12))).reason == "no consent"
    assert one.gate.media(RELAY, PEER) == frozenset()


def test_streams_that_an_engine_carries_are_known_after_eight_screens() -> None:
    """Each with two streams of its own, while voice and video go on where no core sees them; then ICE
    restarts."""
    one = Call()
    one.open()
    for ssrc in (VOICE, VIDEO, *range(16)):
        assert all(verdict.passes for verdict in one.talk(SAMPLE, ssrc))
    again = Call(one.gate, relay=OTHER_RELAY, peer=OTHER_PEER, ufrags=(b"new", b"newer"))
    again.consent()
    assert [again.say(rtp(ssrc, 99)).reason for ssrc in (VOICE, VIDEO)] == ["media", "media"]


def test_forged_checks_push_out_no_session_that_is_half_open() -> None:
    one = Call()
    one.consent()
    assert one.say(hello(CLIENT_HELLO, client_hello())).passes
    for number in range(6):
        forger = Call(one.gate, peer=Address(PEER.ip, 7000 + number), admit=False)
        assert forger.hear(request(bytes(12), b"forged%d" % number, b"name")).passes
    assert len(one.gate.sessions) == 1
    other = Call(one.gate, peer=OTHER_PEER, admit=False)
    other.check()
    assert one.hear(hello(SERVER_HELLO, server_hello())).passes
    assert one.say(rtp(VOICE, 1)).passes


def test_who_answers_a_check_has_spoken_too() -> None:
    """An end that asks nothing itself holds its session by what it answers (RFC 8445 §2.5)."""
    one = Call()
    one.check(outward=False)
    assert len(one.gate.sessions) == 1
    one.shake_hands()
    assert one.say(rtp(VOICE, 1)).passes
