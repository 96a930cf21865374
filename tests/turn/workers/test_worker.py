"""What a worker does with its orders, in the process of the test."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.turn.engines.certificates import certificate
from tests.turn.engines.world import End, free
from tests.turn.service.caller import Caller
from tests.turn.service.running import ALICE, LOOPBACK, SECRET, turn
from turn.engines.portable.reuseport import ReuseportGroups
from turn.flows import Address, Transport
from turn.service.from_config import RelayConfig
from turn.service.relayed_ports import RelayedPorts
from turn.workers.rpc import CallFailed, Rpc
from turn.workers.shared_ledger import SharedLedger, make_memory
from turn.workers.worker import WorkerStart, serve_parent

PATIENCE = 10.0  # seconds; only a hang takes so long
KEY = bytes(32)


class Place:
    """A worker's listener, and ends to talk to it with."""

    def __init__(self, listener: Address, shared: SharedLedger) -> None:
        self.listener = listener
        self.shared = shared
        self.ends: list[End] = []

    def end(self) -> End:
        self.ends.append(End())
        return self.ends[-1]


@asynccontextmanager
async def working(
    folder: Path, transport: Transport = "udp", **keys: Any
) -> AsyncIterator[tuple[Rpc, Place]]:
    at = free("127.0.0.1", transport)
    groups, ledger = ReuseportGroups([at], 1), make_memory(1)
    place = Place(at, SharedLedger(ledger, 1, 0, KEY))
    ours, theirs = socket.socketpair()
    task, rpc = asyncio.create_task(serve_parent(theirs)), await Rpc.open(ours)
    told = turn(listen=str(at), users=dict([ALICE]), **keys)
    inherited = {address: os.dup(number) for address, number in groups.descriptors_of(0).items()}
    try:
        await rpc.call(
            "begin",
            WorkerStart(RelayConfig(told, [SECRET]), LOOPBACK, inherited, folder, KEY, ledger, 1),
            seconds=PATIENCE,
        )
        yield rpc, place
    finally:
        rpc.close()
        await asyncio.wait_for(task, PATIENCE)
        groups.close()
        os.close(ledger)
        for end in place.ends:
            end.close()


async def test_it_serves_and_does_as_it_is_told(tmp_path: Path) -> None:
    async with working(tmp_path) as (rpc, place):
        relay = await Caller(place, *ALICE).allocate()
        [row] = await rpc.call("sessions", seconds=PATIENCE)
        assert (row["id"], row["user"]) == (f"{relay.host}:{relay.port}", "alice")
        live = RelayedPorts(tmp_path)
        assert relay in live
        assert await rpc.call("kill", None, row["id"], seconds=PATIENCE) == 1
        assert relay not in live
        live.close()
        await Caller(place, *ALICE).allocate()
        await rpc.call(
            "apply_config", RelayConfig(turn(), [SECRET]), LOOPBACK, seconds=PATIENCE
        )  # without alice
        assert await rpc.call("session_count", seconds=PATIENCE) == 0
        await rpc.call("drain", None, seconds=PATIENCE)
        figures = {figure[0]: figure for figure in await rpc.call("figures", seconds=PATIENCE)}
        assert figures["calln_relay_draining"][3] == [["calln_relay_draining", {}, 1.0]]


async def test_limits_are_kept_where_all_see_them(tmp_path: Path) -> None:
    async with working(tmp_path) as (_, place):
        assert place.shared.usage("allocations").amount(b"") == 0
        await Caller(place, *ALICE).allocate()
        assert place.shared.usage("allocations").amount(b"") == 1
        assert place.shared.usage("users").amount(b"alice") == 1


async def test_a_certificate_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    shown = certificate()
    keys = {"certificate": shown.chain, "key": shown.key}
    async with working(tmp_path, "tls", **keys) as (rpc, place):
        await rpc.call("apply_streams", turn(listen=str(place.listener), **keys), seconds=PATIENCE)
        (tmp_path / "empty.pem").touch()
        broken = turn(listen=str(place.listener), **{**keys, "certificate": tmp_path / "empty.pem"})
        with pytest.raises(CallFailed, match=r"turn\.certificate"):
            await rpc.call("apply_streams", broken, seconds=PATIENCE)
