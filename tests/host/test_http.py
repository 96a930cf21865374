"""uvicorn as both processes have it: it takes no signals, guesses no client and writes no log."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

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


class Named(H11Protocol):
    on_ended: Callable[[], None]

    def connection_lost(self, exc: Exception | None) -> None:
        self.on_ended()
        super().connection_lost(exc)


async def test_each_connection_is_admitted_and_its_end_is_told() -> None:
    ended: list[int] = []
    admitted: list[object] = []

    def admit(_sock: socket.socket, source: tuple[str, int]) -> Callable[[], None] | None:
        if len(admitted) == 2:
            return None
        admitted.append(source)
        return lambda: ended.append(source[1])

    with socket.create_server(("127.0.0.1", 0)) as sock:
        server = http_server(who_asks, admit, http=Named, ws="none", timeout_graceful_shutdown=1)
        serving = asyncio.create_task(server.serve([sock]))
        await until_started([server])
        place = sock.getsockname()
        ends = [await asyncio.open_connection(*place) for _ in range(3)]
        for reader, writer in ends[:2]:
            writer.write(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
            assert b"127.0.0.1" in await reader.read()
        assert await ends[2][0].read() == b""
        ports = {writer.get_extra_info("sockname")[1] for _, writer in ends[:2]}
        for _, writer in ends:
            writer.close()
        async with asyncio.timeout(10):
            while len(ended) < 2:
                await asyncio.sleep(0.01)
        assert set(ended) == ports
        server.should_exit = True
        await serving
