"""The operator's door: HTTP with JSON through a Unix socket, and figures alone over TCP where that is wished.

HTTP, because figures are fetched by HTTP anyway: so one way to ask, and one to answer, serve both.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from host.http import HttpServer, http_server, until_started
from host.startup import bind_tcp
from turn.flows import Address
from turn.process.control import Control
from turn.process.operator_socket import OperatorSocket
from turn.process.upgrade import SHARED

MAX_BODY = 4_096  # a wish is a name; bounds what a mistaken program can make us keep
MAX_CONNECTIONS = 32  # at each door: bounds descriptors
LAST_SECONDS = 2  # for answers under way, when everything has ended


class OperatorApi:
    """An operator's questions, and the running relay's answers. Addresses are for the operator's terminal."""

    def __init__(self, control: Control) -> None:
        self.control = control

    async def metrics(self, request: Request) -> Response:
        return Response((await self.control.workers.metrics()).exposition(), media_type=CONTENT_TYPE_LATEST)

    async def readyz(self, request: Request) -> Response:
        """Ready for new clients; 503 while draining, and while no worker serves or one hangs."""
        crew = self.control.workers
        if crew.draining:
            return PlainTextResponse("draining\n", 503)
        return PlainTextResponse("ready\n") if crew.is_healthy() else PlainTextResponse("not ready\n", 503)

    async def sessions(self, request: Request) -> Response:
        return JSONResponse({"sessions": await self.control.workers.sessions()})

    async def stats(self, request: Request) -> Response:
        return JSONResponse({"figures": (await self.control.workers.metrics()).figures()})

    async def kill(self, request: Request) -> Response:
        wish = await read_selection(request)
        if wish is None:
            return error_answer(400, "either an id or a user belongs here")
        ended = await self.control.workers.kill(user=wish.get("user"), name=wish.get("id"))
        if not ended:
            return error_answer(404, "there is no such session; calln relay sessions lists them")
        return JSONResponse({"ended": ended})

    async def drain(self, request: Request) -> Response:
        self.control.drain()
        return JSONResponse({"draining": True, "sessions": await self.control.workers.session_count()})

    async def reload(self, request: Request) -> Response:
        try:
            return JSONResponse({"waiting": await self.control.reload()})
        except ValueError as problems:
            return error_answer(422, f"{problems}\nthe relay goes on as it was")


class NewerVersions:
    """Newer versions, and what becomes of our place when one is gone."""

    def __init__(self, control: Control, operator_socket: OperatorSocket) -> None:
        self.control = control
        self.operator_socket = operator_socket

    async def share(self, request: Request) -> LastingAnswer:
        """A newer version is about to listen where we do; as long as it holds the connection, it is there."""
        return LastingAnswer(self.newer_version(), self.control.has_left)

    @contextlib.asynccontextmanager
    async def newer_version(self) -> AsyncIterator[None]:
        async with self.control.with_newer():
            yield
        if not self.control.newer and not self.control.has_left.is_set():
            await self.operator_socket.publish_again()


class LastingAnswer:
    """An answer that is given when something has begun, and goes on until it is over, or the asker gone."""

    def __init__(self, what: contextlib.AbstractAsyncContextManager[None], over: asyncio.Event) -> None:
        self.what = what
        self.over = over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/plain")]
        async with self.what:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": SHARED, "more_body": True})
            await wait_for_first(self.over.wait(), until_disconnected(receive))
            await send({"type": "http.response.body", "body": b""})


async def until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def wait_for_first(*waiting: Coroutine[Any, Any, object]) -> None:
    """Wait for one of them."""
    tasks = [asyncio.create_task(one) for one in waiting]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def read_selection(request: Request) -> dict[str, str] | None:
    """One of id and user, with a text; None for anything else."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            return None
    try:
        wish = json.loads(body)
    except ValueError:
        return None
    if not isinstance(wish, dict) or list(wish) not in (["id"], ["user"]):
        return None
    return wish if all(isinstance(value, str) for value in wish.values()) else None


def error_answer(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status)


def operator_app(control: Control, operator_socket: OperatorSocket) -> ASGIApp:
    """For the Unix socket, which only the operator's account can open."""
    admin, heirs = OperatorApi(control), NewerVersions(control, operator_socket)
    acts = {"/kill": admin.kill, "/drain": admin.drain, "/reload": admin.reload, "/share": heirs.share}
    shows = {"/sessions": admin.sessions, "/stats": admin.stats}
    return Starlette(
        routes=[
            *(Route(path, act, methods=["POST"]) for path, act in acts.items()),
            *(Route(path, show) for path, show in shows.items()),
            *metrics_routes(admin),
        ]
    )


def metrics_app(control: Control) -> ASGIApp:
    """For turn.metrics_listen."""
    return Starlette(routes=metrics_routes(OperatorApi(control)))


def metrics_routes(admin: OperatorApi) -> list[Route]:
    return [Route("/metrics", admin.metrics), Route("/readyz", admin.readyz)]


def operator_server(app: ASGIApp) -> HttpServer:
    return http_server(
        app,
        http="h11",
        ws="none",
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=LAST_SECONDS,
    )


@contextlib.asynccontextmanager
async def operator_serving(control: Control, state_dir: Path, *, beside: bool = False) -> AsyncIterator[None]:
    """The doors are open within, that of figures until we leave it to a newer version. `beside` an older one
    they are where it has its own. Raises Unavailable."""
    at = control.turn.metrics_listen
    with contextlib.ExitStack() as sockets:
        operator_socket = sockets.enter_context(OperatorSocket(state_dir))
        doors = [(operator_server(operator_app(control, operator_socket)), operator_socket.sock)]
        if at is not None:
            figures = operator_server(metrics_app(control))
            doors.append((figures, sockets.enter_context(listen_for_metrics(at, beside=beside))))
        tasks = [asyncio.create_task(server.serve([sock])) for server, sock in doors]
        tasks.append(asyncio.create_task(close_after([server for server, _ in doors[1:]], control.has_left)))
        try:
            await until_started([server for server, _ in doors])
            operator_socket.publish()
            yield
        finally:
            control.has_left.set()
            await close_all([server for server, _ in doors], tasks)


async def close_after(servers: Sequence[HttpServer], left: asyncio.Event) -> None:
    await left.wait()
    for server in servers:
        server.should_exit = True


async def close_all(servers: Sequence[HttpServer], tasks: Sequence[asyncio.Task[None]]) -> None:
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*tasks)


def listen_for_metrics(at: Address, *, beside: bool) -> socket.socket:
    """Raises Unavailable."""
    share = (socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock = bind_tcp(at.host, at.port, "turn.metrics_listen", [share] if beside else [])
    sock.setsockopt(*share)
    return sock
