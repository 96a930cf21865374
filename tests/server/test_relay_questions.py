"""One question to a relay: where it goes, and what counts as an answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from host.unix_socket import VersionedSocket
from server import relay_questions
from server.ice import IceSettings
from server.relay_questions import LOOK_SECONDS, MAX_ADDRESSES, RelayQuestion
from tests.ports import free_port
from tests.turn.network import LISTENER, network
from turn.flows import Address
from turn.wire.proxy_protocol import header_size
from turn.wire.stun import HEADER_BYTES, build, is_bare_binding, parse

LOCAL, OTHER = socket.inet_aton("127.0.0.1"), socket.inet_aton("127.0.0.2")
STRANGER = Address.of("198.51.100.1", 45000)
PATIENCE = 10.0

Answer = Callable[[bytes], bytes | None]


def relay_answer(request: bytes) -> bytes | None:
    """What a relay's process itself says: its program in the kernel takes bare requests only."""
    assert not is_bare_binding(request)
    sent = network().deliver(LISTENER, STRANGER, request)
    return sent[0].data


def refusal(request: bytes) -> bytes:
    """What other servers say to a request with something that they do not know."""
    return build(0x0111, parse(request).transaction, [])


def of_another(request: bytes) -> bytes:
    return build(0x0101, b"another one.", [])


def echo(request: bytes) -> bytes:
    return request


def nonsense(request: bytes) -> bytes:
    return b"\x01\x01 hello"


def nothing(request: bytes) -> None:
    return None


class Answering(asyncio.DatagramProtocol):
    def __init__(self, answer: Answer, heard: list[bytes]) -> None:
        self.answer, self.heard = answer, heard

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.heard.append(data)
        answer = self.answer(data)
        if answer is not None:
            self.transport.sendto(answer, addr)


@asynccontextmanager
async def relay_at(port: int, answer: Answer, host: str = "127.0.0.1") -> AsyncIterator[list[bytes]]:
    heard: list[bytes] = []
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Answering(answer, heard), (host, port))
    yield heard
    transport.close()


def settings(port: int, *hosts: str, here: bytes = b"\x09\x09\x09\x09") -> IceSettings:
    first, *more = hosts or ("127.0.0.1", "elsewhere.invalid")
    return IceSettings(first, (port,), b"", 600, more_hosts=tuple(more), served_here=frozenset((here,)))


def question(folder: Path, now: IceSettings, host: str = "127.0.0.1") -> RelayQuestion:
    return RelayQuestion(host, lambda: now, folder / "turn.sock", lambda: 0.0)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_questions, "ANSWER_SECONDS", 0.2)


@pytest.mark.parametrize("answer", [relay_answer, refusal])
async def test_an_answer(tmp_path: Path, answer: Answer) -> None:
    port = free_port()
    async with relay_at(port, answer) as heard:
        assert await question(tmp_path, settings(port))()
    assert len(heard) == 1


@pytest.mark.parametrize("answer", [of_another, echo, nonsense, nothing])
async def test_no_answer(tmp_path: Path, quick: None, answer: Answer) -> None:
    port = free_port()
    async with relay_at(port, answer) as heard:
        assert not await question(tmp_path, settings(port))()
    assert heard


async def test_a_port_where_nothing_listens(tmp_path: Path) -> None:
    assert not await question(tmp_path, settings(free_port()))()


@pytest.mark.parametrize("hosts", [("127.0.0.1",), ("127.0.0.1", "127.0.0.2")])
async def test_the_relay_of_this_machine_is_asked_by_its_unix_socket(
    tmp_path: Path, hosts: tuple[str, ...]
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        header = await reader.readexactly(HEADER_BYTES)
        await reader.readexactly(header_size(header[:16]) - HEADER_BYTES)
        request = await reader.readexactly(HEADER_BYTES)
        request += await reader.readexactly(int.from_bytes(request[2:4]))
        writer.write(relay_answer(request) or b"")
        await reader.read()
        writer.close()
        served.set()

    served, port = asyncio.Event(), free_port()
    with VersionedSocket(tmp_path / "turn.sock") as listener:
        listener.publish()
        server = await asyncio.start_unix_server(serve, sock=listener.sock)
        async with relay_at(port, relay_answer) as heard:
            assert await question(tmp_path, settings(port, *hosts, here=LOCAL))()
            assert heard == []
            await asyncio.wait_for(served.wait(), PATIENCE)
        server.close()


async def test_without_its_unix_socket_it_is_asked_over_the_network(tmp_path: Path) -> None:
    port = free_port()
    async with relay_at(port, relay_answer) as heard:
        for hosts in (("127.0.0.1",), ("127.0.0.1", "127.0.0.2")):
            assert await question(tmp_path, settings(port, *hosts, here=LOCAL))()
    assert len(heard) == 2


async def test_one_without_udp_is_asked_over_a_connection(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readexactly(HEADER_BYTES)
        request += await reader.readexactly(int.from_bytes(request[2:4]))
        writer.write(relay_answer(request) or b"")
        await reader.read()
        writer.close()
        served.set()

    served = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    now = settings(0)._replace(ports=(), tcp_ports=(port,))
    assert await question(tmp_path, now)()
    await asyncio.wait_for(served.wait(), PATIENCE)
    server.close()


def resolver(monkeypatch: pytest.MonkeyPatch, find: Callable[[], Awaitable[list[bytes]]]) -> list[str]:
    """Another resolver; what it was asked."""
    looked: list[str] = []

    async def resolve(host: str) -> list[bytes]:
        looked.append(host)
        return await find()

    monkeypatch.setattr(relay_questions, "resolve", resolve)
    return looked


async def test_one_of_its_addresses_is_enough_and_not_too_many_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    async def find() -> list[bytes]:
        return [socket.inet_aton(f"127.0.0.{number}") for number in range(2, 2 + 2 * MAX_ADDRESSES)]

    resolver(monkeypatch, find)
    port, last = free_port(), 1 + MAX_ADDRESSES
    async with relay_at(port, relay_answer, f"127.0.0.{last}"):
        assert await question(tmp_path, settings(port, "a.example", "b.example"), "a.example")()
    async with relay_at(port, relay_answer, f"127.0.0.{last + 1}") as heard:
        assert not await question(tmp_path, settings(port, "a.example", "b.example"), "a.example")()
    assert heard == []


async def test_a_name_is_looked_up_at_times_and_kept_while_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[list[bytes] | Exception] = [
        OSError("no resolver"),
        [LOCAL],
        OSError("no resolver"),
        [OTHER],
    ]

    async def find() -> list[bytes]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    looked, now, port = resolver(monkeypatch, find), 0.0, free_port()
    ask = RelayQuestion(
        "a.example", lambda: settings(port, "a.example", "b.example"), tmp_path / "turn.sock", lambda: now
    )
    async with relay_at(port, relay_answer):
        assert [await ask() for _ in range(3)] == [False, True, True]
        assert len(looked) == 2
        now += LOOK_SECONDS
        assert await ask()
        assert not await ask()
    assert looked == ["a.example"] * 4


async def test_a_resolver_that_takes_long_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    found, port = asyncio.Event(), free_port()

    async def find() -> list[bytes]:
        await found.wait()
        return [LOCAL]

    looked = resolver(monkeypatch, find)
    ask = question(tmp_path, settings(port, "a.example", "b.example"), "a.example")
    async with relay_at(port, relay_answer):
        assert [await ask(), await ask()] == [False, False]
        found.set()
        assert await ask()
    assert looked == ["a.example"]
