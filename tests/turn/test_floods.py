"""A real relay process under a flood from many sources: its memory and its descriptors stay as they were."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.turn.core.test_floods import FLOODS
from tests.turn.test_process import Elsewhere, elsewhere

SOURCES = 10_000
MOST_KILOBYTES = 1024
NO_LIMITS = {"unauthenticated_per_second": 0, "unauthenticated_in_all": 0}
AT_ONCE = 200  # packets, before the relay is asked whether it has read them


def kilobytes(relay: Elsewhere) -> int:
    status = Path(f"/proc/{relay.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def descriptors(relay: Elsewhere) -> int:
    return len(list(Path(f"/proc/{relay.process.pid}/fd").iterdir()))


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


@pytest.mark.parametrize("limits", [{}, NO_LIMITS], ids=["limited", "unlimited"])
async def test_strangers_cost_no_memory(tmp_path: Path, limits: dict[str, int]) -> None:
    """Their replies come back as errors of the network, which cost none either."""
    datagrams = list(FLOODS.values())
    async with elsewhere(tmp_path, limits={**limits, "trusted": ["127.0.0.1/32"]}) as relay:
        await flood(relay, range(1000), datagrams)
        before, files = kilobytes(relay), descriptors(relay)
        await flood(relay, range(1000, 1000 + SOURCES), datagrams)
        assert kilobytes(relay) - before <= MOST_KILOBYTES
        assert descriptors(relay) == files
        await relay.caller().allocate()
        async with relay.operator() as operator:
            assert len((await operator.get("/sessions")).json()["sessions"]) == 1
            figures = (await operator.get("/stats")).json()["figures"]
    read = [figure["value"] for figure in figures if figure["name"] == "calln_relay_punted_packets_total"]
    assert sum(read) >= (1000 + SOURCES) * len(datagrams)
