"""An hour of a busy evening: does the relay grow, lose or slow down?

    python -m tests.bench.soak [--seconds 3600] [--sessions 200] [--rate 1000] [--churn 50]

`calln relay` carries lasting sessions that send all the time, while others come and go over UDP, TCP and TLS.
Root, because relay and loads run in network namespaces of their own, each on one core. Ends with 1 if one of
the bounds below is exceeded. Where the load's own sockets lost a packet, the relay has not.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
import time
from collections import Counter
from contextlib import ExitStack
from typing import NamedTuple

from deploy.doctor.operator_client import RELAY, request_json
from tests.bench.cable import LOAD, SERVER, Answer, Load, Net, no_room
from tests.bench.churn import ECHOES
from tests.bench.figures import HOUR, Point, after, linux_version, quantile, slope
from tests.bench.servers import PASSWORD, PORTS, USER, Server

PRIORITY = 2  # before a bench that runs at the same time
STAY = 0.5  # seconds that an allocation of the churn lives
WARM_UP = 600.0  # seconds until caches, heaps and buffers have the size that they keep
SHORTEST_FIT = 1200.0  # seconds: a page or two more would look like megabytes an hour over less
LOOK = 10.0  # seconds between two looks at memory and descriptors
MINUTE = 60.0
SETTLE = 2.0  # seconds: what was released is closed then
MEGABYTE = 1e6

# What a relay that is left alone for years must not exceed.
MOST_GROWTH = 1.0  # MB an hour: a leak of 6 bytes for each allocation that came and went would show
MOST_DESCRIPTORS = 3  # more or fewer than before the churn, when it rests: one lost in 60,000 would show
MOST_LOST = 0.0001  # of the packets: a hundredth of what one hears
MOST_ADDED = 2000  # microseconds that 99 of 100 packets take longer through the relay than past it
FEWEST_MADE = 0.9  # of the allocations that were to come and go: fewer, and the run has shown too little


class Judged(NamedTuple):
    """A figure, in words, and whether it is within its bound; None: it cannot be judged."""

    text: str
    good: bool | None


class Soak:
    """The relay, its loads, and all that was measured."""

    def __init__(self, net: Net, options: argparse.Namespace, stack: ExitStack) -> None:
        self.net, self.options = net, options
        self.relay = Server(net, "calln", PRIORITY, stack)
        self.loads = {name: Load(net, name, PRIORITY, stack) for name in ("steady", "churn")}
        self.memory: list[Point] = []
        self.descriptors: list[Point] = []
        self.sums: Counter[str] = Counter()
        self.relayed: Counter[int] = Counter()
        self.direct: Counter[int] = Counter()
        self.at_rest = [0, 0]

    def order(self, name: str, **more: float) -> None:
        place = {"host": SERVER, "ports": PORTS, "local": LOAD, "period": LOOK}
        self.loads[name].tell(**place, username=USER, password=PASSWORD, **more)

    def run(self) -> None:
        options = self.options
        self.order("steady", count=options.sessions, rate=options.rate)
        self.loads["steady"].hear()
        time.sleep(SETTLE)
        self.at_rest[0] = self.relay.descriptors()
        self.order("churn", rate=options.churn, stay=STAY)
        self.begin = time.monotonic()
        self.waited = -self.relay.schedule()[1]
        minute = MINUTE
        while (now := time.monotonic() - self.begin) < options.seconds:
            self.hear(now)
            if now >= minute:
                self.progress(now)
                minute += MINUTE
        self.finish()

    def hear(self, now: float) -> Answer:
        """What the loads say of the last seconds; comes as often as they say it."""
        memory = self.relay.resident() / MEGABYTE
        self.memory.append(Point(now, memory))
        self.descriptors.append(Point(now, self.relay.descriptors()))
        return {name: self.take(load.hear()) for name, load in self.loads.items()}

    def take(self, said: Answer) -> Answer:
        for kept, name in ((self.relayed, "relayed"), (self.direct, "direct")):
            kept.update({int(took): count for took, count in said.pop(name, {}).items()})
        under_way = said.pop("under_way", None)
        self.sums.update(said)
        if under_way is not None:
            self.sums["under_way"] = under_way
        return said

    def finish(self) -> None:
        """First the churn rests, then the last packets come in."""
        for name in ("churn", "steady"):
            self.loads[name].tell(end=1)
            while "ended" not in self.take(self.loads[name].hear()):
                pass
            if name == "churn":
                self.churned = time.monotonic() - self.begin
                time.sleep(SETTLE)
                self.at_rest[1] = self.relay.descriptors()
        self.waited += self.relay.schedule()[1]
        self.seconds = time.monotonic() - self.begin

    def figure(self, name: str) -> float:
        """One of the relay's own, all its labels together."""
        figures = request_json(self.relay.folder, "GET", "/stats", at=RELAY)["figures"]
        return float(
            sum([one["value"] for one in figures if one["name"] == f"calln_relay_{name}"] or [math.nan])
        )

    def progress(self, now: float) -> None:
        sums, memory, descriptors = self.sums, self.memory[-1].value, self.descriptors[-1].value
        print(
            f"{now / MINUTE:4.0f} min: {memory:.2f} MB, {descriptors:.0f} descriptors; "
            f"{sums['came']:,} packets came, {sums['under_way']} did not yet, "
            f"p99 {quantile(self.relayed, 0.99):,} µs; "
            f"{sums['made']:,} allocations came and went, {sums['failed'] + sums['silent']} in vain; "
            f"mishaps: {self.figure('mishaps_total'):.0f}; {no_room(self.net.server)} had no room there",
            flush=True,
        )

    def judged(self) -> list[Judged]:
        return [
            self.growth(),
            self.leak(),
            self.loss(),
            self.delay(),
            self.mistakes(),
            self.coming_and_going(),
        ]

    def warm(self) -> float:
        return min(WARM_UP, self.seconds / 6)

    def growth(self) -> Judged:
        warm = self.warm()
        fitted = after(self.memory, warm)
        growth, long_enough = slope(fitted), self.seconds - warm >= SHORTEST_FIT
        text = f"memory: {fitted[-1].value:.2f} MB, {growth:+.2f} MB an hour after the first {warm:.0f} s"
        if not long_enough:
            return Judged(f"{text} (too short a run to judge)", None)
        return Judged(text, growth <= MOST_GROWTH)

    def leak(self) -> Judged:
        before, behind = self.at_rest
        climb = slope(after(self.descriptors, self.warm()))
        text = f"descriptors: {before} before the churn, {behind} after it; {climb:+.1f} an hour meanwhile"
        return Judged(text, abs(behind - before) <= MOST_DESCRIPTORS)

    def loss(self) -> Judged:
        sent, lost = self.sums["sent"], self.sums["sent"] - self.sums["came"]
        at_relay, at_load = no_room(self.net.server), no_room(self.net.load)
        return Judged(
            f"lost: {lost:,} of {sent:,} packets; the load's own sockets had no room for {at_load:,}, "
            f"the relay's for {at_relay:,}",
            max(lost - at_load, at_relay) <= MOST_LOST * sent,
        )

    def delay(self) -> Judged:
        direct = quantile(self.direct, 0.5)
        half, most = (quantile(self.relayed, share) - direct for share in (0.5, 0.99))
        return Judged(
            f"added: p50 {half:,} µs, p99 {most:,} µs (past the relay: p50 {direct:,} µs, "
            f"p99 {quantile(self.direct, 0.99):,} µs); the relay waited for a core that others had "
            f"{self.waited / self.seconds / 1e9:.1%} of the time",
            most <= MOST_ADDED,
        )

    def mistakes(self) -> Judged:
        mishaps, strange = self.figure("mishaps_total"), self.sums["strange"] + self.sums["refused"]
        return Judged(f"mishaps: {mishaps:.0f}; odd packets and answers: {strange}", mishaps + strange == 0)

    def coming_and_going(self) -> Judged:
        made, failed, silent = (self.sums[name] for name in ("made", "failed", "silent"))
        wanted = self.options.churn * self.churned
        return Judged(
            f"came and went: {made:,} allocations ({made / self.churned:.1f} a second); {failed:,} failed, "
            f"and of the others {silent:,} of {made * ECHOES:,} packets did not come back",
            made >= FEWEST_MADE * wanted and failed + silent <= MOST_LOST * made * ECHOES,
        )


SIGNS = {True: "within", False: "BEYOND", None: "      "}


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.bench.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=HOUR)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--rate", type=float, default=1000, help="packets a second, all sessions together")
    parser.add_argument("--churn", type=float, default=50, help="allocations a second that come and go")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("this needs root, for network namespaces")
    print(
        f"Linux {linux_version()}, Python {platform.python_version()}: {options.sessions} sessions, "
        f"{options.rate:,.0f} packets a second, {options.churn:.0f} allocations a second that come and go",
        flush=True,
    )
    with ExitStack() as stack:
        soak = Soak(stack.enter_context(Net.made()), options, stack)
        soak.run()
        judged = soak.judged()
    for text, good in judged:
        print(f"{SIGNS[good]}  {text}")
    return int(any(one.good is False for one in judged))


if __name__ == "__main__":
    sys.exit(main())
