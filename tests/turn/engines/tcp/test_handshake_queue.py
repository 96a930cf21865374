"""How much heavy work there is in a turn of the loop, whose it is, and that it all gets done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from turn.engines import NOT_RUNNING
from turn.engines.loop.epoll import Epoll
from turn.engines.tcp.handshake_queue import PER_TURN, HandshakeQueue


class Scene:
    """A queue, and what was done in the turns of the loop until now."""

    def __init__(self) -> None:
        self.handshakes = HandshakeQueue(Epoll())
        self.done: list[int] = []
        self.mishaps: list[Exception] = []

    def work(self, number: int) -> Callable[[], object]:
        return lambda: self.done.append(number)

    async def turns(self) -> list[list[int]]:
        """What is done in each turn until nothing waits."""
        turns = []
        while self.handshakes.waiting:
            before = len(self.done)
            await asyncio.sleep(0)
            turns.append(self.done[before:])
        return turns


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    epoll = scene.handshakes.epoll
    task = asyncio.ensure_future(epoll.run(NOT_RUNNING._replace(unexpected=scene.mishaps.append)))
    await asyncio.sleep(0)
    yield scene
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    epoll.close()


async def test_a_few_per_turn_in_the_order_of_coming() -> None:
    async with scene() as it:
        for number in range(2 * PER_TURN + 1):
            assert it.handshakes.add(it.work(number))
        assert it.done == []
        numbers = list(range(2 * PER_TURN + 1))
        assert await it.turns() == [numbers[:PER_TURN], numbers[PER_TURN:-1], numbers[-1:]]


async def test_who_waits_keeps_its_place_and_may_leave_it() -> None:
    async with scene() as it:
        works = [it.work(number) for number in range(3)]
        for work in works:
            it.handshakes.add(work)
        assert not it.handshakes.add(works[0])
        it.handshakes.remove(works[1])
        it.handshakes.remove(works[1])
        assert await it.turns() == [[0, 2]]


async def test_there_is_one_turn_however_many_leave_and_come() -> None:
    async with scene() as it:
        for _ in range(3):
            gone = it.work(-1)
            it.handshakes.add(gone)
            it.handshakes.remove(gone)
        for number in range(PER_TURN + 1):
            it.handshakes.add(it.work(number))
        assert await it.turns() == [list(range(PER_TURN)), [PER_TURN]]


async def test_who_comes_again_goes_behind_the_others() -> None:
    async with scene() as it:
        again = it.work(-1)
        it.handshakes.add(lambda: it.handshakes.add(again))
        for number in range(PER_TURN):
            it.handshakes.add(it.work(number))
        assert await it.turns() == [list(range(PER_TURN - 1)), [PER_TURN - 1, -1]]


async def test_an_error_is_reported_and_delays_nothing() -> None:
    async with scene() as it:
        it.handshakes.add(lambda: 1 // 0)
        last = it.work(1)
        it.handshakes.add(lambda: it.handshakes.remove(last))
        it.handshakes.add(last)
        for number in range(2, PER_TURN + 2):
            it.handshakes.add(it.work(number))
        assert await it.turns() == [list(range(2, PER_TURN)), [PER_TURN, PER_TURN + 1]]
        assert [type(error) for error in it.mishaps] == [ZeroDivisionError]
