"""Plain G.711 is stopped whatever is said and however much noise is in the room: made here, in both laws."""

from __future__ import annotations

from math import pi, sin

import pytest

from tests.turn.call import VOICE, Call, noise, rtp
from turn.gate.gate import Gate
from turn.gate.pairs import MAX_STREAMS
from turn.gate.randomness import EXAMINED
from turn.gate.streams import Stream
from turn.wire.srtp import LEAST_BETWEEN, SAMPLE, between

FRAME, PACKETS = 160, 260  # samples of 20 ms
WITHIN = 200  # packets
NOISES = (0, 30, 100, 300)  # rms


def hum(at: int) -> float:
    """A vowel that comes and goes: harmonics of a voice, three syllables a second."""
    loud = max(sin(2 * pi * 3 * at / 8000), 0.0)
    return loud * sum(2500 / order * sin(2 * pi * 140 * order * at / 8000) for order in range(1, 12))


def hiss(seed: int, rms: int) -> list[float]:
    """As good as normal: sums of twelve bytes, for a frame."""
    drawn = noise(f"hiss {seed}", 12 * FRAME)
    return [rms * (sum(drawn[at : at + 12]) / 255 - 6) for at in range(0, len(drawn), 12)]


def mu_law(sample: int) -> int:
    magnitude = min(abs(sample), 32635) + 132
    exponent = magnitude.bit_length() - 8
    return ~((0x80 if sample < 0 else 0) | exponent << 4 | magnitude >> exponent + 3 & 0x0F) & 0xFF


def a_law(sample: int) -> int:
    magnitude = min(abs(sample) >> 3, 4095)
    exponent = max(magnitude.bit_length() - 5, 0)
    code = exponent << 4 | magnitude >> max(exponent, 1) & 0x0F
    return (code | (0x80 if sample >= 0 else 0)) ^ 0x55


LAWS = {"µ-law": mu_law, "A-law": a_law}


def spoken(law: str, rms: int) -> list[bytes]:
    packets = []
    for number in range(PACKETS):
        sounds = (hum(number * FRAME + at) + added for at, added in enumerate(hiss(number, rms)))
        packets.append(bytes(LAWS[law](round(sound)) for sound in sounds))
    return packets


def test_the_laws_are_those_of_the_standard() -> None:
    """Some rows of ITU-T G.711's tables."""
    assert [mu_law(sample) for sample in (0, 8, 1000, -1000, 32635)] == [0xFF, 0xFE, 0xCE, 0x4E, 0x80]
    assert [a_law(sample) for sample in (0, 16, 1000, -1000, 32767)] == [0xD5, 0xD4, 0xFA, 0x7A, 0xAA]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("rms", NOISES)
def test_it_is_stopped_at_first_and_later(law: str, rms: int) -> None:
    payloads = spoken(law, rms)
    one = Call(Gate("compat"))
    one.consent()
    first = [one.say(rtp(VOICE, number, payload)).passes for number, payload in enumerate(payloads)]
    assert sum(first) < SAMPLE
    stream, left, seen = Stream(), 0, 0
    for number in range(SAMPLE):
        assert stream.judge(rtp(VOICE, number), noise(number, 90), 0.0)
    for number, payload in enumerate(payloads):
        packet = rtp(VOICE, number, payload)
        if not stream.is_tested:
            if not stream.judge(packet, payload, 0.0):
                break
        elif left:
            left -= 1
        else:
            stream.inspect(packet, payload)
            left, seen = between(packet), seen + 1
    assert number < WITHIN
    assert seen <= WITHIN / (LEAST_BETWEEN + 1)


@pytest.mark.parametrize("turns", [1, 3])
def test_names_that_change_all_the_time_hide_nothing(turns: int) -> None:
    """A sender takes another SSRC for every few packets, after a handshake that agreed on SRTP."""
    payloads = spoken("µ-law", 100)
    one = Call()
    one.open()
    passed = sum(
        one.say(rtp(number // turns, number % turns, payload)).passes
        for number, payload in enumerate(payloads)
    )
    assert passed < MAX_STREAMS * turns + SAMPLE


def test_more_encrypted_streams_than_there_is_room_for_pass() -> None:
    one = Call()
    one.open()
    for number in range(10 * SAMPLE):
        for stream in range(2 * MAX_STREAMS):
            assert one.say(rtp(stream, number, noise(f"{stream} {number}", EXAMINED))).passes
