"""Signalling servers that a bench can start, and how a visitor speaks to each: ours, and PeerJS server."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from tests.bench.light_client import LightClient, frame, light_client
from tests.server.signalling.descriptions import SRFLX, sdp

PEER = "peer@1.0.2"  # PeerJS server, from npm
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "calln-bench"
FILES = 65_536  # that a server may open, where we may say so: 10,000 sockets and room
SERVER_CORE, LOAD_CORE = 0, 1
FIRST = -20  # the priority


class Signaller(Protocol):
    """A server of the comparison. `pair` are two clients, and `sender` is which of them speaks."""

    name: str

    def command(self, port: int, folder: Path) -> Sequence[str]: ...

    async def visitor(self, port: int, number: int) -> LightClient: ...

    async def couple(self, one: LightClient, other: LightClient) -> None: ...

    def description(self, kind: str, pair: Sequence[LightClient], sender: int) -> bytes: ...

    def candidate(self, pair: Sequence[LightClient], sender: int) -> bytes: ...


def address(number: int) -> str:
    """Each visitor has one of its own: to us, all of one address are a household."""
    return f"127.1.{number // 250}.{number % 250 + 1}"


class Calln:
    """Our server, as `calln run` runs it, without limits on rates: no browser fills a core."""

    name = "Calln"

    def __init__(self) -> None:
        self.calls: dict[LightClient, str] = {}

    def command(self, port: int, folder: Path) -> Sequence[str]:
        return (sys.executable, "-m", "tests.bench.server", "--serve", str(port), str(folder))

    async def visitor(self, port: int, number: int) -> LightClient:
        origin = f"Origin: http://127.0.0.1:{port}"
        client = await light_client(port, "/ws", address(number), origin, "Sec-WebSocket-Protocol: calln.v1")
        await client.hear("welcome")
        client.say(type="hello", token=f"bench-token-{number:012}", heard=0)
        await client.hear("hello")
        client.beside_pong = words(type="ping")  # as a page does: who says nothing is closed
        return client

    async def couple(self, one: LightClient, other: LightClient) -> None:
        for browser in (one, other):
            browser.say(type="start")
        for browser in (one, other):
            self.calls[browser] = (await browser.hear("matched"))["call"]

    def message(self, kind: str, pair: Sequence[LightClient], sender: int, **fields: Any) -> bytes:
        return words(type=kind, **fields, call=self.calls[pair[sender]])

    def description(self, kind: str, pair: Sequence[LightClient], sender: int) -> bytes:
        return self.message(kind.lower(), pair, sender, sdp=sdp())

    def candidate(self, pair: Sequence[LightClient], sender: int) -> bytes:
        return self.message("candidate", pair, sender, candidate=CANDIDATE)


class PeerServer:
    """PeerJS server of npm, installed outside of the tree."""

    name = "PeerJS"

    def __init__(self) -> None:
        self.names: dict[LightClient, str] = {}
        self.folder = CACHE / PEER
        if not (self.folder / "node_modules/.bin/peerjs").exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            options = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
            subprocess.run(("npm", "install", "--prefix", str(self.folder), *options, PEER), check=True)

    def command(self, port: int, folder: Path) -> Sequence[str]:
        program = str(self.folder / "node_modules/.bin/peerjs")
        return (program, "--port", str(port), "--concurrent_limit", str(FILES), "--host", "127.0.0.1")

    async def visitor(self, port: int, number: int) -> LightClient:
        name = f"visitor-{number:012}"
        path = f"/peerjs?key=peerjs&id={name}&token=bench-{number:012}&version=1.5.5"
        client = await light_client(port, path, address(number), f"Origin: http://127.0.0.1:{port}")
        await client.hear("OPEN")
        self.names[client] = name
        return client

    async def couple(self, one: LightClient, other: LightClient) -> None:
        """Here everybody may write to everybody."""

    def message(self, kind: str, pair: Sequence[LightClient], sender: int, **payload: Any) -> bytes:
        payload |= {"type": "media", "connectionId": "mc_benchbench"}
        return words(type=kind, payload=payload, dst=self.names[pair[1 - sender]])

    def description(self, kind: str, pair: Sequence[LightClient], sender: int) -> bytes:
        return self.message(kind.upper(), pair, sender, sdp={"type": kind.lower(), "sdp": sdp()})

    def candidate(self, pair: Sequence[LightClient], sender: int) -> bytes:
        return self.message("CANDIDATE", pair, sender, candidate=CANDIDATE)


CANDIDATE = {"candidate": SRFLX, "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "abcd"}


def words(**message: Any) -> bytes:
    return frame(json.dumps(message, separators=(",", ":")).encode())


def prepare() -> None:
    """In the server's process, before it begins."""
    settle(SERVER_CORE)


def settle(core: int) -> None:
    """This process's core, as many files as it may open, and, as root, a place before other processes."""
    os.sched_setaffinity(0, {core})
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, FIRST)
    raise_files()


def raise_files() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(FILES, most), max(FILES, most)))
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def started(signaller: Signaller, port: int, folder: Path) -> subprocess.Popen[bytes]:
    """The server's process, when it takes connections."""
    process = subprocess.Popen(signaller.command(port, folder), preexec_fn=prepare, stdout=subprocess.DEVNULL)
    for _ in range(300):
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return process
        await asyncio.sleep(0.1)
    process.kill()
    raise TimeoutError(f"{signaller.name} does not take connections at port {port}")
