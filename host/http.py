"""HTTP as both processes serve it: uvicorn without its signal handlers, its guesses and its log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp

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
