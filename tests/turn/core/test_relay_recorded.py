"""The gate before recorded calls: of encrypted ones nothing is dropped, and plain ones do not get far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.turn.call import Call, noise
from tests.turn.captures import Seen, load
from turn.flows import Address
from turn.gate.gate import Gate, Mode
from turn.wire.srtp import INWARD, NOTHING, stream_of
from turn.wire.stun import COOKIE_BYTES

ENCRYPTED = ("chr12", "chrgping", "chrrestart", "chrsped", "ff", "ff12", "turn_chr", "turn_ff")
PLAIN = ("chrplain", "turn_plain")
MODES: tuple[Mode, ...] = ("enforce", "compat")

recorded = lru_cache(maxsize=None)(load)


def relay(number: int) -> Address:
    return Address(bytes((192, 0, 2, number)), 50000)


def peer(number: int) -> Address:
    return Address(bytes((9, 9, 9, number)), 5000)


def is_media(payload: bytes) -> bool:
    return bool(payload) and payload[0] & 0xC0 == 0x80


def is_stun(payload: bytes) -> bool:
    return payload[4:8] == COOKIE_BYTES


class Replay:
    """A recorded call before a gate; what an engine would carry by itself never comes to it."""

    def __init__(self, mode: Mode = "enforce", *, linked: bool = False, user: str = "alice") -> None:
        self.proof = Gate(mode)
        self.user, self.linked = user, linked
        self.rules: dict[tuple[Address, Address], frozenset[int]] = {}
        self.dropped: Counter[str] = Counter()
        self.media_passed = self.carried = 0

    def play(self, call: Iterable[Seen], start: float = 0.0) -> Replay:
        admitted: set[int] = set()
        for seen in call:
            if seen.relay not in admitted:
                self.proof.add_allocation(relay(seen.relay), self.user)
                admitted.add(seen.relay)
            self.take(seen, start + seen.at)
        return self

    def take(self, seen: Seen, now: float) -> None:
        way = relay(seen.relay), peer(seen.peer)
        for ended in self.proof.expire(now):
            self.rules[ended] = self.proof.media(*ended) or frozenset()
        stream = stream_of(seen.payload, 0, len(seen.payload))
        both = stream if seen.outward else stream | INWARD
        if self.linked and stream != NOTHING and both in self.rules.get(way, ()):
            self.carried += 1
            return
        verdict = self.proof.judge(*way, seen.outward, seen.payload, now)
        if verdict.changed:
            self.rules[way] = self.proof.media(*way) or frozenset()
        self.media_passed += verdict.passes and is_media(seen.payload)
        if not verdict.passes:
            self.dropped[verdict.reason] += 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ENCRYPTED)
def test_of_an_encrypted_call_nothing_is_dropped(name: str, mode: Mode) -> None:
    replay = Replay(mode).play(recorded(name))
    assert not replay.dropped
    assert replay.media_passed > 1000


@pytest.mark.parametrize("name", ENCRYPTED)
def test_an_engine_carries_nearly_all_of_its_media(name: str) -> None:
    replay = Replay(linked=True).play(recorded(name))
    media = sum(is_media(seen.payload) for seen in recorded(name))
    assert not replay.dropped
    assert replay.carried > 0.6 * media


@pytest.mark.parametrize("name", PLAIN)
def test_of_a_plain_call_no_media_passes(name: str) -> None:
    replay = Replay().play(recorded(name))
    assert replay.media_passed == 0
    assert not any(replay.rules.values())


@pytest.mark.parametrize(("name", "most"), [("chrplain", 40), ("turn_plain", 60)])
def test_where_calls_may_come_late_the_payloads_stop_a_plain_one(name: str, most: int) -> None:
    replay = Replay("compat").play(recorded(name))
    assert 0 < replay.media_passed <= most
    assert not any(replay.rules.values())


@pytest.mark.parametrize("mode", MODES)
def test_a_handshake_without_encryption_ends_at_its_choice(mode: Mode) -> None:
    one = Call(Gate(mode), relay=relay(0), peer=peer(0))
    one.consent()
    call = recorded("null")
    reasons = [(one.say if seen.outward else one.hear)(seen.payload).reason for seen in call]
    assert reasons[:4] == ["dtls", "dtls", "dtls", "cipher suite"]
    beyond = [
        reason for seen, reason in zip(call, reasons, strict=True) if b"\xfe\xfd\0\1" in seen.payload[:64]
    ]
    assert beyond == ["no handshake"] * 4


def joined_late(name: str) -> list[Seen]:
    """The relay sees only the checks of the first third, and then everything."""
    call = recorded(name)
    third = call[-1].at * 0.3
    return [seen for seen in call if seen.at > third or is_stun(seen.payload)]


@pytest.mark.parametrize("name", ENCRYPTED)
def test_a_call_that_joins_late_goes_on_where_that_is_allowed(name: str) -> None:
    call = joined_late(name)
    assert not Replay("compat").play(call).dropped
    strict = Replay("enforce").play(call)
    assert strict.media_passed == 0
    assert strict.dropped["no handshake"] > 1000


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_call_that_joins_late_does_not_get_far(name: str) -> None:
    assert Replay("compat").play(joined_late(name)).media_passed <= 60
    assert Replay("enforce").play(joined_late(name)).media_passed == 0


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_call_after_an_encrypted_one_of_the_same_user_inherits_nothing(name: str) -> None:
    replay = Replay().play(recorded("chr12"))
    before, later = replay.media_passed, recorded("chr12")[-1].at + 1
    replay.play([seen._replace(relay=seen.relay + 100) for seen in recorded(name)], later)
    assert replay.media_passed == before


def outside_of_handshake(call: list[Seen]) -> Iterator[int]:
    """The packets that may come late or never: media after its first second. A recording cannot send a lost
    check or hello again, as the ends of real calls on a bad network do."""
    opened = next(seen.at for seen in call if is_media(seen.payload)) + 1.0
    return (number for number, seen in enumerate(call) if seen.at > opened and is_media(seen.payload))


@given(seed=st.integers(0, 2**32), name=st.sampled_from(ENCRYPTED))
@settings(max_examples=20, deadline=None)
def test_loss_doubles_and_disorder_drop_nothing(seed: int, name: str) -> None:
    """Of everything one in forty comes again 60 ms later; of media a tenth is lost, and each is up to 60 ms
    late: as bytes of a seed say."""
    call = recorded(name)
    chance = noise(seed, 2 * len(call))
    may_suffer = set(outside_of_handshake(call))
    impaired: list[Seen] = []
    for number, seen in enumerate(call):
        fate, late = chance[2 * number : 2 * number + 2]
        if number not in may_suffer:
            impaired.append(seen)
        elif fate >= 26:
            impaired.append(seen._replace(at=seen.at + late / 255 * 0.06))
        if fate >= 250:
            impaired.append(seen._replace(at=seen.at + 0.06))
    assert not Replay(linked=bool(seed & 1)).play(sorted(impaired, key=lambda seen: seen.at)).dropped


@given(seed=st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_whatever_order_a_plain_call_comes_in_no_media_passes(seed: int) -> None:
    call = recorded("chrplain")
    chance = noise(seed, len(call))
    late = [
        seen._replace(at=seen.at + byte / 64) for seen, byte in zip(call, chance, strict=True) if byte >= 26
    ]
    assert Replay().play(sorted(late, key=lambda seen: seen.at)).media_passed == 0
