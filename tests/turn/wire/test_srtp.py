"""Streams, the structure of SRTCP, and the test of first bytes: thresholds against the exact distribution."""

from __future__ import annotations

from functools import reduce
from math import factorial

import pytest

from tests.turn.call import VOICE, noise, rtcp, rtp, srtcp
from tests.turn.captures import load
from turn.wire.srtp import (
    INWARD,
    MOST_PAIRS,
    NOTHING,
    RTCP,
    SAMPLE,
    looks_plain,
    pairs,
    sealed_at,
    stream_of,
    streams,
)

Table = list[list[float]]


def whose(packet: bytes) -> int:
    return stream_of(packet, 0, len(packet))


def is_rtcp(packet: bytes) -> bool:
    return packet[0] & 0xC0 == 0x80 and packet[1] & 0xE0 == 0xC0


@pytest.mark.parametrize(
    ("packet", "stream"),
    [
        (rtp(VOICE, 1), VOICE),
        (rtp(VOICE, 1)[:16], VOICE),
        (rtp(VOICE, 1)[:15], NOTHING),
        (b"\x40" + rtp(VOICE, 1)[1:], NOTHING),
        (b"\xc0" + rtp(VOICE, 1)[1:], NOTHING),
        (srtcp(1), RTCP),
        (srtcp(1, body=0), RTCP),
        (srtcp(1, body=200), RTCP),
        (srtcp(1)[:21], NOTHING),
        (rtcp(), NOTHING),
        (rtcp(7, 3, 12), NOTHING),
        (rtcp(*range(6, 26)), NOTHING),
        (rtcp(7) + b"\x80" + bytes(13), RTCP),
        (bytes((0x80, 200, 0, 9)) + bytes(20) + b"\x80" + bytes(13), NOTHING),
        (rtcp(7) + bytes(14), NOTHING),
        (bytes((0x80, 200, 0xFF, 0xFF)) + bytes(15) + b"\x80" + bytes(10), NOTHING),
        (b"", NOTHING),
    ],
)
def test_whose_stream_a_packet_is_of(packet: bytes, stream: int) -> None:
    assert whose(packet) == stream
    assert stream_of(memoryview(b"before" + packet + b"behind"), 6, len(packet)) == stream


@pytest.mark.parametrize("name", ["chr12", "chrrestart", "ff", "ff12", "turn_ff"])
def test_of_recorded_srtcp_none_is_taken_for_plain(name: str) -> None:
    sealed = [seen.payload for seen in load(name) if is_rtcp(seen.payload)]
    assert len(sealed) > 300
    assert {whose(packet) for packet in sealed} == {RTCP}


@pytest.mark.parametrize("name", ["chrplain", "turn_plain"])
def test_all_of_recorded_plain_rtcp_is_seen(name: str) -> None:
    plain = [seen.payload for seen in load(name) if is_rtcp(seen.payload)]
    assert len(plain) > 300
    assert {whose(packet) for packet in plain} == {NOTHING}


@pytest.mark.parametrize(
    ("packet", "at"),
    [
        (rtp(VOICE, 1), 12),
        (rtp(VOICE, 1, first=0x82), 20),
        (rtp(VOICE, 1, b"\xbe\xde\0\2" + bytes(8) + b"sealed", first=0x90), 24),
        (rtp(VOICE, 1, bytes(4) + b"\xbe\xde\0\1" + bytes(4) + b"sealed", first=0x91), 24),
        (rtp(VOICE, 1, b"\xbe\xde\xff\xff" + bytes(20), first=0x90), None),
        (rtp(VOICE, 1, bytes(8), first=0x8F), None),
        (rtp(VOICE, 1, b"\xbe", first=0x90), None),
        (srtcp(1), 8),
        (srtcp(1, body=0), None),
        (rtcp(1) + bytes(20), None),
        (rtcp(1) + bytes(21), 8),
        (rtp(VOICE, 1, b"\xbe\xde\0\x40" + bytes(300), first=0x90), 272),
        (rtp(VOICE, 1, b"\xbe\xde\0\x41" + bytes(300), first=0x90), None),
    ],
)
def test_where_the_encrypted_part_begins(packet: bytes, at: int | None) -> None:
    assert sealed_at(packet, RTCP if is_rtcp(packet) else VOICE) == at


def test_streams_go_by_direction() -> None:
    media = frozenset((VOICE, 7 | INWARD, RTCP, RTCP | INWARD))
    assert streams(media, inward=False) == {VOICE, RTCP}
    assert streams(media, inward=True) == {7, RTCP}


def test_pairs_are_counted() -> None:
    assert [pairs(firsts) for firsts in (b"", b"a", b"aa", b"aaa", b"aabb", bytes(64))] == [
        0,
        0,
        1,
        3,
        2,
        2016,
    ]


def product(one: Table, other: Table) -> Table:
    """Of two sets of values, by how many bytes fell into them and how many pairs those make."""
    most, depth = len(one), len(one[0])
    result = [[0.0] * depth for _ in range(most)]
    for first, row in enumerate(one):
        for second in range(most - first):
            for low, chance in enumerate(row):
                if chance:
                    for high in range(depth - low):
                        result[first + second][low + high] += chance * other[second][high]
    return result


@pytest.mark.parametrize("size", [8, 16])
def test_thresholds_are_the_first_that_are_rarer_than_one_in_a_million_millions(size: int) -> None:
    """Of as many random bytes; the rows for 32 and 64 were found in the same way, which takes minutes."""
    depth = 2 * MOST_PAIRS[size] + 1
    value: Table = [[0.0] * depth for _ in range(size + 1)]
    for times in range(size + 1):
        if times * (times - 1) // 2 < depth:
            value[times][times * (times - 1) // 2] = 1 / factorial(times)
    all_values = reduce(lambda table, _: product(table, table), range(8), value)
    chances = [chance * factorial(size) / 256**size for chance in all_values[size]]
    assert sum(chances[MOST_PAIRS[size] :]) < 1e-12 <= sum(chances[MOST_PAIRS[size] - 1 :])


def first_seen(firsts: bytes) -> int | None:
    return next((size for size in range(1, len(firsts) + 1) if looks_plain(firsts[:size])), None)


def spread(size: int, most: int) -> bytes:
    """So many bytes that make so many pairs, the large groups behind the single ones."""
    groups: list[int] = []
    while most:
        groups.append(next(times for times in range(size, 1, -1) if times * (times - 1) // 2 <= most))
        most -= groups[-1] * (groups[-1] - 1) // 2
    repeated = b"".join(bytes((255 - number,)) * times for number, times in enumerate(groups))
    return bytes(range(size - len(repeated))) + repeated


@pytest.mark.parametrize(
    ("firsts", "size"),
    [
        (bytes(SAMPLE), 8),
        (b"ab" * 32, 16),
        (b"abcd" * 16, 16),
        (bytes(range(8)) * 8, 32),
        (bytes(range(16)) * 4, 64),
        ((b"the quick brown fox jumps over the lazy dog and then some more of it " * 2)[:SAMPLE], 64),
        (bytes(range(64)), None),  # and the last row's first count of pairs, and one below each of both
        *((spread(size, most), size) for size, most in MOST_PAIRS.items()),
        *((spread(size, most - 1), None) for size, most in MOST_PAIRS.items()),
        *((noise(seed, SAMPLE), None) for seed in range(8)),
    ],
)
def test_few_values_are_seen_and_noise_is_not(firsts: bytes, size: int | None) -> None:
    assert first_seen(firsts) == size
