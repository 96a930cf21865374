"""Debian's coturn and this relay side by side in one run: speed, delay and memory, a row for each figure.

    python -m tests.bench.relay [--rounds 3] [--seconds 2] [--only WORD] [--json FILE]
        [--coturn PATH] [--coturn-options "--multiplex-peer --udp-gso"]

Root, because each server runs in a network namespace of its own, on one core, joined by a veth pair to the
load on another. Neither has limits. Rounds alternate, so that what else the machine does meets both alike; a
figure is the median of its rounds. CPU time is the server's own, as the system counts it; what the kernel
does to find a packet's socket falls to the sender here, and is in the rows of what it costs the sender.
Not so in the measures of frames: there the kernel's work counts, too (tests/bench/frames.py), calls that ride
in the kernel join, and so does the bare way back of the same packets.
`--json` keeps every round of every row in a file, from which tests.bench.plots draws; rows that were not
measured this time stay. `--coturn` is for another one than Debian's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench import frames, strangers
from tests.bench.cable import LOAD, PRIORITY, SERVER, Answer, Load, Net, udp
from tests.bench.figures import capacity, linux_version, quantile, ratio
from tests.bench.servers import PASSWORD, PORTS, SERVERS, USER, Server, coturn
from tests.bench.threads import threaded_cable

OVERLOAD, BATCH = 400_000, 4  # packets a second, more than either can carry; packets per system call
MODERATE = 10_000
HALF = 40_000  # about half of what a core carries one by one; close to all of it, Linux stops such a process
# for the last 50 ms of each second, and the delays are that
LEAST, STEPS = 5_000, 7  # where the search for a capacity begins, and its steps: within 4 %
CARRIED = 0.99  # of the packets
OFFERED = 0.9  # of a rate, at least, or the load is too slow for it
QUEUED = 0.05  # seconds' worth of packets that may still wait at the end: a longer queue is one that grows
CLIENTS = (10, 100, 1_000, 4_000)
SOME = 100  # clients, where their number is not what is measured
KNOWN = 600  # clients that are there already when strangers come: more than have a socket of their own
STRANGERS, PROBES = 50, 10
ALLOCATIONS = 4_000

Figures = Iterator[tuple[str, float]]
NS = 1e9


class Pair:
    """One server and its load."""

    def __init__(
        self, net: Net, name: str, stack: ExitStack, transport: str = "udp", gate: str = "off"
    ) -> None:
        self.net = net
        self.place = {"host": SERVER, "port": PORTS[transport], "local": LOAD}
        self.who = {"username": USER, "password": PASSWORD, "transport": transport}
        self.server = Server(net, name, PRIORITY, stack, gate)
        self.load = Load(net, "load", PRIORITY, stack)

    def join(self, count: int, *, peers: bool = True) -> Answer:
        answer = self.load.ask(verb="sessions", count=count, peers=peers, **self.place, **self.who)
        if peers:
            self.load.ask(verb="fill")
        return answer

    def fire(self, verb: str, rate: float, seconds: float, batch: int) -> Answer:
        """What was sent, what arrived, and what that took of the server's core."""
        before = self.server.schedule()[0]
        told = self.load.ask(verb=verb, rate=rate, seconds=seconds, batch=batch)
        cpu = self.server.schedule()[0] - before
        came = told["answered"] if verb == "flood" else told["to_clients"] + told["to_peers"]
        return {**told, "came": came, "cpu": cpu, "each": cpu / max(came + told.get("late", 0), 1)}

    def volley(self, rate: float, seconds: float, batch: int = BATCH) -> Answer:
        return self.fire("volley", rate, seconds, batch)


class Bench:
    """What is measured with one server after the other."""

    def __init__(self, net: Net, seconds: float) -> None:
        self.net, self.seconds = net, seconds

    def carry(self, pair: Pair, who: str) -> Figures:
        light = pair.volley(MODERATE, self.seconds, 1)
        yield f"{who}: CPU ns for a packet at {MODERATE:,}/s", light["each"]
        full = pair.volley(OVERLOAD, self.seconds)
        yield f"{who}: CPU ns for a packet under overload", full["cpu"] / max(full["came"], 1)
        yield f"{who}: packets/s under overload", full["came"] / full["seconds"]
        yield f"{who}: offered then", full["sent"] / full["seconds"]
        yield f"{who}: of the core used then", full["cpu"] / full["seconds"] / NS
        yield f"{who}: of it towards the peers", full["to_peers"] / max(full["came"], 1)
        yield f"{who}: CPU ns of the sender then", full["busy"] * NS / max(full["sent"], 1)

    def clients(self, name: str, count: int) -> Figures:
        with ExitStack() as stack:
            pair = Pair(self.net, name, stack)
            pair.join(count)
            yield from self.carry(pair, f"{count:,} clients")

    def streams(self, name: str, transport: str) -> Figures:
        with ExitStack() as stack:
            pair = Pair(self.net, name, stack, transport)
            pair.join(SOME)
            yield from self.carry(pair, f"{SOME} clients, {transport.upper()}")

    def calls(self, name: str, count: int) -> Figures:
        """Encrypted voice, which our gate has to prove first; each packet is looked at."""
        with ExitStack() as stack:
            pair = Pair(self.net, name, stack, gate="enforce")
            pair.join(count)
            pair.load.ask(verb="call")
            yield from self.carry(pair, f"{count:,} encrypted calls, gate on")

    def most(self, name: str, _: int) -> Figures:
        """The highest rate of which less than one in a hundred is late or lost, where packets do not come in
        bursts: what comes in bursts is cheaper."""
        with ExitStack() as stack:
            pair = Pair(self.net, name, stack)
            pair.join(SOME)

            def carries(rate: float) -> bool:
                told = pair.volley(rate, self.seconds, 1)
                came, sent = told["came"] + told["late"], told["sent"]
                is_offered = sent >= OFFERED * rate * told["seconds"]
                return bool(is_offered and came >= CARRIED * sent and told["late"] <= QUEUED * rate)

            row = f"{SOME} clients, one by one: packets/s with less than 1 % lost"
            yield row, capacity(carries, LEAST, OVERLOAD, STEPS)

    def delay(self, name: str, _: int) -> Figures:
        with ExitStack() as stack:
            pair = Pair(self.net, name, stack)
            pair.join(SOME)
            pair.load.ask(verb="probing", count=PROBES, **pair.place, **pair.who)
            told = pair.volley(HALF, 2 * self.seconds, 1)
            relayed, direct = (
                {int(took): count for took, count in told[key].items()} for key in ("relayed", "direct")
            )
            yield "half load: packets/s", told["sent"] / told["seconds"]
            yield "half load: of the core used", told["cpu"] / told["seconds"] / NS
            for percent in (50, 99):
                yield f"half load: p{percent} of the delay, µs", quantile(relayed, percent / 100)
            yield "half load: p50 past the relay, µs", quantile(direct, 0.5)

    def strangers(self, name: str, _: int) -> Figures:
        with ExitStack() as stack:
            pair = Pair(self.net, name, stack)
            pair.join(KNOWN)
            pair.load.ask(verb="strange", count=STRANGERS, **pair.place)
            pair.fire("flood", MODERATE, 0.2, 1)  # fills the tiny buffers
            told = pair.fire("flood", OVERLOAD, self.seconds, BATCH)
            yield f"strangers beside {KNOWN}: CPU ns for a Binding", told["each"]
            yield f"strangers beside {KNOWN}: answered/s", told["came"] / told["seconds"]
            yield f"strangers beside {KNOWN}: CPU ns of the sender", told["busy"] * NS / max(told["sent"], 1)

    def allocations(self, name: str, count: int) -> Figures:
        with ExitStack() as stack:
            pair = Pair(self.net, name, stack)
            pair.join(10, peers=False)
            before, sockets, cpu = (
                pair.server.resident(),
                len(udp(self.net.server)),
                pair.server.schedule()[0],
            )
            seconds = pair.join(count, peers=False)["seconds"]
            cpu = pair.server.schedule()[0] - cpu
            time.sleep(0.5)
            yield f"{count:,} allocations: bytes for each", (pair.server.resident() - before) / count
            yield f"{count:,} allocations: sockets for each", (len(udp(self.net.server)) - sockets) / count
            yield "allocations with a channel, one after the other, a second", count / seconds
            yield "allocations with a channel for a second of CPU", count / cpu * NS


def framed(frame: str, bench: Bench, name: str, _: int) -> Figures:
    with threaded_cable() as cable:
        yield from frames.carry(cable, name, frame, bench.seconds)


def without_gate(bench: Bench, name: str, _: int) -> Figures:
    with threaded_cable() as cable:
        yield from frames.without_gate(cable, name, bench.seconds)


def with_kernel(bench: Bench, name: str, count: int) -> Figures:
    """The same beside calls that ride."""
    return ((f"each engine, {row}", value) for row, value in bench.allocations(name, count))


def asked(question: str, bench: Bench, name: str, _: int) -> Figures:
    with threaded_cable() as cable:
        yield from strangers.ask(cable, name, question, bench.seconds)


class Measure(NamedTuple):
    word: str  # what --only names
    run: Callable[[Bench, str, int], Figures]
    clients: int = 0
    servers: Sequence[str] = ("calln", "coturn")


MEASURES = (
    *(Measure("clients", Bench.clients, count) for count in CLIENTS),
    Measure("gate", Bench.calls, SOME),
    Measure("most", Bench.most),
    Measure("delay", Bench.delay),
    Measure("strangers", Bench.strangers),
    Measure("tcp", lambda bench, name, _: bench.streams(name, "tcp")),
    Measure("tls", lambda bench, name, _: bench.streams(name, "tls")),
    Measure("allocations", Bench.allocations, ALLOCATIONS),
    *(
        Measure(f"frames-{frame}", partial(framed, frame), servers=frames.servers())
        for frame in frames.FRAMES
    ),
    Measure("engines-allocations", with_kernel, 2_000, servers=frames.RELAYS),
    Measure("frames-delay", without_gate, servers=frames.RELAYS),
    *(
        Measure(f"strangers-{question}", partial(asked, question), servers=frames.RELAYS)
        for question in strangers.QUESTIONS
    ),
)

Rows = dict[str, dict[str, list[float]]]


def run(bench: Bench, measure: Measure, rounds: int) -> Rows:
    rows: Rows = {}
    for _ in range(rounds):
        for name in measure.servers:
            for row, value in measure.run(bench, name, measure.clients):
                rows.setdefault(row, {}).setdefault(name, []).append(value)
    return rows


def show(rows: Rows, servers: Sequence[str]) -> None:
    """The ratio is that of the first server to coturn."""
    print(f"{'':58}{''.join(f'{name:>12}' for name in servers)}{'ratio':>9}  of the rounds")
    for row, values in rows.items():
        medians = {name: statistics.median(values[name]) for name in servers if name in values}
        pairs = zip(values[servers[0]], values["coturn"], strict=True)
        ratios = [ratio(ours, theirs) for ours, theirs in pairs]
        digits = 0 if max(medians.values()) >= 10 else 2
        figures = "".join(
            f"{medians[name]:12,.{digits}f}" if name in medians else f"{'':12}" for name in servers
        )
        spread = f"  {min(ratios):.2f} to {max(ratios):.2f}" if len(ratios) > 1 else ""
        print(f"{row:58}{figures}{ratio(medians[servers[0]], medians['coturn']):9.2f}{spread}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.bench.relay", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--only", default="", help="measures whose name holds this: " + ", ".join(words()))
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures of every round there")
    parser.add_argument("--coturn", default="turnserver", metavar="PATH", help="the program to compare with")
    parser.add_argument("--coturn-options", default="", metavar="WORDS", help="more options for it")
    options = parser.parse_args()
    if os.geteuid() != 0 or not shutil.which(options.coturn):
        sys.exit("this needs root, for network namespaces, and Debian's coturn")
    SERVERS["coturn"] = partial(coturn, program=options.coturn, options=options.coturn_options.split())
    run_on = conditions(options)
    print(f"Linux {run_on['linux']}, Python {run_on['python']}, coturn {run_on['coturn']}")
    figures: Rows = {}
    with Net.made() as net:
        bench = Bench(net, options.seconds)
        for measure in MEASURES:
            if any(word in measure.word for word in options.only.split(",")):
                rows = run(bench, measure, options.rounds)
                show(rows, measure.servers)
                figures |= rows
    if options.json:
        keep(options.json, run_on, figures)


def keep(file: Path, run_on: dict[str, Any], figures: Rows) -> None:
    """Rows of frames stand apart: they are measured otherwise, and by more servers."""
    kept = json.loads(file.read_text()) if file.exists() else {}
    for part, of_frames in (("", False), ("frames", True)):
        rows = {row: values for row, values in figures.items() if ("kernel" in values) == of_frames}
        place = kept.setdefault(part, {}) if part else kept
        if rows:
            place |= {"run": run_on, "rows": {**place.get("rows", {}), **rows}}
    file.write_text(json.dumps(kept, indent=1) + "\n")


def conditions(options: argparse.Namespace) -> dict[str, Any]:
    """What the figures were measured on, and how long."""
    version = subprocess.run([options.coturn, "--version"], capture_output=True, text=True).stdout.strip()
    return {
        "linux": linux_version(),
        "python": platform.python_version(),
        "coturn": " ".join((version.split()[-1], options.coturn_options)).strip(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),  # what else the machine did when this began
        "rounds": options.rounds,
        "seconds": options.seconds,
    }


def words() -> dict[str, None]:
    return {measure.word: None for measure in MEASURES}


if __name__ == "__main__":
    main()
