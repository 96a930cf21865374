"""Calls and results between two ends of a socket pair."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from turn.workers.rpc import CallFailed, NotAnswered, Orders, Rpc

PATIENCE = 10.0  # seconds; only a hang takes so long


async def double(value: int) -> int:
    return value * 2


async def refuse() -> None:
    raise CallFailed("not today")


async def err() -> None:
    raise KeyError("canary")


async def hang() -> None:
    await asyncio.sleep(60)


async def hear(sent: object) -> str:
    return type(sent).__name__


DOES: Orders = {"double": double, "refuse": refuse, "err": err, "hang": hang, "hear": hear}


@asynccontextmanager
async def connected(does: Orders) -> AsyncIterator[tuple[Rpc, asyncio.Task[None], socket.socket]]:
    ours, theirs = socket.socketpair()
    asking, answering = await Rpc.open(ours), await Rpc.open(theirs)
    serving = asyncio.create_task(answering.serve_calls(does))
    try:
        yield asking, serving, theirs
    finally:
        serving.cancel()
        asking.close()
        answering.close()


async def test_orders_are_answered_each_with_its_own() -> None:
    async with connected(DOES) as (rpc, _, _):
        assert await asyncio.gather(
            *(rpc.call("double", value, seconds=PATIENCE) for value in range(20))
        ) == [*range(0, 40, 2)]
        assert await rpc.call("hear", frozenset((b"\0",)), seconds=PATIENCE) == "frozenset"


async def test_what_cannot_be_done_is_said_and_the_line_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async with connected(DOES) as (rpc, _, _):
        with pytest.raises(CallFailed, match="not today"):
            await rpc.call("refuse", seconds=PATIENCE)
        with pytest.raises(CallFailed, match="no such order"):
            await rpc.call("fly", 1, seconds=PATIENCE)
        with pytest.raises(CallFailed, match="KeyError"):
            await rpc.call("err", seconds=PATIENCE)
        assert await rpc.call("double", 4, seconds=PATIENCE) == 8
    assert "canary" not in [record.getMessage() for record in caplog.records]


async def test_who_does_not_answer_in_time_is_not_taken_for_who_does_later() -> None:
    late = asyncio.Event()

    async def dawdle(value: int) -> int:
        await late.wait()
        return value

    async with connected({"dawdle": dawdle}) as (rpc, _, _):
        with pytest.raises(NotAnswered):
            await rpc.call("dawdle", 1, seconds=0.01)
        late.set()
        assert await rpc.call("dawdle", 2, seconds=PATIENCE) == 2


async def test_an_answer_of_many_megabytes() -> None:
    async def much(size: int) -> str:
        return "x" * size

    async with connected({"much": much}) as (rpc, _, _):
        assert len(await rpc.call("much", 5 << 20, seconds=PATIENCE)) == 5 << 20


async def test_the_end_of_one_is_known_to_the_other() -> None:
    async with connected(DOES) as (rpc, serving, theirs):
        rpc.close()
        await asyncio.wait_for(serving, PATIENCE)
    async with connected(DOES) as (rpc, serving, theirs):
        theirs.shutdown(socket.SHUT_RDWR)
        with pytest.raises(NotAnswered):
            await rpc.call("double", 1, seconds=PATIENCE)
        await asyncio.wait_for(serving, PATIENCE)
