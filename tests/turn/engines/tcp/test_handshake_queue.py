"""How much heavy work there is in a turn of the loop, whose it is, and that it all gets done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from turn.engines import NOT_RUNNING
from turn.engines.loop.epoll import Epoll
from turn.engines.tcp.handshake_queue import PER_TURN, HandshakeQueue


class Scene:
    """A turnstile, and what was done in the turns of the loop until now."""

    def __init__(self) -> None:
        self.turnstile = HandshakeQueue(Epoll())
        self.done: list[int] = []
        self.mishaps: list[Exception] = []

    def work(self, number: int) -> Callable[[], object]:
        return lambda: self.done.append(number)

    async def turns(self) -> list[list[int]]:
        """What is done in each turn until nobody waits."""
        turns = []
        while self.turnstile.waiting:
            before = len(self.done)
            await asyncio.sleep(0)
            turns.append(self.done[before:])
        return turns


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    epoll = scene.turnstile.epoll
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
            assert it.turnstile.add(it.work(number))
        assert it.done == []
        numbers = list(range(2 * PER_TURN + 1))
        assert await it.turns() == [numbers[:PER_TURN], numbers[PER_TURN:-1], numbers[-1:]]


async def test_who_waits_keeps_its_place_and_may_leave_it() -> None:
    async with scene() as it:
        works = [it.work(number) for number in range(3)]
        for work in works:
            it.turnstile.add(work)
        assert not it.turnstile.add(works[0])
        it.turnstile.remove(works[1])
        it.turnstile.remove(works[1])
        assert await it.turns() == [[0, 2]]


async def test_there_is_one_turn_however_many_leave_and_come() -> None:
    async with scene() as it:
        for _ in range(3):
            gone = it.work(-1)
            it.turnstile.add(gone)
            it.turnstile.remove(gone)
        for number in range(PER_TURN + 1):
            it.turnstile.add(it.work(number))
        assert await it.turns() == [list(range(PER_TURN)), [PER_TURN]]


async def test_who_comes_again_goes_behind_the_others() -> None:
    async with scene() as it:
        again = it.work(-1)
        it.turnstile.add(lambda: it.turnstile.add(again))
        for number in range(PER_TURN):
            it.turnstile.add(it.work(number))
        assert await it.turns() == [list(range(PER_TURN - 1)), [PER_TURN - 1, -1]]


async def test_a_fault_is_told_and_keeps_nobody_waiting() -> None:
    async with scene() as it:
        it.turnstile.add(lambda: 1 // 0)
        last = it.work(1)
        it.turnstile.add(lambda: it.turnstile.remove(last))
        it.turnstile.add(last)
        for number in range(2, PER_TURN + 2):
            it.turnstile.add(it.work(number))
        assert await it.turns() == [list(range(2, PER_TURN)), [PER_TURN, PER_TURN + 1]]
        assert [type(error) for error in it.mishaps] == [ZeroDivisionError]
