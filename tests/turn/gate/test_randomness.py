"""The guesses: over all random bytes their mean is exactly 1, so what is said of encrypted streams holds."""

from __future__ import annotations

from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.turn.call import noise
from turn.gate.randomness import (
    EXAMINED,
    HEADS,
    KNOWN,
    ONE,
    OTHER,
    PLAIN,
    SAME,
    SUSPICIOUS,
    SUSPICIOUS_FRAMES,
    UNKNOWN,
    ZERO,
    Randomness,
)

BEFORE = 1000.0  # bits
TEXT = b"The quick brown fox jumps over the lazy dog, and then GET / HTTP/1.1\r\nHost: example.org\r\n"


def factor(bits: float) -> float:
    """How much likelier by the guess than by chance."""
    return float(2.0**bits)


def gained(payload: bytes, before: bytes = b"", heads: bytes = b"") -> Randomness:
    """The evidence of one packet, as if there had been much before: so it may count against a guess."""
    one = Randomness()
    one._before, one._heads = before, heads
    one.heads = one.bits = one.bytes = one.frames = BEFORE
    one.add((payload,))
    return one


@given(heads=st.binary(min_size=HEADS, max_size=HEADS))
def test_the_mean_over_all_first_bytes_is_one(heads: bytes) -> None:
    factors = [factor(gained(bytes((first, 0)), heads=heads).heads - BEFORE) for first in range(256)]
    assert isclose(sum(factors), 256)


@given(before=st.binary(min_size=1, max_size=EXAMINED))
def test_the_mean_over_all_bytes_is_at_most_one(before: bytes) -> None:
    """It is one where the bytes before all differ."""
    total = sum(factor(gained(bytes((byte,)), before).bytes - BEFORE) for byte in range(256))
    assert total < 256 or isclose(total, 256)
    assert isclose(total, 256) is (len(set(before)) == len(before))


def test_the_mean_over_both_values_of_a_bit_is_one() -> None:
    assert isclose(factor(SAME) + factor(OTHER), 2)
    assert isclose(factor(ZERO) + factor(ONE), 2)


@given(payload=st.binary(min_size=2, max_size=2 * EXAMINED))
def test_bits_are_compared_with_those_two_bytes_before(payload: bytes) -> None:
    examined = payload[:EXAMINED]
    pairs = zip(examined, bytes(2) + examined, strict=False)
    bits = [one >> place & 1 == two >> place & 1 for one, two in pairs for place in range(8)]
    expected = sum(SAME if same else OTHER for same in bits)
    assert isclose(gained(payload).bits - BEFORE, expected, abs_tol=1e-6)


@given(payload=st.binary(min_size=1, max_size=EXAMINED), before=st.binary(min_size=1, max_size=EXAMINED))
def test_bytes_are_compared_with_those_of_the_packet_before(payload: bytes, before: bytes) -> None:
    expected = sum(KNOWN[len(before)] if byte in before else UNKNOWN for byte in payload)
    assert isclose(gained(payload, before).bytes - BEFORE, expected, abs_tol=1e-6)


@pytest.mark.parametrize(
    ("payload", "bits"),
    [
        (bytes(38), ZERO),
        (bytes(50), ZERO),
        (bytes(37) + b"\1", ONE),
        (bytes(37) + b"\1" + bytes(38), ZERO + ONE),
        (bytes(49) + b"\xfe" + bytes(49) + b"\xff", ZERO + ONE),
        (bytes(39), 0.0),
        (bytes(160), 0.0),
    ],
)
def test_the_last_bits_of_what_may_be_frames(payload: bytes, bits: float) -> None:
    assert isclose(gained(payload).frames - BEFORE, bits, abs_tol=1e-6)


@given(payloads=st.lists(st.binary(min_size=1, max_size=200), max_size=20))
def test_no_evidence_is_below_zero_and_all_can_be_forgotten(payloads: list[bytes]) -> None:
    one = Randomness()
    for payload in payloads:
        one.add((payload,))
        assert min(one.heads, one.bits, one.bytes, one.frames) >= 0
    one.forget()
    assert not one.is_plain()
    assert not one.is_suspicious()


@given(payloads=st.lists(st.binary(min_size=2, max_size=EXAMINED), min_size=1, max_size=8))
def test_several_at_once_are_the_same_evidence(payloads: list[bytes]) -> None:
    """But for the bits of two bytes that are compared with the packet before, instead of with zeros."""
    single, together = Randomness(), Randomness()
    for one in (single, together):
        one.heads = one.bits = one.bytes = one.frames = BEFORE
    for payload in payloads:
        single.add((payload,))
    together.add(payloads)
    assert together.heads == single.heads
    assert together.bytes == single.bytes
    assert together.frames == single.frames
    assert abs(together.bits - single.bits) <= 16 * (SAME - OTHER) * (len(payloads) - 1) + 1e-6


PLAIN_PAYLOADS = {  # what it is, and the packets after which that is seen
    "zeros": ([bytes(20)] * 9, 3),
    "text": ([TEXT[at : at + 40] for at in range(9)], 2),
    "one first byte": ([b"\x78" + noise(at, 40) for at in range(20)], 11),
    "two first bytes": ([b"\x80\x90"[at % 2 : at % 2 + 1] + noise(at, 40) for at in range(20)], 12),
    "one first nibble": ([bytes((0xD0 | at % 7,)) + noise(at, 32) for at in range(40)], 24),
    "frames that end with zero": ([noise(at, 37) + bytes(1) for at in range(60)], 55),
}


@pytest.mark.parametrize("name", PLAIN_PAYLOADS)
def test_plain_payloads_are_seen(name: str) -> None:
    payloads, most = PLAIN_PAYLOADS[name]
    one = Randomness()
    for number, payload in enumerate(payloads, 1):
        suspicious = one.is_suspicious()
        one.add((payload,))
        if one.is_plain():
            assert number <= most
            assert suspicious or number <= 2
            return
    pytest.fail("not seen")


def test_of_random_packets_few_are_suspicious_and_none_are_plain() -> None:
    """The bound is n / 2^b for each guess."""
    packets, alarms, one = 20_000, 0, Randomness()
    for number in range(packets):
        one.add((noise(number, 38 if number % 2 else EXAMINED),))
        assert max(one.heads, one.bits, one.bytes, one.frames) < PLAIN / 2
        if one.is_suspicious():
            alarms += 1
            one.forget()
    assert alarms <= 3 * packets / factor(SUSPICIOUS) + packets / factor(SUSPICIOUS_FRAMES)
