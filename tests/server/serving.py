"""The real service in this process, with a port of its own and clocks that a test can move; and browsers."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from host.settings import HostPort
from host.shutdown import Shutdown
from host.unix_socket import VersionedSocket
from server import process
from server.app import WebService, build
from server.config.server import Server
from server.config.site import Site
from server.ice import IceSettings
from server.process import PeriodicTask, ServeOptions
from server.run import SOCKET, wait_for_calls
from server.signalling.messages import PROTOCOL
from server.signalling.vocabulary import CHUNK_TAG
from server.store.geo import Database
from server.store.lasting import LastingStore
from server.web.connections import WebConnections
from server.web.password import SitePassword
from server.web.tokens import Tokens
from server.web.websocket import Hub
from tests.ports import free_port
from tests.server.signalling.descriptions import sdp
from turn.limits.ledger import LocalUsage

PATIENCE = 10.0  # seconds for something that should come at once; other tests share the machine
QUEUE = "queue"
ICE = IceSettings("turn.example.org", (3478,), b"0123456789abcdef", 600)


@dataclass
class Service:
    """A running service. `later` is how far its clocks are ahead of the real ones."""

    web: WebService
    port: int
    folder: Path
    shutdown: Shutdown
    later: float = 0.0
    connections: WebConnections = field(default_factory=WebConnections)
    browsers: list[Browser] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def browser(self, address: str = "127.0.0.1", **options: Any) -> Browser:
        """A connected page that has not said hello."""
        settings: dict[str, Any] = {
            "origin": Origin(self.origin),
            "subprotocols": [Subprotocol(PROTOCOL)],
            "compression": None,
            "ping_interval": None,
            "local_addr": (address, 0),
            "close_timeout": 1,
            "max_queue": None,
            **options,
        }
        browser = Browser(await connect(f"ws://127.0.0.1:{self.port}/ws", **settings))
        self.browsers.append(browser)
        return browser

    async def visitor(self, address: str = "127.0.0.1", token: str = "", resume: str = "") -> Browser:
        """A page that has said hello."""
        browser = await self.browser(address)
        await browser.hello(token, resume)
        return browser

    async def connect(self, one: Browser, other: Browser) -> None:
        """Two who talk hear each other."""
        await one.tell("offer", sdp=sdp())
        await other.hear("offer")
        await one.tell("connected", path="direct")
        await one.say("ping")
        await one.hear("pong")

    async def couple(
        self, *, addresses: tuple[str, str] = ("127.0.0.2", "127.0.0.3"), **start: Any
    ) -> tuple[Browser, Browser]:
        """Two who talk; the first makes the offer."""
        one, other = await self.visitor(addresses[0]), await self.visitor(addresses[1])
        await one.say("start", **start)
        await one.hear("waiting")
        await other.say("start")
        await other.hear("waiting")
        for browser in (one, other):
            browser.call = (await browser.until_heard("matched"))["call"]
        return one, other


class Browser:
    """One page's socket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.call = ""
        self.secret = ""
        self.token = ""
        self.heard: list[Any] = []

    async def hello(self, token: str = "", resume: str = "", **fields: Any) -> Any:
        self.token = token or os.urandom(12).hex()
        await self.hear("welcome")
        await self.say("hello", token=self.token, **({"resume": resume} if resume else {}), **fields)
        reply = await self.hear("hello")
        self.secret = reply["resume"]
        return reply

    async def say(self, kind: str, **fields: Any) -> None:
        await self.connection.send(json.dumps({"type": kind, **fields}))

    async def tell(self, kind: str, **fields: Any) -> None:
        """Say something of this page's call."""
        await self.say(kind, call=self.call, **fields)

    async def chunk(self, number: int, data: bytes) -> None:
        await self.connection.send(bytes([CHUNK_TAG]) + number.to_bytes(4, "big") + data)

    async def next(self) -> Any:
        """The next message: a dict, or bytes."""
        frame = await asyncio.wait_for(self.connection.recv(), PATIENCE)
        self.heard.append(frame)
        return json.loads(frame) if isinstance(frame, str) else frame

    async def hear(self, kind: str) -> Any:
        """The next message, which is of this type; news of the queue, which come when it is time, apart."""
        word = await self.next()
        while kind != QUEUE and isinstance(word, dict) and word["type"] == QUEUE:
            word = await self.next()
        assert isinstance(word, dict), word
        assert word["type"] == kind, word
        return word

    async def until_heard(self, kind: str) -> Any:
        """The next message of this type, whatever is said before it."""
        while (word := await self.next())["type"] != kind:
            pass
        return word

    async def hear_error(self) -> str:
        return str((await self.hear("error"))["code"])

    async def closed(self) -> int:
        """The code that the server closes with, whatever it says before."""
        try:
            while True:
                await self.next()
        except ConnectionClosed as end:
            return end.rcvd.code if end.rcvd else 1006

    async def close(self, code: int = 1000) -> None:
        await self.connection.close(code)

    def cut(self) -> None:
        """The cable is pulled."""
        self.connection.transport.abort()


@asynccontextmanager
async def serving(
    folder: Path,
    site: Site | None = None,
    geo: Database | None = None,
    tick: float = 0.02,
    password: SitePassword | None = None,
    tokens: Tokens | None = None,
    **server: Any,
) -> AsyncIterator[Service]:
    """A service until the block ends; who is still connected then is cut off."""
    port = free_port()
    settings = Server(listen=(f"127.0.0.1:{port}",), **server)

    def later() -> float:
        return service.later if service else 0.0

    service: Service | None = None
    store = LastingStore(folder, lambda: time.monotonic() + later(), lambda: time.time() + later())
    web = build(
        site or Site(state_dir=folder),
        settings,
        ICE,
        store,
        geo,
        password=password,
        tokens=tokens,
        clock=lambda: time.monotonic() + later(),
        wall=lambda: time.time() + later(),
    )
    shutdown = Shutdown()
    service = Service(web, port, folder, shutdown)
    sockets = [process.listen(HostPort("127.0.0.1", port))]
    operator_socket = VersionedSocket(folder / SOCKET)
    task = asyncio.create_task(
        process.serve(
            [(web.site, sockets), (web.operator_app, [operator_socket.sock])],
            [PeriodicTask("the look at visitors and bans", tick, web.hub.tick)],
            shutdown,
            lambda shutdown: wait_for_calls(web.hub, shutdown, settings.drain_seconds),
            ServeOptions(connections=service.connections, on_ready=operator_socket.publish),
        )
    )
    await answering(port, task)
    try:
        yield service
    finally:
        shutdown.request()
        shutdown.request()
        await task
        operator_socket.withdraw()
        for browser in service.browsers:
            browser.cut()
            with suppress(ConnectionClosed):
                await browser.connection.wait_closed()
        store.close()


def pages_of(hub: Hub) -> LocalUsage:
    """The open pages by address; empty when nobody is here."""
    usage = hub.admission.pages.usage
    assert isinstance(usage, LocalUsage)
    return usage


async def answering(port: int, task: asyncio.Task[None]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not task.done():
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.01)
    await task
