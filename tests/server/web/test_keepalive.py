"""Pings by one timer: each socket in its time, and who does not answer is left out."""

from __future__ import annotations

import asyncio

from server.web.keepalive import Keepalive


class Pinged:
    """Answers so many pings."""

    def __init__(self, answers: int) -> None:
        self.answers = answers
        self.payloads: list[bytes] = []

    def ping(self, payload: bytes) -> bool:
        self.payloads.append(payload)
        return len(self.payloads) <= self.answers


async def until_idle(keepalive: Keepalive) -> None:
    async with asyncio.timeout(10):
        while keepalive.timer is not None:
            await asyncio.sleep(0.01)


async def test_each_is_pinged_until_it_does_not_answer_and_then_the_timer_ends() -> None:
    keepalive = Keepalive(0.05)
    one, other = Pinged(0), Pinged(2)
    for socket in (one, other):
        keepalive.begin(socket)
    await until_idle(keepalive)
    assert (len(one.payloads), len(other.payloads)) == (1, 3)
    assert len(set(other.payloads)) == 3, "an answer to an older ping is none to the newest"


async def test_who_has_gone_is_not_pinged_and_who_comes_later_is() -> None:
    keepalive = Keepalive(0.05)
    gone, late = Pinged(9), Pinged(0)
    keepalive.begin(gone)
    keepalive.discard(gone)
    keepalive.discard(gone)
    await until_idle(keepalive)
    keepalive.begin(late)
    await until_idle(keepalive)
    assert (gone.payloads, len(late.payloads)) == ([], 1)
