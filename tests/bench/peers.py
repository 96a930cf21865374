"""Our signalling server beside PeerJS server: messages, connections, sockets; and meetings.

    .venv/bin/python -m tests.bench.peers [--rounds 3] [--pairs 400] [--rate 6000] [--idle 9900]

Each server runs on a core of its own, the load on another. Rounds alternate between the two; a row is the
median. CPU time is what /proc says of the server's threads, so it stands on a busy machine, too. PeerJS
server comes from npm into ~/.cache/calln-bench. As many files as sockets, twice, must be allowed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import uvloop

from tests.bench.cable import Watched
from tests.bench.figures import ratio
from tests.bench.light_client import LightClient
from tests.bench.signallers import LOAD_CORE, Calln, PeerServer, Signaller, settle, started
from tests.ports import free_port

CANDIDATES = 15  # of a pair's call; with an offer and an answer 17 messages
TRICKLES = 3  # rounds of candidates: our server takes 64 of a description
TICK = 0.002  # seconds between two bursts of the load
SETTLE = 2.0  # seconds until what a start has left behind is done
OPENING = 64  # connections that are opened at a time
JOINS = 500  # a second
QUIET, MEETING = 5.0, 8.0  # seconds that the idle sockets alone, and the joins beside them, are watched

PAGE_PONG = b'{"type":"pong"'  # answers what a page sends to be known as alive

Row = dict[str, float]


async def steadily(rate: float, actions: Sequence[Callable[[], object]]) -> None:
    """Do all of this, so many a second."""
    start, done = time.monotonic(), 0
    while done < len(actions):
        due = min(len(actions), int((time.monotonic() - start) * rate) + 1)
        for action in actions[done:due]:
            action()
        done = due
        await asyncio.sleep(TICK)


class Arrivals:
    """Counts messages, whichever client gets them."""

    def __init__(self, clients: Iterable[LightClient]) -> None:
        self.count = 0
        for client in clients:
            client.on_text = self.count_text

    def count_text(self, data: bytes) -> None:
        self.count += not data.startswith(PAGE_PONG)

    async def wait_for(self, number: int) -> None:
        async with asyncio.timeout(60):
            while self.count < number:
                await asyncio.sleep(TICK)


async def open_all(make: Callable[[int], object], number: int) -> list[LightClient]:
    clients: list[LightClient] = []
    for first in range(0, number, OPENING):
        some = range(first, min(number, first + OPENING))
        clients += await asyncio.gather(*(make(one) for one in some))  # type: ignore[call-overload]
    return clients


class Round:
    """One server's share of a round: rows are added as they are measured."""

    def __init__(self, signaller: Signaller, port: int, process: Watched) -> None:
        self.signaller, self.port, self.process = signaller, port, process
        self.row: Row = {}

    def cpu(self) -> int:
        return self.process.schedule()[0]

    async def visitors(self, number: int) -> list[LightClient]:
        """Connect so many; a connection's CPU and a socket's memory are rows."""
        await asyncio.sleep(SETTLE)
        cpu, memory = self.cpu(), self.process.resident()
        clients = await open_all(partial(self.signaller.visitor, self.port), number)
        await asyncio.sleep(SETTLE / 4)
        self.row["a connection: CPU µs"] = (self.cpu() - cpu) / 1e3 / number
        self.row["a socket: kB of memory"] = (self.process.resident() - memory) / 1e3 / number
        return clients

    async def send_all(self, what: str, rate: float, frames: Sequence[tuple[LightClient, bytes]]) -> float:
        """Send all of this steadily; return the CPU µs for each message."""
        arrivals = Arrivals({client for client, _ in frames})
        cpu = self.cpu()
        await steadily(rate, [partial(client.transport.write, data) for client, data in frames])
        await arrivals.wait_for(len(frames))
        used = (self.cpu() - cpu) / 1e3 / len(frames)
        self.row[f"{what}: CPU µs"] = used
        return used

    async def talk(self, clients: Sequence[LightClient], rate: float) -> None:
        """Pairs set up their calls: descriptions, then candidates."""
        pairs = list(zip(clients[::2], clients[1::2], strict=True))
        for pair in pairs:
            await self.signaller.couple(*pair)
        offers = [(pair[0], self.signaller.description("offer", pair, 0)) for pair in pairs]
        answers = [(pair[1], self.signaller.description("answer", pair, 1)) for pair in pairs]
        described = await self.send_all("an offer or an answer", rate / 4, [*offers, *answers])
        lines = [
            (pair[number % 2], self.signaller.candidate(pair, number % 2))
            for number in range(CANDIDATES * TRICKLES)
            for pair in pairs
        ]
        trickled = await self.send_all("a candidate", rate, lines)
        whole = (2 * described + CANDIDATES * trickled) / (2 + CANDIDATES)
        self.row["each of a call's 17 messages: CPU µs"] = whole


class Meetings:
    """How long each second of two waited for its partner, who was there: only for the server."""

    def __init__(self) -> None:
        self.matched = 0
        self.waits: list[float] = []

    def join(self, client: LightClient, number: int) -> None:
        client.on_text = partial(self.hear, time.monotonic(), number % 2 == 1)
        client.say(type="start")

    def hear(self, since: float, counts: bool, data: bytes) -> None:
        if data.startswith(b'{"type":"matched"'):
            self.matched += 1
            if counts:
                self.waits.append(time.monotonic() - since)


async def meet(round_: Round, idle: int) -> None:
    """Joins beside idle sockets."""
    clients = await round_.visitors(idle)
    await asyncio.sleep(SETTLE)
    cpu = round_.cpu()
    await asyncio.sleep(QUIET)
    at_rest = (round_.cpu() - cpu) / QUIET
    meetings, cpu, start = Meetings(), round_.cpu(), time.monotonic()
    joining = clients[: int(JOINS * MEETING)]
    await steadily(JOINS, [partial(meetings.join, one, number) for number, one in enumerate(joining)])
    took = time.monotonic() - start
    used = round_.cpu() - cpu - at_rest * took
    await asyncio.sleep(SETTLE)
    assert meetings.matched == len(joining), f"{meetings.matched} of {len(joining)} have met"
    waits = sorted(meetings.waits)
    round_.row |= {
        "at rest: % of a core": at_rest / 1e7,
        "a join: CPU µs": used / 1e3 / len(joining),
        "a match: p50 in ms": 1e3 * waits[len(waits) // 2],
        "a match: p99 in ms": 1e3 * waits[int(0.99 * len(waits))],
    }


async def talk(round_: Round, pairs: int, rate: float) -> None:
    await round_.talk(await round_.visitors(2 * pairs), rate)


async def measure(signaller: Signaller, work: Callable[[Round], Awaitable[None]]) -> Row:
    """One server, from its start to its end."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        process = await started(signaller, port, Path(folder))
        round_ = Round(signaller, port, Watched(process.pid))
        try:
            await work(round_)
        finally:
            process.kill()
            process.wait()
    return round_.row


def medians(rows: Sequence[Row]) -> Row:
    return {name: median(row[name] for row in rows) for name in rows[0]}


def table(ours: Row, theirs: Row) -> str:
    """Both side by side."""
    lines = [
        f"| {name} | {value:,.1f} | {theirs[name]:,.1f} | {ratio(value, theirs[name]):.2f} |"
        for name, value in ours.items()
    ]
    head = ("| what was measured | Calln | PeerJS | Calln / PeerJS |", "| --- | ---: | ---: | ---: |")
    return "\n".join((*head, *lines))


async def bench(rounds: int, pairs: int, rate: float, idle: int) -> None:
    rows: dict[str, list[Row]] = {"ours": [], "theirs": [], "meetings": []}
    for _ in range(rounds):
        for whose, signaller in (("ours", Calln()), ("theirs", PeerServer())):
            rows[whose].append(await measure(signaller, partial(talk, pairs=pairs, rate=rate)))
        if idle:
            rows["meetings"].append(await measure(Calln(), partial(meet, idle=idle)))
    print(f"\n{pairs} pairs, {rate:,.0f} messages a second, medians of {rounds} rounds\n")
    print(table(medians(rows["ours"]), medians(rows["theirs"])))
    if idle:
        print(f"\n{JOINS} joins a second beside {idle:,} idle sockets\n")
        print("\n".join(f"| {name} | {value:,.1f} |" for name, value in medians(rows["meetings"]).items()))


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--pairs", type=int, default=400)
    options.add_argument("--rate", type=float, default=6_000)
    options.add_argument("--idle", type=int, default=9_900)
    given = options.parse_args()
    settle(LOAD_CORE)
    gc.disable()  # the load's pauses are not the server's
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bench(given.rounds, given.pairs, given.rate, given.idle))
