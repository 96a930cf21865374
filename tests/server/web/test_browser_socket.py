"""Frames that no browser sends: each has its close code, and nothing stays open."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import Mapping
from pathlib import Path

import pytest

from server import process
from server.signalling.messages import MAX_MESSAGE
from server.web import browser_socket
from server.web.frames import MAX_FRAGMENTS
from tests.server.raw import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    PING,
    PONG,
    RSV1,
    TEXT,
    frame,
    raw,
    raw_socket,
    upgrade,
)
from tests.server.serving import Service, pages_of, serving

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


async def test_a_ping_is_answered(service: Service) -> None:
    async with raw_socket(service) as connection:
        await connection.reader.readexactly(4)
        await connection.send(frame(b"are you there?", FIN | PING))
        assert b"are you there?" in await asyncio.wait_for(connection.reader.readuntil(b"?"), 5)


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
    monkeypatch.setattr(browser_socket, "CLOSE_SECONDS", 0.2)
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


async def test_who_speaks_before_the_answer_to_its_handshake_is_heard(service: Service) -> None:
    async with raw(service) as connection:
        await connection.send(upgrade(service))
        await connection.send(frame(HELLO))
        assert await connection.status() == 101
        assert b'"resumed":false' in await asyncio.wait_for(
            connection.reader.readuntil(b'"resumed":false'), 5
        )
