"""Targets for the gate: checks of ICE, records and hellos of DTLS, media, and whole calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from tests.fuzz.core import Script
from tests.turn import call
from tests.turn.captures import load
from turn.flows import Flow
from turn.gate.gate import Gate
from turn.gate.pairs import MAX_PAIRS, MAX_STREAMS
from turn.gate.randomness import Randomness
from turn.gate.sessions import SPARE
from turn.wire.dtls import CLIENT_HELLO, HANDSHAKE, SERVER_HELLO, parse_fragments, parse_records
from turn.wire.hello import parse_client_hello, parse_server_hello
from turn.wire.ice import LONGEST, MAX_UNKNOWN_BYTES, parse_ice
from turn.wire.srtp import INWARD, NOTHING, RTCP, sealed_part, stream_of
from turn.wire.stun import WireError, parse

LONGEST_SCRIPT = 64  # steps of one call: more of them find nothing that fewer do not
RELAYS = [call.RELAY, call.OTHER_RELAY]
PEERS = [call.PEER, call.OTHER_PEER, call.OTHER_RELAY, call.RELAY]
UFRAGS = [call.UFRAGS, call.UFRAGS[::-1], (b"new", b"newer"), (b"same", b"same")]
SUITES = [call.SUITE_13, call.SUITE_12, call.NULL_SUITE, 0xC0B4]
PROFILES: list[tuple[int, ...] | None] = [(7,), (1, 8, 7), (5,), (5, 7), None]


def checks(data: bytes) -> None:
    """What is read as a check is a message of STUN, and holds little that nobody knows."""
    with suppress(WireError):
        check = parse_ice(data)
        assert len(data) <= LONGEST
        assert parse(data).transaction == check.transaction
        named = sum(map(len, check.ufrags or ())) + len(check.dtls)
        assert len(data) <= 512 + MAX_UNKNOWN_BYTES + named


def dtls(data: bytes) -> None:
    """Records and fragments fill what they are read from; of hellos, nothing else is raised."""
    for read in (parse_client_hello, parse_server_hello):
        with suppress(WireError):
            read(data)
    with suppress(WireError):
        records = parse_records(data)
        assert sum(len(record.content) + 2 for record in records) <= len(data)
        for record in records:
            assert record.content in data
            if record.kind == HANDSHAKE and not record.encrypted:
                fragments = parse_fragments(record.content)
                assert sum(len(fragment.data) + 12 for fragment in fragments) == len(record.content)


def media(data: bytes) -> None:
    """Wherever a packet lies, it is the same one; what is encrypted of it lies within."""
    stream = stream_of(data, 0, len(data))
    assert stream == stream_of(memoryview(b"in front" + data + b"behind"), 8, len(data))
    assert stream == NOTHING or 0 <= stream <= RTCP
    sealed = None if stream == NOTHING else sealed_part(data, stream)
    if sealed is not None:
        assert stream == RTCP or (data.endswith(sealed) and 4 <= len(sealed) <= len(data) - 12)
        randomness = Randomness()
        for _ in range(2):
            randomness.add((sealed,))
            assert min(randomness.heads, randomness.bits, randomness.bytes, randomness.frames) >= 0


class Play:
    """Two allocations of one user or of two, and what goes through them."""

    def __init__(self, script: Script) -> None:
        self.script, self.now, self.steps = script, 0.0, 0
        flags = script.number(8)
        self.gate = Gate("compat" if flags & 1 else "enforce")
        users = ["alice", "bob" if flags & 2 else "alice"]
        for relay, user in zip(RELAYS, users, strict=True):
            self.gate.add_allocation(relay, user)

    def id(self) -> bytes:
        return self.script.number(4).to_bytes(12, "big")

    def judge(self, payload: bytes) -> None:
        relay, peer = self.script.choose(RELAYS), self.script.choose(PEERS)
        self.gate.judge(relay, peer, bool(self.script.number(2)), payload, self.now)

    def raw(self) -> None:
        self.judge(self.script.take(self.script.number(256)))

    def ask(self) -> None:
        extra = [(0xC070, self.hello())] if self.script.number(4) == 3 else []
        sender, receiver = self.script.choose(UFRAGS)
        self.judge(call.request(self.id(), sender, receiver, extra))

    def keep_alive(self) -> None:
        self.judge(call.keepalive(self.id()))

    def answer(self) -> None:
        self.judge(call.success(self.id()))

    def ping(self) -> None:
        self.judge(call.ping(self.id(), self.script.choose((0x0200, 0x0300, 0x0310))))

    def consent(self) -> None:
        """Both ways, as most of what follows needs it."""
        relay, peer, ufrags = (self.script.choose(things) for things in (RELAYS, PEERS, UFRAGS))
        for outward, names in ((True, ufrags), (False, ufrags[::-1])):
            self.gate.judge(relay, peer, outward, call.request(bytes(12), *names), self.now)
            self.gate.judge(relay, peer, not outward, call.success(bytes(12)), self.now)

    def hello(self) -> bytes:
        script = self.script
        suite, profiles, start = script.choose(SUITES), script.choose(PROFILES), script.number(60)
        if script.number(2):
            return call.hello(CLIENT_HELLO, call.client_hello((suite,), profiles), start=start)
        body = call.server_hello(suite, profiles, version_13=bool(script.number(2)))
        return call.hello(SERVER_HELLO, body, start=start if script.number(2) else 0)

    def shake(self) -> None:
        self.judge(self.hello())

    def fragment(self) -> None:
        script = self.script
        body = script.take(script.number(128))
        start, number, length = script.number(64), script.number(4), script.number(256)
        kind = script.choose((CLIENT_HELLO, SERVER_HELLO, 11))
        self.judge(call.hello(kind, body, start=start, number=number, length=length))

    def sealed(self) -> None:
        self.judge(self.script.choose((call.unified(), call.record(bytes(40), 23, 1))))

    def talk(self) -> None:
        ssrc, count = self.script.number(64), self.script.number(100)
        payload = self.script.choose((None, b"plain text"))
        relay, peer, outward = (self.script.choose(things) for things in (RELAYS, PEERS, (True, False)))
        for number in range(count):
            self.gate.judge(relay, peer, outward, call.rtp(ssrc, number, payload), self.now)

    def inspect(self) -> None:
        """As if an engine had carried it."""
        ssrc, count = self.script.number(64), self.script.number(20)
        payload = self.script.choose((None, b"plain text"))
        relay, peer, outward = (self.script.choose(things) for things in (RELAYS, PEERS, (True, False)))
        flow = Flow(call.PEER, call.RELAY, None, relay, peer)
        stream = ssrc if outward else ssrc | INWARD
        samples = [(flow, stream, call.rtp(ssrc, number, payload)) for number in range(count)]
        for key in self.gate.inspect(samples, self.now):
            assert stream not in (self.gate.media(*key) or frozenset())

    def report(self) -> None:
        self.judge(self.script.choose((call.srtcp(self.script.number(256)), call.rtcp())))

    def wait(self) -> None:
        self.now += self.script.choose((0.1, 5.0, 31.0, 121.0))
        list(self.gate.expire(self.now))

    def begin_anew(self) -> None:
        relay = self.script.choose(RELAYS)
        self.gate.remove_allocation(relay)
        self.gate.add_allocation(relay, self.script.choose(("alice", "bob")))

    def vouch(self) -> None:
        one, other = self.script.choose(UFRAGS)
        user, seconds = self.script.choose(("alice", "bob")), self.script.choose((0.0, 1.0, 60.0))
        self.gate.vouch(user, (min(one, other), max(one, other)), self.now + seconds, self.now)

    def stop_vouching(self) -> None:
        self.gate.forget_vouched(self.script.choose(("alice", "bob")), self.now)

    def hand_over(self) -> None:
        following = Gate(self.gate.mode)
        for proven in self.gate.proven_sessions():
            following.learn_session(proven, self.now)
        for relay in RELAYS:
            following.add_allocation(relay, "alice")
        self.gate = following


STEPS: tuple[Callable[[Play], None], ...] = (
    Play.consent,
    Play.shake,
    Play.talk,
    Play.inspect,
    Play.ask,
    Play.answer,
    Play.keep_alive,
    Play.ping,
    Play.fragment,
    Play.sealed,
    Play.report,
    Play.raw,
    Play.wait,
    Play.begin_anew,
    Play.hand_over,
    Play.vouch,
    Play.stop_vouching,
)


def sessions(data: bytes) -> None:
    """Whatever comes, nothing is raised, the books agree, and in the end nothing is left."""
    play = Play(Script(data))
    for _ in range(LONGEST_SCRIPT):
        if not play.script:
            break
        play.script.choose(STEPS)(play)
        check_books(play.gate, play.now)
    for relay in RELAYS:
        play.gate.remove_allocation(relay)
    list(play.gate.expire(play.now + 1000))
    assert (len(play.gate.sessions), play.gate.next_expiry()) == (0, None)
    assert not play.gate.sessions._users


def check_books(gate: Gate, now: float) -> None:
    for relay, room in gate._evidence.items():
        assert len(room.pairs) <= MAX_PAIRS
        assert room.streams == sum(len(pair.streams) for pair in room.pairs.values()) <= MAX_STREAMS
        for peer, pair in room.pairs.items():
            carried = gate.media(relay, peer) or frozenset()
            assert all(pair.streams[stream].is_tested for stream in carried)
            assert all(0 <= stream < 2 * INWARD for stream in carried)
            assert not carried or pair.has_consent(now)
            session = pair.session
            assert session is None or session.vouched is ((session.user, session.ufrags) in gate.vouched)
            assert not carried or gate.mode == "compat" or (session and (session.srtp or session.vouched))
    told = sum(session.learned for session in gate.sessions)
    users = len({room.user for room in gate._evidence.values()} | {one.user for one in gate.sessions})
    assert len(gate.sessions) <= told + len(gate._evidence) + SPARE * users


def recorded_checks() -> Iterable[bytes]:
    seen = [packet.payload for name in ("chrsped", "chrgping", "ff") for packet in load(name)]
    return {payload[:2]: payload for payload in seen if payload[0] < 4}.values()


def recorded_flights() -> Iterable[bytes]:
    """What is in clear of handshakes, and one ciphertext of each kind."""
    seen = [packet.payload for name in ("chr12", "ff12", "null") for packet in load(name)]
    flights = [payload for payload in seen if 20 <= payload[0] < 64]
    yield from {payload[:14]: payload for payload in flights if payload[0] == HANDSHAKE}.values()
    yield from {payload[:1]: payload for payload in flights}.values()
    yield call.client_hello()
    yield call.server_hello(call.SUITE_12, (7,), version_13=False)


def some_media() -> Iterable[bytes]:
    yield from (call.rtp(7, 1), call.srtcp(1), call.rtcp(), call.rtcp(6, 2, 5))
    yield call.rtp(7, 1, bytes(4) + b"\xbe\xde\0\1data and more", first=0x91)
