"""The real service as two processes with a configuration, ports and a state folder of their own."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.ports import free_port, relayed_ports
from tests.turn.service.kept import kept_files

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds for a process to begin or to end on a busy machine
BINDING_REQUEST = b"\x00\x01\x00\x00\x21\x12\xa4\x42"  # RFC 8489 §5, without the transaction id


class Service:
    """`calln serve` and `calln relay`; what they print is kept in files beside the state folder."""

    def __init__(self, folder: Path, sections: Mapping[str, Mapping[str, Any]]) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.http, self.turn = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http}/"
        self.file = folder / "config.yaml"
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        standard: dict[str, dict[str, Any]] = {
            "site": {"state_dir": str(self.state)},
            "server": {"listen": f"127.0.0.1:{self.http}"},
            "turn": {
                "listen": f"udp://127.0.0.1:{self.turn}",
                "relay_ports": relayed_ports(),
                "allow_loopback_peers": True,
            },
        }
        for section, values in sections.items():
            standard.setdefault(section, {}).update(values)
        self.file.write_text(yaml.safe_dump(standard))

    async def open(self) -> None:
        await asyncio.gather(self.begin("relay", self.relay_answers), self.begin("serve", self.page_answers))

    async def close(self) -> None:
        await asyncio.gather(*(self.end(word) for word in list(self.processes)))

    async def begin(self, word: str, answers: Callable[[], bool]) -> None:
        with (self.folder / f"{word}.log").open("ab") as log:
            command = (sys.executable, "-m", "deploy.cli", word, "--config", str(self.file))
            self.processes[word] = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, stdout=log, stderr=log
            )
        async with asyncio.timeout(PATIENCE):
            while not await asyncio.to_thread(answers):
                assert self.processes[word].returncode is None, self.log(word)
                await asyncio.sleep(0.05)

    async def end(self, word: str, how: signal.Signals = signal.SIGKILL) -> int:
        process = self.processes.pop(word)
        if process.returncode is None:
            process.send_signal(how)
        async with asyncio.timeout(PATIENCE):
            return await process.wait()

    async def command(self, *words: str) -> None:
        """Another `calln` command with the same configuration; it must succeed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "deploy.cli", *words, "--config", str(self.file)), cwd=ROOT
        )
        async with asyncio.timeout(PATIENCE):
            assert await process.wait() == 0

    async def restart_server(self, how: signal.Signals) -> int:
        code = await self.end("serve", how)
        await self.begin("serve", self.page_answers)
        return code

    async def restart_relay(self) -> None:
        """One that knows nothing of the calls of the one before, as after a boot of its machine."""
        await self.end("relay")
        for file in kept_files(self.state):
            file.unlink()
        await self.begin("relay", self.relay_answers)

    async def upgrade_relay(self) -> None:
        """A second one beside the first, which then is to end with its last call."""
        older = self.processes["older relay"] = self.processes.pop("relay")
        await self.begin("relay", lambda: len(list(self.state.glob("relay.sock.*"))) == 2)
        older.send_signal(signal.SIGTERM)

    def log(self, word: str) -> str:
        return (self.folder / f"{word}.log").read_text(errors="replace")

    def page_answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.http), timeout=1) as client:
                client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                return b" 200 " in client.recv(64)
        except OSError:
            return False

    def relay_answers(self) -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.2)
            client.connect(("127.0.0.1", self.turn))
            try:
                client.send(BINDING_REQUEST + secrets.token_bytes(12))
                return client.recv(512)[:2] == b"\x01\x01"
            except OSError:
                return False
