"""What stands before every request: paths, names, bodies, headers and methods, as a table."""

from __future__ import annotations

import logging

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from websockets.exceptions import InvalidStatus

from server.web.look import COLOUR, NO_LOOK, STYLE, files_of
from server.web.middleware import HEADERS, CatchErrors
from server.web.sentences import Sentences
from tests.server.raw import ask
from tests.server.serving import Service
from turn.limits.addresses import AddressRates
from turn.limits.buckets import Buckets

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": files_of(COLOUR, NO_LOOK).source(STYLE),
    "img-src": "'self' blob:",
    "media-src": "'self' blob:",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
GET = "GET {path} HTTP/1.1\r\nHost: HERE\r\n{more}\r\n"

REQUESTS: list[tuple[str, bytes | str, int]] = [
    ("the page", GET.format(path="/", more=""), 200),
    ("privacy", GET.format(path="/privacy", more=""), 200),
    ("alive", GET.format(path="/healthz", more=""), 200),
    ("alive, by any name", "GET /healthz HTTP/1.1\r\nHost: 10.0.0.7\r\n\r\n", 200),
    ("nothing there", GET.format(path="/nothing", more=""), 404),
    ("metrics are elsewhere", GET.format(path="/metrics", more=""), 404),
    ("readiness too", GET.format(path="/readyz", more=""), 404),
    ("reports too", GET.format(path="/reports", more=""), 404),
    ("up", GET.format(path="/../../etc/passwd", more=""), 404),
    ("up from static", GET.format(path="/static/../app.py", more=""), 404),
    ("up from static, escaped", GET.format(path="/static/%2e%2e/app.py", more=""), 404),
    ("up from static, twice escaped", GET.format(path="/static/%252e%252e/app.py", more=""), 404),
    ("up with backslashes", GET.format(path="/static/..%5capp.py", more=""), 404),
    ("an absolute path", GET.format(path="/static//etc/passwd", more=""), 404),
    ("NUL", GET.format(path="/static/main.js%00.css", more=""), 404),
    ("bad UTF-8", GET.format(path="/static/%ff", more=""), 404),
    ("a folder", GET.format(path="/static/", more=""), 404),
    ("a very long name", GET.format(path="/static/" + "x" * 5000, more=""), 404),
    ("another name", "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
    ("our name, another port", "GET / HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n", 421),
    ("our name with a dot", "GET / HTTP/1.1\r\nHost: localhost.\r\n\r\n", 421),
    ("no name", "GET / HTTP/1.1\r\n\r\n", 400),
    ("no name, HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", 421),
    ("two names", "GET / HTTP/1.1\r\nHost: HERE\r\nHost: evil.example\r\n\r\n", 400),
    ("a name elsewhere", GET.format(path="/", more="X-Forwarded-Host: evil.example\r\n"), 200),
    ("HEAD", "HEAD / HTTP/1.1\r\nHost: HERE\r\n\r\n", 200),
    ("POST", "POST / HTTP/1.1\r\nHost: HERE\r\n\r\n", 405),
    ("TRACE", "TRACE / HTTP/1.1\r\nHost: HERE\r\n\r\n", 405),
    ("an unknown verb", "BREW / HTTP/1.1\r\nHost: HERE\r\n\r\n", 405),
    ("CONNECT", "CONNECT HERE HTTP/1.1\r\nHost: HERE\r\n\r\n", 404),
    ("100 MB", "POST / HTTP/1.1\r\nHost: HERE\r\nContent-Length: 104857600\r\n\r\n", 413),
    ("a body with GET", GET.format(path="/", more="Content-Length: 1\r\n") + "x", 413),
    ("an empty body", GET.format(path="/", more="Content-Length: 0\r\n"), 200),
    ("chunked", GET.format(path="/", more="Transfer-Encoding: chunked\r\n"), 413),
    (
        "length and chunked",
        GET.format(path="/", more="Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        400,
    ),
    ("two lengths", GET.format(path="/", more="Content-Length: 5\r\nContent-Length: 6\r\n"), 400),
    ("a negative length", GET.format(path="/", more="Content-Length: -1\r\n"), 400),
    ("another encoding", GET.format(path="/", more="Transfer-Encoding: gzip\r\n"), 501),
    ("a folded header", GET.format(path="/", more="X: a\r\n b\r\n"), 200),
    ("a space before the colon", GET.format(path="/", more="X : a\r\n"), 400),
    ("a bare CR", GET.format(path="/", more="X: a\rb\r\n"), 400),
    ("65 headers", GET.format(path="/", more="".join(f"X-{n}: a\r\n" for n in range(64))), 431),
    ("1,000 headers", GET.format(path="/", more="".join(f"X-{n}: a\r\n" for n in range(1000))), 431),
    ("a header of 64 KiB", GET.format(path="/", more="X: " + "a" * 65_536 + "\r\n"), 431),
    ("HTTP/0.9", "GET /\r\n\r\n", 400),
    ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 421),
    ("noise", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    ("a range", GET.format(path="/static/style.css", more="Range: bytes=0-9\r\n"), 200),
]


@pytest.mark.parametrize(("name", "request_", "status"), REQUESTS, ids=[row[0] for row in REQUESTS])
async def test_requests(service: Service, name: str, request_: bytes | str, status: int) -> None:
    sent = request_ if isinstance(request_, bytes) else request_.encode()
    assert await ask(service, sent) == status, name


async def test_every_answer_has_the_strict_headers(service: Service) -> None:
    async with httpx.AsyncClient(base_url=service.origin) as client:
        for path in ("/", "/privacy", "/static/main.js", "/healthz", "/nothing"):
            headers = (await client.get(path)).headers
            assert {name: headers[name] for name in HEADERS} == HEADERS
            policy = headers["content-security-policy"]
            rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
            assert {name: rules[name] for name in POLICY} == POLICY
            assert f"connect-src 'self' ws://127.0.0.1:{service.port};" in policy
            assert "unsafe" not in policy
            assert "server" not in headers
        refused = await client.get("/", headers={"Host": "evil.example"})
        assert (refused.status_code, refused.headers["connection"]) == (421, "close")
        assert "connect-src 'self';" in refused.headers["content-security-policy"]


async def test_a_mistake_is_500_and_its_words_stay_here(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(request: Request) -> Response:
        raise ValueError("canary")

    app = Starlette(routes=[Route("/", broken)], middleware=[Middleware(CatchErrors, sentences=Sentences())])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        with caplog.at_level(logging.INFO, "calln.server"):
            answer = await client.get("/?canary=1")
    assert (answer.status_code, answer.text) == (
        500,
        "The server made an error, and its operator finds it in the log. Try again in a moment.\n",
    )
    assert "ValueError in broken" in caplog.text
    assert "canary" not in "".join(
        record.getMessage() for record in caplog.records if record.name == "calln.server"
    )


async def test_an_address_that_asks_too_often_is_told_so_and_others_are_served(service: Service) -> None:
    rates = AddressRates(Buckets(1 / 1000, 3, b"key"))
    service.web.hub.admission.requests = rates
    asked = GET.format(path="/healthz", more="").encode()
    assert [await ask(service, asked) for _ in range(5)] == [200, 200, 200, 429, 429]
    await service.visitor("127.0.0.2")
    with pytest.raises(InvalidStatus) as refused:
        await service.browser()
    assert refused.value.response.status_code == 429
    assert service.web.hub.metrics.children["connection", "too many requests"]._value.get() == 3
