"""The server's process: listeners, signals, periodic tasks, and an end that lets calls go on for a while."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

from starlette.types import ASGIApp

from host import systemd
from host.attempts import Attempts
from host.http import HttpServer, http_server, until_started
from host.logs import LoopErrors
from host.settings import HostPort
from host.shutdown import Shutdown
from host.startup import bind_tcp
from server.signalling.messages import MAX_MESSAGE
from server.web.connections import WebConnections
from server.web.keepalive import Keepalive
from server.web.middleware import MAX_HEAD
from server.web.tls_listener import TlsListener
from server.web.uvicorn_protocols import HttpProtocol, WebSocketProtocol

log = logging.getLogger("calln.server")

SEND_BUFFER = 128 << 10  # bytes; by default the kernel holds up to 4 MiB for each client that does not read
PING_SECONDS = 15.0  # between pings, and for each answer: a pulled cable is noticed in half a minute
CLOSE_SECONDS = 6  # for responses and closes that have begun, when everything has ended
POLL_SECONDS = 0.1


class PeriodicTask(NamedTuple):
    """Something to do every few seconds; `what` it is, for the sentence that says that it failed."""

    what: str
    seconds: float
    action: Callable[[], None]


def web_server(app: ASGIApp, connections: WebConnections) -> HttpServer:
    """An HTTP server. Each setting that a client could abuse is set here."""
    return http_server(
        app,
        connections.admit,
        http=HttpProtocol,
        ws=partial(WebSocketProtocol, keepalive=Keepalive(PING_SECONDS)),
        ws_max_size=MAX_MESSAGE,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        h11_max_incomplete_event_size=MAX_HEAD,
        timeout_graceful_shutdown=CLOSE_SECONDS,
    )


def listen(at: HostPort, key: str = "server.listen") -> socket.socket:
    """Bind a TCP socket; `key` is where the address stands in the configuration. Raises Unavailable."""
    options = [(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)]
    if ":" in at.host:
        options.append((socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1))
    return bind_tcp(at.host, at.port, key, options)


class ServeOptions(NamedTuple):
    """What `serve` may do beside serving. The TLS listener leads to the first application. All connections
    count together in `connections`. If a newer version may listen on the same sockets, ours are closed when
    the shutdown begins."""

    tls_listener: TlsListener | None = None
    connections: WebConnections | None = None
    on_ready: Callable[[], None] = lambda: None
    on_reload: Callable[[], None] = lambda: None
    shares_listeners: bool = False


async def serve(
    parts: list[tuple[ASGIApp, list[socket.socket]]],
    periodic_tasks: list[PeriodicTask],
    shutdown: Shutdown,
    wait_for_calls: Callable[[Shutdown], Awaitable[None]],
    options: ServeOptions = ServeOptions(),  # noqa: B008  (frozen)
) -> None:
    """Serve each application on its sockets until `shutdown` is requested and `wait_for_calls` returns."""
    connections = options.connections or WebConnections()
    servers = [(web_server(app, connections), sockets) for app, sockets in parts]
    tasks = [asyncio.create_task(server.serve(sockets)) for server, sockets in servers]
    background = [
        asyncio.create_task(Attempts(task.what, log).repeat(task.seconds, task.action))
        for task in periodic_tasks
    ]
    background.append(asyncio.create_task(systemd.feed_watchdog()))
    asyncio.get_running_loop().set_exception_handler(LoopErrors(log))
    try:
        await until_started([server for server, _ in servers])
        if options.tls_listener is not None:
            options.tls_listener.open(servers[0][0].make_protocol)
        options.on_ready()
        systemd.ready()
        with shutdown.on_signals(lambda: None if shutdown.requested.is_set() else options.on_reload()):
            await shutdown.requested.wait()
            systemd.notify("STOPPING=1")
            if options.shares_listeners:
                close_shared_listeners([server for server, _ in servers], options.tls_listener)
            await wait_for_calls(shutdown)
    finally:
        if options.tls_listener is not None:
            options.tls_listener.close()
        for task in background:
            task.cancel()
        for server, _ in servers:
            server.should_exit = True
        await asyncio.gather(*tasks)
        await asyncio.gather(*background, return_exceptions=True)


def close_shared_listeners(servers: list[HttpServer], tls_listener: TlsListener | None) -> None:
    """New TCP connections go to a newer version. The operator's Unix socket stays open."""
    if tls_listener is not None:
        tls_listener.close_listeners()
    for listener in [one for server in servers for one in server.listeners]:
        if listener.sock.family != socket.AF_UNIX:
            listener.close()
