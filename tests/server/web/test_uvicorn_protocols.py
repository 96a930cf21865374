"""Frames and heads that no browser sends: each has its close code or status, and nothing stays open."""

from __future__ import annotations

import asyncio
import socket

import pytest

from server.web import uvicorn_protocols
from tests.server.raw import (
    CLOSE,
    FIN,
    ask,
    frame,
    raw,
    raw_socket,
    upgrade,
)
from tests.server.serving import PATIENCE, Service

# Headers of the handshake -> the status.
HANDSHAKES: list[tuple[dict[str, str | None], int]] = [
    ({}, 101),
    ({"Sec_WebSocket_Key": None}, 400),
    ({"Sec_WebSocket_Key": "short"}, 400),
    ({"Sec_WebSocket_Version": None}, 400),
    ({"Sec_WebSocket_Version": "12"}, 400),
    ({"Sec_WebSocket_Version": "13garbage"}, 400),
    ({"Connection": "close"}, 404),
    ({"Host": None}, 400),
    ({"Host": "evil.example"}, 421),
    ({"Host": "127.0.0.1"}, 421),
    ({"Content_Length": "5"}, 400),
    ({"Transfer_Encoding": "chunked"}, 400),
    ({"X_Large": "x" * 20_000}, 431),
    ({"X_Large": "x" * 9_000}, 431),
]


@pytest.mark.parametrize(("headers", "status"), HANDSHAKES)
async def test_handshakes(service: Service, headers: dict[str, str | None], status: int) -> None:
    assert await ask(service, upgrade(service, **headers)) == status


async def test_a_handshake_with_a_body_is_no_way_in(service: Service) -> None:
    async with raw(service) as connection:
        smuggled = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        await connection.send(upgrade(service, Content_Length=str(len(smuggled))) + smuggled)
        assert await connection.status() == 400
        assert b"200" not in await connection.rest()


async def test_who_sends_no_request_is_cut_off(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_protocols, "HEAD_SECONDS", 0.2)
    for beginning in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"):
        async with raw(service) as connection:
            await connection.send(beginning)
            assert await connection.rest() == b""


async def test_who_has_asked_may_ask_again_but_not_half(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_protocols, "HEAD_SECONDS", 0.3)
    request = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\n\r\n".encode()
    async with raw(service) as connection:
        for _ in range(3):
            await connection.send(request)
            assert await connection.status() == 200
            await connection.reader.readexactly(3)
            await asyncio.sleep(0.2)
        await connection.send(request[:20])
        assert await connection.rest() == b""


async def is_cut(client: socket.socket, data: bytes) -> bool:
    try:
        await asyncio.get_running_loop().sock_sendall(client, data)
    except ConnectionError:
        return True
    return False


async def test_who_asks_and_does_not_read_is_cut_off(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_protocols, "HEAD_SECONDS", 0.3)
    request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\n\r\n".encode()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", service.port))
        async with asyncio.timeout(PATIENCE):
            while not await is_cut(client, request * 100):
                pass


async def test_an_open_socket_is_not_cut_off(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_protocols, "HEAD_SECONDS", 0.1)
    browser = await service.visitor()
    await asyncio.sleep(0.3)
    await browser.say("ping")
    await browser.hear("pong")


async def open_connections(service: Service, number: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while service.connections.total != number:
            await asyncio.sleep(0.01)


async def test_each_connection_is_counted_until_it_ends_whatever_it_becomes(service: Service) -> None:
    async with raw(service), raw(service) as refused, raw_socket(service) as page:
        await open_connections(service, 3)
        await refused.send(upgrade(service, Sec_WebSocket_Version="7"))
        await refused.rest()
        await open_connections(service, 2)
        await page.send(frame(b"\x03\xe8", FIN | CLOSE))
        await page.rest()
        await open_connections(service, 1)
    visitor = await service.visitor()
    await open_connections(service, 1)
    visitor.cut()
    await open_connections(service, 0)
    assert service.connections.of_address.amount(b"\x7f\0\0\1") == 0
