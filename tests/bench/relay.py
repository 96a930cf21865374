"""Packets per core and memory per allocation: Debian's coturn and this relay, side by side in one run.

    python -m tests.bench.relay [--rounds 2] [--seconds 3] [--sessions 100] [--allocations 4000]

Root, because each server runs in a network namespace of its own, on one core, joined by a veth pair to the
load on another. Both have no limits. Rounds alternate, so that what else the machine does meets both alike.
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
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
SERVER_CORE, LOAD_CORE = "0", "1"
PRIORITY = "-15"  # before what else the machine does
SERVER, LOAD, PORT = "10.77.13.1", "10.77.13.2", 3478
USER, PASSWORD = "bench", "password for the bench"
VOICE = 160  # bytes: 20 ms of Opus with its SRTP frame
OVERLOAD, OVERLOAD_BATCH = 300_000, 4  # packets per second, more than either can carry; per system call
MODERATE = 10_000
NO_LIMITS = (
    "allocations_per_user",
    "allocations_per_address",
    "allocations",
    "packets_per_second",
    "bits_per_second",
    "unauthenticated_per_second",
    "new_peers_per_second",
)


class Result(NamedTuple):
    """What one server did in one round."""

    offered: float  # packets a second under overload: how much of OVERLOAD the load's core could send
    delivered: float
    to_clients: float
    to_peers: float
    busy: float  # CPU nanoseconds for each of them
    share: float  # of its core that the server had meanwhile: what others took is missing
    moderate: float  # the same at a moderate load, without loss


class Memory(NamedTuple):
    resident: float  # bytes per allocation
    sockets: float  # per allocation; the kernel's memory for them is not in `resident`
    seconds: float  # for all of them


def coturn(folder: Path) -> list[str]:
    return [
        "turnserver", "-n", "--no-tls", "--no-dtls", "--no-cli", "--no-stdout-log", "--log-file=/dev/null",
        "--lt-cred-mech", "--realm=call", f"--user={USER}:{PASSWORD}", f"--listening-ip={SERVER}",
        f"--relay-ip={SERVER}", "--relay-threads=1", f"--pidfile={folder}/pid", f"--db={folder}/db",
    ]  # fmt: skip


def calln(folder: Path) -> list[str]:
    turn = {
        "listen": f"udp://{SERVER}:{PORT}",
        "users": {USER: PASSWORD},
        "allow_peers": f"{SERVER}/32 {LOAD}/32".split(),
        "limits": dict.fromkeys(NO_LIMITS, 0),
    }
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump({"site": {"state_dir": str(folder)}, "turn": turn}))
    return [sys.executable, "-m", "turn", "--config", str(file)]


SERVERS = {"coturn": coturn, "calln": calln}


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


class Net(NamedTuple):
    """Two namespaces joined by a cable."""

    server: str
    load: str

    @classmethod
    @contextmanager
    def made(cls) -> Iterator[Net]:
        net = cls(f"calln-server-{os.getpid()}", f"calln-load-{os.getpid()}")
        with ExitStack() as stack:
            for name in net:
                ip("netns", "add", name)
                stack.callback(ip, "netns", "delete", name)
            ip("-n", net.server, "link", "add", "cable", "type", "veth", "peer", "cable", "netns", net.load)
            for name, address in zip(net, (SERVER, LOAD), strict=True):
                ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
                for device in ("lo", "cable"):
                    ip("-n", name, "link", "set", device, "up")
            yield net

    def start(self, name: str, core: str, command: list[str], **pipes: Any) -> subprocess.Popen[str]:
        inside = ["nice", "-n", PRIORITY, "ip", "netns", "exec", name, "taskset", "-c", core, *command]
        return subprocess.Popen(inside, cwd=ROOT, text=True, **pipes)

    def sockets(self) -> int:
        """UDP sockets in the server's namespace."""
        command = ["ip", "netns", "exec", self.server, "cat", "/proc/net/udp"]
        return len(subprocess.run(command, capture_output=True, check=True).stdout.splitlines()) - 1


class Pair:
    """One server and its load."""

    def __init__(self, net: Net, name: str, stack: ExitStack) -> None:
        self.net = net
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        quiet = subprocess.DEVNULL
        errors = None if name == "calln" else quiet  # coturn misses SCTP here
        command = SERVERS[name](folder)
        self.server = net.start(net.server, SERVER_CORE, command, stdout=quiet, stderr=errors)
        stack.callback(self.server.wait)
        stack.callback(self.server.terminate)
        command = [sys.executable, "-m", "tests.bench.load"]
        pipe = subprocess.PIPE
        self.load = stack.enter_context(net.start(net.load, LOAD_CORE, command, stdin=pipe, stdout=pipe))
        stack.callback(self.load.terminate)

    def ask(self, verb: str, **order: Any) -> dict[str, float]:
        assert self.load.stdin
        assert self.load.stdout
        print(json.dumps({"verb": verb, **order}), file=self.load.stdin, flush=True)
        answer: dict[str, float] = json.loads(self.load.stdout.readline())
        return answer

    def sessions(self, count: int, *, peers: bool) -> dict[str, float]:
        place = {"host": SERVER, "port": PORT, "local": LOAD}
        return self.ask("sessions", count=count, peers=peers, username=USER, password=PASSWORD, **place)

    def fire(self, rate: float, seconds: float, batch: int) -> dict[str, float]:
        """What was sent, what arrived, and what that took of the server's core."""
        before = self.cpu()
        result = self.ask("fire", rate=rate, seconds=seconds, batch=batch, size=VOICE)
        cpu = self.cpu() - before
        arrived = result["to_clients"] + result["to_peers"]
        late = self.ask("settle")["late"]
        lost = 1 - (arrived + late) / result["sent"]
        return {**result, "each": cpu / max(arrived, 1), "share": cpu / result["seconds"] / 1e9, "lost": lost}

    def cpu(self) -> int:
        """Nanoseconds that the server's threads have run."""
        threads = Path(f"/proc/{self.server.pid}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)

    def resident(self) -> int:
        status = Path(f"/proc/{self.server.pid}/status").read_text()
        return 1024 * int(status.partition("VmRSS:")[2].split()[0])


def speed(net: Net, name: str, sessions: int, seconds: float) -> Result:
    with ExitStack() as stack:
        pair = Pair(net, name, stack)
        pair.sessions(sessions, peers=True)
        pair.fire(MODERATE, 0.5, 1)  # fills the receivers' buffers: from now on each arrival is counted
        light = pair.fire(MODERATE, seconds, 1)
        if light["lost"] > 0.001:
            print(f"  {name}: {light['lost']:.1%} of the moderate load lost")
        full = pair.fire(OVERLOAD, seconds, OVERLOAD_BATCH)
        offered, out, back = (full[key] / full["seconds"] for key in ("sent", "to_peers", "to_clients"))
        return Result(offered, out + back, back, out, full["each"], full["share"], light["each"])


def memory(net: Net, name: str, allocations: int) -> Memory:
    with ExitStack() as stack:
        pair = Pair(net, name, stack)
        pair.sessions(10, peers=False)
        before, sockets = pair.resident(), net.sockets()
        took = pair.sessions(allocations, peers=False)["seconds"]
        time.sleep(0.5)
        grown = (pair.resident() - before) / allocations
        return Memory(grown, (net.sockets() - sockets) / allocations, took)


def report(name: str, result: Result) -> None:
    full, light = (
        f"{result.busy:6,.0f} ns each in {result.share:.0%} of a core",
        f"{result.moderate:6,.0f} ns",
    )
    print(
        f"  {name:7} {result.delivered:8,.0f} of {result.offered:,.0f} packets/s under overload "
        f"({result.to_clients:,.0f} to clients, {result.to_peers:,.0f} to peers), "
        f"{full}; {light} each at {MODERATE:,} packets/s",
        flush=True,
    )


def ratios(results: dict[str, list[Result]], memories: dict[str, Memory]) -> None:
    """This relay's figures over coturn's, medians of the rounds."""
    median = {
        name: Result(*map(statistics.median, zip(*rounds, strict=True))) for name, rounds in results.items()
    }
    ours, theirs = median["calln"], median["coturn"]
    print(f"calln / coturn, medians: {ours.delivered / theirs.delivered:.2f} of the packets under overload")
    print(f"  {theirs.busy / ours.busy:.2f} of the packets per CPU second under overload")
    print(f"  {theirs.moderate / ours.moderate:.2f} of them at {MODERATE:,} packets/s")
    if memories:
        print(
            f"  {memories['calln'].resident / memories['coturn'].resident:.2f} of the memory per allocation"
        )


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.bench.relay", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--allocations", type=int, default=4000, help="0: no measure of memory")
    options = parser.parse_args()
    if os.geteuid() != 0 or not shutil.which("turnserver"):
        sys.exit("this needs root, for network namespaces, and Debian's coturn")
    print(f"Linux {platform.release()}, Python {platform.python_version()}, {options.sessions} sessions")
    results: dict[str, list[Result]] = {name: [] for name in SERVERS}
    memories: dict[str, Memory] = {}
    with Net.made() as net:
        for _ in range(options.rounds):
            for name, rounds in results.items():
                rounds.append(speed(net, name, options.sessions, options.seconds))
                report(name, rounds[-1])
        for name in SERVERS if options.allocations else ():
            memories[name] = grown = memory(net, name, options.allocations)
            print(
                f"  {name:7} {grown.resident:8,.0f} bytes and {grown.sockets:.2f} sockets per allocation "
                f"at {options.allocations:,}, made in {grown.seconds:.1f} s",
                flush=True,
            )
    ratios(results, memories)


if __name__ == "__main__":
    main()
