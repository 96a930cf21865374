"""What the service costs: messages and chunks of pictures between pairs, and meetings, in CPU time.

    .venv/bin/python -m tests.bench.server [--pairs 50] [--seconds 5]

The rates that limit a visitor are lifted, as no browser could fill a core. The browsers run in a process of
their own; the server's CPU time is read from /proc, so the figure per message stands even on a busy machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from server.config.geo import Geo
from server.config.server import Server
from server.config.site import Site
from server.ice import IceSettings
from server.run import WebConfig, run
from server.signalling import rates
from server.signalling.messages import MAX_CHUNK
from server.web import admission, client
from tests.ports import free_port
from tests.server.signalling.descriptions import HOST, sdp
from tests.server.signalling.picture_heads import HEADS

TICKS = os.sysconf("SC_CLK_TCK")
ICE = IceSettings("turn.example.org", (3478,), b"0123456789abcdef", 600)
CROWDS = (0, 1000)  # who wait meanwhile
LIFTED = rates.Rate(1e9, 1e9)


def serve(port: int, folder: str) -> int:
    """The server's process."""
    for module, name in (
        *((client, name) for name in ("MESSAGE_RATE", "SIZE_RATE", "TEXT_RATE", "CHUNK_RATE")),
        (admission, "LARGE_RATE"),
    ):
        assert hasattr(module, name)
        setattr(module, name, LIFTED)
    listen: Any = (f"127.0.0.1:{port}",)
    limits = {
        "connections_per_address": 0,
        "visitors_per_address": 0,
        "visitors": 0,
        "new_visitors_per_minute": 0,
    }
    (Path(folder) / "geoip").write_text("2130706432,2147483647,DE\n")  # 127.0.0.0/8
    (Path(folder) / "geoip6").write_text("::1,::1,DE\n")
    server = Server(listen=listen, rematch_seconds=0, **limits)
    return run(WebConfig(Site(state_dir=Path(folder)), server, Geo(database=Path(folder)), ICE))


class Pair(NamedTuple):
    """Two who talk."""

    one: ClientConnection
    other: ClientConnection
    call: str


async def couple(port: int) -> Pair:
    one, other = [await visitor(port) for _ in range(2)]
    for browser in (one, other):
        await browser.send('{"type":"start"}')
        await browser.recv()
    call = [json.loads(await browser.recv())["call"] for browser in (one, other)]
    await one.send(json.dumps({"type": "offer", "call": call[0], "sdp": sdp()}))
    await other.recv()
    return Pair(one, other, call[0])


async def visitor(port: int, address: str = "127.0.0.1") -> ClientConnection:
    browser = await connect(
        f"ws://127.0.0.1:{port}/ws",
        local_addr=(address, 0),
        origin=Origin(f"http://127.0.0.1:{port}"),
        subprotocols=[Subprotocol("calln.v1")],
        compression=None,
        ping_interval=None,
    )
    await browser.recv()
    await browser.send(json.dumps({"type": "hello", "token": secrets.token_hex(12)}))
    await browser.recv()
    return browser


async def candidates(pair: Pair, until: float) -> int:
    """Candidates there, eight on their way at a time."""
    word = json.dumps(
        {"type": "candidate", "call": pair.call, "candidate": {"candidate": HOST, "sdpMid": "0"}}
    )
    offer = json.dumps({"type": "offer", "call": pair.call, "sdp": sdp()})
    count = 0
    while time.monotonic() < until:
        await pair.one.send(offer)  # each description may have 64
        for _ in range(63):
            await pair.one.send(word)
        for _ in range(64):
            await pair.other.recv()
        count += 64
    return count


async def texts(pair: Pair, until: float) -> int:
    """Lines of forty characters, each confirmed."""
    word = json.dumps({"type": "text", "call": pair.call, "text": "x" * 40})
    count = 0
    while time.monotonic() < until:
        for _ in range(16):
            await pair.one.send(word)
        for _ in range(16):
            await pair.other.recv()
            await pair.one.recv()
        count += 16
    return count


async def chunks(pair: Pair, until: float) -> int:
    """Pictures of 1.5 MiB in chunks of 48 KiB, each acknowledged."""
    data = HEADS["image/png"].ljust(MAX_CHUNK, b"x")
    count, size = 0, 32 * MAX_CHUNK
    while time.monotonic() < until:
        head = {"type": "picture", "call": pair.call, "picture": 1, "size": size, "mime": "image/png"}
        await pair.one.send(json.dumps(head))
        await pair.other.recv()
        for total in range(MAX_CHUNK, size + 1, MAX_CHUNK):
            await pair.one.send(b"\x01\x00\x00\x00\x01" + data)
            await pair.other.recv()
            ack = {"type": "picture-ack", "call": pair.call, "picture": 1, "bytes": total}
            await pair.other.send(json.dumps(ack))
            await pair.one.recv()
            count += 1
    return count


async def hear(browser: ClientConnection, kind: str) -> None:
    """Read until a message of this type."""
    while json.loads(await browser.recv())["type"] != kind:
        pass


async def joins(one: ClientConnection, other: ClientConnection, until: float) -> int:
    """Into the queue and out of it."""
    count = 0
    while time.monotonic() < until:
        await one.send('{"type":"start"}')
        await hear(one, "waiting")
        await one.send('{"type":"stop"}')
        await hear(one, "stopped")
        count += 1
    return count


async def matches(one: ClientConnection, other: ClientConnection, until: float) -> int:
    """Two start, meet and part."""
    count = 0
    while time.monotonic() < until:
        for browser in (one, other):
            await browser.send('{"type":"start"}')
            await hear(browser, "waiting")
        for browser in (one, other):
            await hear(browser, "matched")
        await one.send('{"type":"stop"}')
        await hear(one, "stopped")
        await hear(other, "ended")
        count += 2
    return count


async def meet(pid: int, port: int, seconds: float, others: int) -> None:
    """Joins and matches while so many others wait, each at an address of its own, for a country of nobody."""
    crowd = [await visitor(port, f"127.1.{number // 250}.{number % 250 + 1}") for number in range(others)]
    for browser in crowd:
        await browser.send('{"type":"start","want":["fr"]}')
        await hear(browser, "waiting")
    one, other = [await visitor(port, "127.0.0.2") for _ in range(2)]  # of one household: nobody looks first
    for name, work in (("join", joins), ("match", matches)):
        before, start = cpu_seconds(pid), time.monotonic()
        count = await work(one, other, start + seconds)
        took, used = time.monotonic() - start, cpu_seconds(pid) - before
        print(
            f"{name:<10} {count / took:8.0f} a second, {1e6 * used / count:6.1f} µs of CPU for each start, "
            f"{others} others wait"
        )
    for browser in (one, other, *crowd):
        await browser.close()


WORK: dict[str, Callable[[Pair, float], Awaitable[int]]] = {
    "candidate": candidates,
    "text": texts,
    "chunk": chunks,
}


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


async def measure(pid: int, port: int, pairs: int, seconds: float) -> None:
    empty = memory_mib(pid)
    talking = [await couple(port) for _ in range(pairs)]
    print(f"{2 * pairs} visitors, {(memory_mib(pid) - empty) * 1024 / (2 * pairs):.0f} KiB of memory each")
    for name, work in WORK.items():
        before, start = cpu_seconds(pid), time.monotonic()
        counts = await asyncio.gather(*(work(pair, start + seconds) for pair in talking))
        took, used = time.monotonic() - start, cpu_seconds(pid) - before
        print(
            f"{name:<10} {sum(counts) / took:8.0f} a second, {1e6 * used / sum(counts):6.1f} µs of CPU each, "
            f"server {100 * used / took:.0f} % of a core"
        )
    for pair in talking:
        await pair.one.close()
        await pair.other.close()


async def answering(port: int) -> None:
    """Returns when the server takes connections."""
    async with asyncio.timeout(30):
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.1)


async def bench(pairs: int, seconds: float) -> None:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = (sys.executable, "-m", "tests.bench.server", "--serve", str(port), folder)
        process = await asyncio.create_subprocess_exec(*command)
        try:
            await answering(port)
            await measure(process.pid, port, pairs, seconds)
            for others in CROWDS:
                await meet(process.pid, port, seconds, others)
        finally:
            process.terminate()
            await process.wait()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=50)
    options.add_argument("--seconds", type=float, default=5)
    options.add_argument("--serve", nargs=2, metavar=("PORT", "FOLDER"), help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.serve:
        sys.exit(serve(int(given.serve[0]), given.serve[1]))
    asyncio.run(bench(given.pairs, given.seconds))
