"""The lasting part of a soak: sessions that send all the time, refresh what they hold and time each packet.

Run by tests.bench.soak inside a network namespace. Reads one order, a line of JSON, from stdin, says every
few seconds what has happened since, and ends when stdin does. Each packet carries its number and when it
left; when it came, the kernel says (SO_TIMESTAMPNS), so that this process's own slowness is not in the
figure. Now and then a packet goes past the relay: what those take is what the relay has not added.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable

from aioice import stun

from tests.bench.client import CHANNEL, LARGEST, Account, Client, endpoint, framed

SO_TIMESTAMPNS = 35  # from Linux's headers; the control message has the same number
TIMESPEC = struct.Struct("=qq")
MARK = struct.Struct("!QQ")  # number; nanoseconds of the wall clock, which is what the kernel stamps
SIZE = 160  # bytes: 20 ms of Opus with its SRTP frame
FILLING = bytes(range(SIZE - MARK.size))
DIRECT_EVERY = 10  # packets
REFRESH_SECONDS = 100.0  # well within the 300 of a permission (RFC 8656 §3.2)
BEHIND = 1.0  # seconds of backlog that are sent late rather than left out
ROOM = 1 << 20  # bytes: what a socket here holds while this process waits for its turn
LAST_SECONDS = 3.0  # for packets under way, at the end


class Timed:
    """All packets: which are under way, and how many microseconds those took that came."""

    def __init__(self) -> None:
        self.number = 0
        self.under_way: set[int] = set()
        self.took: dict[bool, Counter[int]] = {
            False: Counter(),
            True: Counter(),
        }  # by whether it went directly
        self.counts: Counter[str] = Counter()

    def next(self, *, direct: bool) -> bytes:
        """The payload of one more packet; an odd number says that it goes directly."""
        self.number += 2
        number = self.number + direct
        self.under_way.add(number)
        self.counts["sent"] += not direct
        return MARK.pack(number, time.time_ns()) + FILLING

    def arrived(self, data: bytes, stamp: int) -> None:
        number, left = MARK.unpack_from(data) if len(data) == SIZE else (0, 0)
        if number not in self.under_way or data[MARK.size :] != FILLING:
            self.counts["strange"] += 1
            return
        self.under_way.remove(number)
        direct = bool(number & 1)
        self.counts["came"] += not direct
        self.took[direct][max(0, stamp - left) // 1000] += 1

    def report(self) -> dict[str, object]:
        """What has happened since the last one."""
        told = {**self.counts, "relayed": dict(self.took[False]), "direct": dict(self.took[True])}
        self.counts.clear()
        for took in self.took.values():
            took.clear()
        return told


class Session:
    """An allocation with one channel, its peer, and a socket that the peer sends to directly."""

    def __init__(self, account: Account, local: str, timed: Timed) -> None:
        self.timed = timed
        self.peer, self.near = endpoint(local), endpoint(local)
        self.client = Client(account, local)
        self.peer.connect(self.client.allocate())
        self.client.bind(self.peer.getsockname())
        self.line = self.client.line.sock
        for sock in (self.line, self.peer, self.near):
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
            sock.setblocking(False)
        self.refreshes = {  # what is signed anew each time
            stun.Method.REFRESH: {"LIFETIME": 600},
            stun.Method.CHANNEL_BIND: {
                "CHANNEL-NUMBER": CHANNEL,
                "XOR-PEER-ADDRESS": self.peer.getsockname(),
            },
        }

    def send(self, turn: int) -> None:
        """One packet, out or back; now and then one past the relay."""
        if turn & 1:
            self.peer.send(self.timed.next(direct=False))
        else:
            self.line.send(framed(self.timed.next(direct=False)))
        if turn % DIRECT_EVERY == 0:
            self.near.sendto(self.timed.next(direct=True), self.near.getsockname())

    def refresh(self) -> None:
        """Ask; the answers come among the media."""
        for method, attributes in self.refreshes.items():
            self.line.send(bytes(self.client.sign(method, attributes)))

    def hear_client(self) -> None:
        for data, stamp in waiting(self.line):
            if data[0] & 0x40:
                self.timed.arrived(data[4:], stamp)
            else:
                self.answered(stun.parse_message(data))

    def answered(self, answer: stun.Message) -> None:
        if answer.message_class is stun.Class.RESPONSE:
            self.timed.counts["refreshed"] += 1
        elif answer.attributes["ERROR-CODE"][0] == 438:
            self.client.learn(answer)
            method = answer.message_method
            self.line.send(bytes(self.client.sign(method, self.refreshes[method])))
        else:
            self.timed.counts["refused"] += 1

    def hear(self, sock: socket.socket) -> None:
        for data, stamp in waiting(sock):
            self.timed.arrived(data, stamp)

    def ears(self) -> dict[int, Callable[[], None]]:
        return {
            self.line.fileno(): self.hear_client,
            self.peer.fileno(): lambda: self.hear(self.peer),
            self.near.fileno(): lambda: self.hear(self.near),
        }


def waiting(sock: socket.socket) -> list[tuple[bytes, int]]:
    """What has come, with the nanosecond at which it did."""
    found: list[tuple[bytes, int]] = []
    while True:
        try:
            data, control, _, _ = sock.recvmsg(LARGEST, 64)
        except BlockingIOError:
            return found
        seconds, nanoseconds = TIMESPEC.unpack(control[0][2])
        found.append((data, seconds * 10**9 + nanoseconds))


class Steady:
    """All sessions, the clock that they send by, and what is said about them."""

    def __init__(self, account: Account, local: str, count: int) -> None:
        self.timed = Timed()
        self.sessions = [Session(account, local, self.timed) for _ in range(count)]
        self.ears = {number: ear for session in self.sessions for number, ear in session.ears().items()}
        self.epoll = select.epoll()
        for descriptor in (*self.ears, sys.stdin.fileno()):
            self.epoll.register(descriptor, select.EPOLLIN)
        self.ended = False

    def hear(self, patience: float) -> None:
        for descriptor, _ in self.epoll.poll(max(patience, 0)):
            if descriptor in self.ears:
                self.ears[descriptor]()
            else:
                self.ended = True

    def run(self, rate: float, period: float) -> None:
        """Until stdin has more to say, or ends."""
        due = time.monotonic()
        report, refresh, turn, refreshed = due + period, due + 1, 0, 0
        while not self.ended:
            now = time.monotonic()
            if now >= due:
                self.sessions[turn // 2 % len(self.sessions)].send(turn)
                turn += 1
                due = max(due + 1 / rate, now - BEHIND)
            if now >= refresh:
                self.sessions[refreshed % len(self.sessions)].refresh()
                refreshed += 1
                refresh += REFRESH_SECONDS / len(self.sessions)
            if now >= report:
                self.say()
                report += period
            self.hear(due - time.monotonic())

    def finish(self) -> None:
        until = time.monotonic() + LAST_SECONDS
        self.epoll.unregister(sys.stdin.fileno())
        while self.timed.under_way and time.monotonic() < until:
            self.hear(0.1)
        self.say(ended=1)

    def say(self, **more: int) -> None:
        under_way = sum(not number & 1 for number in self.timed.under_way)
        print(json.dumps({**self.timed.report(), "under_way": under_way, **more}), flush=True)


def main() -> None:
    order = json.loads(sys.stdin.readline())
    account = Account((order["host"], order["ports"]["udp"]), order["username"], order["password"])
    steady = Steady(account, order["local"], order["count"])
    print(json.dumps({"ready": 1}), flush=True)
    steady.run(order["rate"], order["period"])
    steady.finish()


if __name__ == "__main__":
    main()
