"""Other people's TURN clients against the running relay: Debian's turnutils and aioice, IPv4 and IPv6."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple, cast

import pytest
import pytest_asyncio
import yaml
from aioice.turn import TurnTransport, create_turn_endpoint

ROOT = Path(__file__).parents[2]
PATIENCE = 30  # seconds for a client that paces itself, on a busy machine
SECRET = "a secret for these tests"
USER, PASSWORD = "alice", "password of hers"
RELAY_PORTS = "26000-27999"  # below the ports that the system gives out
MESSAGES, CLIENTS = 20, 2
HOSTS = {"ipv4": "127.0.0.1", "ipv6": "::1"}

pytestmark = pytest.mark.asyncio(loop_scope="module")
turnutils = pytest.mark.skipif(
    shutil.which("turnutils_uclient") is None, reason="Debian's coturn is not installed: no turnutils_uclient"
)

STATIC = ("-u", USER, "-w", PASSWORD)
REST = ("-u", "bob", "-W", SECRET)
ROWS: dict[str, tuple[str, ...]] = {  # flags of uclient: -y to each other, -s indications, -c no RTCP
    "channels to a peer": STATIC,
    "channels to a peer, no RTCP": (*STATIC, "-c"),
    "indications to a peer": (*STATIC, "-s"),
    "indications to a peer, no RTCP": (*STATIC, "-s", "-c"),
    "channels to each other": (*STATIC, "-y"),
    "channels to each other, no RTCP": (*STATIC, "-y", "-c"),
    "indications to each other": (*STATIC, "-y", "-s"),
    "indications to each other, no RTCP": (*STATIC, "-y", "-s", "-c"),
    "time-limited, to a peer": REST,
    "time-limited, to each other": (*REST, "-y", "-s", "-c"),
    "time-limited, channels to each other": (*REST, "-y"),
}


class Relay(NamedTuple):
    """The running relay's port, an echoing peer's, and what uclient said, by row and family."""

    port: int
    peer: int
    said: dict[tuple[str, str], asyncio.Task[str]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Relay]:
    """All rows of uclient begin together: each takes some seconds, of which it sleeps most."""
    relay = Relay(free_port(), free_port(), {})
    processes = [await begin_relay(relay.port, tmp_path_factory.mktemp("relay"))]
    if shutil.which("turnutils_uclient"):
        listen = [word for host in HOSTS.values() for word in ("-L", host)]
        processes.append(await begin("turnutils_peer", *listen, "-p", str(relay.peer)))
        rows = [(row, family) for row in ROWS for family in HOSTS]
        relay.said.update({key: asyncio.create_task(uclient(relay, *key)) for key in rows})
    yield relay
    for process in reversed(processes):
        process.terminate()
        await process.communicate()


async def begin_relay(port: int, folder: Path) -> asyncio.subprocess.Process:
    limits = dict.fromkeys(("allocations_per_user", "allocations_per_address", "new_peers_per_second"), 0)
    turn = {
        "listen": [f"udp://127.0.0.1:{port}", f"udp://[::1]:{port}"],
        "relay_ports": RELAY_PORTS,
        "secret": SECRET,
        "users": {USER: PASSWORD},
        "allow_loopback_peers": True,
        "limits": limits,
    }
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump({"site": {"state_dir": str(folder)}, "turn": turn}))
    process = await begin(sys.executable, "-m", "turn", "--config", str(file))
    assert process.stdout
    line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
    assert line.startswith(b"calln relay: ")
    return process


async def begin(*command: str) -> asyncio.subprocess.Process:
    pipe, together = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe, stderr=together)


def free_port() -> int:
    """A UDP port that both families have free."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.bind(("::", 0))
        return int(sock.getsockname()[1])


async def uclient(relay: Relay, row: str, family: str) -> str:
    host = HOSTS[family]
    size = ["-n", str(MESSAGES), "-m", str(CLIENTS), "-l", "170"]
    places = ["-e", host, "-r", str(relay.peer), "-p", str(relay.port)]
    process = await begin(
        "turnutils_uclient", *ROWS[row], *size, *(["-x"] if family == "ipv6" else []), *places, host
    )
    said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    return f"{said.decode()}\nexit code {process.returncode}"


@turnutils
@pytest.mark.parametrize("family", HOSTS)
@pytest.mark.parametrize("row", ROWS)
async def test_uclient_loses_nothing(relay: Relay, row: str, family: str) -> None:
    said = await relay.said[row, family]
    assert said.endswith("exit code 0"), said
    totals = re.findall(r"tot_send_msgs=(\d+), tot_recv_msgs=(\d+)", said)
    assert totals, said
    assert totals[-1][0] == totals[-1][1]
    assert int(totals[-1][0]) >= MESSAGES * CLIENTS
    assert re.findall(r"Total lost packets (\d+)", said) == ["0"]


class Heard(asyncio.DatagramProtocol):
    """Keeps what arrives; an echo answers with the same."""

    def __init__(self, *, echo: bool = False) -> None:
        self.echo = echo
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)  # Python 3.11's own is no subclass

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.queue.put_nowait(data)
        if self.echo:
            self.transport.sendto(data, address)

    async def next(self) -> bytes:
        return await asyncio.wait_for(self.queue.get(), PATIENCE)


Account = tuple[str, str]


async def aioice_client(relay: Relay, host: str, account: Account) -> tuple[TurnTransport, Heard]:
    heard = Heard()
    transport, _ = await create_turn_endpoint(lambda: heard, (host, relay.port), *account)
    return transport, heard


@pytest.mark.parametrize("size", [1, 160, 1200])
async def test_aioice_hears_its_echo(relay: Relay, size: int) -> None:
    loop, host = asyncio.get_running_loop(), HOSTS["ipv4"]
    echo, _ = await loop.create_datagram_endpoint(lambda: Heard(echo=True), (host, 0))
    transport, heard = await aioice_client(relay, host, (USER, PASSWORD))
    there = echo.get_extra_info("sockname")
    for number in range(50):
        data = bytes([number]) * size
        transport.sendto(data, there)
        assert await heard.next() == data
    await closed(transport)
    echo.close()


async def test_two_aioice_clients_hear_each_other(relay: Relay) -> None:
    clients = [await aioice_client(relay, HOSTS["ipv4"], (USER, PASSWORD)) for _ in range(2)]
    places = [transport.get_extra_info("sockname") for transport, _ in clients]
    for (transport, _), there in zip(clients, reversed(places), strict=True):
        transport.sendto(b"knock", there)  # binds the channel; the other side may have no permission yet
    await asyncio.sleep(0.5)
    for number in range(50):
        for (transport, _), there in zip(clients, reversed(places), strict=True):
            transport.sendto(b"voice %d" % number, there)
    for _, heard in clients:
        data = [await heard.next()]
        while data[-1] != b"voice 49":
            data.append(await heard.next())
        assert [one for one in data if one != b"knock"] == [b"voice %d" % number for number in range(50)]
    for transport, _ in clients:
        await closed(transport)


async def closed(transport: TurnTransport) -> None:
    """aioice gives its allocation back in a task of its own."""
    transport.close()
    await asyncio.sleep(0.2)
