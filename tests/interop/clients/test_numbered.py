"""Numbered messages come in time, and the lost ones are named."""

from __future__ import annotations

from tests.interop.clients.numbered import Returned, numbers


async def test_numbers_come_in_order() -> None:
    assert [number async for number in numbers(3, 0.01)] == [0, 1, 2]


async def test_what_is_back_is_counted_once() -> None:
    returned = Returned(2)
    for number in (0, 0, 1):
        returned.add(number)
    await returned.wait()
    assert returned.report({"relay"}) == "heard 2 through relay"


def test_what_is_lost_is_named() -> None:
    returned = Returned(3)
    returned.add(1)
    assert returned.report({"relay", "host"}) == "lost: 0 2\nheard 1 through host relay"
