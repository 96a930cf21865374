"""A relay in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.ports import free_port
from tests.turn.engines.world import End
from tests.turn.service.caller import Caller
from tests.turn.service.running import ALICE, RELAYED
from turn.flows import Address

ROOT = Path(__file__).parents[3]
PATIENCE = 20.0  # seconds; only a hang takes so long


class Elsewhere:
    """A relay in a process of its own."""

    process: asyncio.subprocess.Process

    def __init__(self, folder: Path, **keys: object) -> None:
        self.folder = folder
        self.listener = Address.of("127.0.0.1", free_port())
        self.host = "127.0.0.1"
        self.ends: list[End] = []
        self.keys: dict[str, object] = {
            "listen": str(self.listener),
            "relay_ports": RELAYED,
            "users": dict([ALICE]),
            "allow_loopback_peers": True,
            "encrypted_only": "off",  # plain words are said here
            **keys,
        }
        self.file = folder / "config.yaml"
        self.write()

    def write(self, **keys: object) -> None:
        self.file.write_text(json.dumps({"site": {"state_dir": "s"}, "turn": {**self.keys, **keys}}))

    def end(self) -> End:
        self.ends.append(End())
        return self.ends[-1]

    def caller(self) -> Caller:
        return Caller(self, *ALICE)

    def operator(self) -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(uds=str(self.folder / "s" / "relay.sock"))
        return httpx.AsyncClient(transport=transport, base_url="http://x", timeout=PATIENCE)

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "log").read_text().splitlines()]

    async def says(self, words: str) -> None:
        """Until the log begins a line with these words."""
        async with asyncio.timeout(PATIENCE):
            while not any(line["text"].startswith(words) for line in self.log()):
                await asyncio.sleep(0.02)

    async def start(self) -> None:
        """Until it serves."""
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "error", "-m", "turn", "--config", str(self.file)),
                env={**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify")},
                cwd=ROOT,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout
        line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)
        assert line.decode().startswith("calln relay: "), (self.folder / "log").read_text()

    async def die(self, number: int = signal.SIGKILL) -> None:
        """And the next one starts."""
        self.process.send_signal(number)
        await self.process.communicate()
        await self.start()

    async def ended(self) -> int:
        return await asyncio.wait_for(self.process.wait(), PATIENCE)


@asynccontextmanager
async def elsewhere(folder: Path, **keys: object) -> AsyncIterator[Elsewhere]:
    relay = Elsewhere(folder, **keys)
    (folder / "log").write_bytes(b"")
    try:
        await relay.start()
        yield relay
    finally:
        if relay.process.returncode is None:
            relay.process.kill()
        await relay.process.communicate()
        for end in relay.ends:
            end.close()
