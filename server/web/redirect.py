"""Plain HTTP beside HTTPS: it redirects to HTTPS, and answers a certificate authority (ACME)."""

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
from server.web.sentences import Sentences

CHALLENGES = "/.well-known/acme-challenge/"  # RFC 8555 §8.3
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")  # base64url, which cannot leave the folder
MAX_ACME_RESPONSE = 4_096


class Redirect:
    """Redirects to the same path at the HTTPS origin of the same host, or else at the default origin."""

    def __init__(
        self,
        origins: Iterable[str],
        default_origin: str,
        acme_dir: Path | None,
        has_certificate: Callable[[], bool],
        sentences: Sentences,
    ) -> None:
        self.origins = {urlsplit(one).hostname: one for one in origins if one.startswith("https://")}
        self.default_origin = default_origin
        self.acme_dir = acme_dir
        self.has_certificate = has_certificate
        self.sentences = sentences

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
            return
        await self.respond(Request(scope))(scope, receive, send)

    def respond(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return self.sentences.answer(request.scope, 405, {"allow": "GET, HEAD"})
        path = str(request.scope["path"])
        if path.startswith(CHALLENGES):
            return self.acme_response(path.removeprefix(CHALLENGES))
        if not self.has_certificate():
            return self.sentences.answer(request.scope, 503, {"retry-after": "60"})
        return RedirectResponse(self.origin(request.scope) + path_and_query(request.scope), 308)

    def origin(self, scope: Scope) -> str:
        try:
            named = urlsplit(f"//{header(scope, b'host') or ''}").hostname
            return self.origins.get(named, self.default_origin)
        except ValueError:  # brackets without an address inside
            return self.default_origin

    def acme_response(self, token: str) -> Response:
        is_token = self.acme_dir is not None and TOKEN.fullmatch(token)
        data = read_start(Path(self.acme_dir or ".", CHALLENGES.strip("/"), token)) if is_token else None
        if data is None:
            return PlainTextResponse("there is no such ACME challenge\n", 404)
        return Response(data, media_type="application/octet-stream")


def path_and_query(scope: Scope) -> str:
    """Path and query as they came; anything else leads to the first page."""
    path, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
    return (path if path.startswith("/") else "/") + (f"?{query}" if query else "")


def read_start(path: Path) -> bytes | None:
    """The first bytes of a regular file; None for anything else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return os.read(descriptor, MAX_ACME_RESPONSE) if is_file else None
    finally:
        os.close(descriptor)
