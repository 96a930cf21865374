"""A body that is the same for every visitor: compressed once, and sent once to each browser."""

from __future__ import annotations

import gzip
import hashlib

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

# Old answers stay usable, but the browser asks whether they have changed; or it never asks again.
REVALIDATE = "no-cache"
IMMUTABLE = "public, max-age=31536000, immutable"


class Content:
    """Compressing is safe here (BREACH needs a secret and a stranger's words in one body): there is neither.
    Only gzip, which Python has: brotli would save 2 kB of a first visit, and be one more thing to install."""

    def __init__(self, body: bytes, media_type: str, status: int = 200) -> None:
        self.media_type, self.status = media_type, status
        self.hash = hashlib.sha256(body).hexdigest()[:16]
        zipped = gzip.compress(body, mtime=0)
        self.bodies = {"": body, "gzip": zipped} if len(zipped) < len(body) else {"": body}

    def respond(self, headers: Headers, cache: str = REVALIDATE) -> Response:
        """The body in the form that this browser reads, or 304 (RFC 9110 §13.1.2)."""
        coding = "gzip" if "gzip" in self.bodies and accepts_gzip(headers) else ""
        tag = f'"{self.hash}{coding}"'
        answer = {"cache-control": cache, "etag": tag, "vary": "accept-encoding"}
        if self.status == 200 and tag in tags(headers):
            return Response(status_code=304, headers=answer)
        if coding:
            answer["content-encoding"] = coding
        return Response(self.bodies[coding], self.status, answer, self.media_type)

    async def __call__(self, request: Request) -> Response:
        return self.respond(request.headers)


def accepts_gzip(headers: Headers) -> bool:
    """RFC 9110 §12.5.3, as far as browsers use it."""
    codings = (coding.partition(";") for coding in headers.get("accept-encoding", "").split(","))
    return any(
        name.strip().lower() == "gzip"
        and quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
        for name, _, quality in codings
    )


def tags(headers: Headers) -> list[str]:
    """A proxy that compresses makes them weak: `W/`."""
    return [tag.strip().removeprefix("W/") for tag in headers.get("if-none-match", "").split(",")]
