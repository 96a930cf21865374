"""The gate in the relay's real path: what a client and its peer say goes through the core, by channel and by
indications, and what is proved is linked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.turn.call import VIDEO, VOICE, noise, record, request, rtcp, rtp
from tests.turn.core.relayed import CHANNEL, Relayed
from tests.turn.network import Client, network, unlimited
from turn.flows import Rule
from turn.gate.gate import Mode
from turn.gate.pairs import CONSENT, MAX_PAIRS
from turn.wire.dtls import ACK
from turn.wire.srtp import INWARD, SAMPLE
from turn.wire.stun import channel_data

PLAIN = rtcp()  # in clear by its structure
frames = pytest.mark.parametrize("channel", [CHANNEL, None], ids=["channel", "indication"])


def calling(channel: int | None = CHANNEL, mode: Mode = "enforce") -> Relayed:
    net = network(unlimited(encrypted_only=mode))
    return Relayed(net, Client(net), channel)


@frames
def test_a_proved_stream_is_linked_and_the_next_one_joins_it(channel: int | None) -> None:
    call = calling(channel)
    assert not call.say(PLAIN).passes
    assert not call.hear(PLAIN).passes
    call.open()
    assert not call.net.links
    assert all(verdict.passes for verdict in call.talk(SAMPLE))
    assert call.media() == [frozenset({VOICE})]
    assert all(call.hear(rtp(VIDEO, number)).passes for number in range(SAMPLE))
    assert call.media() == [frozenset({VOICE, VIDEO | INWARD})]
    assert not call.say(PLAIN).passes
    assert call.net.relay.counts["drops.not encrypted"] == 3


@frames
def test_the_flow_ends_with_the_consent_and_comes_back_with_it(channel: int | None) -> None:
    call = calling(channel)
    call.open()
    call.talk(SAMPLE)
    call.net.pass_time(CONSENT + 0.5)
    assert not call.net.links
    assert not call.say(rtp(VOICE, 1)).passes
    call.check()
    assert call.media() == [frozenset({VOICE})]


@frames
def test_without_the_gate_anything_is_linked_at_once(channel: int | None) -> None:
    call = calling(channel, "off")
    assert call.say(PLAIN).passes
    assert call.hear(b"anything").passes
    assert list(call.net.links.values()) == [Rule()]
    assert not call.net.relay.gate_counts


def test_who_only_observes_drops_nothing_and_links_what_is_proved() -> None:
    call = calling(mode="observe")
    assert call.say(PLAIN).passes
    assert call.hear(b"anything").passes
    assert call.net.relay.gate_counts == {("enforce", "no consent"): 1, ("enforce", "other"): 1}
    assert not call.net.links
    call.open()
    call.talk(SAMPLE)
    assert call.media() == [frozenset({VOICE})]


MODES: list[tuple[Mode, list[frozenset[int] | None]]] = [
    ("off", [None]),
    ("observe", [frozenset({VOICE})]),
    ("compat", [frozenset({VOICE})]),
    ("enforce", [frozenset({VOICE})]),
]


@pytest.mark.parametrize(("mode", "media"), MODES)
def test_another_mode_holds_at_once(mode: Mode, media: list[frozenset[int] | None]) -> None:
    call = calling()
    call.open()
    call.talk(SAMPLE)
    given = unlimited(encrypted_only=mode)
    assert call.net.run(call.net.relay.reload(given, call.net.now)) == []
    assert call.media() == media
    assert call.say(PLAIN).passes is (mode in ("off", "observe"))
    back = replace(given, encrypted_only="enforce")
    assert call.net.run(call.net.relay.reload(back, call.net.now)) == []
    assert call.media() == [frozenset({VOICE})]


def test_a_call_that_came_late_ends_when_only_what_is_proved_may_pass() -> None:
    call = calling(mode="compat")
    call.consent()
    call.talk(SAMPLE)
    assert call.media() == [frozenset({VOICE})]
    assert call.net.run(call.net.relay.reload(unlimited(encrypted_only="enforce"), call.net.now)) == []
    assert call.media() == []


def test_a_packet_that_does_not_pass_may_end_the_flow() -> None:
    """A check of another session, with DTLS in it (SPED) that acknowledges nothing."""
    call = calling()
    call.open()
    call.talk(SAMPLE)
    extra = [(0xC070, record(b"\0\0", ACK))]
    assert not call.say(request(call.transaction(), b"new", b"newer", extra)).passes
    assert call.media() == []


def test_a_stream_that_turns_plain_is_carried_no_longer() -> None:
    call = calling()
    call.open()
    call.talk(SAMPLE)
    (flow,) = call.net.links
    samples = [(flow, VOICE, rtp(VOICE, number)) for number in range(9)]
    assert call.net.relay.inspect(samples, call.net.now) == []
    plain = [(flow, VOICE, rtp(VOICE, number, PLAIN * 3)) for number in range(9)]
    call.net.run(call.net.relay.inspect(plain, call.net.now))
    assert call.media() == []
    assert sum(call.say(rtp(VOICE, number, PLAIN * 3)).passes for number in range(9)) < 9


def test_new_limits_are_linked_with_the_streams_as_they_are() -> None:
    call = calling()
    call.open()
    call.talk(SAMPLE)
    given = unlimited()
    limits = replace(given.limits, packets_per_second=7)
    call.net.run(call.net.relay.reload(replace(given, encrypted_only="enforce", limits=limits), call.net.now))
    assert list(call.net.links.values()) == [Rule(frozenset({VOICE}), 7, 0)]


def test_what_is_over_leaves_nothing_behind() -> None:
    call = calling()
    call.open()
    call.talk(SAMPLE)
    assert call.client.refresh(0) == 0
    assert (call.net.links, call.net.open) == ({}, set())
    call.net.pass_time(4000)
    assert call.net.relay.next_expiry() is None
    assert not len(call.gate.sessions)


def test_two_allocations_of_ours_that_talk_to_each_other_are_judged_at_both_ends() -> None:
    net = network(unlimited(encrypted_only="enforce"))
    one, two = Client(net), Client(net, port=40001, user="bob")
    ends = [one.allocate(), two.allocate()]
    assert one.bind(CHANNEL, ends[1]) == two.bind(CHANNEL, ends[0]) == 0
    assert one.raw(channel_data(CHANNEL, PLAIN)) == two.raw(channel_data(CHANNEL, b"words")) == []
    assert sum(net.relay.gate_counts.values()) == 2


STRANGERS: list[Any] = [b"", b"\0\1\0\0", b"GET / HTTP/1.1\r\n", noise("quic", 1200), b"\x80", b"\x16\xfe"]


@frames
@pytest.mark.parametrize("payload", STRANGERS)
def test_what_is_no_call_goes_nowhere(channel: int | None, payload: bytes) -> None:
    call = calling(channel)
    call.consent()
    assert not call.say(payload).passes
    assert not call.hear(payload).passes
    assert len(call.gate._evidence[call.relay].pairs) <= MAX_PAIRS
