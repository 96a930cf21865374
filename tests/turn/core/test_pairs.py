"""Pairs: ids of requests, consent, and streams under test."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.turn.call import PEER, noise
from turn.core.pairs import (
    BLOCKED,
    CONSENT,
    ENTRY,
    MAX_PAIRS,
    MAX_STREAMS,
    MAX_TRANSACTIONS,
    TRANSACTION,
    Pair,
    Room,
    Transactions,
)
from turn.flows import Address
from turn.wire.srtp import SAMPLE

IDS = [noise(number, 12) for number in range(100)]


@given(numbers=st.lists(st.integers(0, 99), max_size=60))
def test_the_latest_requests_are_known(numbers: list[int]) -> None:
    asked = Transactions()
    latest: list[int] = []
    for number in numbers:
        asked.add(IDS[number], 0.0)
        latest += [] if number in latest else [number]
        del latest[:-MAX_TRANSACTIONS]
    assert [number for number in range(100) if asked.has(IDS[number], 1.0)] == sorted(latest)
    assert len(asked._ring) <= ENTRY * MAX_TRANSACTIONS


def test_requests_are_forgotten_in_time() -> None:
    asked = Transactions()
    start = float(2**32 // 10) - 5  # the count of tenths begins anew soon
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
    pair.ways[0].answered = 10.0
    assert (pair.has_consent(11.0), pair.has_both_consents(11.0)) == (True, False)
    pair.ways[1].answered = 20.0
    assert pair.has_both_consents(21.0)
    assert pair.next_end(21.0) == 10.0 + CONSENT
    assert not pair.has_both_consents(10.0 + CONSENT)
    assert pair.next_end(10.0 + CONSENT) == 20.0 + CONSENT
    assert not pair.has_consent(20.0 + CONSENT)


def test_pairs_are_bounded_and_those_with_consent_stay() -> None:
    room = Room("alice", vouched=False)
    places = [Address(PEER.ip, 5000 + number) for number in range(100)]
    first = room.begin(places[0], 0.0)
    assert first is not None
    first.ways[0].answered = 0.0
    for place in places[1:]:
        assert room.begin(place, 1.0) is not None
    assert len(room.pairs) == MAX_PAIRS
    assert room.pairs[places[0]] is first
    for pair in room.pairs.values():
        pair.ways[1].answered = 1.0
    assert room.begin(places[1], 2.0) is None
    first.media = frozenset((7,))
    assert room.begin(places[1], 1.0 + CONSENT) is not None
    assert room.pairs[places[0]] is first


def test_a_stream_is_tested_blocked_and_tested_anew() -> None:
    room = Room("alice", vouched=False)
    pair = room.begin(PEER, 0.0)
    assert pair is not None
    assert [room.sample(pair, 7, first, 0.0) for first in noise("first", SAMPLE)] == [True] * SAMPLE
    assert pair.tested() == {7}
    assert room.sample(pair, 7, 0, 0.0) is True
    assert [room.sample(pair, 8, 0, 0.0) for _ in range(9)] == [True] * 7 + [False] * 2
    assert room.sample(pair, 8, 0, BLOCKED - 0.1) is False
    assert [room.sample(pair, 8, first, BLOCKED) for first in noise("first", SAMPLE)] == [True] * SAMPLE
    assert pair.tested() == {7, 8}


@pytest.mark.parametrize("packets", [1, SAMPLE])
def test_streams_are_bounded_and_go_with_their_pair(packets: int) -> None:
    room = Room("alice", vouched=False)
    pair = room.begin(PEER, 0.0)
    assert pair is not None
    for stream in range(MAX_STREAMS):
        for first in noise(stream, packets):
            assert room.sample(pair, stream, first, 0.0)
    assert room.sample(pair, MAX_STREAMS, 0, 0.0) is None
    for number in range(MAX_PAIRS):
        room.begin(Address(PEER.ip, 6000 + number), 0.0)
    other = room.pairs[PEER._replace(port=6000)]
    assert room.sample(other, 1, 0, 0.0) is True


def test_tests_that_are_not_through_begin_anew_once_a_minute() -> None:
    room = Room("alice", vouched=False)
    pair = room.begin(PEER, 0.0)
    assert pair is not None
    for first in noise("tested", SAMPLE):
        room.sample(pair, 0, first, 0.0)
    for _ in range(8):
        room.sample(pair, 1, 0, BLOCKED - 1)
    for stream in range(2, MAX_STREAMS):
        room.sample(pair, stream, 0, 1.0)
    assert room.sample(pair, MAX_STREAMS, 0, BLOCKED - 0.1) is None
    assert room.sample(pair, MAX_STREAMS, 0, BLOCKED) is True
    assert set(pair.streams) == {0, 1, MAX_STREAMS}
    assert room.streams == 3
