"""`calln run`: two real processes under one command."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port, relayed_ports
from tests.turn.engines.world import End
from tests.turn.service.caller import Caller
from turn.flows import Address

PATIENCE = 60.0  # seconds; only a hang takes so long


class Run:
    """One `calln run` with ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.http, self.turn = free_port(), free_port()
        file = folder / "config.yaml"
        file.write_text(
            f"site: {{state_dir: state}}\nserver: {{listen: '127.0.0.1:{self.http}'}}\n"
            f"turn: {{listen: 'udp://127.0.0.1:{self.turn}', relay_ports: {relayed_ports()},\n"
            "  users: {alice: password of hers}}\n"
        )
        self.out = folder / "out"
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deploy.cli", "run", "--config", file], stdout=out, stderr=out
            )

    def children(self) -> list[int]:
        pids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in pids]

    def ready(self) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            text = self.out.read_text()
            if "listening at" in text and accepts(self.http):
                return
            assert self.process.poll() is None, text
            time.sleep(0.05)
        raise TimeoutError(self.out.read_text())


def accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    try:
        run.ready()
        yield run
    finally:
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGTERM)
            run.process.send_signal(signal.SIGINT)
            run.process.wait(PATIENCE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_both(run: Run, number: signal.Signals) -> None:
    children = run.children()
    run.process.send_signal(number)
    assert run.process.wait(PATIENCE) == 0
    assert len(children) == 2
    assert not any(map(is_alive, children))


class Client:
    """Where the relay is, for somebody who asks it for an allocation."""

    def __init__(self, run: Run) -> None:
        self.listener = Address.of("127.0.0.1", run.turn)
        self.own = End()

    def end(self) -> End:
        return self.own


def test_neither_process_dumps_its_memory(run: Run) -> None:
    for pid in run.children():
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)
        assert int(Path(f"/proc/{pid}/coredump_filter").read_text(), 16) == 0


async def test_an_allocation_that_lives_holds_nothing_up(run: Run) -> None:
    client = Client(run)
    lowest, highest = map(int, relayed_ports().split("-"))
    assert lowest <= (await Caller(client, "alice", "password of hers").allocate()).port <= highest
    run.process.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(run.process.wait, PATIENCE) == 0
    assert "1 allocations were cut off" in run.out.read_text()
    client.own.close()


def test_the_end_of_one_ends_the_other_and_is_told(run: Run) -> None:
    children = run.children()
    os.kill(children[0], signal.SIGKILL)
    assert run.process.wait(PATIENCE) != 0
    assert not any(map(is_alive, children))
    assert "calln relay ended with exit code -9" in run.out.read_text()
