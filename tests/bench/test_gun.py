"""The counting of what was sent and what arrived, with real sockets on loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.bench.client import frame_size, framed
from tests.bench.gun import Cartridge, Pipe, dropped, fire, shrink


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    with here, there:
        there.bind(("127.0.0.1", 0))
        here.connect(there.getsockname())
        yield here, there


def test_a_shot_is_a_batch_of_packets(ends: tuple[socket.socket, socket.socket]) -> None:
    here, there = ends
    assert Cartridge([b"voice"], 4).shot(here)() == 4
    assert [there.recv(99) for _ in range(4)] == [b"voice"] * 4


def test_packets_go_by_turns(ends: tuple[socket.socket, socket.socket]) -> None:
    here, there = ends
    shot = Cartridge([b"one", b"two", b"three"], 2).shot(here)
    assert [shot() for _ in range(4)] == [2] * 4
    heard = [there.recv(99) for _ in range(8)]
    assert heard == [b"one", b"two", b"three", b"one", b"two", b"three", b"one", b"two"]


def test_what_arrives_at_a_full_socket_is_counted(ends: tuple[socket.socket, socket.socket]) -> None:
    here, there = ends
    shrink(there)
    shot = Cartridge([bytes(160)], 1).shot(here)
    for _ in range(8):  # more than the tiny buffer holds
        shot()
    before = dropped([there])
    sent, _ = fire([shot], 0.0001, 0.01, lambda: None)
    assert dropped([there]) - before == sent > 0


def test_a_pipe_counts_whole_frames() -> None:
    one, other = socket.socketpair()
    with one, other:
        pipe = Pipe(one, framed(bytes(160)))
        assert pipe.shoot(3) == 3
        other.send(other.recv(3 * 164)[:-1])
        pipe.read()
        assert pipe.arrived == 2


def test_a_pipe_that_is_full_goes_on_where_it_stopped() -> None:
    one, other = socket.socketpair()
    with one, other:
        pipe = Pipe(one, framed(bytes(range(250)) * 40))
        whole = 0
        while pipe.send():
            whole += 1
        other.setblocking(False)
        read = bytearray()
        while pipe.left or not whole or len(read) < whole * len(pipe.frame):
            with suppress(BlockingIOError):
                read += other.recv(1 << 16)
            whole += pipe.send() if pipe.left else 0
        assert read == pipe.frame * whole


SIZES = {  # a frame's beginning -> its length on a stream (RFC 8656 §12.5)
    b"\x40\x00\x00\x00": 4,
    b"\x40\x00\x00\x01": 8,
    b"\x40\x00\x00\xa0": 164,
    b"\x01\x01\x00\x0c": 32,
}


@pytest.mark.parametrize("head", SIZES)
def test_a_frame_on_a_stream_is_padded(head: bytes) -> None:
    assert frame_size(head) == SIZES[head]
