"""What the gate costs in nanoseconds: a packet in the core, and the few checks that every linked one gets.

Repeat with: .venv/bin/python -m tests.bench.gate
"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from functools import partial
from itertools import count
from time import process_time

from tests.turn.call import (
    PEER,
    RELAY,
    VOICE,
    Call,
    client_hello,
    hello,
    noise,
    request,
    rtp,
    srtcp,
    success,
    unified,
)
from tests.turn.network import compose
from turn.engines.table import Table
from turn.flows import Address, Flow, Rule
from turn.gate.allowances import Allowances
from turn.gate.gate import Gate
from turn.gate.pairs import CHECKS_PER_SECOND
from turn.policies import Limits
from turn.wire.attributes import DATA, XOR_PEER_ADDRESS
from turn.wire.dtls import CLIENT_HELLO, parse_records
from turn.wire.ice import parse_ice
from turn.wire.srtp import SAMPLE, is_sealed, stream_of, streams
from turn.wire.stun import channel_data, parse_send

Row = tuple[str, Callable[[], object]]
ROUNDS = 20_000
STREAMS = [(stream, number) for stream in range(20) for number in range(SAMPLE)]


def cost(act: Callable[[], object]) -> float:
    """Nanoseconds of processor time, so that others at work on the machine count for little; best of five."""
    return min(timeit.repeat(act, timer=process_time, number=ROUNDS, repeat=5)) / ROUNDS * 1e9


def linked() -> list[Row]:
    """As an engine asks: which stream, and whether it is one that was proved."""
    one = proved()
    media = streams(one.gate.media(RELAY, PEER) or frozenset(), inward=False)
    voice, report = memoryview(bytes(48) + rtp(VOICE, 1)), memoryview(bytes(48) + srtcp(1))
    send = compose(0x0016, ((XOR_PEER_ADDRESS, PEER), (DATA, rtp(VOICE, 1))))
    sizes = len(voice) - 48, len(report) - 48
    assert stream_of(voice, 48, sizes[0]) in media
    assert stream_of(report, 48, sizes[1]) in media
    return [
        ("for comparison: parse Send, by hand", lambda: parse_send(send)),
        ("linked SRTP: stream and look-up", lambda: stream_of(voice, 48, sizes[0]) in media),
        ("linked SRTCP: stream and look-up", lambda: stream_of(report, 48, sizes[1]) in media),
        ("  of it the walk of a compound", lambda: is_sealed(report, 48, sizes[1])),
    ]


def carried() -> list[Row]:
    """All that is done for a packet between two system calls, without the gate and with it."""
    flow = Flow(Address.of("192.0.2.8", 40000), Address.of("192.0.2.1", 3478), 0x4000, RELAY, PEER)
    proved_here = proved().gate.media(RELAY, PEER)
    frames = {
        name: channel_data(0x4000, data) for name, data in (("SRTP", rtp(VOICE, 1)), ("SRTCP", srtcp(1)))
    }
    rows: list[Row] = []
    for frame_name, frame in frames.items():
        for gate, media in (("off", None), ("on", proved_here)):
            client = Table().add(flow, Rule(media)).client
            view = memoryview(bytearray(48) + frame + bytes(16))
            assert client.carry(view, 48, len(frame))
            act = partial(client.carry, view, 48, len(frame))
            rows.append((f"carry {frame_name} in a frame, gate {gate}", act))
    return rows


def proved() -> Call:
    one = Call()
    one.open()
    for number in range(SAMPLE):
        one.say(rtp(VOICE, number))
        one.say(srtcp(number))
    return one


def under_test() -> Callable[[], object]:
    """Judges the next packet of streams that are all in test: of so many that a call has room for."""
    packets = [rtp(stream, number, noise(f"{stream} {number}", 90)) for stream, number in STREAMS]
    allowances = Allowances(Limits(allocations_per_user=0, allocations_per_address=0))  # those of a process
    calls, numbers = [Call()], count()

    def judge() -> None:
        number = next(numbers) % len(packets)
        if not number:
            calls[0] = Call(Gate(allowances=allowances))
            calls[0].open()
        calls[0].say(packets[number])

    return judge


def core() -> list[Row]:
    """As the core asks while a flow is not linked yet, and for all that no engine carries."""
    one, closed = proved(), Call()
    voice, report, sealed = rtp(VOICE, 1), srtcp(1), unified(200)
    ask, offer, query = (
        request(bytes(12)),
        hello(CLIENT_HELLO, client_hello(padding=900)),
        b"\1\0\1" + bytes(30),
    )
    times = count()

    def check() -> None:
        """Slowly enough for the pace of checks."""
        one.now = next(times) / CHECKS_PER_SECOND
        one.say(ask)
        one.hear(success(bytes(12)))

    return [
        ("judge SRTP of a tested stream", lambda: one.say(voice)),
        ("judge SRTP under test", under_test()),
        ("judge SRTCP", lambda: one.say(report)),
        ("judge DTLS ciphertext", lambda: one.say(sealed)),
        ("judge a check and its answer", check),
        ("drop SRTP without consent", lambda: closed.say(voice)),
        ("drop what is nothing", lambda: closed.say(query)),
        ("parse a check", lambda: parse_ice(ask)),
        ("parse a ClientHello's records", lambda: parse_records(offer)),
    ]


def main() -> None:
    print(f"{'operation':38}{'ns':>10}")
    for name, act in (*carried(), *linked(), *core()):
        print(f"{name:38}{cost(act):10.0f}")


if __name__ == "__main__":
    main()
