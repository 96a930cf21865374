"""HTTP as both processes serve it: uvicorn without its signal handlers and log, and what operators send."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from socket import socket
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from host.accept import AsyncioListener

MAX_BODY = 4_096  # bytes of an operator's request: bounds what a faulty program makes us keep
LOOK_SECONDS = 0.01  # between two looks whether servers have started


Ended = Callable[[], None]  # called when a connection has ended; it may be called twice
Admit = Callable[[socket, Any], Ended | None]  # for a new connection from there; None: it is refused


class HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers, because the process decides when it ends; and it accepts as
    host.accept does. With `admit` the protocol must have an attribute `on_ended`."""

    def __init__(self, config: uvicorn.Config, admit: Admit | None = None) -> None:
        super().__init__(config)
        self.admit = admit
        self.listeners: list[AsyncioListener] = []
        self.connecting: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets=[])
        self.listeners = [AsyncioListener(sock, self.accepted) for sock in sockets or []]

    def accepted(self, sock: socket, source: object) -> None:
        ended = self.admit(sock, source) if self.admit else None
        if self.admit and ended is None:
            sock.close()
            return
        task = asyncio.get_running_loop().create_task(self.connect(sock, ended))
        self.connecting.add(task)
        task.add_done_callback(self.connecting.discard)

    async def connect(self, sock: socket, ended: Ended | None) -> None:
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: self.make_protocol(ended), sock)
        except BaseException as failure:
            if ended is not None:
                ended()
            if not isinstance(failure, OSError):  # else the client has gone already
                raise

    def make_protocol(self, ended: Ended | None = None) -> asyncio.Protocol:
        """HTTP for one connection; another listener may have accepted it."""
        make: Any = self.config.http_protocol_class
        protocol: Any = make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        if ended is not None:
            protocol.on_ended = ended
        made: asyncio.Protocol = protocol
        return made

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        for listener in self.listeners:
            listener.close()
        for task in self.connecting:
            task.cancel()
        await super().shutdown(sockets)


def http_server(app: ASGIApp, admit: Admit | None = None, **settings: Any) -> HttpServer:
    """For an application; `settings` are uvicorn's. Its own log would hold addresses."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
    config = uvicorn.Config(
        app,
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        **settings,
    )
    return HttpServer(config, admit)


async def until_started(servers: Iterable[HttpServer]) -> None:
    while not all(server.started for server in servers):
        await asyncio.sleep(LOOK_SECONDS)


async def read_body(request: Request) -> bytes | None:
    """The body of an operator's request; None: it is too long for one."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            return None
    return bytes(body)


def error_response(status: int, message: str) -> Response:
    """What the operator's command prints."""
    return JSONResponse({"message": message}, status)
