"""Listeners, readiness, and signals to a real process: the first lets calls go on, the second ends all."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import secrets
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from host.settings import HostPort
from host.shutdown import Shutdown
from host.startup import Unavailable
from server import process
from server.signalling.messages import PROTOCOL
from server.web.connections import FILES_EACH, RESERVED_FILES, SHARES
from tests.interop.certificates import make
from tests.ports import free_port
from tests.server.raw import raw, upgrade
from tests.server.serving import PATIENCE, Service

PROGRAM = """
import resource, sys
from pathlib import Path
from server.run import WebConfig, run
from server.config.geo import Geo
from server.config.server import Server
from server.config.site import Site
from server.ice import IceSettings
port, folder, drain, files = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
ice = IceSettings("turn.example.org", (3478,), b"0123456789abcdef", 600)
server = Server(listen=(f"127.0.0.1:{port}",), drain_seconds=drain)
sys.exit(run(WebConfig(Site(state_dir=folder), server, Geo(), ice)))
"""


class Elsewhere(Service):
    """A service in a process of its own; its browsers are used as those of one in this process."""

    process: asyncio.subprocess.Process
    notified: socket.socket

    async def ended(self) -> int:
        return await asyncio.wait_for(self.process.wait(), PATIENCE)

    def log(self) -> str:
        return (self.folder / "log").read_text()


@asynccontextmanager
async def elsewhere(folder: Path, drain: int = 60, files: int = 1024) -> AsyncIterator[Elsewhere]:
    """A server in a process of its own that may open so many files, when it is ready."""
    service = Elsewhere(None, free_port(), folder, Shutdown())  # type: ignore[arg-type]  # its web service is elsewhere
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified, (folder / "log").open("wb") as log:
        notified.bind(str(folder / "notify"))
        notified.settimeout(PATIENCE)
        service.notified = notified
        service.process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-W",
                "error",
                "-c",
                PROGRAM,
                str(service.port),
                str(folder / "state"),
                str(drain),
                str(files),
            ),
            env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify")},
            cwd=Path(__file__).parents[2],
            stdout=log,
            stderr=log,
        )
        try:
            while (said := await asyncio.to_thread(notified.recv, 100)) == b"WATCHDOG=1":
                pass
            assert said == b"READY=1", service.log()
            yield service
        finally:
            if service.process.returncode is None:
                service.process.kill()
                await service.process.wait()
            for browser in service.browsers:
                browser.cut()


async def test_the_first_signal_lets_calls_go_on(tmp_path: Path) -> None:
    async with elsewhere(tmp_path) as service:
        one, other = await service.couple()
        waiting = await service.visitor("127.0.0.4")
        await waiting.say("start", hide_address=True)
        await waiting.hear("waiting")
        service.process.send_signal(signal.SIGTERM)
        assert await waiting.closed() == 1012
        assert await asyncio.to_thread(service.notified.recv, 100) == b"STOPPING=1"
        assert await (await service.browser()).closed() == 1012
        await one.tell("text", text="we go on")
        await one.hear("sent")
        assert (await other.hear("text"))["text"] == "we go on"
        assert service.process.returncode is None
        await one.say("stop")
        assert [await browser.closed() for browser in (one, other)] == [1012, 1012]
        assert await service.ended() == 0
        assert "127.0.0.2" not in service.log()
        assert {json.loads(line)["part"] for line in service.log().splitlines()} == {"calln.server"}
        assert not (tmp_path / "state" / "server.sock").exists()


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
async def test_the_second_signal_ends_at_once(tmp_path: Path, first: signal.Signals) -> None:
    async with elsewhere(tmp_path) as service:
        one, other = await service.couple()
        service.process.send_signal(first)
        assert await asyncio.to_thread(service.notified.recv, 100) == b"STOPPING=1"
        service.process.send_signal(signal.SIGTERM)
        for browser in (one, other):
            assert (await browser.hear("ended"))["reason"] == "drained"
            assert await browser.closed() == 1012
        assert await service.ended() == 0
        assert "Traceback" not in service.log()


async def test_calls_go_on_no_longer_than_the_limit(tmp_path: Path) -> None:
    async with elsewhere(tmp_path, drain=1) as service:
        one, other = await service.couple()
        service.process.send_signal(signal.SIGTERM)
        for browser in (one, other):
            assert (await browser.hear("ended"))["reason"] == "drained"
        assert await service.ended() == 0


async def test_one_who_reads_nothing_does_not_hold_the_end(tmp_path: Path) -> None:
    async with elsewhere(tmp_path, drain=1) as service:
        one, _ = await service.couple()
        one.connection.transport.pause_reading()
        service.process.send_signal(signal.SIGTERM)
        assert await service.ended() == 0


async def test_no_line_of_the_log_holds_who_came(tmp_path: Path) -> None:
    async with elsewhere(tmp_path) as service:
        for path in ("/", "/nothing"):
            transport = httpx.AsyncHTTPTransport(local_address="127.0.0.77")
            async with httpx.AsyncClient(transport=transport, base_url=service.origin) as client:
                assert (await client.get(path)).status_code in (200, 404)
        visitor = await service.visitor("127.0.0.77")
        await visitor.close()
        with pytest.raises(InvalidStatus):
            await service.browser("127.0.0.77", origin=Origin("http://evil.example"))
        service.process.send_signal(signal.SIGTERM)
        assert await service.ended() == 0
        assert "ended" in service.log()
        assert "127.0.0.77" not in service.log()


async def test_who_says_to_be_forwarded_is_not_believed(service: Service) -> None:
    forged = {"X_Forwarded_For": "192.0.2.9", "X_Forwarded_Proto": "https", "X_Real_IP": "192.0.2.9"}
    async with raw(service) as connection:
        await connection.send(upgrade(service, **forged))
        assert await connection.status() == 101
        await connection.reader.readexactly(2)  # the welcome comes: it is one of the lines
        [client] = service.web.hub.clients
        assert str(client.address) == "127.0.0.1"


async def test_nothing_is_compressed(service: Service) -> None:
    async with raw(service) as connection:
        await connection.send(upgrade(service, Sec_WebSocket_Extensions="permessage-deflate"))
        head = await connection.head()
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"sec-websocket-extensions" not in head.lower()


def test_a_port_that_is_taken_is_one_sentence() -> None:
    with process.listen(HostPort("127.0.0.1", 0)) as taken:
        taken.listen()
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:\d+: Address already in use"):
            process.listen(HostPort("127.0.0.1", taken.getsockname()[1]))


def test_both_families_at_one_port() -> None:
    with process.listen(HostPort("::1", 0)) as six:
        port = six.getsockname()[1]
        with process.listen(HostPort("127.0.0.1", port)) as four:
            assert four.getsockname()[1] == port


async def test_a_failure_that_nobody_caught_says_no_address(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    loop.call_exception_handler({"message": "canary", "exception": OSError("canary")})
    loop.call_exception_handler({"message": "canary", "exception": OSError("canary")})
    loop.call_exception_handler({"message": "canary"})
    assert [record.getMessage() for record in caplog.records] == [
        "nothing caught OSError in no place",
        "nothing caught RuntimeError in no place",
    ]


async def test_without_descriptors_the_log_does_not_fill(tmp_path: Path) -> None:
    async with elsewhere(tmp_path) as service:
        taken = len(os.listdir(f"/proc/{service.process.pid}/fd"))
        resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, (taken + 2, taken + 2))
        waiting = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(8)]
        async with asyncio.timeout(PATIENCE):
            while "new connections wait" not in service.log():
                await asyncio.sleep(0.02)
        for _, writer in waiting:
            writer.close()
        visitor = await service.visitor()  # who waited in the queue was let in before
        await visitor.say("ping")
        await visitor.hear("pong")
        assert service.log().count("new connections wait") == 1
        assert "OSError" not in service.log()


async def test_without_descriptors_visitors_go_on_and_the_watchdog_is_fed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    async with elsewhere(tmp_path) as service:
        one, other = await service.couple()
        pid, manager = service.process.pid, service.notified
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
        late = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(3)]
        async with asyncio.timeout(PATIENCE):
            while "new connections wait" not in service.log():
                await asyncio.sleep(0.02)
        forget_what_was_said(manager)
        assert await asyncio.to_thread(manager.recv, 100) == b"WATCHDOG=1"
        await one.tell("text", text="we go on")
        await other.hear("text")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        for _, writer in late:
            writer.close()
        await service.visitor("127.0.0.5")
        assert service.process.returncode is None


def forget_what_was_said(manager: socket.socket) -> None:
    manager.setblocking(False)
    with suppress(BlockingIOError):
        while manager.recv(100):
            pass
    manager.settimeout(PATIENCE)


async def hold(service: Service, address: str, times: int) -> list[asyncio.StreamWriter]:
    """Connections of one address that are answered, and then kept open; others are closed by the server."""
    held = []
    for _ in range(times):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port, local_addr=(address, 0))
        with suppress(ConnectionError):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n")
            if (await reader.readline()).startswith(b"HTTP/1.1 200"):
                held.append(writer)
                continue
        writer.transport.abort()
    return held


async def test_ten_addresses_cannot_take_all_files_of_the_process(tmp_path: Path) -> None:
    files = 300
    async with elsewhere(tmp_path, files=files) as service, asyncio.timeout(PATIENCE):
        before = await service.visitor("127.0.0.6")
        share = (files - RESERVED_FILES) // FILES_EACH // SHARES
        held = [await hold(service, f"127.0.9.{number}", 3 * share) for number in range(1, 11)]
        assert [len(connections) for connections in held] == [share] * 10
        assert len(os.listdir(f"/proc/{service.process.pid}/fd")) < files / 2
        await before.say("ping")
        await before.hear("pong")
        visitor = await service.visitor("127.0.0.5")
        await visitor.say("ice")
        await visitor.hear("ice")
        transport = httpx.AsyncHTTPTransport(uds=str(tmp_path / "state" / "server.sock"))
        async with httpx.AsyncClient(transport=transport, base_url="http://calln") as operator:
            figures = (await operator.get("/metrics")).text
        assert f'calln_connections_total{{kind="too many of an address"}} {20 * share}.0' in figures
        for connections in held:
            for writer in connections:
                writer.transport.abort()
        while not (again := await hold(service, "127.0.9.1", 1)):
            await asyncio.sleep(0.02)
        again[0].transport.abort()


SECURE = """
import os, sys
os.environ["LISTEN_PID"] = str(os.getpid())
from pathlib import Path
from server.run import WebConfig, run
from server.config.geo import Geo
from server.config.server import Server
from server.config.site import Site
from server.ice import IceSettings
port, folder = sys.argv[1], Path(sys.argv[2])
ice = IceSettings("turn.example.org", (3478,), b"0123456789abcdef", 600)
files = {"certificate": folder / "chain.pem", "key": folder / "key.pem"}
server = Server(tls_listen=(f"127.0.0.1:{port}",), acme_dir=folder, **files)
site = Site(state_dir=folder / "state", url=f"https://localhost:{port}")
config = WebConfig(site, server, Geo(), ice)
sys.exit(run(config, lambda: config))
"""


async def test_sockets_of_a_service_manager_are_left_to_the_next_one(tmp_path: Path) -> None:
    """Before there is a certificate, with one, and when the first version is to end: over TLS and without."""
    with socket.create_server(("127.0.0.1", 0)) as http, socket.create_server(("127.0.0.1", 0)) as https:
        plain, port = http.getsockname()[1], https.getsockname()[1]
        one = await given(tmp_path, http, https)
        trust: ssl.SSLContext | bool = False
        base = f"http://localhost:{plain}"
        async with httpx.AsyncClient(base_url=base) as asks:
            assert (await asks.get("/")).status_code == 503
            files = make(tmp_path)
            trust = ssl.create_default_context(cafile=str(files.trust))
            one.process.send_signal(signal.SIGHUP)
            assert (await one.hear()).startswith(b"RELOADING=1")
            assert await one.hear() == b"READY=1"
            led = await asks.get("/privacy")
            assert led.status_code == 308, (tmp_path / "log").read_text()
            assert led.headers["location"] == f"https://localhost:{port}/privacy"
        async with httpx.AsyncClient(verify=trust) as asks:
            page = await asks.get(led.headers["location"])
            assert (page.status_code, page.headers["strict-transport-security"]) == (200, "max-age=31536000")
        origin = f"https://localhost:{port}"
        settings = {"origin": Origin(origin), "subprotocols": [Subprotocol(PROTOCOL)], "ssl": trust}
        async with connect(f"wss://localhost:{port}/ws", **settings) as visitor:  # type: ignore[arg-type]
            assert json.loads(await visitor.recv())["type"] == "welcome"
            two = await given(tmp_path, http, https)
            one.process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(one.process.wait(), PATIENCE) == 0
            with pytest.raises(ConnectionClosed):
                await visitor.recv()
            assert visitor.close_code == 1012
        async with httpx.AsyncClient(verify=trust) as asks:
            assert (await asks.get(f"{origin}/healthz")).status_code == 200
        uds = httpx.AsyncHTTPTransport(uds=str(tmp_path / "state" / "server.sock"))
        async with httpx.AsyncClient(transport=uds, base_url="http://any") as asks:
            assert (await asks.get("/readyz")).status_code == 200
        two.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(two.process.wait(), PATIENCE) == 0
        logged = (tmp_path / "log").read_text()
        assert "Traceback" not in logged
        assert '"error"' not in logged
        for version in (one, two):
            version.notified.close()


class Given(NamedTuple):
    process: asyncio.subprocess.Process
    notified: socket.socket

    async def hear(self) -> bytes:
        return await asyncio.to_thread(self.notified.recv, 100)


async def given(folder: Path, http: socket.socket, https: socket.socket) -> Given:
    """A version of the server that was handed these, ready."""
    notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    place = folder / f"notified.{secrets.token_hex(4)}"
    notified.bind(str(place))
    notified.settimeout(PATIENCE)
    # The descriptors move twice, since either may stand where the other has to be.
    moved = f"import os; os.dup2({http.fileno()}, 100); os.dup2({https.fileno()}, 101)\n"
    moved += "os.dup2(100, 3); os.dup2(101, 4)\n"
    with (folder / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", moved + SECURE, str(https.getsockname()[1]), str(folder)),
            env={
                **os.environ,
                "NOTIFY_SOCKET": str(place),
                "LISTEN_FDS": "2",
                "LISTEN_FDNAMES": "http:https",
            },
            cwd=Path(__file__).parents[2],
            pass_fds=(http.fileno(), https.fileno()),
            stdout=log,
            stderr=log,
        )
    made = Given(process, notified)
    assert await made.hear() == b"READY=1", (folder / "log").read_text()
    return made
