"""A process that serves: listeners, signals, chores, and an end that lets calls go on for a while."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import uvicorn
from starlette.types import ASGIApp

from host import systemd
from host.unix_socket import Hatch, sweep
from server.config.sections import Listen
from server.signalling.messages import MAX_MESSAGE
from server.web.failures import Seldom, log_failure
from server.web.tls_listener import Door
from server.web.uvicorn_protocols import Http, Wire

log = logging.getLogger("calln.server")

BACKLOG = 1_024
SEND_BUFFER = 128 << 10  # bytes; left alone, the kernel holds 4 MiB for each who does not read
MAX_HEAD = 16 << 10  # bytes of a request's head
PROBE_SECONDS = 15.0  # between pings, and for each answer: a pulled cable is noticed in half a minute
LAST_SECONDS = 6  # for answers under way and closes under way, when everything has ended
POLL_SECONDS = 0.1


class Unavailable(Exception):
    """Something needed is taken; the text says what."""


class Chore(NamedTuple):
    """Something to do again and again."""

    every: float
    do: Callable[[], None]


class Quiet(uvicorn.Server):
    """uvicorn without its signal handlers: when to end is decided here."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def quiet(app: ASGIApp) -> Quiet:
    """A uvicorn whose every setting that a stranger could use is named; its own log would hold addresses."""
    config = uvicorn.Config(
        app,
        http=Http,
        ws=Wire,
        lifespan="off",
        ws_max_size=MAX_MESSAGE,
        ws_per_message_deflate=False,
        ws_ping_interval=PROBE_SECONDS,
        ws_ping_timeout=PROBE_SECONDS,
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        h11_max_incomplete_event_size=MAX_HEAD,
        timeout_graceful_shutdown=LAST_SECONDS,
        backlog=BACKLOG,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
    return Quiet(config)


def listen(at: Listen) -> socket.socket:
    """Raises Unavailable."""
    made = socket.socket(socket.AF_INET6 if ":" in at.host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((at.host, at.port))
    except OSError as error:
        made.close()
        raise Unavailable(f"{at.host}:{at.port}: {error.strerror}; set server.listen otherwise") from None
    return made


def hatched(place: Path) -> Hatch:
    """A Unix socket that only this account may open. Raises Unavailable."""
    try:
        sweep(place)
        return Hatch(place)
    except OSError as error:
        raise Unavailable(f"{place}: {error.strerror or error}; point site.state_dir elsewhere") from None


def allow_descriptors() -> None:
    """Each visitor holds one; the usual soft limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class End:
    """The wish to end: said once, calls go on; said twice, they do not."""

    def __init__(self) -> None:
        self.once = asyncio.Event()
        self.twice = asyncio.Event()

    def ask(self) -> None:
        (self.twice if self.once.is_set() else self.once).set()

    @contextlib.contextmanager
    def by_signal(self, reload: Callable[[], None]) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        wanted = {signal.SIGTERM: self.ask, signal.SIGINT: self.ask, signal.SIGHUP: reload}
        for number, does in wanted.items():
            loop.add_signal_handler(number, does)
        try:
            yield
        finally:
            for number in wanted:
                loop.remove_signal_handler(number)


async def repeat(chore: Chore) -> None:
    """A chore that fails is logged and done again the next time."""
    while True:
        await asyncio.sleep(chore.every)
        try:
            chore.do()
        except Exception as failure:
            log_failure(failure)


class Beside(NamedTuple):
    """What a service may have beside its listeners: a door that leads to its first application, what is to be
    done when it is ready and on SIGHUP, and whether a newer version has the same listeners."""

    door: Door | None = None
    ready: Callable[[], None] = lambda: None
    reload: Callable[[], None] = lambda: None
    shared: bool = False


async def serve(
    parts: list[tuple[ASGIApp, list[socket.socket]]],
    chores: list[Chore],
    end: End,
    drain: Callable[[End], Awaitable[None]],
    beside: Beside = Beside(),  # noqa: B008  (frozen)
) -> None:
    """Serve each application at its sockets until `end` is asked for and `drain` has returned."""
    servers = [(quiet(app), sockets) for app, sockets in parts]
    tasks = [asyncio.create_task(server.serve(sockets)) for server, sockets in servers]
    doing = [asyncio.create_task(repeat(chore)) for chore in chores]
    doing.append(asyncio.create_task(systemd.say_alive()))
    asyncio.get_running_loop().set_exception_handler(Seldom())
    try:
        while not all(server.started for server, _ in servers):
            await asyncio.sleep(POLL_SECONDS / 10)
        if beside.door is not None:
            beside.door.open(partial(speaker, servers[0][0]))
        beside.ready()
        systemd.ready()
        with end.by_signal(lambda: None if end.once.is_set() else beside.reload()):
            await end.once.wait()
            systemd.notify("STOPPING=1")
            if beside.shared:
                leave([server for server, _ in servers], beside.door)
            await drain(end)
    finally:
        if beside.door is not None:
            beside.door.close()
        for task in doing:
            task.cancel()
        for server, _ in servers:
            server.should_exit = True
        await asyncio.gather(*tasks)
        await asyncio.gather(*doing, return_exceptions=True)


def speaker(server: Quiet) -> asyncio.Protocol:
    """HTTP with somebody whom another has let in."""
    state = server.lifespan.state
    return Http(config=server.config, server_state=server.server_state, app_state=state)


def leave(servers: list[Quiet], door: Door | None) -> None:
    """Newcomers over TCP are a newer version's; an operator still finds us."""
    if door is not None:
        door.leave()
    for listener in [one for server in servers for one in server.servers]:
        if any(sock.family != socket.AF_UNIX for sock in listener.sockets):
            listener.close()
