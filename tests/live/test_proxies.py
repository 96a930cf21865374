"""The relay behind load balancers: HAProxy over TCP and TLS, and a small one of our own over UDP."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple, cast

import pytest
import pytest_asyncio
import yaml
from aioice.turn import create_turn_endpoint
from playwright.async_api import Playwright

from config.file import load_config
from deploy.cli.relay import get
from tests.live.turn_clients import PASSWORD, PATIENCE, TALK, USER, Heard, begin, trust_in
from tests.live.visitors import CHROMIUM
from tests.ports import free_port
from tests.turn.engines.certificates import certificate
from tests.turn.wire.proxy_headers import header_for
from turn.flows import Address

HERE, PROXY = "127.0.0.1", "127.0.0.2"
RELAY_PORTS = "28000-28999"  # below the ports that the system gives out
HAPROXY = """
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen turn
  bind {here}:{front}
  source {proxy}
  server relay {here}:{relay} send-proxy-v2 {more}
"""

pytestmark = pytest.mark.asyncio(loop_scope="module")
haproxy = pytest.mark.skipif(shutil.which("haproxy") is None, reason="Debian's haproxy is not installed")


class Relay(NamedTuple):
    """The running relay's port for everything, and the configuration that it runs with."""

    port: int
    file: Path

    async def clients(self) -> list[str]:
        """Who holds a relayed address, as `calln relay sessions` shows it."""
        found = await asyncio.to_thread(get, load_config(self.file), "/sessions")
        return [session["client"] for session in found["sessions"]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Relay]:
    folder, port = tmp_path_factory.mktemp("relay"), free_port()
    relay = Relay(port, folder / "config.yaml")
    limits = dict.fromkeys(("allocations_per_user", "allocations_per_address", "new_peers_per_second"), 0)
    turn = {
        "listen": [f"{HERE}:{port}"],
        "proxies": [f"{PROXY}/32"],
        "detect_tls": True,
        "certificate": str(certificate().chain),
        "key": str(certificate().key),
        "relay_ports": RELAY_PORTS,
        "users": {USER: PASSWORD},
        "allow_loopback_peers": True,
        "encrypted_only": "off",  # plain words are said here
        "limits": limits,
    }
    relay.file.write_text(yaml.safe_dump({"site": {"state_dir": str(folder)}, "turn": turn}))
    async with running(sys.executable, "-m", "turn", "--config", str(relay.file)) as process:
        assert process.stdout
        assert (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).startswith(b"calln relay: ")
        yield relay
        process.kill()
        assert await process.stdout.read() == b"", "nothing that these proxies say is refused"


@asynccontextmanager
async def running(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await begin(*command)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@asynccontextmanager
async def balanced(relay: Relay, folder: Path, more: str = "") -> AsyncIterator[int]:
    """The port of a HAProxy before the relay."""
    front, file = free_port(), folder / "haproxy.cfg"
    file.write_text(HAPROXY.format(here=HERE, proxy=PROXY, front=front, relay=relay.port, more=more))
    async with running("haproxy", "-db", "-f", str(file)):
        async with asyncio.timeout(PATIENCE):
            while not await answers(front):
                await asyncio.sleep(0.05)
        yield front


async def answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HERE, port)
    except OSError:
        return False
    writer.transport.abort()
    return True


@haproxy
@pytest.mark.skipif(shutil.which("turnutils_uclient") is None, reason="Debian's coturn is not installed")
@pytest.mark.parametrize(
    ("flags", "more"),
    [(("-t",), "proxy-v2-options crc32c,unique-id"), (("-t", "-S"), "")],
    ids=["tcp, with a checksum", "tls"],
)
async def test_uclient_by_haproxy_is_known_by_its_own_address(
    relay: Relay, tmp_path: Path, flags: tuple[str, ...], more: str
) -> None:
    async with balanced(relay, tmp_path, more) as front:
        words = ["-u", USER, "-w", PASSWORD, "-y", "-c", "-n", "150", "-m", "1", "-p", str(front)]
        uclient = await begin("turnutils_uclient", *flags, *words, "-L", "127.0.0.9", HERE)
        clients: list[str] = []
        async with asyncio.timeout(2 * PATIENCE):
            while not clients:
                await asyncio.sleep(0.05)
                clients = await relay.clients()
            said, _ = await uclient.communicate()
        scheme = "tls" if "-S" in flags else "tcp"
        assert all(client.startswith(f"{scheme}://127.0.0.9:") for client in clients), clients
        assert re.findall(rb"Total lost packets (\d+)", said) == [b"0"], said
        assert uclient.returncode == 0


@haproxy
async def test_haproxys_health_checks_are_nobodys_clients(relay: Relay, tmp_path: Path) -> None:
    """They say that they are the proxy's own, and are closed without a word."""
    async with balanced(relay, tmp_path, "check check-send-proxy inter 50ms") as front:
        client, heard = await turn_client(front, "tcp")
        await asyncio.sleep(0.5)
        await hears_its_echo(client, heard)
        client.close()


@haproxy
@pytest.mark.skipif(shutil.which("certutil") is None, reason="Debian's libnss3-tools is not installed")
@pytest.mark.parametrize("over", ["tcp", "tls"])
async def test_chromium_by_haproxy(relay: Relay, playwright: Playwright, tmp_path: Path, over: str) -> None:
    trust_in(tmp_path)
    browser = await playwright.chromium.launch(
        executable_path="/usr/bin/chromium", args=[*CHROMIUM], env={"HOME": str(tmp_path)}
    )
    async with balanced(relay, tmp_path) as front:
        page = await browser.new_page()
        url = f"{'turns' if over == 'tls' else 'turn'}:{HERE}:{front}?transport=tcp"
        async with asyncio.timeout(PATIENCE):
            assert await page.evaluate(TALK, [url, USER, PASSWORD]) == ["there and back", "relay", over]
    await browser.close()


class Forwarder(asyncio.DatagramProtocol):
    """A UDP proxy: a port of its own for each client; the header on its first datagram, or on `each`."""

    def __init__(self, relay: Relay, *, each: bool) -> None:
        self.relay = relay
        self.each = each
        self.ways: dict[tuple[str, int], Way] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, client: tuple[str, int]) -> None:
        is_new = client not in self.ways
        if is_new:
            self.ways[client] = Way(self, client)
        header = header_for(Address.of(*client)) if is_new or self.each else b""
        self.ways[client].send(header + data)

    def close(self) -> None:
        self.transport.close()
        for way in self.ways.values():
            way.task.cancel()


class Way:
    """One client's port at the proxy."""

    def __init__(self, front: Forwarder, client: tuple[str, int]) -> None:
        self.front, self.client = front, client
        self.waiting: asyncio.Queue[bytes] = asyncio.Queue()
        self.task = asyncio.ensure_future(self.run())

    def send(self, data: bytes) -> None:
        self.waiting.put_nowait(data)

    async def run(self) -> None:
        back = Back(self.front.transport, self.client)
        loop, there = asyncio.get_running_loop(), (HERE, self.front.relay.port)
        transport, _ = await loop.create_datagram_endpoint(lambda: back, (PROXY, 0), there)
        try:
            while True:
                transport.sendto(await self.waiting.get())
        finally:
            transport.close()


class Back(asyncio.DatagramProtocol):
    def __init__(self, front: asyncio.DatagramTransport, client: tuple[str, int]) -> None:
        self.front, self.client = front, client

    def datagram_received(self, data: bytes, _: object) -> None:
        self.front.sendto(data, self.client)


async def turn_client(port: int, transport: str) -> tuple[asyncio.DatagramTransport, Heard]:
    heard = Heard()
    endpoint, _ = await create_turn_endpoint(lambda: heard, (HERE, port), USER, PASSWORD, transport=transport)
    return cast("asyncio.DatagramTransport", endpoint), heard


async def hears_its_echo(client: asyncio.DatagramTransport, heard: Heard) -> None:
    loop = asyncio.get_running_loop()
    echo, _ = await loop.create_datagram_endpoint(lambda: Heard(echo=True), (HERE, 0))
    for number in range(50):
        client.sendto(b"voice %d" % number, echo.get_extra_info("sockname"))
        assert await heard.next() == b"voice %d" % number
    echo.close()


@pytest.mark.parametrize("each", [False, True])
async def test_clients_by_a_udp_proxy(relay: Relay, each: bool) -> None:
    loop = asyncio.get_running_loop()
    front, forwarder = await loop.create_datagram_endpoint(lambda: Forwarder(relay, each=each), (HERE, 0))
    port = front.get_extra_info("sockname")[1]
    clients = [await turn_client(port, "udp") for _ in range(2)]
    await asyncio.gather(*(hears_its_echo(*client) for client in clients))
    assert set(await relay.clients()) == {f"udp://{host}:{port}" for host, port in forwarder.ways}
    for client, _ in clients:
        client.close()
    async with asyncio.timeout(PATIENCE):
        while await relay.clients():  # aioice gives its allocation back in a task of its own
            await asyncio.sleep(0.05)
    forwarder.close()
