"""The file takes the engines that there are, and the fastest is what this machine allows."""

from __future__ import annotations

from typing import get_args

import pytest

from tests.turn.engines.world import World
from turn.config.section import Turn
from turn.engines.kernel.program import CannotRide, Program
from turn.service.engines import ENGINES


def test_every_name_in_the_file_is_an_engine() -> None:
    assert set(get_args(Turn.model_fields["engine"].annotation)) == set(ENGINES)


async def test_where_calls_cannot_ride_the_process_carries_them_and_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_program: Program, _slots: int) -> None:
        raise CannotRide("this is another system")

    monkeypatch.setattr(Program, "__init__", refuse)
    async with World(ENGINES["auto"]) as world:
        assert world.engine.name == "portable"
    assert caplog.messages == [
        "turn.engine: calls cannot ride in the kernel: this is another system; this process carries them"
    ]
    with pytest.raises(CannotRide):
        ENGINES["kernel"]([world.listener])


async def test_where_they_can_they_do(place: object) -> None:
    async with World(ENGINES["auto"]) as world:
        assert world.engine.name == "kernel"
