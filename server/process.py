"""A process that serves: listeners, signals, chores, and an end that lets calls go on for a while."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

from starlette.types import ASGIApp

from host import systemd
from host.http import HttpServer, http_server, until_started
from host.settings import HostPort
from host.shutdown import Shutdown
from host.startup import bind_tcp
from server.signalling.messages import MAX_MESSAGE
from server.web.failures import ErrorHandler, log_failure
from server.web.tls_listener import TlsListener
from server.web.uvicorn_protocols import HttpProtocol, WebSocketProtocol

BACKLOG = 1_024
SEND_BUFFER = 128 << 10  # bytes; left alone, the kernel holds 4 MiB for each who does not read
MAX_HEAD = 16 << 10  # bytes of a request's head
PROBE_SECONDS = 15.0  # between pings, and for each answer: a pulled cable is noticed in half a minute
LAST_SECONDS = 6  # for answers under way and closes under way, when everything has ended
POLL_SECONDS = 0.1


class Chore(NamedTuple):
    """Something to do again and again."""

    every: float
    do: Callable[[], None]


def web_server(app: ASGIApp) -> HttpServer:
    """With every setting that a stranger could use named."""
    return http_server(
        app,
        http=HttpProtocol,
        ws=WebSocketProtocol,
        ws_max_size=MAX_MESSAGE,
        ws_per_message_deflate=False,
        ws_ping_interval=PROBE_SECONDS,
        ws_ping_timeout=PROBE_SECONDS,
        h11_max_incomplete_event_size=MAX_HEAD,
        timeout_graceful_shutdown=LAST_SECONDS,
        backlog=BACKLOG,
    )


def listen(at: HostPort, key: str = "server.listen") -> socket.socket:
    """For an address that stands at `key`. Raises Unavailable."""
    options = [(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)]
    if ":" in at.host:
        options.append((socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1))
    return bind_tcp(at.host, at.port, key, options)


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

    door: TlsListener | None = None
    ready: Callable[[], None] = lambda: None
    reload: Callable[[], None] = lambda: None
    shared: bool = False


async def serve(
    parts: list[tuple[ASGIApp, list[socket.socket]]],
    chores: list[Chore],
    shutdown: Shutdown,
    drain: Callable[[Shutdown], Awaitable[None]],
    beside: Beside = Beside(),  # noqa: B008  (frozen)
) -> None:
    """Serve each application at its sockets until `shutdown` is requested and `drain` has returned."""
    servers = [(web_server(app), sockets) for app, sockets in parts]
    tasks = [asyncio.create_task(server.serve(sockets)) for server, sockets in servers]
    doing = [asyncio.create_task(repeat(chore)) for chore in chores]
    doing.append(asyncio.create_task(systemd.feed_watchdog()))
    asyncio.get_running_loop().set_exception_handler(ErrorHandler())
    try:
        await until_started([server for server, _ in servers])
        if beside.door is not None:
            beside.door.open(partial(speaker, servers[0][0]))
        beside.ready()
        systemd.ready()
        with shutdown.on_signals(lambda: None if shutdown.requested.is_set() else beside.reload()):
            await shutdown.requested.wait()
            systemd.notify("STOPPING=1")
            if beside.shared:
                leave([server for server, _ in servers], beside.door)
            await drain(shutdown)
    finally:
        if beside.door is not None:
            beside.door.close()
        for task in doing:
            task.cancel()
        for server, _ in servers:
            server.should_exit = True
        await asyncio.gather(*tasks)
        await asyncio.gather(*doing, return_exceptions=True)


def speaker(server: HttpServer) -> asyncio.Protocol:
    """HTTP with somebody whom another has let in."""
    state = server.lifespan.state
    return HttpProtocol(config=server.config, server_state=server.server_state, app_state=state)


def leave(servers: list[HttpServer], tls_listener: TlsListener | None) -> None:
    """Newcomers over TCP are a newer version's; an operator still finds us."""
    if tls_listener is not None:
        tls_listener.stop_accepting()
    for listener in [one for server in servers for one in server.servers]:
        if any(sock.family != socket.AF_UNIX for sock in listener.sockets):
            listener.close()
