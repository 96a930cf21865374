"""The coming and going of a soak: allocations that are made, carry a few packets each way, and end.

Run by tests.bench.soak inside a network namespace. Reads one order, a line of JSON, from stdin; says every
few seconds what has happened since; and ends when stdin does, with nothing left allocated.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, NamedTuple

from aioice import stun

from tests.bench.client import LARGEST, Account, AddressPair, Client, Refused, framed

ECHOES = 3  # packets each way
PATIENCE = 2.0  # seconds for one of them
BEHIND = 1.0  # seconds of backlog that are caught up; more is left out, and shows in the count

Order = dict[str, Any]


def plain(client: Client, data: bytes, peer: AddressPair) -> None:
    client.line.send(framed(data))


def indication(client: Client, data: bytes, peer: AddressPair) -> None:
    message = stun.Message(message_method=stun.Method.SEND, message_class=stun.Class.INDICATION)
    message.attributes.update({"XOR-PEER-ADDRESS": peer, "DATA": data})
    client.line.send(bytes(message))


class Way(NamedTuple):
    """How a client of the churn reaches the relay, and its peer."""

    transport: str
    admit: Callable[[Client, AddressPair], None]
    send: Callable[[Client, bytes, AddressPair], None]


WAYS = (
    Way("udp", Client.bind, plain),
    Way("udp", Client.permit, indication),
    Way("tcp", Client.bind, plain),
    Way("udp", Client.bind, plain),
    Way("udp", Client.permit, indication),
    Way("tls", Client.bind, plain),
)


class Guest:
    """One allocation and its peer."""

    def __init__(self, way: Way, accounts: dict[str, Account], local: str) -> None:
        self.way = way
        self.peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.peer.bind((local, 0))
        self.peer.settimeout(PATIENCE)
        self.client = Client(accounts[way.transport], local, way.transport)
        self.peer.connect(self.client.allocate())
        way.admit(self.client, self.peer.getsockname())
        self.client.line.sock.settimeout(PATIENCE)

    def talk(self, number: int) -> int:
        """How many packets there and back did not come, or not as they were sent."""
        there = self.peer.getsockname()
        words = [f"{number} {index}".encode().ljust(160, b".") for index in range(ECHOES)]
        return sum(self.echo(word, there) for word in words)

    def echo(self, word: bytes, there: AddressPair) -> int:
        self.way.send(self.client, word, there)
        try:
            heard = self.peer.recv(LARGEST)
            self.peer.send(heard)
            return int(heard != word or word not in self.client.line.receive())
        except TimeoutError:
            return 1

    def leave(self) -> None:
        self.client.release()
        self.peer.close()


def accounts(order: Order) -> dict[str, Account]:
    who = order["username"], order["password"]
    return {transport: Account((order["host"], port), *who) for transport, port in order["ports"].items()}


def told_to_end() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])


class Churn:
    """Who is here, and what has happened since it was last said."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.accounts = accounts(order)
        self.most = int(order["stay"] * order["rate"])
        self.guests: deque[Guest] = deque()
        self.counts: Counter[str] = Counter()
        self.number = 0

    def step(self) -> None:
        """One comes, talks, and one goes. What fails is counted; the relay forgets it in its own time."""
        self.number += 1
        try:
            guest = Guest(WAYS[self.number % len(WAYS)], self.accounts, self.order["local"])
            self.guests.append(guest)
            self.counts["silent"] += guest.talk(self.number)
            if len(self.guests) > self.most:
                self.guests.popleft().leave()
            self.counts["made"] += 1
        except (OSError, Refused) as error:
            way = WAYS[self.number % len(WAYS)]
            print(f"{self.number}, {way.transport} by {way.admit.__name__}: {error!r}", file=sys.stderr)
            self.counts["failed"] += 1

    def say(self, **more: int) -> None:
        print(json.dumps({**self.counts, **more}), flush=True)
        self.counts.clear()

    def run(self) -> None:
        """Until stdin has more to say, or ends."""
        due = time.monotonic()
        report = due + self.order["period"]
        while not told_to_end():
            now = time.monotonic()
            if now >= report:
                self.say()
                report += self.order["period"]
            elif now < due:
                time.sleep(min(due, report) - now)
            else:
                self.step()
                due = max(due + 1 / self.order["rate"], now - BEHIND)
        for guest in self.guests:
            guest.leave()
        self.say(ended=1)


if __name__ == "__main__":
    Churn(json.loads(sys.stdin.readline())).run()
