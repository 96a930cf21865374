"""Sessions: whose they are, how many, how long, and what they hand on."""

from __future__ import annotations

from itertools import count

from tests.turn.call import SUITE_12, client_hello, server_hello
from turn.gate.handshake import Agreement
from turn.gate.sessions import (
    LEARNED_LIFETIME,
    MAX_LEARNED,
    MAX_STREAMS,
    SESSION_LIFETIME,
    SPARE,
    Offered,
    Proven,
    Session,
    Sessions,
)
from turn.wire.dtls import CLIENT_HELLO, SERVER_HELLO, Fragment
from turn.wire.hello import parse_client_hello

OFFER = parse_client_hello(client_hello(profiles=(7,)))
NAMES = [(b"a%03d" % number, b"b%03d" % number) for number in range(100)]


def holding(*users: str) -> Sessions:
    sessions = Sessions()
    for user in users:
        sessions.add_allocation(user)
    return sessions


def offer(sessions: Sessions, session: Session) -> None:
    body = client_hello(profiles=(7,))
    sessions.receive_fragment(session, 0, Fragment(CLIENT_HELLO, 0, len(body), 0, body), 0.0)


def choose(sessions: Sessions, session: Session) -> None:
    body = server_hello()
    sessions.receive_fragment(session, 1, Fragment(SERVER_HELLO, 0, len(body), 0, body), 0.0)


def shake(sessions: Sessions, session: Session, *, srtp: bool = True) -> None:
    bodies = (CLIENT_HELLO, client_hello(profiles=(7,) if srtp else None)), (SERVER_HELLO, server_hello())
    for speaker, (kind, body) in enumerate(bodies):
        sessions.receive_fragment(session, speaker, Fragment(kind, 0, len(body), 0, body), 0.0)


def opened(sessions: Sessions, user: str = "alice", name: int = 0, *, srtp: bool = True) -> Session:
    session = sessions.renew(user, NAMES[name], 0.0)
    shake(sessions, session, srtp=srtp)
    return session


def test_an_agreement_takes_nothing_back() -> None:
    session = opened(holding("alice"))
    session.agree(Agreement(unified=False, srtp=False))
    assert (session.open, session.unified, session.srtp) == (True, True, True)


def test_who_agrees_after_all_has_refused_nothing() -> None:
    sessions = holding("alice")
    session = sessions.renew("alice", NAMES[0], 0.0)
    session.note_unencrypted(1)
    assert not session.refused
    offer(sessions, session)
    session.note_unencrypted(0)
    assert not session.refused
    session.note_unencrypted(1)
    assert session.refused
    choose(sessions, session)
    session.note_unencrypted(1)
    assert (session.open, session.refused) == (True, False)


def test_the_same_ufrags_are_the_same_session_of_one_user() -> None:
    sessions = holding("alice", "bob")
    one = sessions.renew("alice", NAMES[0], 0.0)
    assert sessions.renew("alice", NAMES[0], 1.0) is one
    assert sessions.renew("bob", NAMES[0], 1.0) is not one
    assert len(sessions) == 2


def test_a_session_ends_when_nobody_checks_it_any_more() -> None:
    sessions = holding("alice")
    sessions.renew("alice", NAMES[0], 0.0)
    sessions.renew("alice", NAMES[0], 50.0)
    sessions.expire(SESSION_LIFETIME)
    assert len(sessions) == 1
    assert sessions.next_expiry() == 50.0 + SESSION_LIFETIME
    sessions.expire(50.0 + SESSION_LIFETIME)
    assert (len(sessions), sessions.next_expiry()) == (0, None)


def test_a_user_has_one_session_for_each_allocation_and_one_more() -> None:
    sessions = holding("alice", "alice", "bob")
    sessions.renew("bob", NAMES[0], 0.0)
    for name in NAMES:
        sessions.renew("alice", name, 0.0)
    assert [session.ufrags for session in sessions if session.user == "alice"] == NAMES[-2 - SPARE :]
    for _ in range(2):
        sessions.remove_allocation("alice")
    assert len([session for session in sessions if session.user == "alice"]) == SPARE


def test_open_sessions_go_last() -> None:
    sessions = holding("alice")
    kept = opened(sessions)
    for name in NAMES[1:]:
        sessions.renew("alice", name, 0.0)
    assert kept in list(sessions)
    assert sessions.renew("alice", NAMES[0], 0.0) is kept


def test_who_is_forgotten_for_lack_of_room_goes_on_as_it_was() -> None:
    sessions = holding("alice")
    first = opened(sessions)
    sessions.note_stream(first, 7)
    for name in range(1, 4):
        opened(sessions, name=name)
    assert first not in list(sessions)
    assert first.handshake is None
    assert sessions.renew("alice", NAMES[0], 0.0, first) is first
    again = sessions.renew("alice", NAMES[9], 0.0)
    assert sessions.inherit_by_stream(again, 7)


def test_streams_lead_to_the_session_before() -> None:
    sessions = holding("alice", "alice", "bob")
    before = opened(sessions)
    sessions.note_stream(before, 7)
    sessions.note_stream(before, 8)
    after, stranger = sessions.renew("alice", NAMES[1], 0.0), sessions.renew("bob", NAMES[1], 0.0)
    assert not sessions.inherit_by_stream(after, 9)
    assert not sessions.inherit_by_stream(stranger, 7)
    assert sessions.inherit_by_stream(after, 7)
    assert (after.open, after.srtp, after.unified, list(after.ssrcs)) == (True, True, True, [7, 8])
    third = sessions.renew("alice", NAMES[2], 0.0)
    assert sessions.inherit_by_stream(third, 8)


def test_ciphertext_inherits_by_user_and_opens_no_way_for_media() -> None:
    sessions = holding("alice", "alice", "bob")
    after = sessions.renew("alice", NAMES[1], 0.0)
    assert not sessions.inherit_any(after, unified=True)
    opened(sessions)
    assert not sessions.inherit_any(sessions.renew("bob", NAMES[1], 0.0), unified=True)
    assert sessions.inherit_any(after, unified=True)
    assert (after.open, after.srtp) == (True, None)


def test_a_sessions_streams_are_bounded_and_the_oldest_goes() -> None:
    sessions = holding("alice")
    session = opened(sessions)
    for ssrc in range(1000):
        sessions.note_stream(session, ssrc)
    assert list(session.ssrcs) == list(range(1000 - MAX_STREAMS, 1000))
    after = sessions.renew("alice", NAMES[1], 0.0)
    assert not sessions.inherit_by_stream(after, 0)
    assert sessions.inherit_by_stream(after, 999)


def test_news_tell_each_change_once() -> None:
    sessions = holding("alice")
    session = opened(sessions)
    proven = Proven("alice", NAMES[0], unified=True, srtp=True)
    assert sessions.news() == [Offered("alice", NAMES[0], 0, OFFER), proven]
    assert sessions.news() == []
    sessions.note_stream(session, 7)
    sessions.note_stream(session, 7)
    assert sessions.news() == [proven._replace(ssrcs=(7,))]


def test_an_offer_is_told_once_and_means_nothing_alone() -> None:
    sessions, others = holding("alice"), holding("alice")
    session = sessions.renew("alice", NAMES[0], 0.0)
    for _ in range(2):
        offer(sessions, session)
    [told] = sessions.news()
    assert told == Offered("alice", NAMES[0], 0, OFFER)
    offer(sessions, session)
    assert sessions.news() == []
    others.learn_session(told, 0.0)
    [learnt] = others
    assert (learnt.open, learnt.srtp, others.news()) == (False, None, [])
    choose(others, learnt)
    assert others.news() == [Proven("alice", NAMES[0], unified=True, srtp=True)]


def test_an_offer_settles_what_was_chosen_before_it_was_known() -> None:
    sessions = holding("alice")
    session = sessions.renew("alice", NAMES[0], 0.0)
    choose(sessions, session)
    assert (session.open, sessions.news()) == (False, [])
    sessions.learn_session(Offered("alice", NAMES[0], 0, OFFER), 0.0)
    assert sessions.news() == [Proven("alice", NAMES[0], unified=True, srtp=True)]


def test_an_offer_that_the_choice_is_not_of_opens_nothing() -> None:
    sessions = holding("alice")
    session = sessions.renew("alice", NAMES[0], 0.0)
    choose(sessions, session)
    sessions.learn_session(Offered("alice", NAMES[0], 0, OFFER._replace(suites=frozenset((SUITE_12,)))), 0.0)
    assert (session.open, session.refused, sessions.news()) == (False, True, [])


def test_what_is_told_takes_away_no_news() -> None:
    sessions = holding("alice")
    session = opened(sessions)
    sessions.learn_session(Proven("alice", NAMES[0], unified=False, srtp=True, ssrcs=(7,)), 0.0)
    assert sessions.news()[-1] == session.proven()


def test_what_is_told_of_one_user_is_bounded_and_the_oldest_goes() -> None:
    """What was only offered goes first, and last what clients here use."""
    sessions = holding("alice")
    names = [(b"a", b"%d" % number) for number in range(MAX_LEARNED + 40)]
    for name in names[:MAX_LEARNED]:
        sessions.learn_session(Proven("alice", name, True, True), 0.0)
    sessions.learn_session(Proven("bob", names[0], True, True), 0.0)
    sessions.learn_session(Proven("alice", names[1], True, True), 0.0)
    used = sessions.renew("alice", names[0], 0.0)
    for name in names[MAX_LEARNED:-1]:
        sessions.learn_session(Offered("alice", name, 0, OFFER), 0.0)
    kept = [session.ufrags for session in sessions if session.user == "alice"]
    assert kept == [*names[3:MAX_LEARNED], names[1], used.ufrags, names[-2]]
    for number in range(1000):
        sessions.learn_session(Proven("alice", (b"b", b"%d" % number), True, True), 0.0)
    assert len(sessions) == MAX_LEARNED + 1
    assert used in list(sessions)


def test_what_is_told_is_believed_for_a_minute_or_as_long_as_it_is_used() -> None:
    told = [Proven(user, name, True, True, (7,)) for user in ("alice", "bob") for name in NAMES[:5]]
    sessions = holding("alice")
    for proven in told:
        sessions.learn_session(proven, 0.0)
        sessions.learn_session(proven, 0.0)
    assert (len(sessions), sessions.news()) == (10, [])
    kept = sessions.renew("alice", NAMES[3], 50.0)
    sessions.learn_session(told[3], 51.0)
    for name in NAMES[10:20]:
        sessions.renew("alice", name, 50.0)
    assert sum(session.learned for session in sessions) == 10
    sessions.expire(LEARNED_LIFETIME)
    assert [session for session in sessions if session.learned] == [kept]
    assert kept.srtp
    assert sessions.next_expiry() == 50.0 + SESSION_LIFETIME


def test_a_told_session_without_srtp_hands_no_media_on() -> None:
    sessions = holding("alice")
    sessions.learn_session(Proven("alice", NAMES[0], unified=True, srtp=False, ssrcs=(7,)), 0.0)
    after = sessions.renew("alice", NAMES[1], 0.0)
    assert not sessions.inherit_by_stream(after, 7)
    assert not sessions.has_srtp("alice")
    assert not sessions.has_srtp("bob")
    assert sessions.inherit_any(after, unified=True)


def test_nothing_is_left_of_who_is_gone() -> None:
    sessions = holding("alice", "bob")
    numbers = count()
    for user in ("alice", "bob"):
        session = opened(sessions, user)
        sessions.note_stream(session, next(numbers))
        sessions.remove_allocation(user)
    sessions.expire(SESSION_LIFETIME)
    assert (len(sessions), sessions._users, sessions._by_number) == (0, {}, {})
    assert sessions.news() == []
