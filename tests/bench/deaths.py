"""A relay that is killed in the middle of 200 calls: what they lose, and how long they wait.

    python -m tests.bench.deaths [--calls 200] [--deaths 5]     (root)

Each call sends a packet each way every 20 ms, at loopback, without the gate. After `kill -9` the next process
is started at once, so what systemd waits (0.1 s) is not in it. The rows:

* lost: calls without a packet in one of both directions after the death
* gap: from the last packet before it to the first one after it, of the slowest call
* refreshed: from the kill until every allocation has answered a Refresh, with the nonce of the process before
* stale: flows of the new process that no call has, 5 s later

Then what a change costs while all is well: an allocation that is written to its page. The last rows are of an
operator who ends all calls of a user while they speak (`calln relay kill`): from the request to the last
packet that arrives, with the portable engine and with calls that ride in the kernel.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from aioice import stun

from tests.turn.engines.land import Place
from tests.turn.engines.world import End, framed
from tests.turn.process.relay_process import Elsewhere, elsewhere
from tests.turn.service.caller import Caller
from tests.turn.service.kept import allocation
from turn.flows import Flow
from turn.service.allocation_file import AllocationFile, Head
from turn.service.relayed_ports import this_process

LIMITS = dict.fromkeys(
    ("allocations_per_user", "allocations_per_address", "unauthenticated_per_second", "new_peers_per_second"),
    0,
)
EVERY = 0.02  # seconds between two packets of a call, each way
CHANNEL = 0x4000
CHANGES = 20_000


class TimedCall:
    """Packets both ways, and when the last one came."""

    def __init__(self, caller: Caller, peer: End, flow: Flow) -> None:
        self.caller, self.peer, self.flow = caller, peer, flow
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()
        self.arrived = {"out": 0.0, "in": 0.0}
        self.longest = {"out": 0.0, "in": 0.0}
        assert isinstance(caller.end, End)
        self.client = caller.end
        loop = asyncio.get_running_loop()
        loop.add_reader(self.client.sock, self.read_client)
        loop.add_reader(peer.sock, self.read_peer)

    def read_client(self) -> None:
        data = self.client.sock.recv(2000)
        if data[0] & 0xC0 == 0x40:
            self.note("in")
        else:
            self.answers.put_nowait(data)

    def read_peer(self) -> None:
        self.peer.sock.recv(2000)
        self.note("out")

    def note(self, way: str) -> None:
        now = time.monotonic()
        if self.arrived[way]:
            self.longest[way] = max(self.longest[way], now - self.arrived[way])
        self.arrived[way] = now

    def close(self) -> None:
        loop = asyncio.get_running_loop()
        for end in (self.client, self.peer):
            loop.remove_reader(end.sock)

    def speak(self) -> None:
        self.caller.end.send(framed(self.flow, b"x" * 160), self.caller.listener)
        self.peer.send(b"x" * 160, self.flow.relay)

    async def refreshed(self) -> float:
        """When an answer has come to a Refresh, which is repeated as clients do (RFC 8489 §6.2.1)."""
        message = stun.Message(message_method=stun.Method.REFRESH, message_class=stun.Class.REQUEST)
        message.attributes.update({"LIFETIME": 600, **self.caller.signed})
        assert self.caller.key
        message.add_message_integrity(self.caller.key)
        while True:
            self.caller.end.send(bytes(message), self.caller.listener)
            try:
                answer = stun.parse_message(await asyncio.wait_for(self.answers.get(), 0.1))
            except TimeoutError:
                continue
            if answer.transaction_id == message.transaction_id:
                assert answer.message_class is stun.Class.RESPONSE, answer
                return time.monotonic()


async def begin(relay: Elsewhere) -> TimedCall:
    caller, peer = relay.caller(), relay.end()
    there = await caller.allocate()
    assert await caller.bind(CHANNEL, peer.address) is stun.Class.RESPONSE
    return TimedCall(caller, peer, Flow(caller.end.address, relay.listener, CHANNEL, there, peer.address))


async def speak_all(calls: list[TimedCall]) -> None:
    while True:
        begun = time.monotonic()
        for call in calls:
            call.speak()
        await asyncio.sleep(max(0.0, begun + EVERY - time.monotonic()))


async def death(relay: Elsewhere, calls: list[TimedCall]) -> None:
    await asyncio.sleep(1.0)
    for call in calls:
        call.longest = {"out": 0.0, "in": 0.0}
    killed = time.monotonic()
    relay.process.kill()
    starting = asyncio.create_task(relay.die())
    times = await asyncio.gather(*(call.refreshed() for call in calls))
    await starting
    await asyncio.sleep(5.0)
    lost = sum(min(call.arrived.values()) < killed + 1.0 for call in calls)
    gap = max(max(call.longest.values()) for call in calls)
    async with relay.operator() as operator:
        sessions = (await operator.get("/sessions")).json()["sessions"]
    stale = sum(row["flows"] for row in sessions) - len(calls)
    refreshed = max(times) - killed
    print(
        f"{len(calls)} calls: lost {lost}, gap {gap:.2f} s, refreshed after {refreshed:.2f} s, stale {stale}"
    )


async def deaths(calls: int, times: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with elsewhere(Path(folder), limits=LIMITS) as relay:
            talking = [await begin(relay) for _ in range(calls)]
            speaking = asyncio.create_task(speak_all(talking))
            for _ in range(times):
                await death(relay, talking)
            speaking.cancel()
            for call in talking:
                call.close()


async def end_all(calls: int, engine: str) -> None:
    """The packets of all calls are on their way while the operator asks; then one second is listened."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            elsewhere(Path(folder), limits=LIMITS, engine=engine) as relay,
            relay.operator() as operator,
        ):
            talking = [await begin(relay) for _ in range(calls)]
            speaking = asyncio.create_task(speak_all(talking))
            await asyncio.sleep(1.0)
            asked = time.monotonic()
            ended = (await operator.post("/kill", json={"user": "alice"})).json()["ended"]
            await asyncio.sleep(1.0)
            speaking.cancel()
            last = max(max(call.arrived.values()) for call in talking)
            for call in talking:
                call.close()
    print(
        f"{ended} calls ended, engine {engine}: "
        f"the last packet {1000 * (last - asked):.0f} ms after the request"
    )


def change() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        file = AllocationFile(Path(folder), "bench", Head(bytes(32), this_process(), 0, 1, 0.0))
        kept = [allocation(number, permissions=((b"\7\7\7\7", 300.0),) * 8) for number in range(200)]
        rounds = []
        for _ in range(5):
            begun = time.thread_time()
            for number in range(CHANGES):
                one = kept[number % len(kept)]
                file.save([(one.relay, one)])
            rounds.append((time.thread_time() - begun) / CHANGES)
        file.close(remove=True)
    print(f"one change: {1e6 * statistics.median(rounds):.1f} µs")


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.bench.deaths")
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--deaths", type=int, default=5)
    options = parser.parse_args()
    asyncio.run(deaths(options.calls, options.deaths))
    change()
    with Place().inside():  # the kernel's program is attached to all interfaces
        for engine in ("portable", "kernel"):
            asyncio.run(end_all(options.calls, engine))


if __name__ == "__main__":
    main()
