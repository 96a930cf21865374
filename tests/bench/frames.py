"""Proved calls in each frame that browsers use: in the kernel, by sockets, by coturn, and the bare way back.

tests.bench.relay runs this; tests/bench/threads.py says how its cable is set up. All four get the same
packets, of encrypted voice, and ours have proved that (`encrypted_only: enforce`). What is measured is the
time of the server's process and of its kernel thread together, for each packet that arrives.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.bench.bounce import COMPILER, bouncing
from tests.bench.cable import LOAD, SERVER, Answer, Load
from tests.bench.figures import quantile
from tests.bench.servers import PASSWORD, PORTS, USER, Server
from tests.bench.threads import Cable

SOME = 100  # clients
PROBES = 10
NICE = 0  # no real-time process: see tests/bench/threads.py
FRAMES = {
    "channel": "ChannelData",
    "indication": "indications",
    "fingerprint": "indications with FINGERPRINT",
}
RELAYS, BOUNCE = ("kernel", "calln", "coturn"), "bounce"


class Shape(NamedTuple):
    words: str
    rate: float  # packets a second
    batch: int  # packets per system call of the load


LIGHT, HALF = Shape("10,000/s one by one", 10_000, 1), Shape("40,000/s in twos", 40_000, 2)
FULL, OVERLOAD = Shape("100,000/s in fours", 100_000, 4), Shape("overload", 400_000, 8)
SHAPES = (LIGHT, HALF, FULL, OVERLOAD)


def servers() -> Sequence[str]:
    """The bare way back only where the compiler for it is."""
    return (*RELAYS, BOUNCE) if shutil.which(COMPILER) else RELAYS


class Way:
    """One server, or none, on such a cable, and the load for it: calls, or with the gate off anything."""

    def __init__(self, cable: Cable, name: str, frame: str, stack: ExitStack, gate: str = "enforce") -> None:
        self.cable, self.name = cable, name
        self.place = {"host": SERVER, "port": PORTS["udp"], "local": LOAD}
        self.who = {"username": USER, "password": PASSWORD, "transport": "udp", "frame": frame}
        self.load = Load(cable.net, "load", NICE, stack)
        self.server: Server | None = None
        if name == BOUNCE:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="calln-bench-")))
            stack.enter_context(bouncing(cable.net, folder))
            self.load.ask(verb="bounced", count=SOME, **self.place, **self.who)
        else:
            self.server = Server(cable.net, name, NICE, stack, gate)
            self.load.ask(verb="sessions", count=SOME, peers=True, **self.place, **self.who)
        self.load.ask(verb="fill")
        if self.server and gate != "off":
            self.load.ask(verb="call")

    def busy(self) -> tuple[int, int]:
        """Nanoseconds: of the process, and of the kernel's thread."""
        process = self.server.schedule()[0] if self.server else 0
        return process, self.cable.thread.schedule()[0]

    def fire(self, shape: Shape, seconds: float) -> Answer:
        """What was sent, what arrived, and what that took."""
        before = self.busy()
        told = self.load.ask(verb="volley", rate=shape.rate, seconds=seconds, batch=shape.batch)
        process, thread = (now - then for now, then in zip(self.busy(), before, strict=True))
        came = told["to_clients"] + told["to_peers"]
        return {**told, "came": came, "whole": came + told["late"], "process": process, "thread": thread}


def carry(cable: Cable, name: str, frame: str, seconds: float) -> Iterator[tuple[str, float]]:
    """All rows of one server and frame."""
    with ExitStack() as stack:
        way = Way(cable, name, frame, stack)
        for shape in SHAPES:
            yield from rows(f"{FRAMES[frame]}, {shape.words}", way.fire(shape, seconds))


def without_gate(cable: Cable, name: str, seconds: float) -> Iterator[tuple[str, float]]:
    """What the relay's own looks at its calls cost is the difference; and what is timed is no call."""
    with ExitStack() as stack:
        way = Way(cable, name, "channel", stack, gate="off")
        row = f"{FRAMES['channel']}, gate off"
        yield from rows(f"{row}, {FULL.words}", way.fire(FULL, seconds))
        yield from delays(f"{row}, {HALF.words}", way, seconds)


def rows(name: str, told: Answer) -> Iterator[tuple[str, float]]:
    whole = max(told["whole"], 1)
    yield f"{name}: CPU ns for a packet", (told["process"] + told["thread"]) / whole
    yield f"{name}: of it the process", told["process"] / whole
    yield f"{name}: packets/s that arrived", told["came"] / told["seconds"]
    yield f"{name}: of 100 sent, lost", 100 - 100 * told["whole"] / max(told["sent"], 1)


def delays(name: str, way: Way, seconds: float) -> Iterator[tuple[str, float]]:
    """A thousand packets a second more, which are timed."""
    way.load.ask(verb="probing", count=PROBES, **way.place, **way.who)
    told = way.fire(HALF, 2 * seconds)
    took = {int(microseconds): count for microseconds, count in told["relayed"].items()}
    for percent in (50, 99):
        yield f"{name}: p{percent} of the delay, µs", quantile(took, percent / 100)
