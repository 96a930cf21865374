"""The operator's door: HTTP with JSON through a Unix socket, and figures alone over TCP where that is wished.

HTTP, because figures are fetched by HTTP anyway: so one way to ask, and one to answer, serve both.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from turn.control import Control
from turn.flows import Address
from turn.service import Unavailable

SOCKET = "relay.sock"
MAX_BODY = 4_096  # a wish is a name; bounds what a mistaken program can make us keep
MAX_CONNECTIONS = 32  # at each door: bounds descriptors
START_SECONDS = 0.01  # between two looks whether the doors are open
LAST_SECONDS = 2  # for answers under way, when everything has ended


class Admin:
    """An operator's questions, and the running relay's answers. Addresses are for the operator's terminal."""

    def __init__(self, control: Control) -> None:
        self.control = control

    async def metrics(self, request: Request) -> Response:
        return Response((await self.control.crew.metrics()).page(), media_type=CONTENT_TYPE_LATEST)

    async def readyz(self, request: Request) -> Response:
        """Ready for new clients; 503 while draining."""
        draining = self.control.crew.draining
        return PlainTextResponse("draining\n" if draining else "ready\n", 503 if draining else 200)

    async def sessions(self, request: Request) -> Response:
        return JSONResponse({"sessions": await self.control.crew.sessions()})

    async def stats(self, request: Request) -> Response:
        return JSONResponse({"figures": (await self.control.crew.metrics()).figures()})

    async def kill(self, request: Request) -> Response:
        wish = await read_wish(request)
        if wish is None:
            return refusal(400, "either an id or a user belongs here")
        ended = await self.control.crew.kill(user=wish.get("user"), name=wish.get("id"))
        if not ended:
            return refusal(404, "there is no such session; calln relay sessions lists them")
        return JSONResponse({"ended": ended})

    async def drain(self, request: Request) -> Response:
        self.control.drain()
        return JSONResponse({"draining": True, "sessions": await self.control.crew.count()})

    async def reload(self, request: Request) -> Response:
        try:
            return JSONResponse({"waiting": await self.control.reload()})
        except ValueError as problems:
            return refusal(422, f"{problems}\nthe relay goes on as it was")


async def read_wish(request: Request) -> dict[str, str] | None:
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


def refusal(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status)


def everything(control: Control) -> ASGIApp:
    """For the Unix socket, which only the operator's account can open."""
    admin = Admin(control)
    acts = {"/kill": admin.kill, "/drain": admin.drain, "/reload": admin.reload}
    shows = {"/sessions": admin.sessions, "/stats": admin.stats}
    return Starlette(
        routes=[
            *(Route(path, act, methods=["POST"]) for path, act in acts.items()),
            *(Route(path, show) for path, show in shows.items()),
            *numbers(admin),
        ]
    )


def figures_alone(control: Control) -> ASGIApp:
    """For turn.metrics_listen."""
    return Starlette(routes=numbers(Admin(control)))


def numbers(admin: Admin) -> list[Route]:
    return [Route("/metrics", admin.metrics), Route("/readyz", admin.readyz)]


class Quiet(uvicorn.Server):
    """uvicorn without its signal handlers: when to end is decided elsewhere."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def quiet(app: ASGIApp) -> Quiet:
    """Without a log of its own, which would hold addresses."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=LAST_SECONDS,
    )
    return Quiet(config)


@contextlib.asynccontextmanager
async def serving(control: Control, state_dir: Path) -> AsyncIterator[None]:
    """The doors are open within. Raises Unavailable."""
    place = state_dir / SOCKET
    at = control.turn.metrics_listen
    with contextlib.ExitStack() as sockets:
        doors = [(quiet(everything(control)), sockets.enter_context(listen_here(place)))]
        if at is not None:
            doors.append((quiet(figures_alone(control)), sockets.enter_context(listen(at))))
        tasks = [asyncio.create_task(server.serve([sock])) for server, sock in doors]
        try:
            while not all(server.started for server, _ in doors):
                await asyncio.sleep(START_SECONDS)
            yield
        finally:
            await close([server for server, _ in doors], tasks)
            remove(place)


async def close(servers: Sequence[Quiet], tasks: Sequence[asyncio.Task[None]]) -> None:
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*tasks)


def listen_here(place: Path) -> socket.socket:
    """A Unix socket that only this account may open, in the place of an older one. Raises Unavailable."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    draft = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        made.bind(str(draft))
        draft.chmod(stat.S_IRUSR | stat.S_IWUSR)
        draft.rename(place)
    except OSError as error:
        made.close()
        raise Unavailable(f"{place}: {error.strerror or error}; point site.state_dir elsewhere") from None
    return made


def listen(at: Address) -> socket.socket:
    """Raises Unavailable."""
    made = socket.socket(socket.AF_INET6 if len(at.ip) == 16 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((at.host, at.port))
    except OSError as error:
        made.close()
        raise Unavailable(f"{at}: {error.strerror}; set turn.metrics_listen otherwise") from None
    return made


def remove(place: Path) -> None:
    """The socket's file, unless a newer relay has put its own there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        try:
            asked.connect(str(place))
        except OSError:
            place.unlink(missing_ok=True)
