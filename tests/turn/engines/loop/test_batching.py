"""Packets that leave together arrive as what they were, in their order, whatever the system says."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from turn.engines.loop import sockets
from turn.engines.loop.batching import LARGEST_SEGMENT, AddressedSender, Batch, Sender, runs

BURSTS = {
    "nothing": [],
    "one": [b"a"],
    "equal": [b"aa", b"bb", b"cc", b"dd"],
    "all different": [b"a", b"bb", b"ccc"],
    "runs": [b"a", b"b", b"ccc", b"ddd", b"e"],
    "empty ones": [b"", b"", b"a", b""],
    "the largest segments": [bytes([n]) * LARGEST_SEGMENT for n in range(8)],
    "too large to go together": [bytes([n]) * (LARGEST_SEGMENT + 1) for n in range(8)],
    "more than the system takes at once": [bytes([n]) for n in range(200)],
}


class Line:
    """A sender, and the end that it sends to."""

    def __init__(self, kind: str) -> None:
        self.here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for sock in (self.here, self.there):
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
        self.batch = Batch()
        place = self.there.getsockname()
        if kind == "connected":
            self.here.connect(place)
            self.sender = Sender(self.here, self.batch)
        else:
            control = sockets.from_local_ip(b"\x7f\0\0\1") if kind == "leaving from" else ()
            self.sender = AddressedSender(self.here, self.batch, place, control)

    def arrived(self) -> list[bytes]:
        data = []
        with suppress(BlockingIOError):
            while True:
                data.append(self.there.recv(65536))
        return data

    def close(self) -> None:
        self.here.close()
        self.there.close()


@pytest.fixture(params=["connected", "addressed", "leaving from"])
def line(request: pytest.FixtureRequest) -> Iterator[Line]:
    line = Line(request.param)
    yield line
    line.close()


@pytest.mark.parametrize("name", BURSTS)
def test_what_is_collected_is_sent_when_the_batch_finishes(line: Line, name: str) -> None:
    line.batch.is_open = True
    for data in BURSTS[name]:
        line.sender.put(memoryview(data))
    assert line.arrived() == []
    line.batch.finish()
    assert line.arrived() == BURSTS[name]
    assert not line.batch.senders
    line.sender.put(memoryview(b"at once"))
    assert line.arrived() == [b"at once"]


def test_runs_are_neighbours_of_one_size() -> None:
    pending = [memoryview(data) for data in (b"a", b"b", b"cc", b"d")]
    assert list(runs(pending)) == [pending[:2], pending[2:3], pending[3:]]


def test_together_is_one_call_and_many_packets(line: Line) -> None:
    assert line.sender.send_segmented([memoryview(b"aa"), memoryview(b"bb")])
    assert line.arrived() == [b"aa", b"bb"]


def test_a_refusal_of_an_earlier_packet_loses_none_of_these(line: Line) -> None:
    place = line.there.getsockname()
    line.there.close()
    line.sender.put(memoryview(b"refused"))
    line.there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.there.bind(place)
    line.there.setblocking(False)
    line.batch.is_open = True
    for data in (b"aa", b"bb"):
        line.sender.put(memoryview(data))
    line.batch.finish()
    assert line.arrived() == [b"aa", b"bb"]


def test_a_socket_closed_meanwhile_is_no_end(line: Line) -> None:
    line.batch.is_open = True
    for data in (b"aa", b"bb", b"c"):
        line.sender.put(memoryview(data))
    line.here.close()
    line.batch.finish()
    assert line.arrived() == []


def test_what_is_discarded_never_leaves(line: Line) -> None:
    line.batch.is_open = True
    line.sender.put(memoryview(b"others' bytes by now"))
    line.batch.discard()
    assert not line.batch.is_open
    line.batch.flush()
    line.sender.put(memoryview(b"later"))
    assert line.arrived() == [b"later"]
