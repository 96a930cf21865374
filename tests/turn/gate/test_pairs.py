"""Pairs: ids of requests, consent, and streams under test."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.turn.call import OTHER_PEER, PEER, Call, noise, request, success
from turn.flows import Address
from turn.gate.allowances import Allowances
from turn.gate.pairs import (
    ALL_CHECKS_BURST,
    ALL_CHECKS_PER_SECOND,
    CHECKS_BURST,
    CONSENT,
    ENTRY,
    EVICTIONS_BURST,
    MAX_PAIRS,
    MAX_STREAMS,
    MAX_TRANSACTIONS,
    TRANSACTION,
    Evidence,
    Pair,
    Transactions,
)
from turn.gate.streams import BLOCKED
from turn.wire.srtp import SAMPLE

IDS = [noise(number, 12) for number in range(200)]
PACKETS = count()


def sample(room: Evidence, pair: Pair, stream: int, first: int, now: float) -> bool | None:
    """One more packet whose payload begins so; no two are the same."""
    sealed = bytes((first,)) + noise(next(PACKETS), 16)
    return room.sample(pair, stream, b"header" + sealed, sealed, now)


@given(numbers=st.lists(st.integers(0, 199), max_size=150))
def test_the_latest_requests_are_known(numbers: list[int]) -> None:
    asked = Transactions()
    latest: list[int] = []
    for number in numbers:
        asked.add(IDS[number], 0.0)
        latest += [] if number in latest else [number]
        del latest[:-MAX_TRANSACTIONS]
    assert [number for number in range(200) if asked.has(IDS[number], 1.0)] == sorted(latest)
    assert len(asked._ring) <= ENTRY * MAX_TRANSACTIONS


def test_requests_are_forgotten_in_time() -> None:
    asked = Transactions()
    start = float(2**16 // 10) - 5  # the count of tenths begins anew soon
    asked.add(IDS[0], start)
    assert asked.has(IDS[0], start + TRANSACTION)
    assert not asked.has(IDS[0], start + TRANSACTION + 0.2)


def test_an_id_lies_nowhere_between_two_others() -> None:
    asked = Transactions()
    asked.add(bytes(12), 0.0)
    asked.add(bytes(range(12)), 0.0)
    assert not asked.has(bytes(8) + bytes(range(4)), 0.0)
    assert not asked.has(bytes(4) + bytes(range(8)), 0.0)
    assert asked.has(bytes(12), 0.0)
    assert asked.has(bytes(range(12)), 0.0)


def test_consent_of_one_and_of_both() -> None:
    pair = Pair()
    assert (pair.has_consent(0.0), pair.next_end(0.0)) == (False, None)
    pair.directions[0].last_answer = 10.0
    assert (pair.has_consent(11.0), pair.has_both_consents(11.0)) == (True, False)
    pair.directions[1].last_answer = 20.0
    assert pair.has_both_consents(21.0)
    assert pair.next_end(21.0) == 10.0 + CONSENT
    assert not pair.has_both_consents(10.0 + CONSENT)
    assert pair.next_end(10.0 + CONSENT) == 20.0 + CONSENT
    assert not pair.has_consent(20.0 + CONSENT)


def test_pairs_are_bounded_and_those_with_consent_stay() -> None:
    room = Evidence("alice", Allowances())
    places = [Address(PEER.ip, 5000 + number) for number in range(100)]
    first = room.add_pair(places[0], 0.0)
    assert first is not None
    first.directions[0].last_answer = 0.0
    for place in places[1:]:
        assert room.add_pair(place, 1.0) is not None
    assert len(room.pairs) == MAX_PAIRS
    assert room.pairs[places[0]] is first
    for pair in room.pairs.values():
        pair.directions[1].last_answer = 1.0
    assert room.add_pair(places[1], 2.0) is None
    first.media = frozenset((7,))
    assert room.add_pair(places[1], 1.0 + CONSENT) is not None
    assert room.pairs[places[0]] is first


def test_a_stream_is_tested_blocked_and_tested_anew() -> None:
    room = Evidence("alice", Allowances())
    pair = room.add_pair(PEER, 0.0)
    assert pair is not None
    assert [sample(room, pair, 7, first, 0.0) for first in noise("first", SAMPLE)] == [True] * SAMPLE
    assert pair.tested() == {7}
    assert sample(room, pair, 7, 0, 0.0) is True
    assert [sample(room, pair, 8, 0, 0.0) for _ in range(14)] == [True] * 11 + [False] * 3
    assert sample(room, pair, 8, 0, BLOCKED - 0.1) is False
    again = [sample(room, pair, 8, first, BLOCKED) for first in noise("first", SAMPLE)]
    assert again == [False] * (SAMPLE - 1) + [True]
    assert pair.tested() == {7, 8}


@pytest.mark.parametrize("packets", [1, SAMPLE])
def test_streams_are_bounded_and_go_with_their_pair(packets: int) -> None:
    room = Evidence("alice", Allowances())
    pair = room.add_pair(PEER, 0.0)
    assert pair is not None
    for stream in range(MAX_STREAMS):
        for first in noise(stream, packets):
            assert sample(room, pair, stream, first, 0.0)
    assert sample(room, pair, MAX_STREAMS, 0, 0.0) is (True if packets == SAMPLE else None)
    for number in range(MAX_PAIRS):
        room.add_pair(Address(PEER.ip, 6000 + number), 0.0)
    other = room.pairs[PEER._replace(port=6000)]
    assert sample(room, other, 1, 0, 0.0) is True


def test_tests_that_are_not_through_begin_anew_once_a_minute() -> None:
    room = Evidence("alice", Allowances())
    pair = room.add_pair(PEER, 0.0)
    assert pair is not None
    for first in noise("tested", SAMPLE):
        sample(room, pair, 0, first, 0.0)
    for _ in range(12):
        sample(room, pair, 1, 0, BLOCKED - 1)
    for stream in range(2, MAX_STREAMS):
        sample(room, pair, stream, 0, 1.0)
    assert sample(room, room.add_pair(OTHER_PEER, 1.0) or pair, MAX_STREAMS, 0, BLOCKED - 0.1) is None
    assert sample(room, pair, MAX_STREAMS, 0, BLOCKED) is True
    assert set(pair.streams) == {0, 1, MAX_STREAMS}
    assert room.streams == 3


def test_each_port_of_a_peer_is_a_pair_but_all_have_one_pace() -> None:
    room = Evidence("alice", Allowances())
    pairs = [Pair() for _ in range(1000)]
    assert sum(room.may_check(pair, 1, 0.0) for pair in pairs) == ALL_CHECKS_BURST
    assert sum(room.may_check(pair, 1, 1.0) for pair in pairs) == ALL_CHECKS_PER_SECOND
    assert sum(room.may_check(pairs[0], 0, 0.0) for _ in pairs) == CHECKS_BURST


def test_the_checks_of_a_peer_push_out_none_of_the_client() -> None:
    room = Evidence("alice", Allowances())
    asked = [Address(PEER.ip, 5000 + number) for number in range(MAX_PAIRS - 1)]
    for place in asked:
        pair = room.add_pair(place, 0.0)
        assert pair is not None
        pair.directions[0].add(IDS[0], 0.0)
    for number in range(100):
        assert room.add_pair(Address(PEER.ip, 7000 + number), 0.0, outward=False) is not None
    assert room.pairs.keys() >= set(asked)
    room.pairs[PEER._replace(port=7099)].directions[0].add(IDS[0], 0.0)
    assert room.add_pair(PEER._replace(port=8000), 0.0, outward=False) is None
    assert room.add_pair(PEER._replace(port=8000), 0.0) is not None
    assert room.add_pair(PEER._replace(port=8001), TRANSACTION, outward=False) is not None


def test_answers_count_however_long_the_way_is() -> None:
    """Chromium asks a weak path each 48 ms, with an id of its own each time."""
    one, late = Call(), 30
    asked = [one.transaction() for _ in range(2 * late)]
    for number, transaction in enumerate(asked):
        assert one.say(request(transaction), wait=0.048).passes
        assert number < late or one.hear(success(asked[number - late])).passes


def test_the_stream_that_was_tested_first_goes_for_a_new_one() -> None:
    room = Evidence("alice", Allowances())
    pair = room.add_pair(PEER, 0.0)
    assert pair is not None
    streams = MAX_STREAMS + int(EVICTIONS_BURST)
    for stream in range(streams):
        for first in noise(stream, SAMPLE):
            assert sample(room, pair, stream, first, 0.0)
    assert pair.tested() == set(range(streams - MAX_STREAMS, streams))
    assert pair.stale
    assert sample(room, pair, streams, 0, 0.0) is None
    assert sample(room, pair, streams, 0, 1.0) is True
