"""A new version takes over while calls run: nobody is cut off, refused or answered by the wrong one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aioice import stun

from tests.turn.versions import WHOLE, Call, Succession, Talker, own_network

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a network namespace")

PLACES = {"v4": "127.0.0.1", "v6": "::1", "any v4": "0.0.0.0", "any v6": "::"}
IDLE = 24  # clients that hold an allocation and say nothing


@pytest.fixture(autouse=True)
def network() -> Iterator[None]:
    with own_network():
        yield


async def newcomers(world: Succession, count: int) -> list[Talker]:
    talkers = [await world.caller() for _ in range(count)]
    for talker in talkers:
        await talker.allocate()
    return talkers


@asynccontextmanager
async def renewing(calls: list[Call], idle: list[Talker]) -> AsyncIterator[None]:
    """Meanwhile all ask for what they have, again and again, and are never refused."""

    over = asyncio.Event()

    async def renew() -> None:
        while not over.is_set():
            for call in calls:
                await call.renew()
            for talker in idle:
                assert await talker.refresh() is stun.Class.RESPONSE
            await asyncio.sleep(0.02)

    task = asyncio.create_task(renew())
    try:
        yield
    finally:
        over.set()
        await task


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("place", PLACES)
async def test_calls_go_on_and_strangers_come_to_the_new_one(
    tmp_path: Path, place: str, workers: int
) -> None:
    async with Succession(tmp_path, PLACES[place], workers=workers) as world, world.version() as old:
        calls = [
            await world.call("udp"),
            await world.call("udp", None),
            await world.call("tcp"),
            await world.call("tls", None),
        ]
        idle = await newcomers(world, IDLE)
        async with world.version() as new:
            async with renewing(calls, idle):
                both = await newcomers(world, 12)
                at_new = await new.allocations()
                assert await old.allocations() + at_new == 4 + IDLE + 12
                old.terminate()
                await asyncio.sleep(1.0)
                late = [await world.caller(transport) for transport in ("udp", "udp", "tcp", "tls")]
                for talker in late:
                    await talker.allocate()
                assert await new.allocations() == at_new + 4
                await asyncio.sleep(2.5)
                for talker in both + late:
                    assert await talker.refresh() is stun.Class.RESPONSE
            assert [await call.stop() for call in calls] == [WHOLE] * 4
            assert min(call.sent for call in calls) > 200
            for talker in [*idle, *both, *(call.talker for call in calls)]:
                assert await talker.refresh(0) is stun.Class.RESPONSE
            assert await old.ended() == 0
