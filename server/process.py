"""A process that serves: listeners, signals, chores, and an end that lets calls go on for a while."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import uvicorn
from starlette.types import ASGIApp

from server.config import Listen
from server.failures import Seldom, log_failure
from server.messages import MAX_MESSAGE
from server.wire import Http, Wire

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


def listen_here(path: Path) -> socket.socket:
    """A Unix socket that only this account may open, in the place of an older one. Raises Unavailable."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        draft.unlink(missing_ok=True)
        made.bind(str(draft))
        draft.chmod(stat.S_IRUSR | stat.S_IWUSR)
        draft.rename(path)
    except OSError as error:
        made.close()
        raise Unavailable(f"{path}: {error.strerror or error}; point site.state_dir elsewhere") from None
    return made


def is_dead(path: Path) -> bool:
    """Whether nobody listens at a Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        try:
            asked.connect(str(path))
        except OSError:
            return True
    return False


def allow_descriptors() -> None:
    """Each visitor holds one; the usual soft limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def notify(words: str) -> None:
    """Tell systemd, if it asked to be told (sd_notify(3))."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told, contextlib.suppress(OSError):
        told.sendto(words.encode(), address)


class End:
    """The wish to end: said once, calls go on; said twice, they do not."""

    def __init__(self) -> None:
        self.once = asyncio.Event()
        self.twice = asyncio.Event()

    def ask(self) -> None:
        (self.twice if self.once.is_set() else self.once).set()

    @contextlib.contextmanager
    def by_signal(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        wanted = (signal.SIGTERM, signal.SIGINT)
        for number in wanted:
            loop.add_signal_handler(number, self.ask)
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


async def serve(
    parts: list[tuple[ASGIApp, list[socket.socket]]],
    chores: list[Chore],
    end: End,
    drain: Callable[[End], Awaitable[None]],
) -> None:
    """Serve each application at its sockets until `end` is asked for and `drain` has returned."""
    servers = [(quiet(app), sockets) for app, sockets in parts]
    tasks = [asyncio.create_task(server.serve(sockets)) for server, sockets in servers]
    doing = [asyncio.create_task(repeat(chore)) for chore in chores]
    asyncio.get_running_loop().set_exception_handler(Seldom())
    try:
        while not all(server.started for server, _ in servers):
            await asyncio.sleep(POLL_SECONDS / 10)
        notify("READY=1")
        with end.by_signal():
            await end.once.wait()
            notify("STOPPING=1")
            await drain(end)
    finally:
        for task in doing:
            task.cancel()
        for server, _ in servers:
            server.should_exit = True
        await asyncio.gather(*tasks)
        await asyncio.gather(*doing, return_exceptions=True)
