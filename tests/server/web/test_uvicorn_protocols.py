"""Frames and heads that no browser sends: each has its close code or status, and nothing stays open."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from server import process
from server.signalling.messages import MAX_MESSAGE
from server.web import uvicorn_protocols
from server.web.uvicorn_protocols import MAX_FRAGMENTS
from tests.server.raw import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    PING,
    PONG,
    RSV1,
    TEXT,
    ask,
    frame,
    raw,
    raw_socket,
    upgrade,
)
from tests.server.serving import PATIENCE, Service, pages_of, serving

HELLO = b'{"type":"hello","token":"0123456789abcdef"}'

# What is sent after the handshake -> the close code.
FRAMES: Mapping[str, tuple[bytes, int]] = {
    "unmasked": (frame(HELLO, masked=False), 1002),
    "RSV1 without compression": (frame(HELLO, FIN | RSV1 | TEXT), 1002),
    "RSV2": (frame(HELLO, FIN | 0x20 | TEXT), 1002),
    "reserved opcode 3": (frame(HELLO, FIN | 3), 1002),
    "reserved opcode 11": (frame(HELLO, FIN | 0xB), 1002),
    "fragmented ping": (frame(b"", PING), 1002),
    "ping of 126 bytes": (frame(b"x" * 126, FIN | PING), 1002),
    "continuation of nothing": (frame(b"x", FIN | CONTINUATION), 1002),
    "text within a fragmented text": (frame(b"x", TEXT) + frame(b"y", TEXT), 1002),
    "close with one byte": (frame(b"x", FIN | CLOSE), 1002),
    "close with a code that is none": (frame(b"\x00\x01", FIN | CLOSE), 1002),
    "text that is not UTF-8": (frame(b"\xff\xfe"), 1007),
    "text with a surrogate": (frame(b"\xed\xa0\x80"), 1007),
    "text cut within a character": (frame('{"type":"ä'.encode()[:-1]), 1007),
    "64 KiB and one byte": (frame(b"x" * (MAX_MESSAGE + 1)), 1009),
    "announced 2^63": (frame(b"", length=1 << 63), 1009),
    "announced 2^63 - 1": (frame(b"x", length=(1 << 63) - 1), 1009),
    "fragments of more than 64 KiB": (frame(b"x" * MAX_MESSAGE, TEXT) + frame(b"x", CONTINUATION), 1009),
    "100,000 fragments of a byte": (frame(b"x", TEXT) + frame(b"x", CONTINUATION) * 100_000, 1009),
    "100,000 empty fragments": (frame(b"", TEXT) + frame(b"", CONTINUATION) * 100_000, 1009),
    "1,000 pings": (frame(b"x", FIN | PING) * 1_000, 1008),
    "1,000 pongs": (frame(b"x", FIN | PONG) * 1_000, 1008),
    "three times no JSON": (frame(b"{") * 3, 4400),
    "a binary flood": (frame(b"\x01", FIN | BINARY) * 1_000, 4429),
    "40,000 empty texts": (frame(b"") * 40_000, 4429),
    "40,000 pings in words": (frame(HELLO) + frame(b'{"type":"ping"}') * 10_000, 4429),
}


@pytest.mark.parametrize("name", FRAMES)
async def test_frames(service: Service, name: str) -> None:
    sent, code = FRAMES[name]
    async with raw_socket(service) as connection:
        sending = asyncio.create_task(connection.send(sent))
        assert await connection.close_code() == code
        await sending
    async with asyncio.timeout(5):
        while service.web.hub.clients or service.web.hub.resumable:
            await asyncio.sleep(0.01)
    assert not pages_of(service.web.hub)


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


async def test_a_ping_is_answered(service: Service) -> None:
    async with raw_socket(service) as connection:
        await connection.reader.readexactly(4)
        await connection.send(frame(b"are you there?", FIN | PING))
        assert b"are you there?" in await asyncio.wait_for(connection.reader.readuntil(b"?"), 5)


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


async def test_who_does_not_answer_a_ping_is_lost_but_may_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "PING_SECONDS", 0.5)
    async with serving(tmp_path) as service:
        other = await service.visitor("127.0.0.2")
        await other.say("start")
        async with raw_socket(service) as connection:
            await connection.send(frame(HELLO) + frame(b'{"type":"start"}'))
            while "partner" not in str(other.heard):
                await other.next()
            assert len(service.web.hub.resumable) == 1
        assert json.loads(other.heard[-1])["state"] == "away"


async def test_who_does_not_answer_a_close_is_cut_off(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_protocols, "CLOSE_SECONDS", 0.2)
    async with raw_socket(service) as connection:
        await connection.send(frame(b"{") * 3)
        assert await connection.close_code() == 4400
        assert await connection.rest() == b""


async def test_pings_of_one_who_reads_nothing_hold_no_memory(service: Service) -> None:
    async with raw_socket(service) as connection:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(200):
            await connection.send(frame(b"x" * 125, FIN | PING) * 100)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 << 10
        async with asyncio.timeout(5):
            while service.web.hub.clients:
                await asyncio.sleep(0.01)
    assert MAX_FRAGMENTS * 8 < MAX_MESSAGE


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
