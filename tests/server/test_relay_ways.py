"""The way to a relay: which one is taken, over real sockets, and what comes back by it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import pytest

from host.unix_socket import VersionedSocket
from server import relay_ways
from server.ice import IceSettings
from server.relay_ways import MAX_ANSWER, QUEUED, is_here, is_own, way_to
from turn.wire.proxy_protocol import client_of, header_size
from turn.wire.stun import HEADER_BYTES, build

PATIENCE = 10.0
REQUEST = build(0x028A, b"t" * 12, [])
ANSWER = build(0x038A, b"t" * 12, [])
LOCAL, OTHER = socket.inet_aton("127.0.0.1"), socket.inet_aton("127.0.0.2")
EVERY, EVERY6 = bytes(4), bytes(16)


def settings(*hosts: str, udp: int = 0, tcp: int = 0, here: bytes = EVERY) -> IceSettings:
    return IceSettings(
        hosts[0],
        (udp,) if udp else (),
        b"0123456789abcdef",
        600,
        (tcp,) if tcp else (),
        more_hosts=hosts[1:],
        served_here=frozenset((here,)),
    )


SERVING: list[asyncio.Task[None] | None] = []  # to be waited for, or the loop ends them noisily


async def answer_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    SERVING.append(asyncio.current_task())
    with suppress(EOFError):
        while (await reader.readexactly(len(REQUEST))) == REQUEST:
            writer.write(ANSWER)
    writer.close()


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(ANSWER, addr)


@asynccontextmanager
async def udp_relay(host: str = "127.0.0.1") -> AsyncIterator[int]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Echo, (host, 0))
    yield transport.get_extra_info("sockname")[1]
    transport.close()


@asynccontextmanager
async def unix_relay(folder: Path, headers: list[bytes]) -> AsyncIterator[VersionedSocket]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        header = await reader.readexactly(HEADER_BYTES)
        headers.append(header + await reader.readexactly(header_size(header[:16]) - HEADER_BYTES))
        await answer_stream(reader, writer)

    with VersionedSocket(folder / "turn.sock") as listener:
        listener.publish()
        server = await asyncio.start_unix_server(serve, sock=listener.sock)
        yield listener
        server.close()


async def ask(host: str, now: IceSettings, folder: Path) -> tuple[bytes, bool]:
    """The answer, and whether the way is reliable."""
    async with asyncio.timeout(PATIENCE):
        async with way_to(host, lambda: now, folder / "turn.sock")() as way:
            way.send(REQUEST)
            answer = await way.receive(), way.is_reliable
        await asyncio.gather(*(task for task in SERVING if task))
        SERVING.clear()
    return answer


@pytest.mark.parametrize(
    ("hosts", "here", "is_unix"),
    [
        (("127.0.0.1",), EVERY, True),
        (("127.0.0.1", "127.0.0.2"), EVERY, True),
        (("127.0.0.1", "127.0.0.2"), LOCAL, True),
        (("127.0.0.1", "127.0.0.2"), OTHER, False),
        (("127.0.0.1", "127.0.0.2"), EVERY6, False),
        (("127.0.0.1",), OTHER, True),
    ],
)
async def test_the_relay_of_this_machine_is_told_by_its_unix_socket(
    tmp_path: Path, hosts: tuple[str, ...], here: bytes, is_unix: bool
) -> None:
    """A relay of the same name elsewhere is told over the network."""
    headers: list[bytes] = []
    async with udp_relay() as port, unix_relay(tmp_path, headers):
        assert await ask("127.0.0.1", settings(*hosts, udp=port, here=here), tmp_path) == (ANSWER, is_unix)
    assert len(headers) == is_unix
    for header in headers:
        client = client_of(header, "tls")
        assert client is not None
        assert (client.ip, client.port >= 1024) == (LOCAL, True)


async def test_without_a_relay_on_this_machine_the_network_leads_there(tmp_path: Path) -> None:
    headers: list[bytes] = []
    async with unix_relay(tmp_path, headers):
        pass
    async with udp_relay() as port:
        assert await ask("127.0.0.1", settings("127.0.0.1", udp=port), tmp_path) == (ANSWER, False)
        assert await ask("localhost", settings("localhost", udp=port), tmp_path) == (ANSWER, False)


async def test_the_only_relay_is_found_without_a_resolver(tmp_path: Path) -> None:
    headers: list[bytes] = []
    async with unix_relay(tmp_path, headers):
        assert await ask("nobody.invalid", settings("nobody.invalid"), tmp_path) == (ANSWER, True)


async def test_an_older_relay_is_told_while_the_newest_is_gone(tmp_path: Path) -> None:
    headers: list[bytes] = []
    async with unix_relay(tmp_path, headers) as older:
        (tmp_path / "turn.sock").unlink()
        assert older.own_path.exists()
        assert await ask("127.0.0.1", settings("127.0.0.1"), tmp_path) == (ANSWER, True)


async def test_each_address_of_a_relay_has_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may listen at one of them only."""

    async def both(_host: str) -> list[bytes]:
        return [OTHER, LOCAL]

    monkeypatch.setattr(relay_ways, "resolve", both)
    async with udp_relay() as port:
        open_way = way_to("turn.example", lambda: settings("turn.example", udp=port), tmp_path / "turn.sock")
        answers = []
        for _ in range(3):
            async with open_way() as way:
                way.send(REQUEST)
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.3):
                        answers.append(await way.receive())
        assert answers == [ANSWER]


async def test_without_udp_it_is_told_over_tcp(tmp_path: Path) -> None:
    server = await asyncio.start_server(answer_stream, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await ask("127.0.0.1", settings("127.0.0.1", tcp=port), tmp_path) == (ANSWER, True)
    server.close()


async def test_udp_and_a_connection_take_turns(tmp_path: Path) -> None:
    """Somebody who floods a relay over UDP under our address may leave us no answer there."""
    server = await asyncio.start_server(answer_stream, "127.0.0.1", 0)
    async with udp_relay() as port, asyncio.timeout(PATIENCE):
        now = settings("127.0.0.1", udp=port, tcp=server.sockets[0].getsockname()[1])
        opener = way_to("127.0.0.1", lambda: now, tmp_path / "turn.sock")
        reliable: list[bool] = []
        for _ in range(3):
            async with opener() as way:
                way.send(REQUEST)
                assert await way.receive() == ANSWER
                reliable.append(way.is_reliable)
        assert reliable == [False, True, False]
    await asyncio.gather(*(task for task in SERVING if task))
    SERVING.clear()
    server.close()


async def test_where_nobody_listens_it_is_an_error_or_silence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="Connect call failed"):
            await ask("127.0.0.1", settings("127.0.0.1", tcp=port), tmp_path)
    with pytest.raises(OSError, match="known"):
        await ask("nobody.invalid", settings("nobody.invalid", udp=9), tmp_path)


@pytest.mark.parametrize("said", [b"", REQUEST[:7], b"\x03\x8a\xff\xff" + bytes(16)])
async def test_a_connection_that_ends_or_says_nonsense_is_an_error(tmp_path: Path, said: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    assert int.from_bytes(b"\xff\xff") > MAX_ANSWER
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(OSError):  # noqa: PT011  # a reset has several texts
        await ask("127.0.0.1", settings("127.0.0.1", tcp=port), tmp_path)
    server.close()


async def test_what_nobody_reads_is_bounded(tmp_path: Path) -> None:
    async with udp_relay() as port, way_to("127.0.0.1", lambda: settings("h", udp=port), tmp_path)() as way:
        for _ in range(3 * QUEUED):
            way.send(REQUEST)
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE):
            for _ in range(QUEUED):
                assert await way.receive() == ANSWER


@pytest.mark.parametrize(("ip", "own"), [("127.0.0.1", True), ("127.7.7.7", True), ("192.0.2.1", False)])
def test_own_addresses_are_those_that_packets_to_them_leave_from(ip: str, own: bool) -> None:
    assert is_own(socket.inet_aton(ip)) is own
    assert is_here(socket.inet_aton(ip), [EVERY]) is own
    assert is_here(socket.inet_aton(ip), [socket.inet_aton(ip)])
    assert not is_here(socket.inet_aton(ip), [])
