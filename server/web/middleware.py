"""What every request passes: strict headers, our own host names, limits on size, errors without details."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.web.failures import log_failure
from server.web.origins import header
from server.web.sentences import Sentences

MAX_HEADERS = 64  # a browser sends some twenty
MAX_HEAD = 16 << 10  # bytes of all headers; the HTTP parser limits only a head that comes in pieces
NO_BODIES: Mapping[str, int] = {}
HEALTH_PATH = "/healthz"  # monitoring may know only the address

POLICY = (
    "default-src 'none'; script-src 'self'; style-src {styles}; img-src 'self' blob:; "
    "media-src 'self' blob:; connect-src 'self'{sockets}; manifest-src 'self'; base-uri 'none'; "
    "form-action {forms}; frame-ancestors 'none'"
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "microphone=(self), camera=(), geolocation=(), display-capture=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}
HSTS = "max-age=31536000"  # RFC 6797 §6.1, a year; only with our own TLS: else it is the proxy's decision


class SecurityHeaders:
    """Set the strict headers. Older browsers need the WebSocket's origin beside 'self'."""

    def __init__(self, app: ASGIApp, hosts: Mapping[str, str], styles: str, forms: str = "'none'") -> None:
        self.app = app
        self.policies = {
            host: POLICY.format(sockets=f" {sockets}", styles=styles, forms=forms)
            for host, sockets in hosts.items()
        }
        self.policy = POLICY.format(sockets="", styles=styles, forms=forms)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                if scope["scheme"] in ("https", "wss"):
                    headers["strict-transport-security"] = HSTS
                headers.setdefault("content-security-policy", self.policies.get(host, self.policy))
            await send(message)

        host = header(scope, b"host") or ""
        await self.app(scope, receive, stamped)


class CatchErrors:
    """Answer 500 for our own errors, and log where they happened."""

    def __init__(self, app: ASGIApp, sentences: Sentences) -> None:
        self.app = app
        self.sentences = sentences

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except OSError:
            return  # the client is gone
        except Exception as failure:
            log_failure(failure)
            if not started and scope["type"] == "http":
                await self.sentences.answer(scope, 500)(scope, receive, send)


class RequestLimits:
    """Refuse too many headers, and bodies. `bodies`: path -> how many bytes are allowed."""

    def __init__(self, app: ASGIApp, sentences: Sentences, bodies: Mapping[str, int] = NO_BODIES) -> None:
        self.app = app
        self.sentences = sentences
        self.bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        code = refusal_status(scope, self.bodies.get(scope["path"], 0))
        if code is None:
            await self.app(scope, receive, send)
        else:
            await self.sentences.answer(scope, code)(scope, receive, send)


def refusal_status(scope: Scope, body: int) -> int | None:
    """The status for a request that is too large or ambiguous (RFC 9112 §6.1); None: it may pass."""
    size = sum(len(name) + len(value) for name, value in scope["headers"])
    if len(scope["headers"]) > MAX_HEADERS or size > MAX_HEAD:
        return 431
    names = {name for name, _ in scope["headers"]}
    if {b"content-length", b"transfer-encoding"} <= names:
        return 400
    if b"transfer-encoding" in names or int(header(scope, b"content-length") or "0") > body:
        return 413
    return None


class AllowedHosts:
    """Refuse other host names than ours: they are DNS rebinding, or an error in a proxy."""

    def __init__(self, app: ASGIApp, sentences: Sentences, hosts: Mapping[str, str]) -> None:
        self.app = app
        self.sentences = sentences
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = header(scope, b"host")
        if scope["path"] == HEALTH_PATH or (host is not None and host.lower() in self.hosts):
            await self.app(scope, receive, send)
        else:
            await self.sentences.answer(scope, 421)(scope, receive, send)


class RequestRate:
    """Refuse the requests of an address that asks too often."""

    def __init__(self, app: ASGIApp, sentences: Sentences, may_ask: Callable[[Scope], bool]) -> None:
        self.app = app
        self.sentences = sentences
        self.may_ask = may_ask

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.may_ask(scope):
            await self.app(scope, receive, send)
        else:
            await self.sentences.answer(scope, 429)(scope, receive, send)
