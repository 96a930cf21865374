"""uvicorn as both processes have it: it takes no signals, guesses no client and writes no log."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from host.http import MAX_BODY, error_response, http_server, read_body, until_started


async def who_asks(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(scope["client"][0])(scope, receive, send)


@pytest.mark.parametrize(("size", "answer"), [(0, b""), (MAX_BODY, b"x" * MAX_BODY), (MAX_BODY + 1, None)])
async def test_a_body_may_not_be_too_long(size: int, answer: bytes | None) -> None:
    parts = [b"x"] * size

    async def receive() -> Message:
        return {"type": "http.request", "body": parts.pop() if parts else b"", "more_body": bool(parts)}

    assert await read_body(Request({"type": "http"}, receive)) == answer


def test_an_error_is_a_message() -> None:
    response = error_response(404, "there is no such session")
    assert (response.status_code, response.body) == (404, b'{"message":"there is no such session"}')


async def test_it_serves_and_ends_when_told(capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        server = http_server(who_asks, http="h11", ws="none", timeout_graceful_shutdown=1)
        serving = asyncio.create_task(server.serve([sock]))
        await until_started([server])
        assert signal.getsignal(signal.SIGTERM) is before
        async with httpx.AsyncClient(headers={"X-Forwarded-For": "192.0.2.9"}) as client:
            answer = await client.get(f"http://127.0.0.1:{sock.getsockname()[1]}/")
        server.should_exit = True
        await serving
    assert answer.text == "127.0.0.1"
    assert "server" not in answer.headers
    assert capfd.readouterr().err == ""
    assert not logging.getLogger("uvicorn.error").isEnabledFor(logging.CRITICAL)
