"""What an operator asks a running relay: HTTP with JSON over a Unix socket, and figures alone over TCP if
turn.metrics_listen says so.

It is HTTP because monitoring fetches figures by HTTP anyway: so there is one way to ask and to answer.
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

from host.http import HttpServer, error_response, http_server, read_body, until_started
from host.logs import describe
from host.startup import bind_tcp
from turn.flows import Address
from turn.process.control import Control
from turn.process.operator_socket import OperatorSocket
from turn.process.upgrade import SHARED

MAX_CONNECTIONS = 32  # at each socket: bounds descriptors
LAST_SECONDS = 2  # for answers under way at the end


class RelayApi:
    """The answers to an operator. They hold addresses, for the operator's terminal only."""

    def __init__(self, control: Control) -> None:
        self.control = control

    async def metrics(self, request: Request) -> Response:
        return Response((await self.control.workers.metrics()).exposition(), media_type=CONTENT_TYPE_LATEST)

    async def readyz(self, request: Request) -> Response:
        """Ready for new clients; 503 while draining, while no public address is known, and while no worker
        serves or one hangs."""
        workers = self.control.workers
        if workers.draining:
            return PlainTextResponse("draining\n", 503)
        if not self.control.is_reachable:
            return PlainTextResponse("no public address is known yet\n", 503)
        return PlainTextResponse("ready\n") if workers.is_healthy() else PlainTextResponse("not ready\n", 503)

    async def sessions(self, request: Request) -> Response:
        return JSONResponse({"sessions": await self.control.workers.sessions()})

    async def stats(self, request: Request) -> Response:
        return JSONResponse({"figures": (await self.control.workers.metrics()).figures()})

    async def kill(self, request: Request) -> Response:
        selection = await read_selection(request)
        if selection is None:
            return error_response(400, "either an id or a user belongs here")
        ended = await self.control.workers.kill(user=selection.get("user"), name=selection.get("id"))
        if not ended:
            return error_response(404, "there is no such session; calln relay sessions lists them")
        return JSONResponse({"ended": ended})

    async def drain(self, request: Request) -> Response:
        self.control.drain()
        return JSONResponse({"draining": True, "sessions": await self.control.workers.session_count()})

    async def reload(self, request: Request) -> Response:
        try:
            return JSONResponse({"waiting": await self.control.reload()})
        except ValueError as problems:
            return error_response(422, f"{problems}\nthe relay goes on as it was")
        except OSError as problem:  # such as no descriptor left to read the file with
            return error_response(503, f"not read: {describe(problem)}\nthe relay goes on as it was")


class NewerVersions:
    """Requests of newer versions, which take over our listeners and the name of our operator socket."""

    def __init__(self, control: Control, operator_socket: OperatorSocket) -> None:
        self.control = control
        self.operator_socket = operator_socket

    async def share(self, request: Request) -> LastingAnswer:
        """A newer version is about to listen where we do. It is there as long as it holds this connection."""
        return LastingAnswer(self.newer_version(), self.control.has_left)

    @contextlib.asynccontextmanager
    async def newer_version(self) -> AsyncIterator[None]:
        async with self.control.with_newer():
            yield
        if not self.control.newer and not self.control.has_left.is_set():
            await self.operator_socket.publish_again()


class LastingAnswer:
    """An answer that begins inside `what`, and goes on until `over` or until the client is gone."""

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
    tasks = [asyncio.create_task(one) for one in waiting]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def read_selection(request: Request) -> dict[str, str] | None:
    """Either an id or a user, as text; None for anything else."""
    try:
        selection = json.loads(await read_body(request) or b"")
    except ValueError:
        return None
    if not isinstance(selection, dict) or list(selection) not in (["id"], ["user"]):
        return None
    return selection if all(isinstance(value, str) for value in selection.values()) else None


def operator_app(control: Control, operator_socket: OperatorSocket) -> ASGIApp:
    """Everything: for the Unix socket, which only the operator's account can open."""
    api, newer = RelayApi(control), NewerVersions(control, operator_socket)
    posts = {"/kill": api.kill, "/drain": api.drain, "/reload": api.reload, "/share": newer.share}
    gets = {"/sessions": api.sessions, "/stats": api.stats}
    return Starlette(
        routes=[
            *(Route(path, answer, methods=["POST"]) for path, answer in posts.items()),
            *(Route(path, answer) for path, answer in gets.items()),
            *metrics_routes(api),
        ]
    )


def metrics_app(control: Control) -> ASGIApp:
    """Figures alone: for turn.metrics_listen."""
    return Starlette(routes=metrics_routes(RelayApi(control)))


def metrics_routes(api: RelayApi) -> list[Route]:
    return [Route("/metrics", api.metrics), Route("/readyz", api.readyz)]


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
    """Within, operators are answered: over the Unix socket, and over TCP until a newer version takes over.
    `beside`: an older version listens at the same address. Raises Unavailable."""
    at = control.turn.metrics_listen
    with contextlib.ExitStack() as sockets:
        operator_socket = sockets.enter_context(OperatorSocket(state_dir))
        served = [(operator_server(operator_app(control, operator_socket)), operator_socket.sock)]
        if at is not None:
            metrics = operator_server(metrics_app(control))
            served.append((metrics, sockets.enter_context(listen_for_metrics(at, beside=beside))))
        servers = [server for server, _ in served]
        tasks = [asyncio.create_task(server.serve([sock])) for server, sock in served]
        tasks.append(asyncio.create_task(close_after(control.has_left, servers[1:])))
        try:
            await until_started(servers)
            operator_socket.publish()
            yield
        finally:
            control.has_left.set()
            await close_all(servers, tasks)


async def close_after(event: asyncio.Event, servers: Sequence[HttpServer]) -> None:
    await event.wait()
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
