"""Streams: tested at first, looked at later, blocked when they look unencrypted, and what may come again."""

from __future__ import annotations

from itertools import count

import pytest

from tests.turn.call import VOICE, noise, rtp
from turn.gate.randomness import EXAMINED
from turn.gate.streams import BLOCKED, GROUP, LATEST, LOOKS, REPEATS, Stream
from turn.wire.srtp import LEAST_BETWEEN, SAMPLE, SPREAD, between

NUMBERS = count()
PLAIN = b"words in clear"
TESTS = 3  # rounds of the whole way


def judge(stream: Stream, sealed: bytes | None = None, now: float = 0.0) -> bool:
    """One more packet; no two are the same."""
    number = next(NUMBERS)
    part = noise(number, 40) if sealed is None else sealed
    return stream.judge(number.to_bytes(8, "big") + part, part, now)


def proved() -> Stream:
    stream = Stream()
    assert all(judge(stream) for _ in range(SAMPLE))
    assert stream.is_tested
    return stream


def test_a_stream_is_tested_after_so_many_packets() -> None:
    stream = Stream()
    assert [judge(stream) and stream.is_tested for _ in range(SAMPLE)] == [False] * (SAMPLE - 1) + [True]


@pytest.mark.parametrize("packets", [1, 30, SAMPLE - 1, SAMPLE, 1000])
def test_whenever_it_turns_plain_it_is_stopped(packets: int) -> None:
    stream = Stream()
    assert all(judge(stream) for _ in range(packets))
    passed = sum(judge(stream, PLAIN) for _ in range(200))
    assert passed <= (LOOKS + 1) * (LEAST_BETWEEN + SPREAD)  # the first look may be added to one from before
    assert not judge(stream, PLAIN)


def test_what_an_engine_carries_is_stopped_too() -> None:
    stream = proved()
    seen = 0
    while stream.is_tested:
        seen += 1
        stream.inspect(rtp(7, next(NUMBERS), PLAIN), PLAIN)
    assert seen <= 2
    assert [judge(stream, PLAIN) for _ in range(GROUP + 1)] == [True] * (GROUP - 1) + [False] * 2


def test_between_two_looks_some_packets_are_not_looked_at() -> None:
    stream = proved()
    judge(stream)
    for _ in range(20):
        looked, unseen = stream._last, 0
        while stream._last == looked:
            unseen += 1
            assert judge(stream)
        assert LEAST_BETWEEN < unseen <= LEAST_BETWEEN + SPREAD


def test_a_false_alarm_costs_a_test_and_no_packet() -> None:
    stream = proved()
    stream.heads = 100.0
    for number in range(LOOKS):
        assert stream.is_tested
        stream.inspect(rtp(7, number), noise(number, 40))
    assert not stream.is_tested
    assert all(judge(stream) for _ in range(SAMPLE))
    assert stream.is_tested


def test_after_a_block_a_stream_passes_only_a_test() -> None:
    stream = Stream()
    for turn in range(TESTS):
        now = turn * (BLOCKED + 1)
        passed = [judge(stream, PLAIN, now) for _ in range(SAMPLE)]
        assert sum(passed) == (GROUP - 1 if turn == 0 else 0)
        assert not judge(stream, None, now + BLOCKED - 0.1)
        assert not stream.is_over(now + 2 * BLOCKED - 1)
    later = TESTS * (BLOCKED + 1)
    assert [judge(stream, None, later) for _ in range(SAMPLE)] == [False] * (SAMPLE - 1) + [True]
    assert judge(stream, None, later)


def test_what_is_not_worth_remembering() -> None:
    assert Stream().is_over(0.0)
    assert not proved().is_over(1e9)
    blocked = Stream()
    assert [judge(blocked, PLAIN) for _ in range(GROUP)] == [True] * (GROUP - 1) + [False]
    assert not blocked.is_over(2 * BLOCKED - 1)
    assert blocked.is_over(2 * BLOCKED)


@pytest.mark.parametrize("copies", [1, 2, 3, 1 + REPEATS])
def test_copies_of_a_packet_are_no_evidence(copies: int) -> None:
    stream, packets = Stream(), [rtp(7, number) for number in range(SAMPLE)]
    assert all(stream.judge(packet, packet[12:], 0.0) for packet in packets for _ in range(copies))
    assert stream.is_tested


@pytest.mark.parametrize("late", range(1, LATEST))
def test_copies_that_come_late_are_no_evidence(late: int) -> None:
    stream, packets = Stream(), [rtp(7, number) for number in range(SAMPLE)]
    for number, packet in enumerate(packets):
        assert stream.judge(packet, packet[12:], 0.0)
        if number >= late:
            assert stream.judge(packets[number - late], packets[number - late][12:], 0.0)
    assert stream.is_tested


def test_an_engine_may_show_copies() -> None:
    stream, packets = proved(), [rtp(7, number) for number in range(99)]
    for packet in packets:
        for _ in range(2):
            stream.inspect(packet, packet[12:])
    assert stream.is_tested


def test_a_few_packets_by_turns_are_seen() -> None:
    stream = Stream()
    packets = [rtp(7, number % 4, PLAIN) for number in range(100)]
    passed = [stream.judge(packet, PLAIN, 0.0) for packet in packets]
    assert passed == [number < GROUP - 1 for number in range(100)]


def test_the_packet_itself_says_when_the_next_one_is_looked_at() -> None:
    packet = rtp(7, 1)
    stream = proved()
    assert stream.judge(packet, packet[12:], 0.0)
    looked = stream._last
    for _ in range(between(packet)):
        judge(stream)
    assert stream._last == looked
    judge(stream)
    assert stream._last != looked


def test_a_packet_that_made_it_suspicious_may_come_again() -> None:
    """All bytes of the second copy occur in the packet before: that alone would be enough to stop it."""
    stream = Stream()
    for number in range(SAMPLE):
        assert stream.judge(rtp(VOICE, number), noise(number, EXAMINED), 0.0)
    number = SAMPLE
    while stream.is_tested:
        sealed = b"x" + noise(number, EXAMINED)
        stream.inspect(rtp(VOICE, number), sealed)
        number += 1
    assert stream.judge(rtp(VOICE, number - 1), sealed, 0.0)
    assert not stream.blocked_until
