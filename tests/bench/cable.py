"""Two network namespaces joined by a veth pair: in one a relay, in the other its load, each on one core."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
SERVER_CORE, LOAD_CORE = "0", "1"
PRIORITY = 1  # among real-time processes: a turn of somebody else's lasts 4 ms, and would be in the figures
PATIENCE = 1.0  # seconds for a process to end
SERVER, LOAD = "10.77.13.1", "10.77.13.2"

Answer = dict[str, Any]  # one line of a load's stdout


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


class Net(NamedTuple):
    """The namespaces' names."""

    server: str
    load: str

    @classmethod
    @contextmanager
    def made(cls, mark: str = "") -> Iterator[Net]:
        net = cls(*(f"calln-{end}-{os.getpid()}{mark}" for end in ("server", "load")))
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


def start(name: str, core: str, priority: int, command: list[str], **pipes: Any) -> subprocess.Popen[str]:
    """A process in the namespace of this name, before what else the machine does: a real-time one, or with
    the priority 0 one that has nearly all of its core."""
    before = ["chrt", "--fifo", str(priority)] if priority else ["nice", "-n", "-20"]
    inside = [*before, "ip", "netns", "exec", name, "taskset", "-c", core, *command]
    return subprocess.Popen(inside, cwd=ROOT, text=True, **pipes)


def end(process: subprocess.Popen[str]) -> None:
    """A relay that drains is asked twice."""
    for ask in (process.terminate, process.terminate, process.kill):
        ask()
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
            return


def udp(name: str) -> list[list[str]]:
    """The namespace's UDP sockets, as the system lists them."""
    command = ["ip", "netns", "exec", name, "cat", "/proc/net/udp"]
    table = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return [line.split() for line in table.splitlines()[1:]]


def no_room(name: str) -> int:
    """Datagrams that the namespace's sockets ever had no room for, those of closed sockets included."""
    command = ["ip", "netns", "exec", name, "cat", "/proc/net/snmp"]
    table = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    names, values = (line.split() for line in table.splitlines() if line.startswith("Udp:"))
    return int(values[names.index("RcvbufErrors")])


class Watched:
    """What the system says about a process."""

    def __init__(self, pid: int) -> None:
        self.place = Path(f"/proc/{pid}")

    def schedule(self) -> tuple[int, int]:
        """Nanoseconds that its threads have run, and have waited for a core that somebody else had."""
        rows = [(thread / "schedstat").read_text().split() for thread in (self.place / "task").iterdir()]
        return sum(int(row[0]) for row in rows), sum(int(row[1]) for row in rows)

    def resident(self) -> int:
        """Bytes of memory."""
        status = (self.place / "status").read_text()
        return 1024 * int(status.partition("VmRSS:")[2].split()[0])

    def descriptors(self) -> int:
        return len(list((self.place / "fd").iterdir()))


class Load:
    """A load's process: it takes orders and answers, each a line of JSON."""

    def __init__(self, net: Net, module: str, priority: int, stack: ExitStack) -> None:
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", f"tests.bench.{module}"]
        self.process = start(net.load, LOAD_CORE, priority, command, stdin=pipe, stdout=pipe)
        stack.callback(end, self.process)

    def tell(self, **order: Any) -> None:
        assert self.process.stdin
        print(json.dumps(order), file=self.process.stdin, flush=True)

    def hear(self) -> Answer:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise EOFError("the load has ended; what it said stands above")
        answer: Answer = json.loads(line)
        return answer

    def ask(self, **order: Any) -> Answer:
        self.tell(**order)
        return self.hear()
