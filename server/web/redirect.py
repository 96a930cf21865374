"""What plain HTTP is good for beside HTTPS: the way there, and the proof that an authority asks for."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from server.web.origins import header

CHALLENGES = "/.well-known/acme-challenge/"  # RFC 8555 §8.3
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")  # base64url, and nothing that leads elsewhere
MAX_ACME_RESPONSE = 4_096
NOT_YET = "there is no certificate yet\n"


class Redirect:
    """Leads to the same page of the HTTPS origin that was meant; `is_open` says whether anybody is there."""

    def __init__(
        self, origins: Iterable[str], main: str, folder: Path | None, is_open: Callable[[], bool]
    ) -> None:
        self.origins = {urlsplit(one).hostname: one for one in origins if one.startswith("https://")}
        self.default_origin = main
        self.acme_dir = folder
        self.has_certificate = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
            return
        await self.respond(Request(scope))(scope, receive, send)

    def respond(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("nothing here takes that\n", 405)
        path = str(request.scope["path"])
        if path.startswith(CHALLENGES):
            return self.acme_response(path.removeprefix(CHALLENGES))
        if not self.has_certificate():
            return PlainTextResponse(NOT_YET, 503, {"retry-after": "60"})
        return RedirectResponse(self.origin(request.scope) + path_and_query(request.scope), 308)

    def origin(self, scope: Scope) -> str:
        try:
            named = urlsplit(f"//{header(scope, b'host') or ''}").hostname
            return self.origins.get(named, self.default_origin)
        except ValueError:  # brackets around what is no address
            return self.default_origin

    def acme_response(self, token: str) -> Response:
        is_one = self.acme_dir is not None and TOKEN.fullmatch(token)
        data = read_start(Path(self.acme_dir or ".", CHALLENGES.strip("/"), token)) if is_one else None
        if data is None:
            return PlainTextResponse("there is no such token\n", 404)
        return Response(data, media_type="application/octet-stream")


def path_and_query(scope: Scope) -> str:
    """Path and query as they came; what is no path leads to the page."""
    path, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
    return (path if path.startswith("/") else "/") + (f"?{query}" if query else "")


def read_start(path: Path) -> bytes | None:
    """The beginning of a file that is one; None for anything else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return os.read(descriptor, MAX_ACME_RESPONSE) if is_file else None
    finally:
        os.close(descriptor)
