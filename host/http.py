"""HTTP as both processes serve it: uvicorn without its signal handlers and log, and what operators send."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Iterator
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

MAX_BODY = 4_096  # bytes of an operator's request: bounds what a faulty program makes us keep
LOOK_SECONDS = 0.01  # between two looks whether servers have started


class HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers: the process decides when it ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def http_server(app: ASGIApp, **settings: Any) -> HttpServer:
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
    return HttpServer(config)


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
