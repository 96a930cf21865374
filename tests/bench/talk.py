"""Calls of made-up bytes, through sessions that exist: what a gate has to see before it lets media pass.

Nobody answers anything here: each stage is sent by all, and has passed before the next one begins.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from tests.bench.client import Client
from tests.turn.call import VIDEO, VOICE, client_hello, hello, noise, request, rtp, server_hello, success
from turn.wire.dtls import CLIENT_HELLO, SERVER_HELLO
from turn.wire.srtp import RTP_HEADER, SAMPLE

PACKET = 160  # bytes of a packet of voice: 20 ms of Opus with its SRTP frame
PAUSE = 0.15  # seconds in which a stage passes the relay
PACE = 0.0001  # seconds between two packets of a stage

Stage = tuple[bool, Callable[[int], bytes]]  # from the clients? and what each session's says, by its number


def voice(ssrc: int, number: int) -> bytes:
    return rtp(ssrc, number, noise(f"{ssrc} {number}", PACKET - RTP_HEADER))


# What is said by turns: the same packet again and again would not look encrypted.
TURNS = 256
OUTWARD, INWARD = ([voice(stream, number) for number in range(TURNS)] for stream in (VOICE, VIDEO))


def transaction(outward: bool, session: int) -> bytes:
    return bytes((outward,)) + session.to_bytes(11, "big")


def question(outward: bool, session: int) -> bytes:
    ours, theirs = b"ours%d" % session, b"theirs%d" % session
    sender, receiver = (ours, theirs) if outward else (theirs, ours)
    return request(transaction(outward, session), sender, receiver)


def answer(outward: bool, session: int) -> bytes:
    return success(transaction(outward, session))


def consent() -> Iterator[Stage]:
    """A check each way and its answer, which count for 30 seconds (RFC 7675 §5.1)."""
    for outward in (True, False):
        yield outward, partial(question, outward)
        yield not outward, partial(answer, outward)


def handshake() -> Iterator[Stage]:
    yield True, lambda _: hello(CLIENT_HELLO, client_hello())
    yield False, lambda _: hello(SERVER_HELLO, server_hello())


def spoken(ssrc: int, number: int, _: int) -> bytes:
    return voice(ssrc, number)


def media() -> Iterator[Stage]:
    """Enough of both streams for every test of them."""
    for number in range(SAMPLE + 1):
        yield True, partial(spoken, VOICE, number)
        yield False, partial(spoken, VIDEO, number)


def say(
    stages: Iterator[Stage], clients: Sequence[Client], peers: Sequence[socket.socket], pause: float
) -> None:
    for outward, data in stages:
        for session, (client, peer) in enumerate(zip(clients, peers, strict=True)):
            if outward:
                client.line.send(client.wrap(data(session)))
            else:
                peer.send(data(session))
            time.sleep(PACE)
        time.sleep(pause)


def open_all(clients: Sequence[Client], peers: Sequence[socket.socket]) -> None:
    """Checks, a handshake, and media until it is linked."""
    say(consent(), clients, peers, PAUSE)
    say(handshake(), clients, peers, PAUSE)
    say(media(), clients, peers, 0)
    time.sleep(PAUSE)
