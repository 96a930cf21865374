"""What a connection weighs in the relay's process: idle, and with a client that reads nothing."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.turn.engines.certificates import certificate
from tests.turn.engines.lone import ANSWER, FLOOD
from tests.turn.engines.tcp.streams import HELLO
from tests.turn.engines.world import PATIENCE, free
from turn.flows import Address, Transport

ROOT = Path(__file__).parents[3]
IDLE, STUCK = 200, 40  # connections: enough that one's weight shows, from as many addresses as it takes
PER_ADDRESS = 20
KIB = 1024

# Bytes of one connection, and what is added where it is stuck with a full queue; without the kernel's
# buffers, which hold 128 KiB each way at most. Measured: 1.1 and 62 KiB over TCP, 17 and 72 KiB over TLS.
BOUNDS: dict[Transport, tuple[int, int]] = {"tcp": (4 * KIB, 96 * KIB), "tls": (32 * KIB, 112 * KIB)}


class Lone(NamedTuple):
    """The engine's process, and where it listens."""

    process: subprocess.Popen[str]
    there: Address

    def weight(self) -> int:
        """Bytes of memory that are its own."""
        rows = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
        return sum(int(row.split()[1]) * KIB for row in rows if row.startswith(("Private_Dirty", "Swap:")))

    def connect(self, number: int) -> socket.socket:
        """A client that has been heard and answered."""
        near = (f"127.0.1.{1 + number // PER_ADDRESS}", 0)
        sock = socket.create_connection((self.there.host, self.there.port), PATIENCE, near)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
        if self.there.transport == "tls":
            trust = ssl.create_default_context(cafile=certificate().chain)
            sock = trust.wrap_socket(sock, server_hostname="localhost")
        sock.sendall(HELLO)
        assert sock.recv(len(ANSWER)) == ANSWER
        return sock


@contextmanager
def lone(transport: Transport) -> Iterator[Lone]:
    there = free("127.0.0.1", transport)
    words = [str(there.port), transport, *map(str, certificate())]
    command = [sys.executable, "-m", "tests.turn.engines.lone", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield Lone(process, there)
        process.kill()


@pytest.mark.parametrize("transport", BOUNDS)
def test_what_a_connection_weighs(transport: Transport) -> None:
    idle, stuck = BOUNDS[transport]
    with lone(transport) as engine, ExitStack() as held:
        for number in range(PER_ADDRESS):  # what the first ones need stays for the others
            engine.connect(number).close()
        empty = engine.weight()
        clients = [held.enter_context(engine.connect(number)) for number in range(IDLE)]
        full = engine.weight()
        assert (full - empty) / IDLE <= idle
        for client in clients[:STUCK]:
            client.sendall(FLOOD)
        heard = [held.enter_context(engine.connect(IDLE)) for _ in range(2)]  # behind all that was asked
        assert len(heard) == 2
        assert (engine.weight() - full) / STUCK <= stuck
