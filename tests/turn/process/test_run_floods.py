"""A real relay process under a flood from many sources: its memory and its descriptors stay as they were."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from aioice import stun

from tests.ports import free_port
from tests.turn.core.floods import FLOODS
from tests.turn.engines.world import End, StreamEnd
from tests.turn.process.relay_process import Elsewhere, elsewhere
from tests.turn.service.caller import Caller
from tests.turn.service.running import ALICE
from turn.flows import Address

SOURCES = 10_000
MOST_KILOBYTES = 1024
SENT = ("Binding", "Allocate without credentials", "Allocate with a forged signature", "Refresh", "two bytes")
NO_LIMITS = {"unauthenticated_per_second": 0, "unauthenticated_in_all": 0}
STUCK = 5  # readers
MOST_KILOBYTES_EACH = 256
AT_ONCE = 200  # packets, before the relay is asked whether it has read them


def processes(relay: Elsewhere) -> list[Path]:
    """The one that was started, and its workers."""
    first = relay.process.pid
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    return [Path(f"/proc/{number}") for number in (first, *children)]


def kilobytes(relay: Elsewhere) -> int:
    told = [(process / "status").read_text() for process in processes(relay)]
    return sum(int(status.partition("VmRSS:")[2].split()[0]) for status in told)


def descriptors(relay: Elsewhere) -> int:
    return sum(len(list((process / "fd").iterdir())) for process in processes(relay))


def place(number: int) -> tuple[str, int]:
    """An address of this machine's own that nobody else has, and any port."""
    return f"127.{1 + number // 40_000}.{number // 200 % 200}.{1 + number % 200}", 0


async def flood(relay: Elsewhere, sources: range, datagrams: Sequence[bytes]) -> None:
    """Each from each source; slowly enough to be read, which an honest client asks for now and then."""
    there = (relay.listener.host, relay.listener.port)
    honest = relay.end()
    for number in sources:
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as stranger:
            stranger.bind(place(number))
            for data in datagrams:
                stranger.sendto(data, there)
        if number % (AT_ONCE // len(datagrams)) == 0:
            honest.send(FLOODS["Binding"], relay.listener)
            assert len(await honest.receive()) == 32


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("limits", [{}, NO_LIMITS], ids=["limited", "unlimited"])
async def test_strangers_cost_no_memory(tmp_path: Path, limits: dict[str, Any], workers: int) -> None:
    """Their replies come back as errors of the network, which cost none either. Where calls ride in the
    kernel, the process hears of fewer."""
    datagrams = [FLOODS[name] for name in SENT]
    limits = {**limits, "trusted": ["127.0.0.1/32"]}
    async with elsewhere(tmp_path, limits=limits, workers=workers, engine="portable") as relay:
        await flood(relay, range(1000), datagrams)
        before, files = kilobytes(relay), descriptors(relay)
        await flood(relay, range(1000, 1000 + SOURCES), datagrams)
        assert kilobytes(relay) - before <= MOST_KILOBYTES
        assert descriptors(relay) <= files
        await relay.caller().allocate()
        async with relay.operator() as operator:
            assert len((await operator.get("/sessions")).json()["sessions"]) == 1
            figures = (await operator.get("/stats")).json()["figures"]
    read = [figure["value"] for figure in figures if figure["name"] == "calln_relay_punted_packets_total"]
    assert sum(read) >= 0.9 * (1000 + SOURCES) * len(datagrams)  # on a busy machine some find a full buffer


async def stuck_reader(relay: Elsewhere, door: Address, peer: End) -> tuple[StreamEnd, Address]:
    """A client over TCP with a channel to the peer, that reads nothing any more; and its relayed address."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before it connects, or it grows to megabytes
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (door.host, door.port))
    stream = StreamEnd(*await asyncio.open_connection(sock=sock), door)
    caller = Caller(relay, *ALICE, stream)
    caller.listener = door
    there = await caller.allocate()
    assert await caller.bind(0x4000, peer.address) is stun.Class.RESPONSE
    stream.writer.transport.pause_reading()  # type: ignore[attr-defined]
    return stream, there


@pytest.mark.parametrize(("size", "packets"), [(0, 18_000), (160, 3000), (1200, 1000)])
async def test_who_reads_nothing_costs_little_memory(tmp_path: Path, size: int, packets: int) -> None:
    """Far more comes for each than any buffer holds."""
    place, door = (Address.of("127.0.0.1", free_port(), kind) for kind in ("udp", "tcp"))
    limits = {"packets_per_second": 0, "bits_per_second": 0, "trusted": ["127.0.0.1/32"]}
    async with elsewhere(tmp_path, limits=limits, listen=[str(place), str(door)]) as relay:
        relay.listener, peer, honest = place, relay.end(), relay.end()
        stuck = [await stuck_reader(relay, door, peer) for _ in range(STUCK)]
        before = kilobytes(relay)
        for number in range(packets):
            for _, there in stuck:
                peer.send(bytes(size), there)
            if number % 10 == 0:
                honest.send(FLOODS["Binding"], relay.listener)
                assert len(await honest.receive()) == 32
        assert kilobytes(relay) - before <= STUCK * MOST_KILOBYTES_EACH
        for stream, _ in stuck:
            stream.close()
            with suppress(OSError):
                await stream.writer.wait_closed()
