"""What libsrtp encrypts is never refused: a million packets with AES-CM and AES-GCM, with plain contents."""

from __future__ import annotations

import pytest
from pylibsrtp import Policy, Session

from tests.turn.call import VIDEO, VOICE, Call, noise, rtcp, rtp
from turn.gate.streams import Stream
from turn.wire.srtp import INWARD, RTCP, sealed_part, stream_of

PACKETS = 250_000  # of each profile, so a million in all
REPORTS = 10_000  # of them are SRTCP
SIZES = (0, 1, 4, 38, 40, 50, 60, 80, 160, 240, 1100)  # bytes of a payload
PROFILES = {
    "AES-CM 80": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
    "AES-CM 32": (Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 30),
    "AES-GCM 128": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
    "AES-GCM 256": (Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 44),
}
profiles = pytest.mark.parametrize("name", PROFILES)


def sender(name: str) -> Session:
    profile, size = PROFILES[name]
    policy = Policy(key=noise(name, size), ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile)
    return Session(policy=policy)


class Looked:
    """A stream of which every packet is looked at, tested or not."""

    def __init__(self) -> None:
        self.stream = Stream()
        self.passed = self.tests = 0

    def take(self, packet: bytes) -> None:
        sealed = sealed_part(packet, stream_of(packet, 0, len(packet)))
        assert sealed is not None
        if self.stream.is_tested:
            self.stream.inspect(packet, sealed)
            self.tests += not self.stream.is_tested
            self.passed += 1
        else:
            self.passed += self.stream.judge(packet, sealed, 0.0)


@profiles
def test_of_a_million_packets_none_is_refused(name: str) -> None:
    session, voice, reports = sender(name), Looked(), Looked()
    for number in range(PACKETS - REPORTS):
        voice.take(session.protect(rtp(VOICE, number, bytes(SIZES[number % len(SIZES)]))))
    for number in range(REPORTS):
        reports.take(session.protect_rtcp(rtcp(1 + number % 7)))
    assert (voice.passed, reports.passed) == (PACKETS - REPORTS, REPORTS)
    assert voice.tests + reports.tests < PACKETS / 100


@profiles
def test_a_whole_call_passes_with_its_extensions_and_reports(name: str) -> None:
    one, session = Call(), sender(name)
    one.open()
    extension = b"\xbe\xde\0\2" + bytes(8)
    carried: set[int] = set()  # a stream that is in test once more, as now and then by chance, is not
    for number in range(2000):
        clear = rtp(VIDEO, number, extension + bytes(number % 900), first=0x90)
        assert one.say(session.protect(clear)).reason == "media"
        assert one.hear(session.protect(rtp(VOICE, number, bytes(80)))).reason == "media"
        if number % 10 == 0:
            assert one.say(session.protect_rtcp(rtcp(1))).reason == "media"
            assert one.say(session.protect_rtcp(rtcp(7, 3, 12))).reason == "media"
            carried |= one.gate.media(one.relay, one.peer) or frozenset()
    assert carried == {VIDEO, VOICE | INWARD, RTCP}
